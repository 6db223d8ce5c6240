package eap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// The operations of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2 §2), which are
// codes of CHAP. A response names the last two alone, without the rest of a
// packet (§2.4 and §2.6).
const (
	opChallenge = 1
	opResponse  = 2
	opSuccess   = 3
	opFailure   = 4
)

// Sizes of MS-CHAPv2, in octets (RFC 2759 §4).
const (
	challengeLen = 16 // MD5-Challenge has as many
	reservedLen  = 8
	responseLen  = 24
	valueLen     = challengeLen + reservedLen + responseLen + 1
)

// MSCHAPv2 is EAP-MSCHAPv2 in the role of the peer
// (draft-kamath-pppext-eap-mschapv2): packets of MS-CHAPv2, with what CHAP does
// not confirm confirmed. The server proves itself too.
type MSCHAPv2 struct {
	peer      *chap.Peer
	out       ppp.Output // of the peer
	id        uint8      // the method's own, of the challenge
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
// which not every server gets right, and for the identifier of a verdict, which
// pppd counts on with EAP's; what it is the verdict on is known from that. The
// peer's timers are the server's here.
func (m *MSCHAPv2) Request(_ uint8, data []byte) (response []byte, err error) {
	if len(data) < ppp.PacketHeader || len(data) > 0xffff {
		return nil, nil
	}
	data = bytes.Clone(data)
	binary.BigEndian.PutUint16(data[2:], uint16(len(data)))
	if data[0] == opChallenge {
		m.id = data[1]
	} else {
		data[1] = m.id
	}

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

// MSCHAPv2Server is EAP-MSCHAPv2 in the role of the server. A peer has one
// attempt, and cannot change its password.
type MSCHAPv2Server struct {
	// Name is ours, sent with the challenge. At most 255 octets are sent.
	Name string
	// Rand fills a challenge. Default crypto/rand.
	Rand func([]byte)
}

var _ ServerMethod = (*MSCHAPv2Server)(nil)

// mschapv2State is what has passed so far.
type mschapv2State struct {
	id        uint8 // the method's own, of the challenge
	challenge []byte
	told      *ppp.AuthRequest // whose Success has been sent
	refused   chap.ErrorCode   // whose Failure has
}

// Type implements ServerMethod.
func (*MSCHAPv2Server) Type() Type { return TypeMSCHAPv2 }

// Begin implements ServerMethod: it sends the challenge.
func (m *MSCHAPv2Server) Begin(id uint8) Step {
	s := mschapv2State{id: id, challenge: random(m.Rand, challengeLen)}
	v := chap.Value{Value: s.challenge, Name: cut(m.Name)}
	return s.send(opChallenge, v.Append(nil))
}

func (s mschapv2State) send(op ppp.Code, data []byte) Step {
	p := ppp.Packet{Code: op, ID: s.id, Data: data}
	return Step{Request: p.Append(nil), State: s}
}

// Respond implements ServerMethod.
func (m *MSCHAPv2Server) Respond(r *Response) Step {
	s, ok := r.State.(mschapv2State)
	switch {
	case !ok || len(r.Data) == 0:
		return Step{}
	case s.refused != 0:
		return Step{ErrorCode: s.refused} // whatever it has to say to that
	case s.told != nil && r.Data[0] != opSuccess:
		return Step{} // our proof has not convinced it
	case s.told != nil:
		// Judging once more what has been judged keeps secrets out of the
		// state, and heeds what has become of the user.
		proof, good := chap.VerifyMSCHAPv2(s.told, r.User.NTHash)
		code := r.User.judge(good)
		if code != 0 {
			proof = nil
		}
		return Step{Accepted: code == 0, Proof: proof, ErrorCode: code}
	}
	req, ok := s.read(r.Data)
	if !ok {
		return Step{}
	}
	proof, good := chap.VerifyMSCHAPv2(req, r.User.NTHash)
	if s.refused = r.User.judge(good); s.refused != 0 {
		// RFC 2759 §6 has a challenge even where nothing answers it.
		text := fmt.Appendf(nil, "E=%d R=0 C=%X V=3 M=", s.refused, random(m.Rand, challengeLen))
		return s.send(opFailure, append(text, r.User.message(s.refused)...))
	}
	s.told = req
	return s.send(opSuccess, []byte(proof.AuthenticatorResponse))
}

// read takes a response of MS-CHAPv2 apart. Neither the method's own identifier
// nor its length, which some peers have wrong, says more than EAP's has said.
func (s *mschapv2State) read(data []byte) (req *ppp.AuthRequest, ok bool) {
	var v chap.Value
	if len(data) < ppp.PacketHeader || data[0] != opResponse {
		return nil, false
	}
	_, err := v.Decode(bytes.Clone(data[ppp.PacketHeader:]))
	if err != nil || len(v.Value) != valueLen || len(v.Name) > maxIdentity {
		return nil, false
	}
	return &ppp.AuthRequest{
		Method:        ppp.AuthMSCHAPv2,
		Name:          string(v.Name),
		Challenge:     s.challenge,
		PeerChallenge: v.Value[:challengeLen],
		Response:      v.Value[challengeLen+reservedLen : valueLen-1],
	}, true
}

// cut returns a name of ours, which must fit a packet.
func cut(name string) []byte { return []byte(name[:min(len(name), maxIdentity)]) }
