package layers

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/google/gopacket"

	"github.com/gopptp/gopptp/ppp"
)

// LCP is a packet of the Link Control Protocol (RFC 1661, RFC 1570).
type LCP struct {
	Control
	// MagicNumber is that of an Echo-Request, Echo-Reply, Discard-Request,
	// Identification or Time-Remaining; Data has what follows it.
	MagicNumber uint32
	// RejectedProtocol is that of a Protocol-Reject; Data has the rejected
	// packet.
	RejectedProtocol ppp.Protocol
}

var (
	_ gopacket.DecodingLayer     = (*LCP)(nil)
	_ gopacket.SerializableLayer = (*LCP)(nil)
)

// LayerType implements gopacket.Layer.
func (*LCP) LayerType() gopacket.LayerType { return LayerTypeLCP }

// CanDecode implements gopacket.DecodingLayer.
func (*LCP) CanDecode() gopacket.LayerClass { return LayerTypeLCP }

// hasMagic reports whether the data begin with a magic number.
func (l *LCP) hasMagic() bool { return l.Code >= ppp.EchoRequest && l.Code <= ppp.TimeRemaining }

// DecodeFromBytes implements gopacket.DecodingLayer.
func (l *LCP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	l.MagicNumber, l.RejectedProtocol = 0, 0
	if err := l.decodeControl(data, LayerTypeLCP, df); err != nil {
		return err
	}
	switch {
	case l.hasMagic():
		if len(l.Data) < 4 {
			return &DecodeError{Layer: LayerTypeLCP, Err: ppp.ErrShortPacket}
		}
		l.MagicNumber, l.Data = binary.BigEndian.Uint32(l.Data), l.Data[4:]
	case l.Code == ppp.ProtocolReject:
		if len(l.Data) < 2 {
			return &DecodeError{Layer: LayerTypeLCP, Err: ppp.ErrShortPacket}
		}
		l.RejectedProtocol, l.Data = ppp.Protocol(binary.BigEndian.Uint16(l.Data)), l.Data[2:]
	}
	return nil
}

// SerializeTo implements gopacket.SerializableLayer.
func (l *LCP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	data := l.Data
	switch {
	case l.hasMagic():
		data = append(binary.BigEndian.AppendUint32(nil, l.MagicNumber), data...)
	case l.Code == ppp.ProtocolReject:
		data = append(binary.BigEndian.AppendUint16(nil, uint16(l.RejectedProtocol)), data...)
	}
	return l.serialize(b, data)
}

// String says what the packet says.
func (l *LCP) String() string {
	switch {
	case l.Code == ppp.ProtocolReject:
		return fmt.Sprintf("%v id %d: %v", l.Code, l.ID, l.RejectedProtocol)
	case l.Code == ppp.Identification:
		return fmt.Sprintf("%v id %d: magic 0x%08x, %q", l.Code, l.ID, l.MagicNumber, l.Data)
	case l.Code == ppp.TimeRemaining && len(l.Data) >= 4:
		left := "no limit"
		if s := binary.BigEndian.Uint32(l.Data); s != math.MaxUint32 {
			left = fmt.Sprintf("%d s", s)
		}
		return fmt.Sprintf("%v id %d: magic 0x%08x, %s, %q", l.Code, l.ID, l.MagicNumber, left, l.Data[4:])
	case l.hasMagic():
		return fmt.Sprintf("%v id %d: magic 0x%08x", l.Code, l.ID, l.MagicNumber)
	case l.Code == ppp.TerminateRequest && len(l.Data) > 0:
		return fmt.Sprintf("%v id %d: %q", l.Code, l.ID, l.Data)
	}
	return l.describe(ppp.ProtocolLCP)
}
