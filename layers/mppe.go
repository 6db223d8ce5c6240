package layers

import (
	"encoding/binary"
	"fmt"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// The bits of the header of MPPC and MPPE (RFC 3078 §3.1).
const (
	mppeFlushed    = 0x8000 // A
	mppeFront      = 0x4000 // B
	mppeCompressed = 0x2000 // C
	mppeEncrypted  = 0x1000 // D
	mppeCount      = 0x0fff
)

// MPPE is a compressed datagram (RFC 1962 §2.2), taken for one of MPPE or MPPC.
type MPPE struct {
	layers.BaseLayer
	// Flushed says that the key was changed, or tables reset, before this
	// packet.
	Flushed bool
	// Front is the bit B, which MPPC alone uses: the packet was moved to the
	// front of the history.
	Front bool
	// Compressed says that the payload is compressed by MPPC.
	Compressed bool
	// Encrypted says that the payload is encrypted.
	Encrypted bool
	// CoherencyCount numbers the packets, modulo 4096.
	CoherencyCount uint16
}

var (
	_ gopacket.DecodingLayer     = (*MPPE)(nil)
	_ gopacket.SerializableLayer = (*MPPE)(nil)
)

// LayerType implements gopacket.Layer.
func (*MPPE) LayerType() gopacket.LayerType { return LayerTypeMPPE }

// CanDecode implements gopacket.DecodingLayer.
func (*MPPE) CanDecode() gopacket.LayerClass { return LayerTypeMPPE }

// NextLayerType implements gopacket.DecodingLayer.
func (m *MPPE) NextLayerType() gopacket.LayerType {
	switch {
	case len(m.Payload) == 0:
		return gopacket.LayerTypeZero
	case m.Encrypted || m.Compressed:
		return gopacket.LayerTypePayload
	}
	// From the protocol field on, if it is one that belongs here. Others, this
	// protocol itself among them, could be nested without end.
	if p, _, err := ppp.DecodeProtocol(m.Payload); err != nil || !mppe.Encrypts(uint16(p)) {
		return gopacket.LayerTypePayload
	}
	return LayerTypePPP
}

// DecodeFromBytes implements gopacket.DecodingLayer.
func (m *MPPE) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	*m = MPPE{}
	if len(data) < mppe.HeaderLen {
		df.SetTruncated()
		return &DecodeError{Layer: LayerTypeMPPE, Err: mppe.ErrShort}
	}
	h := binary.BigEndian.Uint16(data)
	*m = MPPE{
		BaseLayer:      layers.BaseLayer{Contents: data[:mppe.HeaderLen:mppe.HeaderLen], Payload: data[mppe.HeaderLen:]},
		Flushed:        h&mppeFlushed != 0,
		Front:          h&mppeFront != 0,
		Compressed:     h&mppeCompressed != 0,
		Encrypted:      h&mppeEncrypted != 0,
		CoherencyCount: h & mppeCount,
	}
	return nil
}

// SerializeTo implements gopacket.SerializableLayer.
func (m *MPPE) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	h := m.CoherencyCount & mppeCount
	for _, x := range [...]struct {
		set bool
		bit uint16
	}{{m.Flushed, mppeFlushed}, {m.Front, mppeFront}, {m.Compressed, mppeCompressed}, {m.Encrypted, mppeEncrypted}} {
		if x.set {
			h |= x.bit
		}
	}
	room, err := b.PrependBytes(mppe.HeaderLen)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(room, h)
	return nil
}

// String says what the header says.
func (m *MPPE) String() string {
	s := fmt.Sprintf("coherency count %d", m.CoherencyCount)
	for _, x := range [...]struct {
		set  bool
		word string
	}{{m.Flushed, "flushed"}, {m.Front, "moved to front"}, {m.Compressed, "compressed"}, {m.Encrypted, "encrypted"}} {
		if x.set {
			s += ", " + x.word
		}
	}
	return s + fmt.Sprintf(", %d octets", len(m.Payload))
}
