package mppe

import (
	"errors"
	"fmt"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// ErrRefused wraps what kept MPPE from being agreed on where it is required.
var ErrRefused = errors.New("mppe: peer refuses the encryption that is required")

// Events of a CCP.
type (
	// PrepareReceive precedes each Configure-Request of ours that names MPPE:
	// once the peer has acked that, it may send encrypted packets, and they
	// may overtake the Ack.
	PrepareReceive struct {
		KeyLength KeyLength
		Stateful  bool
	}
	// ResetRequested says that the peer has lost its place. It has been
	// answered; in stateless mode it means nothing.
	ResetRequested struct{}
)

// CCPConfig says what a CCP negotiates. With neither Request nor Required it
// leaves it to the peer to ask for MPPE.
type CCPConfig struct {
	// Request asks for MPPE and goes on without it when the peer refuses.
	Request bool
	// Required asks for MPPE and fails with ErrRefused without it.
	Required bool
	// FirstTimeout is as in ppp.AutomatonConfig.
	FirstTimeout time.Duration
}

// passiveWait is how long a CCP that leaves it to the peer holds up the network
// protocols, for a peer that is about to ask.
const passiveWait = 500 * time.Millisecond

// CCP is the Compression Control Protocol (RFC 1962), which negotiates MPPE and
// refuses all compression. It implements ppp.Layer.
type CCP struct {
	ppp.Automaton
	cfg CCPConfig

	ask       bool // name MPPE in our request
	suggested bool // the peer has been told by a Nak that we would like it
	send      bool // what we acked lets us send encrypted
	recv      bool // what the peer acked lets it do so
	refused   error

	// A passive CCP waits for the peer to begin.
	waiting bool
	waitEnd time.Time
}

var (
	_ ppp.Layer     = (*CCP)(nil)
	_ ppp.Policy    = (*policy)(nil)
	_ ppp.Extension = (*extension)(nil)
)

// NewCCP returns a CCP in the Initial state.
func NewCCP(cfg CCPConfig) *CCP {
	c := &CCP{cfg: cfg}
	c.Init(ppp.AutomatonConfig{
		Protocol:     ppp.ProtocolCCP,
		FirstTimeout: cfg.FirstTimeout,
		Extension:    (*extension)(c),
	}, (*policy)(c))
	return c
}

func (c *CCP) passive() bool { return !c.cfg.Request && !c.cfg.Required }

// Send returns what we may encrypt packets with; ok is false if they go in
// clear. It is settled once the layer is open.
func (c *CCP) Send() (a Agreed, ok bool) {
	return Agreed{KeyLength: Key128}, c.send && c.Opened()
}

// Recv returns what the peer may encrypt packets with.
func (c *CCP) Recv() (a Agreed, ok bool) {
	return Agreed{KeyLength: Key128}, c.recv && c.Opened()
}

// Up implements ppp.Layer.
func (c *CCP) Up(now time.Time, out *ppp.Output) ppp.Signal {
	if c.passive() {
		c.waiting, c.waitEnd = true, now.Add(passiveWait)
		return 0
	}
	return c.heed(c.Automaton.Up(now, out), now, out)
}

// Down implements ppp.Layer.
func (c *CCP) Down(now time.Time, out *ppp.Output) ppp.Signal {
	if c.waiting {
		c.waiting, c.waitEnd = false, time.Time{}
		return 0
	}
	return c.Automaton.Down(now, out)
}

// Input implements ppp.Layer.
func (c *CCP) Input(b []byte, now time.Time, out *ppp.Output) ppp.Signal {
	var sig ppp.Signal
	if c.waiting {
		c.waiting, c.waitEnd = false, time.Time{}
		c.ask = asksForMPPE(b)
		sig = c.Automaton.Up(now, out)
	}
	return c.heed(sig|c.Automaton.Input(b, now, out), now, out)
}

// asksForMPPE reports whether b is a Configure-Request that names MPPE.
func asksForMPPE(b []byte) bool {
	var (
		p    ppp.Packet
		opts ppp.Options
	)
	if _, err := p.Decode(b); err != nil || p.Code != ppp.ConfigureRequest {
		return false
	}
	if _, err := opts.Decode(p.Data); err != nil {
		return false
	}
	_, ok := opts.Get(optionMPPE)
	return ok
}

// Tick implements ppp.Layer.
func (c *CCP) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	if !c.waitEnd.IsZero() && !now.Before(c.waitEnd) {
		// The network protocols go on; the peer may still begin.
		c.waitEnd = time.Time{}
		return ppp.SignalFinished
	}
	return c.heed(c.Automaton.Tick(now, out), now, out)
}

