package userspace

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// packetsDevice is a Device that keeps copies of packets.
type packetsDevice chan []byte

func (d packetsDevice) Deliver(packets [][]byte) {
	for _, p := range packets {
		select {
		case d <- bytes.Clone(p):
		default:
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	prefix := netip.MustParsePrefix
	for name, o := range map[string]Options{
		"zero":    {},
		"full":    {TUNName: "pptp0", MTU: 1400, ReceiveBuffer: 1 << 20, SendBuffer: 1 << 20},
		"pattern": {TUNName: "vpn%d"},
		"range":   {FirstCallID: 49152},
		"one ID":  {FirstCallID: 7, LastCallID: 7},
		"longest": {TUNName: "abcdefghijklmno"},
		"limits":  {MTU: 576, ReceiveBuffer: 256 << 10, SendBuffer: 1 << 30},
		"prefixes": {Prefixes: []netip.Prefix{
			prefix("10.8.0.0/16"), prefix("10.8.1.0/24"), prefix("192.0.2.1/32"), prefix("128.0.0.0/1"),
			prefix("2001:db8::/48"),
		}},
		"addresses": {Addresses: []netip.Addr{netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("2001:db8::1")}},
		"device":    {Device: make(packetsDevice), Workers: 2, XDP: XDPOff},
	} {
		require.NoError(t, o.Validate(), name)
	}
	for name, c := range map[string]struct {
		opts  Options
		field string
	}{
		"long name":      {Options{TUNName: "abcdefghijklmnop"}, "TUNName"},
		"slash":          {Options{TUNName: "a/b"}, "TUNName"},
		"space":          {Options{TUNName: "a b"}, "TUNName"},
		"dots":           {Options{TUNName: ".."}, "TUNName"},
		"two patterns":   {Options{TUNName: "%d%d"}, "TUNName"},
		"bad pattern":    {Options{TUNName: "%s"}, "TUNName"},
		"small MTU":      {Options{MTU: 575}, "MTU"},
		"negative MTU":   {Options{MTU: -1}, "MTU"},
		"large MTU":      {Options{MTU: 1501}, "MTU"},
		"no address":     {Options{Addresses: make([]netip.Addr, 1)}, "Addresses[0]"},
		"zone":           {Options{Addresses: []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}}, "Addresses[0]"},
		"mapped address": {Options{Addresses: []netip.Addr{netip.MustParseAddr("::ffff:10.8.0.1")}}, "Addresses[0]"},
		"multicast":      {Options{Addresses: []netip.Addr{netip.MustParseAddr("224.0.0.1")}}, "Addresses[0]"},
		"address twice":  {Options{Addresses: []netip.Addr{netip.MustParseAddr("10.8.0.1"), netip.MustParseAddr("10.8.0.1")}}, "Addresses[1]"},
		"no prefix":      {Options{Prefixes: make([]netip.Prefix, 1)}, "Prefixes[0]"},
		"IPv6 host bits": {Options{Prefixes: []netip.Prefix{prefix("2001:db8::1/32")}}, "Prefixes[0]"},
		"IPv6 default":   {Options{Prefixes: []netip.Prefix{prefix("::/0")}}, "Prefixes[0]"},
		"host bits":      {Options{Prefixes: []netip.Prefix{prefix("10.8.0.1/16")}}, "Prefixes[0]"},
		"default route":  {Options{Prefixes: []netip.Prefix{prefix("0.0.0.0/0")}}, "Prefixes[0]"},
		"twice":          {Options{Prefixes: []netip.Prefix{prefix("10.8.0.0/16"), prefix("10.8.0.0/16")}}, "Prefixes[1]"},
		"small receive":  {Options{ReceiveBuffer: 1}, "ReceiveBuffer"},
		"negative":       {Options{SendBuffer: -1}, "SendBuffer"},
		"no range":       {Options{FirstCallID: 8, LastCallID: 7}, "LastCallID"},
		"two devices":    {Options{Device: make(packetsDevice), TUNName: "pptp0"}, "Device"},
		"device, routed": {Options{Device: make(packetsDevice), Prefixes: []netip.Prefix{prefix("10.8.0.0/16")}}, "Device"},
		"endless buffer": {Options{SendBuffer: 1<<30 + 1}, "SendBuffer"},
	} {
		err := c.opts.Validate()
		require.ErrorContains(t, err, "userspace: Options."+c.field+": ", name)
		_, opened := Open(c.opts)
		require.Equal(t, err, opened, name)
	}
}
