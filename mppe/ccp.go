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
	// ResetRequested says that the peer has lost its place, for which
	// Encryptor.Flush is called. The Reset-Ack is in the Output before it, and
	// is to leave before the next packet: Linux decrypts nothing until it has
	// come. In stateless mode the event means nothing.
	ResetRequested struct{}
)

// CCPConfig says what a CCP negotiates. With neither Request nor Required it
// leaves it to the peer to ask for MPPE.
type CCPConfig struct {
	// Request asks for MPPE and goes on without it when the peer refuses.
	Request bool
	// Required asks for MPPE and fails with ErrRefused without it.
	Required bool
	// KeyLengths are those to agree on, the strongest that the peer knows too.
	// Zero means 128 bits only. Whoever is between the peers can have the
	// weakest of them agreed on, as nothing protects the negotiation.
	KeyLengths KeyLengths
	// Modes are those to agree on, stateless if the peer will have it. Zero
	// means stateless only.
	Modes Modes
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

	ask       bool   // name MPPE in our request
	want      bits   // and this
	suggested bool   // the peer has been told by a Nak that we would like it
	insisted  bool   // and that we would like it stateless
	persisted bool   // we have asked for stateful mode in spite of such a Nak
	send      Agreed // what we acked lets us send encrypted; zero: nothing
	recv      Agreed // what the peer acked lets it do so
	refused   error
	reset     reset

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
	if cfg.KeyLengths == 0 {
		cfg.KeyLengths = AllowKey128
	}
	if cfg.Modes == 0 {
		cfg.Modes = AllowStateless
	}
	c := &CCP{cfg: cfg}
	c.Init(ppp.AutomatonConfig{
		Protocol:     ppp.ProtocolCCP,
		FirstTimeout: cfg.FirstTimeout,
		Extension:    (*extension)(c),
	}, (*policy)(c))
	return c
}

func (c *CCP) passive() bool { return !c.cfg.Request && !c.cfg.Required }

// Limit narrows the key lengths down to those that there are keys for
// (Keys.Lengths). It is called before Up, when authentication is over. With none
// left CCP refuses MPPE.
func (c *CCP) Limit(available KeyLengths) { c.cfg.KeyLengths &= available }

// Send returns what we may encrypt packets with; ok is false if they go in
// clear. It is settled once the layer is open.
func (c *CCP) Send() (a Agreed, ok bool) { return c.send, c.send != Agreed{} && c.Opened() }

// Recv returns what the peer may encrypt packets with.
func (c *CCP) Recv() (a Agreed, ok bool) { return c.recv, c.recv != Agreed{} && c.Opened() }

// Err implements ppp.Layer. Where MPPE is required, ErrRefused is in whatever
// the peer does to be without it.
func (c *CCP) Err() error {
	err := c.Automaton.Err()
	if !c.cfg.Required {
		return err
	}
	switch {
	case errors.Is(err, ppp.ErrTerminated):
		return fmt.Errorf("%w: it closes CCP: %w", ErrRefused, err)
	case errors.Is(err, ppp.ErrRejected):
		return fmt.Errorf("%w: it knows no CCP: %w", ErrRefused, err)
	}
	return err
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
	c.send, c.recv, c.refused = Agreed{}, Agreed{}, nil
	c.suggested, c.insisted, c.persisted = false, false, false
	c.reset = reset{}
	if !(*CCP)(c).passive() {
		c.ask = true
	}
	// All there is to choose from, as in RFC 3078 §2.1.
	c.want = bitsOf(c.cfg.KeyLengths, c.allows(AllowStateless))
	if c.cfg.KeyLengths == 0 {
		c.suggested = true // there is nothing to suggest
		c.refuse("there are no keys for what is allowed")
	}
}

func (c *policy) allows(m Modes) bool { return c.cfg.Modes&m != 0 }

func (c *policy) Request(dst ppp.Options, out *ppp.Output) ppp.Options {
	if !c.ask || c.cfg.KeyLengths == 0 {
		return dst
	}
	// A peer that acks several key lengths, as it should not, means the
	// strongest.
	out.Emit(PrepareReceive(c.want.strongest()))
	return append(dst, c.want.option())
}

func (c *policy) Judge(req ppp.Options, last bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	c.send = Agreed{}
	var named bool
	var b bits
	for _, o := range req {
		v, ok := decodeBits(o)
		if o.Type != optionMPPE || !ok || named || c.cfg.KeyLengths == 0 {
			dst = append(dst, o) // another compressor, or nonsense
			continue
		}
		named, b = true, v
	}
	if len(dst) > 0 {
		return ppp.ConfigureReject, dst
	}
	best := c.best(b)
	switch {
	case named && b == best.bits():
		c.send = best
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
	c.insisted = c.insisted || named && !best.Stateful
	return ppp.ConfigureNak, append(dst, best.bits().option())
}

// best is what of the peer's offer, which may be empty, suits us best.
func (c *policy) best(offer bits) Agreed {
	common := offer.keyLengths() & c.cfg.KeyLengths
	if common == 0 {
		common = c.cfg.KeyLengths
	}
	a := Agreed{KeyLength: common.Strongest()}
	switch {
	case !c.allows(AllowStateless):
		a.Stateful = true
	case c.allows(AllowStateful):
		// RFC 3078 §2.1: stateless mode may always be negotiated. A peer that
		// asks for the other one in spite of our Nak gets it.
		a.Stateful = !offer.stateless() && c.insisted
	}
	return a
}

func (c *policy) Acked(sent ppp.Options) {
	c.recv = Agreed{}
	if _, ok := sent.Get(optionMPPE); ok {
		c.recv = c.want.strongest()
	}
}

func (c *policy) Naked(nak ppp.Options) {
	o, ok := nak.Get(optionMPPE)
	if !ok {
		return
	}
	b, ok := decodeBits(o)
	common := b.keyLengths() & c.cfg.KeyLengths
	// The same again, less than we asked for, or at the peer's suggestion.
	a := Agreed{KeyLength: common.Strongest(), Stateful: !b.stateless()}
	if b.stateless() && !c.allows(AllowStateless) && !c.persisted {
		// A peer of our own kind means that it would rather.
		a.Stateful, c.persisted = true, true
	}
	mode := AllowStateless
	if a.Stateful {
		mode = AllowStateful
	}
	switch {
	case !ok || b == 0:
		c.refuse("it offers none")
	case common == 0 || !c.allows(mode):
		c.refuse("it offers " + b.String())
	default:
		c.ask, c.want = true, a.bits()
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
