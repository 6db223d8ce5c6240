package eap

import (
	"bytes"
	"slices"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// Method is an EAP method in the role of the peer.
type Method interface {
	Type() Type
	// Start forgets all of an earlier run.
	Start()
	// Request answers the data of a Request of the method's type, whose
	// identifier is id. Nil is no answer, for what makes no sense; an error
	// ends the authentication.
	Request(id uint8, data []byte) (response []byte, err error)
	// Succeeded reports whether a Success may be believed: the method has come
	// to its end and, if it is one in which the server proves itself, it has.
	Succeeded() bool
	// Err is what the method knows about why it fails, or nil.
	Err() error
}

// Notification is the Event of a message for the user (RFC 2284 §3.2). It comes
// from the network, so quote it.
type Notification struct{ Message string }

// PeerConfig describes a Peer.
type PeerConfig struct {
	// Name is the identity, at most 255 octets.
	Name string
	// Methods are those by which we prove ourselves, the best first.
	Methods []Method
}

// Peer proves us to a server. It implements ppp.Auth and ppp.Presumer.
type Peer struct {
	cfg PeerConfig

	id       uint8  // of the request that was answered last
	request  []byte // that request
	response []byte // our answer; nil before the first
	method   Method // that the server has begun; nil before
	done     bool
	err      error
}

var (
	_ ppp.Auth     = (*Peer)(nil)
	_ ppp.Presumer = (*Peer)(nil)
)

// NewPeer returns a Peer that has not started.
func NewPeer(cfg PeerConfig) *Peer { return &Peer{cfg: cfg} }

// Method implements ppp.Auth.
func (*Peer) Method() ppp.AuthMethod { return ppp.AuthEAP }

// Err implements ppp.Auth: what the method says, or ErrRefused.
func (p *Peer) Err() error { return p.err }

// Deadline implements ppp.Auth: a peer only answers (RFC 2284 §2.2.1).
func (*Peer) Deadline() time.Time { return time.Time{} }

// Tick implements ppp.Auth.
func (*Peer) Tick(time.Time, *ppp.Output) ppp.Signal { return 0 }

// Start implements ppp.Auth: it is for the server to begin.
func (p *Peer) Start(time.Time, *ppp.Output) ppp.Signal {
	*p = Peer{cfg: p.cfg}
	p.restart()
	return 0
}

func (p *Peer) restart() {
	p.method, p.done = nil, false
	for _, m := range p.cfg.Methods {
		m.Start()
	}
}

// Input implements ppp.Auth.
func (p *Peer) Input(b []byte, _ time.Time, out *ppp.Output) ppp.Signal {
	var pkt ppp.Packet
	n, err := pkt.Decode(b)
	if err != nil || p.err != nil {
		return 0
	}
	// The end should have the identifier of our response (RFC 2284 §2.2.2);
	// some servers count on.
	ours := p.response != nil && (pkt.ID == p.id || pkt.ID == p.id+1)
	switch {
	case pkt.Code == CodeRequest:
		return p.requested(b[:n], &pkt, out)
	case pkt.Code == CodeSuccess && ours:
		return p.succeed()
	case pkt.Code == CodeFailure && (ours || p.response == nil):
		p.err = ErrRefused
		if p.method != nil && p.method.Err() != nil {
			p.err = p.method.Err()
		}
		return ppp.SignalFinished
	}
	return 0
}

// Presume implements ppp.Presumer.
func (p *Peer) Presume(time.Time, *ppp.Output) ppp.Signal { return p.succeed() }

// succeed believes in a success only after the method's own (RFC 3748 §4.2).
func (p *Peer) succeed() ppp.Signal {
	if p.done || p.err != nil || p.method == nil || !p.method.Succeeded() {
		return 0
	}
	p.done = true
	return ppp.SignalUp
}

func (p *Peer) requested(b []byte, pkt *ppp.Packet, out *ppp.Output) ppp.Signal {
	var m Message
	if _, err := m.Decode(pkt.Data); err != nil {
		return 0
	}
	if p.response != nil && bytes.Equal(b, p.request) {
		send(p.response, out)
		return 0
	}
	if p.done && m.Type != TypeNotification {
		p.restart() // the server begins anew
	}
	typ, data := m.Type, []byte(nil)
	switch m.Type {
	case TypeIdentity:
		p.restart()
		data = []byte(p.cfg.Name)[:min(len(p.cfg.Name), maxIdentity)]
	case TypeNotification:
		out.Emit(Notification{Message: string(m.Data)})
	case TypeNak:
		return 0 // in a Response only
	default:
		method := p.find(m.Type)
		switch {
		case p.method != nil && method != p.method:
			return 0 // RFC 3748 §2.1: one method, to its end
		case method == nil:
			typ, data = TypeNak, p.offers()
		default:
			var err error
			if data, err = method.Request(pkt.ID, m.Data); err != nil {
				p.err = err
				return ppp.SignalFinished
			}
			if data == nil {
				return 0
			}
			p.method = method
		}
	}
	p.id, p.request = pkt.ID, bytes.Clone(b)
	p.response = packet(CodeResponse, pkt.ID, typ, data)
	send(p.response, out)
	return 0
}

func (p *Peer) find(t Type) Method {
	i := slices.IndexFunc(p.cfg.Methods, func(m Method) bool { return m.Type() == t })
	if i < 0 {
		return nil
	}
	return p.cfg.Methods[i]
}

// offers is what a Nak says: the types that we would have instead (RFC 3748
// §5.3.1), or zero for none.
func (p *Peer) offers() []byte {
	if len(p.cfg.Methods) == 0 {
		return []byte{0}
	}
	types := make([]byte, len(p.cfg.Methods))
	for i, m := range p.cfg.Methods {
		types[i] = byte(m.Type())
	}
	return types
}
