package userspace

import (
	"encoding/binary"
	"net/netip"

	"github.com/gopptp/gopptp/internal/engine"
	"github.com/gopptp/gopptp/internal/nexthop"
	"github.com/gopptp/gopptp/internal/offload"
	"github.com/gopptp/gopptp/internal/xdp"
)

const (
	ethernetLen = 14
	ipv4Len     = 20
	// minFrame is the shortest frame on an Ethernet, without its checksum.
	minFrame = 60
	// maxFramed is the largest IP packet that fits a frame.
	maxFramed = xdp.FrameSize - ethernetLen

	etherTypeIPv4 = 0x0800
	defaultTTL    = 64 // RFC 1700
)

// appendFrame appends the Ethernet frame of d. Packets leave without DF, see
// greSocket.configure, and so have a number each.
func appendFrame(dst []byte, hop *nexthop.Hop, d *engine.Datagram, id uint16) []byte {
	dst = append(append(dst, hop.Dest[:]...), hop.Source[:]...)
	dst = binary.BigEndian.AppendUint16(dst, etherTypeIPv4)
	ip := len(dst)
	local, peer := d.Local.As4(), d.Peer.As4()
	dst = append(dst, 0x45, 0)
	dst = binary.BigEndian.AppendUint16(dst, uint16(ipv4Len+len(d.Data)))
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = append(dst, 0, 0, defaultTTL, protocolGRE, 0, 0)
	dst = append(append(dst, local[:]...), peer[:]...)
	binary.BigEndian.PutUint16(dst[ip+10:], ^offload.SumIPv4(dst[ip:]))
	dst = append(dst, d.Data...)
	for len(dst)-ip+ethernetLen < minFrame {
		dst = append(dst, 0)
	}
	return dst
}

// parseFrame takes the headers off a frame that the XDP filter has passed, which
// therefore has them in full. As the host would, it looks at what the filter does
// not: the length and the checksum.
func parseFrame(frame []byte) (engine.Datagram, bool) {
	if len(frame) < ethernetLen+ipv4Len || frame[ethernetLen] != 0x45 {
		return engine.Datagram{}, false
	}
	p := frame[ethernetLen:]
	length := int(binary.BigEndian.Uint16(p[2:]))
	if length < ipv4Len || length > len(p) || offload.SumIPv4(p) != 0xffff {
		return engine.Datagram{}, false
	}
	return engine.Datagram{
		Peer:  netip.AddrFrom4([4]byte(p[12:16])),
		Local: netip.AddrFrom4([4]byte(p[16:20])),
		Data:  p[ipv4Len:length:length],
	}, true
}
