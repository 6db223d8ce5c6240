package nexthop

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

func routeMessage(kind byte, attrs ...[]byte) message {
	b := []byte{unix.AF_INET, 32, 32, 0, 254, 0, 0, kind, 0, 0, 0, 0}
	for _, a := range attrs {
		b = append(b, a...)
	}
	return message{kind: unix.RTM_NEWROUTE, body: b}
}

func attribute(kind uint16, value ...byte) []byte { return appendAttribute(nil, kind, value) }

func TestParseRoute(t *testing.T) {
	peer, gateway := ip4{203, 0, 113, 7}, ip4{192, 0, 2, 2}
	oif := attribute(unix.RTA_OIF, native.AppendUint32(nil, 3)...)
	by := attribute(unix.RTA_GATEWAY, gateway[:]...)
	metrics := attribute(unix.RTA_METRICS|unix.NLA_F_NESTED, attribute(unix.RTAX_MTU, native.AppendUint32(nil, 1400)...)...)
	for name, c := range map[string]struct {
		m    message
		want route
	}{
		"on the link":         {routeMessage(unix.RTN_UNICAST, oif), route{ok: true, device: 3, gateway: peer}},
		"by a gateway":        {routeMessage(unix.RTN_UNICAST, oif, by), route{ok: true, device: 3, gateway: gateway}},
		"with an MTU":         {routeMessage(unix.RTN_UNICAST, metrics, oif), route{ok: true, device: 3, gateway: peer, mtu: 1400}},
		"local":               {routeMessage(unix.RTN_LOCAL, oif), route{}},
		"no device":           {routeMessage(unix.RTN_UNICAST, by), route{gateway: gateway}},
		"encapsulated":        {routeMessage(unix.RTN_UNICAST, oif, by, attribute(unix.RTA_ENCAP, 0, 0, 0, 0)), route{}},
		"a gateway of IPv6":   {routeMessage(unix.RTN_UNICAST, oif, attribute(unix.RTA_VIA, make([]byte, 18)...)), route{}},
		"of several parts":    {routeMessage(unix.RTN_UNICAST, attribute(unix.RTA_MULTIPATH)), route{}},
		"unreachable":         {message{kind: unix.NLMSG_ERROR, body: make([]byte, 36)}, route{}},
		"short":               {message{kind: unix.RTM_NEWROUTE, body: make([]byte, 11)}, route{}},
		"attribute too long":  {routeMessage(unix.RTN_UNICAST, []byte{99, 0, unix.RTA_OIF, 0, 1, 0, 0, 0}), route{gateway: peer}},
		"attribute too short": {routeMessage(unix.RTN_UNICAST, []byte{3, 0, unix.RTA_OIF, 0}), route{gateway: peer}},
	} {
		assert.Equal(t, c.want, parseRoute(c.m, peer), name)
	}
}

func TestParseDevice(t *testing.T) {
	body := append([]byte{unix.AF_UNSPEC, 0}, native.AppendUint16(nil, unix.ARPHRD_ETHER)...)
	body = native.AppendUint32(body, 7)
	body = native.AppendUint32(body, unix.IFF_UP|unix.IFF_RUNNING)
	body = native.AppendUint32(body, 0)
	noMAC := message{kind: unix.RTM_NEWLINK, body: body}
	d, ok := parseDevice(noMAC)
	assert.True(t, ok)
	assert.False(t, d.usable())

	whole := message{kind: unix.RTM_NEWLINK, body: append(body, attribute(unix.IFLA_ADDRESS, 2, 0, 0, 0, 0, 1)...)}
	d, ok = parseDevice(whole)
	assert.True(t, ok)
	assert.True(t, d.usable())
	for _, flags := range []uint32{unix.IFF_UP, unix.IFF_RUNNING, unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_NOARP} {
		d.flags = flags
		assert.False(t, d.usable(), "flags %x", flags)
	}

	whole.body[0] = unix.AF_BRIDGE
	_, ok = parseDevice(whole)
	assert.False(t, ok, "a port of a bridge")
}

// FuzzReport gives a table any reports.
func FuzzReport(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWROUTE), routeMessage(unix.RTN_UNICAST, attribute(unix.RTA_DST, 10, 0, 0, 1)).body)
	f.Add(uint16(unix.RTM_NEWNEIGH), askNeighbour(neighbourKey{1, ip4{10, 0, 0, 1}}, 0))
	f.Add(uint16(unix.RTM_DELLINK), askDevice(1))
	f.Fuzz(func(t *testing.T, kind uint16, body []byte) {
		table := &Table{stale: map[*neighbour]struct{}{}}
		l := &link{device: device{index: 1}, neighbours: map[*neighbour]struct{}{}}
		n := &neighbour{key: neighbourKey{1, ip4{10, 0, 0, 1}}, link: l}
		l.neighbours[n] = struct{}{}
		table.links = map[uint32]*link{1: l}
		table.neighbours = map[neighbourKey]*neighbour{n.key: n}
		table.report(message{kind: kind, body: body})
		parseRoute(message{kind: kind, body: body}, ip4{})
		for m := range messages(body) {
			table.report(m)
		}
	})
}
