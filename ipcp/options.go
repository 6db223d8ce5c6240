package ipcp

import (
	"net/netip"

	"github.com/gopptp/gopptp/ppp"
)

// The types of configuration options that are known (RFC 1332 §3.3, RFC 1877 §1).
const (
	optionIPAddress     = 3
	optionPrimaryDNS    = 129
	optionPrimaryNBNS   = 130
	optionSecondaryDNS  = 131
	optionSecondaryNBNS = 132
)

// serverOptions are the name server options in the order in which they are asked
// for.
var serverOptions = [...]uint8{optionPrimaryDNS, optionPrimaryNBNS, optionSecondaryDNS, optionSecondaryNBNS}

// servers holds an address for each of serverOptions; the zero Addr is none.
type servers [len(serverOptions)]netip.Addr

// serverOf returns the index of an option in serverOptions.
func serverOf(typ uint8) (s int, ok bool) {
	if typ < optionPrimaryDNS || typ > optionSecondaryNBNS {
		return 0, false
	}
	return int(typ - optionPrimaryDNS), true
}

// encodeAddr makes an option of an address; the zero Addr becomes 0.0.0.0, which
// asks for one.
func encodeAddr(typ uint8, a netip.Addr) ppp.Option {
	data := make([]byte, 4)
	if a.IsValid() {
		b := a.As4()
		copy(data, b[:])
	}
	return ppp.Option{Type: typ, Data: data}
}

// decodeAddr reads an option that holds one address.
func decodeAddr(o ppp.Option) (a netip.Addr, ok bool) {
	if len(o.Data) != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4([4]byte(o.Data)), true
}

// usable reports whether a is an address that a host may have.
func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsUnspecified() && !a.IsLoopback() && !a.IsMulticast() && a.As4()[0] != 0 && a.As4()[0] < 240
}
