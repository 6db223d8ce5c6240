// Package capture writes what passes in one session to a file of packets, pcapng, for
// Wireshark and its like: PPP frames with their direction, and the control connection as
// TCP segments that are made up around its messages.
//
// What a password could be found from is not in it: packets of an authentication are cut
// behind their header.
package capture

import (
	"encoding/binary"
	"io"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
)

// linkTypePPPWithDir is PPP behind an octet that is zero in what was received.
const linkTypePPPWithDir layers.LinkType = 204

// The interfaces of the file.
const (
	onLink    = iota // PPP
	onControl        // IP
)

// packetQueue is how many packets wait to be written, and queueOctets how many octets they
// may have: the host hands over large pieces.
const (
	packetQueue = 1024
	queueOctets = 4 << 20
)

// Capture takes packets from any goroutine, and never blocks it: it drops what cannot be
// written as fast as it comes, counts it, and says so at the end of the file.
type Capture struct {
	local, remote netip.AddrPort // of the control connection
	queue         chan packet
	waiting       atomic.Int64 // octets in it
	dropped       [2]atomic.Uint64
	taken         [2]atomic.Uint64

	mu    sync.Mutex // of the sequence numbers, so that they are in the order of the queue
	seq   [2]uint32  // of what was received and of what was sent
	begun time.Time
}

// packet is one to be written.
type packet struct {
	info gopacket.CaptureInfo
	data []byte
}

// New returns a Capture of a session with a control connection between two addresses.
func New(local, remote netip.AddrPort) *Capture {
	return &Capture{local: local, remote: remote, queue: make(chan packet, packetQueue), seq: [2]uint32{1, 1}, begun: time.Now()}
}

// Trace is a gopptp.TraceFunc.
func (c *Capture) Trace(e gopptp.TraceEvent) {
	if e.Kind == gopptp.TracePPP {
		c.frame(e.Time, e.Sent, len(e.Data), e.Data[:visible(e.Data)])
		return
	}
	c.message(e.Time, e.Sent, e.Data)
}

// Packet takes a user's IP packet, to the peer if it was sent. length is that on the link,
// where b is not all of it.
func (c *Capture) Packet(at time.Time, sent bool, length int, b []byte) {
	if len(b) == 0 {
		return
	}
	protocol := uint16(0x0021)
	if b[0]>>4 == 6 {
		protocol = 0x0057
	}
	c.put(at, onLink, 3+length, append([]byte{direction(sent), byte(protocol >> 8), byte(protocol)}, b...))
}

// visible is how many octets of a PPP frame may be seen. Of a protocol of the link layer
// (RFC 1661 §2) other than LCP and LQR, which is one that proves who somebody is, that is
// the protocol field, code, identifier and length. A Protocol-Reject has such a packet in
// it if one came uninvited.
func visible(frame []byte) int {
	const header = 6
	for seen := 0; len(frame)-seen >= header; seen += header {
		p := frame[seen:]
		switch protocol := ppp.Protocol(binary.BigEndian.Uint16(p)); {
		case protocol == ppp.ProtocolLCP && ppp.Code(p[2]) == ppp.ProtocolReject:
		case protocol < 0xc000, protocol == ppp.ProtocolLCP, protocol == ppp.ProtocolLQR:
			return len(frame)
		default:
			return seen + header
		}
	}
	return len(frame)
}

func direction(sent bool) byte {
	if sent {
		return 1
	}
	return 0
}

func (c *Capture) frame(at time.Time, sent bool, length int, b []byte) {
	c.put(at, onLink, 1+length, append([]byte{direction(sent)}, b...))
}

// message makes up the TCP segment that may have carried a control message.
func (c *Capture) message(at time.Time, sent bool, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	from, to := c.remote, c.local
	if sent {
		from, to = to, from
	}
	own, other := &c.seq[direction(sent)], c.seq[1-direction(sent)]
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: from.Addr().Unmap().AsSlice(), DstIP: to.Addr().Unmap().AsSlice()}
	tcp := &layers.TCP{
		SrcPort: layers.TCPPort(from.Port()), DstPort: layers.TCPPort(to.Port()),
		Seq: *own, Ack: other, ACK: true, PSH: true, Window: 65535,
	}
	*own += uint32(len(b))
	out := gopacket.NewSerializeBuffer()
	if tcp.SetNetworkLayerForChecksum(ip) != nil ||
		gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, tcp, gopacket.Payload(b)) != nil {
		c.dropped[onControl].Add(1) // no IPv4 addresses
		return
	}
	c.put(at, onControl, len(out.Bytes()), out.Bytes())
}

func (c *Capture) put(at time.Time, on, length int, data []byte) {
	p := packet{gopacket.CaptureInfo{Timestamp: at, CaptureLength: len(data), Length: length, InterfaceIndex: on}, data}
	if c.waiting.Add(int64(len(data))) <= queueOctets {
		select {
		case c.queue <- p:
			c.taken[on].Add(1)
			return
		default:
		}
	}
	c.waiting.Add(-int64(len(data)))
	c.dropped[on].Add(1)
}

// write writes a packet of the queue.
func (c *Capture) write(out *pcapgo.NgWriter, p packet) error {
	c.waiting.Add(-int64(len(p.data)))
	return out.WritePacket(p.info, p.data)
}

// WriteTo writes the file to w until stop is closed. flush is called whenever no packet
// waits. What is written until then is a good file, whenever it ends.
func (c *Capture) WriteTo(w io.Writer, flush func() error, stop <-chan struct{}) error {
	out, err := pcapgo.NewNgWriterInterface(w, pcapgo.NgInterface{
		Name: "ppp", Description: "the PPP link, with directions", OS: runtime.GOOS,
		LinkType: linkTypePPPWithDir, TimestampResolution: 9,
	}, pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: "gopptp gateway"}})
	if err != nil {
		return err
	}
	if _, err := out.AddInterface(pcapgo.NgInterface{
		Name: "control", Description: "messages of the control connection, in TCP segments that are made up", OS: runtime.GOOS,
		LinkType: layers.LinkTypeRaw, TimestampResolution: 9,
	}); err != nil {
		return err
	}
	all := func() error {
		if err := out.Flush(); err != nil {
			return err
		}
		return flush()
	}
	if err := all(); err != nil {
		return err
	}
	for {
		select {
		case p := <-c.queue:
			if err := c.write(out, p); err != nil {
				return err
			}
			if len(c.queue) > 0 {
				continue
			}
			if err := all(); err != nil {
				return err
			}
		case <-stop:
			return c.finish(out, all)
		}
	}
}

// finish writes what waits still, and the counts.
func (c *Capture) finish(out *pcapgo.NgWriter, flush func() error) error {
	for range len(c.queue) {
		if err := c.write(out, <-c.queue); err != nil {
			return err
		}
	}
	now := time.Now()
	for on := range 2 {
		dropped := c.dropped[on].Load()
		err := out.WriteInterfaceStats(on, pcapgo.NgInterfaceStatistics{
			LastUpdate: now, StartTime: c.begun, EndTime: now,
			PacketsReceived: c.taken[on].Load() + dropped, PacketsDropped: dropped,
		})
		if err != nil {
			return err
		}
	}
	return flush()
}
