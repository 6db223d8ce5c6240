package conversation

import (
	"net/netip"
	"slices"

	stock "github.com/google/gopacket/layers"
)

// Bounds on the packets that are being put together.
const (
	maxFragmented = 64 // packets; the oldest gives way
	maxFragments  = 64 // of a packet
)

// reassembly puts fragments of IPv4 together. What gopacket has for this trusts
// lengths more than a capture deserves.
type reassembly struct {
	order []fragmentKey
	lists map[fragmentKey]*fragmentList
}

type fragmentKey struct {
	src, dst netip.Addr
	id       uint16
	protocol stock.IPProtocol
}

type fragmentList struct {
	parts []fragment
	total int // octets, once the last fragment has come; 0 before
}

type fragment struct {
	offset int
	data   []byte
}

// add takes a fragment, and returns the payload of the packet if it is complete
// now.
func (r *reassembly) add(src, dst netip.Addr, ip *stock.IPv4) []byte {
	key := fragmentKey{src, dst, ip.Id, ip.Protocol}
	l := r.lists[key]
	if l == nil {
		if r.lists == nil {
			r.lists = make(map[fragmentKey]*fragmentList)
		}
		if len(r.order) == maxFragmented {
			delete(r.lists, r.order[0])
			r.order = r.order[1:]
		}
		l = new(fragmentList)
		r.lists[key] = l
		r.order = append(r.order, key)
	}
	f := fragment{offset: int(ip.FragOffset) * 8, data: slices.Clone(ip.Payload)}
	if ip.Flags&stock.IPv4MoreFragments == 0 {
		l.total = f.offset + len(f.data)
	}
	i, found := slices.BinarySearchFunc(l.parts, f.offset, func(p fragment, offset int) int { return p.offset - offset })
	if found || len(l.parts) == maxFragments {
		return nil
	}
	l.parts = slices.Insert(l.parts, i, f)
	whole := l.join()
	if whole != nil {
		delete(r.lists, key)
		r.order = slices.DeleteFunc(r.order, func(k fragmentKey) bool { return k == key })
	}
	return whole
}

// join returns the packet's payload, nil while something is missing.
func (l *fragmentList) join() (whole []byte) {
	for _, p := range l.parts {
		if l.total == 0 || p.offset > len(whole) {
			return nil
		}
		if end := p.offset + len(p.data); end > len(whole) {
			whole = append(whole, p.data[len(whole)-p.offset:]...)
		}
	}
	if len(whole) != l.total {
		return nil
	}
	return whole
}
