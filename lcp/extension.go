package lcp

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// extension handles the codes that are LCP's own (RFC 1661 §5.7 to §5.9, RFC
// 1570).
type extension LCP

func (*extension) Knows(code ppp.Code) bool {
	switch code {
	case ppp.ProtocolReject, ppp.EchoRequest, ppp.EchoReply, ppp.DiscardRequest,
		ppp.Identification, ppp.TimeRemaining:
		return true
	}
	return false
}

func (l *extension) Receive(p ppp.Packet, opened bool, _ time.Time, out *ppp.Output) {
	// Only Identification may come before LCP is open (RFC 1570 §2.1).
	if !opened && p.Code != ppp.Identification {
		l.dropped++
		return
	}
	if p.Code == ppp.ProtocolReject {
		l.protocolReject(p)
		return
	}
	// All the others begin with the sender's magic number.
	if len(p.Data) < 4 {
		l.dropped++
		return
	}
	magic, data := binary.BigEndian.Uint32(p.Data), p.Data[4:]
	if magic != 0 && magic == l.ownMagic {
		// Ours. A request that comes back is proof of a loop. With a reply it
		// is not: there are peers that copy the number from the request.
		l.dropped++
		if p.Code == ppp.EchoRequest {
			l.fatal = ErrLoopback
		}
		return
	}
	switch p.Code {
	case ppp.EchoRequest:
		l.echoReply(p.ID, data, out)
	case ppp.EchoReply:
		if !l.keepalive.awaits(p.ID) {
			l.dropped++
		}
	case ppp.Identification:
		out.Emit(Identified{Message: text(data)})
	case ppp.TimeRemaining:
		if len(data) < 4 {
			l.dropped++
			return
		}
		e := TimeRemaining{Message: text(data[4:])}
		if seconds := binary.BigEndian.Uint32(data); seconds == math.MaxUint32 {
			e.Forever = true
		} else {
			e.Left = time.Duration(seconds) * time.Second
		}
		out.Emit(e)
	}
}

// protocolReject notes which protocol the peer does not know. That of LCP itself
// is the end (RFC 1661 §4.3, RXJ-).
func (l *extension) protocolReject(p ppp.Packet) {
	if len(p.Data) < 2 {
		l.dropped++
		return
	}
	rejected := ppp.Protocol(binary.BigEndian.Uint16(p.Data))
	if rejected == ppp.ProtocolLCP {
		l.fatal = ppp.ErrRejected
		return
	}
	l.rejected, l.hasRejected = rejected, true
}

// echoReply answers an Echo-Request with its data (RFC 1661 §5.8), as far as the
// peer can receive them.
func (l *extension) echoReply(id uint8, data []byte, out *ppp.Output) {
	data = data[:min(len(data), int(l.peer.mru)-ppp.PacketHeader-4)]
	reply := binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(data)), l.ownMagic)
	out.Send(ppp.ProtocolLCP, ppp.Packet{Code: ppp.EchoReply, ID: id, Data: append(reply, data...)})
}

// maxMessage bounds the texts that events carry, in octets.
const maxMessage = 255

func text(b []byte) string { return string(b[:min(len(b), maxMessage)]) }

// identify sends our Identification.
func (l *LCP) identify(out *ppp.Output) {
	if l.cfg.Identification == "" {
		return
	}
	data := binary.BigEndian.AppendUint32(nil, l.ownMagic)
	data = append(data, l.cfg.Identification...)
	out.Send(ppp.ProtocolLCP, ppp.Packet{Code: ppp.Identification, ID: l.NextID(), Data: data})
}

// maxReject bounds a Protocol-Reject, in octets: the peer needs no more to know
// what is meant.
const maxReject = 512

// RejectProtocol implements ppp.LinkControl. The frame is cut to what the peer
// can receive (RFC 1661 §5.7).
func (l *LCP) RejectProtocol(p ppp.Protocol, info []byte, out *ppp.Output) {
	if !l.Opened() {
		return
	}
	info = info[:min(len(info), min(int(l.peer.mru), maxReject)-ppp.PacketHeader-2)]
	data := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(info)), uint16(p))
	out.Send(ppp.ProtocolLCP, ppp.Packet{Code: ppp.ProtocolReject, ID: l.NextID(), Data: append(data, info...)})
}

// TakeRejected implements ppp.LinkControl.
func (l *LCP) TakeRejected() (p ppp.Protocol, ok bool) {
	p, ok = l.rejected, l.hasRejected
	l.rejected, l.hasRejected = 0, false
	return p, ok
}