// Deadline implements ppp.Layer.
func (c *CCP) Deadline() time.Time {
	if c.waiting {
		return c.waitEnd
	}
	return c.Automaton.Deadline()
}

// heed closes the layer when the policy has found that it is of no use.
func (c *CCP) heed(sig ppp.Signal, now time.Time, out *ppp.Output) ppp.Signal {
	if err := c.refused; err != nil {
		c.refused = nil
		sig |= c.Fail(err, now, out)
	}
	return sig
}

// policy is the ppp.Policy of a CCP.
type policy CCP

func (c *policy) Begin() {
	c.send, c.recv, c.suggested, c.refused = false, false, false, nil
	if !(*CCP)(c).passive() {
		c.ask = true
	}
}

func (c *policy) Request(dst ppp.Options, out *ppp.Output) ppp.Options {
	if !c.ask {
		return dst
	}
	out.Emit(PrepareReceive{KeyLength: Key128})
	return append(dst, offered.option())
}

func (c *policy) Judge(req ppp.Options, last bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	c.send = false
	var named, wrong bool
	for _, o := range req {
		b, ok := decodeBits(o)
		if o.Type != optionMPPE || !ok || named {
			dst = append(dst, o) // another compressor, or nonsense
			continue
		}
		named = true
		wrong = b != offered
	}
	if len(dst) > 0 {
		return ppp.ConfigureReject, dst
	}
	switch {
	case named && !wrong:
		c.send = true
		if (*CCP)(c).passive() {
			c.ask = true // both directions or none
		}
		return ppp.ConfigureAck, dst
	case !named && !c.cfg.Required && (c.suggested || !c.cfg.Request || last):
		return ppp.ConfigureAck, dst // in clear, then
	case last && c.cfg.Required:
		c.refuse("its requests do not come to what is required")
	}
	c.suggested = true
	return ppp.ConfigureNak, append(dst, offered.option())
}

func (c *policy) Acked(sent ppp.Options) {
	_, c.recv = sent.Get(optionMPPE)
}

func (c *policy) Naked(nak ppp.Options) {
	o, ok := nak.Get(optionMPPE)
	if !ok {
		return
	}
	switch b, ok := decodeBits(o); {
	case ok && b&offered == offered:
		c.ask = true // the same again, or at the peer's suggestion
	case !ok || b == 0:
		c.refuse("it offers none")
	default:
		c.refuse("it offers " + b.String())
	}
}

func (c *policy) Refused(rejected ppp.Options) {
	if _, ok := rejected.Get(optionMPPE); ok {
		c.refuse("it rejects the option")
	}
}

// refuse goes on in clear, or not at all.
func (c *policy) refuse(why string) {
	c.ask = false
	if c.cfg.Required {
		c.refused = fmt.Errorf("%w: %s", ErrRefused, why)
	}
}

// extension handles CCP's own codes (RFC 1962 §3).
type extension CCP

func (*extension) Knows(code ppp.Code) bool {
	return code == ppp.ResetRequest || code == ppp.ResetAck
}

func (*extension) Receive(p ppp.Packet, opened bool, _ time.Time, out *ppp.Output) {
	if !opened || p.Code != ppp.ResetRequest {
		return
	}
	// Stateless MPPE needs no reset (RFC 3078 §8), but a peer that asks for
	// one may wait for the answer.
	out.Emit(ResetRequested{})
	out.Send(ppp.ProtocolCCP, ppp.Packet{Code: ppp.ResetAck, ID: p.ID, Data: p.Data})
}
