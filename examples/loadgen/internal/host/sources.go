package host

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
)

// Sources are the addresses that clients have, in turn. Empty: whatever the host takes.
type Sources []netip.Prefix

// ParseSource reads an address or a network, of which the addresses of hosts are meant.
func ParseSource(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if a, notAddr := netip.ParseAddr(text); notAddr == nil {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	if err != nil || !p.Addr().Is4() || p.Bits() < 8 {
		return netip.Prefix{}, fmt.Errorf("%q is not an IPv4 address or a network like 10.1.0.0/16", text)
	}
	return p.Masked(), nil
}

// size is how many addresses p has for hosts, and first the number of the first.
func size(p netip.Prefix) (n, first int) {
	if n = 1 << (32 - p.Bits()); n > 2 {
		return n - 2, 1 // without those of the network and for broadcasts
	}
	return n, 0
}

// Count is how many addresses there are.
func (s Sources) Count() (n int) {
	for _, p := range s {
		more, _ := size(p)
		n += more
	}
	return n
}

// At returns the address of client i; not valid if s is empty.
func (s Sources) At(i int) netip.Addr {
	if len(s) == 0 {
		return netip.Addr{}
	}
	i %= s.Count()
	for _, p := range s {
		n, first := size(p)
		if i < n {
			b := p.Addr().As4()
			binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(first+i))
			return netip.AddrFrom4(b)
		}
		i -= n
	}
	return netip.Addr{}
}

// Missing returns an address of s that the host does not have, looking at the first and
// the last of each network.
func (s Sources) Missing() (netip.Addr, bool) {
	for _, p := range s {
		n, _ := size(p)
		one := Sources{p}
		for _, a := range []netip.Addr{one.At(0), one.At(n - 1)} {
			c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
			if err != nil {
				return a, true
			}
			c.Close()
		}
	}
	return netip.Addr{}, false
}
