package nexthop

import (
	"golang.org/x/sys/unix"
)

// What the kernel is asked, and what it says.

type ip4 = [4]byte

// route is the kernel's answer to where packets between two addresses go.
type route struct {
	ok      bool // by a device, as they are
	device  uint32
	gateway ip4
	mtu     int // 0: the device's
}

func askRoute(b []byte, local, peer ip4) []byte {
	b = append(b, unix.AF_INET, 32, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0) // rtmsg: prefix lengths, no class
	b = appendAttribute(b, unix.RTA_DST, peer[:])
	// The kernel refuses a source that is not its own.
	return appendAttribute(b, unix.RTA_SRC, local[:])
}

func parseRoute(m message, peer ip4) route {
	if m.kind != unix.RTM_NEWROUTE || len(m.body) < unix.SizeofRtMsg || m.body[7] != unix.RTN_UNICAST {
		return route{}
	}
	r := route{ok: true, gateway: peer}
	for kind, v := range m.attributes(unix.SizeofRtMsg) {
		switch kind {
		case unix.RTA_OIF:
			r.device = uint32(number(v))
		case unix.RTA_GATEWAY:
			if len(v) != 4 {
				return route{}
			}
			r.gateway = ip4(v)
		case unix.RTA_METRICS:
			for kind, v := range attributes(v) {
				if kind == unix.RTAX_MTU {
					r.mtu = number(v)
				}
			}
		case unix.RTA_VIA, unix.RTA_ENCAP, unix.RTA_ENCAP_TYPE, unix.RTA_MULTIPATH:
			return route{} // more than a next hop
		}
	}
	r.ok = r.device != 0
	return r
}

// hostRoute returns the destination of a change that concerns a single address.
func hostRoute(m message) (to ip4, ok bool) {
	if len(m.body) < unix.SizeofRtMsg || m.body[0] != unix.AF_INET || m.body[1] != 32 {
		return to, false
	}
	for kind, v := range m.attributes(unix.SizeofRtMsg) {
		if kind == unix.RTA_DST && len(v) == 4 {
			return ip4(v), true
		}
	}
	return to, false
}

// device is what the kernel says of one.
type device struct {
	index    uint32
	flags    uint32
	change   uint32 // flags that are other than they were
	ethernet bool
	mac      [6]byte
	mtu      int
}

// usable reports whether it takes frames.
func (d *device) usable() bool {
	const up = unix.IFF_UP | unix.IFF_RUNNING
	return d.ethernet && d.flags&(up|unix.IFF_NOARP|unix.IFF_LOOPBACK) == up
}

func askDevice(index uint32) []byte {
	const skipStats = 1 << 3 // RTEXT_FILTER_SKIP_STATS
	b := []byte{unix.AF_UNSPEC, 0, 0, 0}
	b = native.AppendUint32(b, index)
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)
	return appendAttribute(b, unix.IFLA_EXT_MASK, native.AppendUint32(nil, skipStats))
}

func parseDevice(m message) (d device, ok bool) {
	// AF_BRIDGE is about a device as a port of a bridge.
	if len(m.body) < unix.SizeofIfInfomsg || m.body[0] != unix.AF_UNSPEC {
		return device{}, false
	}
	d.ethernet = native.Uint16(m.body[2:]) == unix.ARPHRD_ETHER
	d.index = native.Uint32(m.body[4:])
	d.flags = native.Uint32(m.body[8:])
	d.change = native.Uint32(m.body[12:])
	hasMAC := false
	for kind, v := range m.attributes(unix.SizeofIfInfomsg) {
		switch {
		case kind == unix.IFLA_ADDRESS && len(v) == len(d.mac):
			d.mac, hasMAC = [6]byte(v), true
		case kind == unix.IFLA_MTU:
			d.mtu = number(v)
		}
	}
	d.ethernet = d.ethernet && hasMAC
	return d, true
}

// neighbourKey names an entry of the kernel's neighbour table.
type neighbourKey struct {
	device uint32
	addr   ip4
}

// entry is what the table has there. The zero value is no entry.
type entry struct {
	state uint16
	mac   [6]byte
}

// The states in which the kernel sends to the address that it has.
const valid = unix.NUD_PERMANENT | unix.NUD_NOARP | unix.NUD_REACHABLE | unix.NUD_PROBE | unix.NUD_STALE | unix.NUD_DELAY

func askNeighbour(k neighbourKey, flags byte) []byte {
	b := []byte{unix.AF_INET, 0, 0, 0}
	b = native.AppendUint32(b, k.device)
	b = append(b, 0, 0, flags, 0) // state, flags, type
	return appendAttribute(b, unix.NDA_DST, k.addr[:])
}

func parseNeighbour(m message) (k neighbourKey, e entry, ok bool) {
	if len(m.body) < unix.SizeofNdMsg || m.body[0] != unix.AF_INET || m.body[10]&unix.NTF_PROXY != 0 {
		return k, e, false
	}
	k.device = native.Uint32(m.body[4:])
	e.state = native.Uint16(m.body[8:])
	hasMAC := false
	for kind, v := range m.attributes(unix.SizeofNdMsg) {
		switch {
		case kind == unix.NDA_DST && len(v) == len(k.addr):
			k.addr, ok = ip4(v), true
		case kind == unix.NDA_LLADDR && len(v) == len(e.mac):
			e.mac, hasMAC = [6]byte(v), true
		}
	}
	if !hasMAC || m.kind == unix.RTM_DELNEIGH {
		e = entry{}
	}
	return k, e, ok
}

// ipsec asks whether the host has policies for what it sends.
type ipsec struct{ q *querier } // nil: the kernel has no IPsec

func openIPsec() (ipsec, error) {
	q, err := openQuerier(unix.NETLINK_XFRM)
	if err != nil {
		if isNotSupported(err) {
			err = nil
		}
		return ipsec{}, err
	}
	return ipsec{q}, nil
}

// inUse is true, too, when the kernel does not tell.
func (s ipsec) inUse() bool {
	if s.q == nil {
		return false
	}
	const newSPDInfo, getSPDInfo, spdInfo = 0x24, 0x25, 1 // XFRM_MSG_NEWSPDINFO, XFRM_MSG_GETSPDINFO, XFRMA_SPD_INFO
	m := s.q.ask1(getSPDInfo, 0, []byte{0, 0, 0, 0})
	if m.kind == newSPDInfo {
		for kind, v := range m.attributes(4) {
			if kind == spdInfo && len(v) >= 8 {
				return native.Uint32(v[4:]) != 0 // outcnt
			}
		}
	}
	return true
}

func (s ipsec) close() {
	if s.q != nil {
		s.q.close()
	}
}
