package eap

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// The operations of EAP-MSCHAPv2 that a response names alone, without the rest
// of a packet (draft-kamath-pppext-eap-mschapv2 §2.4 and §2.6). They are codes of
// CHAP.
const (
	opSuccess = 3
	opFailure = 4
)

// MSCHAPv2 is EAP-MSCHAPv2 in the role of the peer
// (draft-kamath-pppext-eap-mschapv2): packets of MS-CHAPv2, with what CHAP does
// not confirm confirmed. The server proves itself too.
type MSCHAPv2 struct {
	peer      *chap.Peer
	out       ppp.Output // of the peer
	succeeded bool
	err       error
}

var _ Method = (*MSCHAPv2)(nil)

// NewMSCHAPv2 returns the method. Of cfg, Name, NTHash and Rand matter.
func NewMSCHAPv2(cfg chap.PeerConfig) *MSCHAPv2 {
	return &MSCHAPv2{peer: chap.NewPeer(chap.PeerConfig{Name: cfg.Name, NTHash: cfg.NTHash, Rand: cfg.Rand})}
}

// Type implements Method.
func (*MSCHAPv2) Type() Type { return TypeMSCHAPv2 }

// Start implements Method.
func (m *MSCHAPv2) Start() {
	m.succeeded, m.err = false, nil
	m.peer.Start(time.Time{}, nil)
}

// Succeeded implements Method.
func (m *MSCHAPv2) Succeeded() bool { return m.succeeded }

// Err implements Method: a *chap.FailureError, or chap.ErrAuthenticatorResponse.
func (m *MSCHAPv2) Err() error { return m.err }

// KeyMaterial is that of a chap.Peer: what MPPE keys are derived from (RFC 3079
// §3). It is there from the method's success on, until the server begins anew.
func (m *MSCHAPv2) KeyMaterial() (hashHash [16]byte, ntResponse [24]byte, ok bool) {
	return m.peer.KeyMaterial()
}

// Wipe overwrites the hash.
func (m *MSCHAPv2) Wipe() { m.peer.Wipe() }

// Request implements Method. Its data is a packet of CHAP, but for the length,
// which not every server gets right; the peer's timers are the server's here.
func (m *MSCHAPv2) Request(_ uint8, data []byte) (response []byte, err error) {
	if len(data) < ppp.PacketHeader || len(data) > 0xffff {
		return nil, nil
	}
	data = bytes.Clone(data)
	binary.BigEndian.PutUint16(data[2:], uint16(len(data)))

	m.out.Reset()
	signal := m.peer.Input(data, time.Time{}, &m.out)
	switch {
	case signal&ppp.SignalUp != 0:
		m.succeeded = true
		return []byte{opSuccess}, nil
	case signal&ppp.SignalFinished != 0 && data[0] == opFailure:
		m.err = m.peer.Err()
		return []byte{opFailure}, nil // a Failure of EAP follows
	case signal&ppp.SignalFinished != 0:
		m.err = m.peer.Err()
		return nil, m.err
	}
	for i := range m.out.Len() {
		if frame := m.out.At(i).Frame; len(frame) > 2 {
			response = bytes.Clone(frame[2:])
		}
	}
	return response, nil
}
