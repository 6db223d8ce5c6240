package ppp

import (
	"bytes"
	"errors"
	"fmt"
	"time"
)

// Why a layer finished, as its Err says.
var (
	// ErrNoAnswer: Max-Configure requests went without a usable answer.
	ErrNoAnswer = errors.New("ppp: no answer to Configure-Requests")
	// ErrTerminated: the peer sent a Terminate-Request.
	ErrTerminated = errors.New("ppp: terminated by the peer")
	// ErrRejected: the peer rejects the protocol or a code it must know.
	ErrRejected = errors.New("ppp: protocol rejected by the peer")
	// ErrNoAgreement: option negotiation does not converge.
	ErrNoAgreement = errors.New("ppp: no agreement on options")
)

// Policy decides on the options of one control protocol. An Automaton calls it;
// it may emit events but sends nothing itself.
type Policy interface {
	// Begin starts a negotiation: everything agreed before is void.
	Begin()
	// Request appends the options of our next Configure-Request.
	Request(dst Options, out *Output) Options
	// Judge answers the options of a Configure-Request of the peer: with
	// ConfigureAck; with ConfigureReject and the options it does not want
	// named at all; or with ConfigureNak and the values it would accept, and
	// options the peer should have named appended. Rejecting goes before
	// naking (RFC 1661 §5.4). The reply is appended to dst. When last is set,
	// naks have gone on for Max-Failure times and the reply should be an Ack
	// or a Reject. A Nak is turned into a Reject of the same options then; if
	// the peer has named none of them there is no agreement, and the layer
	// closes with ErrNoAgreement.
	Judge(req Options, last bool, dst Options) (Code, Options)
	// Acked, Naked and Refused report the peer's answer to our request. What
	// Refused is given is part of what was sent; Naked may be given anything.
	Acked(sent Options)
	Naked(nak Options)
	Refused(rejected Options)
}

// Extension handles the codes that a protocol has beyond the common seven.
type Extension interface {
	// Knows reports whether code is one of them; any other is answered with
	// a Code-Reject.
	Knows(code Code) bool
	// Receive handles such a packet. opened says whether the automaton is in
	// the Opened state.
	Receive(p Packet, opened bool, now time.Time, out *Output)
}

// AutomatonConfig holds the parameters of RFC 1661 §4.6. The zero value of each
// field means its default.
type AutomatonConfig struct {
	Protocol Protocol
	// FirstTimeout is the Restart timer after a first request; it doubles
	// with each repetition up to MaxTimeout. A first request sent before the
	// peer listens is so repeated soon. Default 300 ms.
	FirstTimeout time.Duration
	// MaxTimeout is the Restart timer's limit. Default 3 s, as in the RFC.
	MaxTimeout time.Duration
	// MaxConfigure is how many Configure-Requests go unanswered before the
	// layer gives up. Default 10.
	MaxConfigure int
	// MaxTerminate is the same for Terminate-Requests. Default 2.
	MaxTerminate int
	// MaxFailure is how many Configure-Naks are sent in a row before options
	// are rejected instead. Default 5.
	MaxFailure int
	// Extension handles further codes; nil if there are none.
	Extension Extension
}

// Defaults of AutomatonConfig.
const (
	DefaultFirstTimeout = 300 * time.Millisecond
	DefaultMaxTimeout   = 3 * time.Second
	DefaultMaxConfigure = 10
	DefaultMaxTerminate = 2
	DefaultMaxFailure   = 5
)

// maxRounds bounds the Configure-Requests of one negotiation, answered or not:
// a peer that naks for ever never exhausts Max-Configure. A larger Max-Configure
// takes its place.
const maxRounds = 3 * DefaultMaxConfigure

// lingerTimeout is how long a layer that the peer terminated waits for the
// layer below to go down (RFC 1661 §4.4, Zero-Restart-Count).
const lingerTimeout = time.Second

// Automaton is the option negotiation automaton of RFC 1661 §4 with its packets
// and timers. It implements Layer. The zero value is not usable.
type Automaton struct {
	cfg    AutomatonConfig
	policy Policy

	// Small things are together: there are three automata to a session.
	state     State
	id        uint8 // last identifier given to a packet of ours
	requestID uint8 // of the last Configure-Request
	answered  bool  // it has had a valid answer
	ackedID   uint8 // of the peer's request that we last acked

	counter  int // Restart counter
	interval time.Duration
	deadline time.Time
	err      error

	request []byte // options of the last Configure-Request
	rounds  int    // Configure-Requests in this negotiation

	acked    []byte // options of the peer's request that we last acked
	openedAt time.Time

	failures int // Configure-Naks sent in a row
	dropped  uint64
}

var _ Layer = (*Automaton)(nil)

// NewAutomaton returns an automaton in the Initial state.
func NewAutomaton(cfg AutomatonConfig, policy Policy) *Automaton {
	a := new(Automaton)
	a.Init(cfg, policy)
	return a
}

// Init makes a an automaton in the Initial state, for one that is embedded.
func (a *Automaton) Init(cfg AutomatonConfig, policy Policy) {
	cfg.FirstTimeout = cmpDefault(cfg.FirstTimeout, DefaultFirstTimeout)
	cfg.MaxTimeout = cmpDefault(cfg.MaxTimeout, DefaultMaxTimeout)
	cfg.MaxConfigure = cmpDefault(cfg.MaxConfigure, DefaultMaxConfigure)
	cfg.MaxTerminate = cmpDefault(cfg.MaxTerminate, DefaultMaxTerminate)
	cfg.MaxFailure = cmpDefault(cfg.MaxFailure, DefaultMaxFailure)
	*a = Automaton{cfg: cfg, policy: policy}
}

// Protocol implements Layer.
func (a *Automaton) Protocol() Protocol { return a.cfg.Protocol }

// State returns the automaton's state.
func (a *Automaton) State() State { return a.state }

// Opened implements Layer.
func (a *Automaton) Opened() bool { return a.state == Opened }

// Err implements Layer.
func (a *Automaton) Err() error { return a.err }

// Deadline implements Layer.
func (a *Automaton) Deadline() time.Time { return a.deadline }

// Dropped is the number of packets that were discarded: malformed, with an
// identifier or content that does not fit, or out of place.
func (a *Automaton) Dropped() uint64 { return a.dropped }

// NextID returns a fresh identifier for a request of an Extension. One counter
// serves all the packets of the protocol.
func (a *Automaton) NextID() uint8 {
	a.id++
	return a.id
}

// Up implements Layer.
func (a *Automaton) Up(now time.Time, out *Output) Signal { return a.step(EventUp, nil, now, out) }

// Down implements Layer.
func (a *Automaton) Down(now time.Time, out *Output) Signal { return a.step(EventDown, nil, now, out) }

// Open implements Layer.
func (a *Automaton) Open(now time.Time, out *Output) Signal { return a.step(EventOpen, nil, now, out) }

// Close implements Layer.
func (a *Automaton) Close(now time.Time, out *Output) Signal {
	return a.step(EventClose, nil, now, out)
}

// Fail closes the layer because of err, which Err then returns.
func (a *Automaton) Fail(err error, now time.Time, out *Output) Signal {
	a.err = err
	return a.step(EventClose, nil, now, out)
}

// Rejected implements Layer: a Protocol-Reject is catastrophic for the protocol
// that it names (RFC 1661 §4.3, RXJ-).
func (a *Automaton) Rejected(now time.Time, out *Output) Signal {
	a.err = ErrRejected
	return a.step(EventRXJMinus, nil, now, out)
}

// Tick implements Layer.
func (a *Automaton) Tick(now time.Time, out *Output) Signal {
	if a.deadline.IsZero() || now.Before(a.deadline) {
		return 0
	}
	if a.counter > 0 {
		return a.step(EventTOPlus, nil, now, out)
	}
	if a.err == nil && a.state.negotiating() {
		a.err = ErrNoAnswer
	}
	return a.step(EventTOMinus, nil, now, out)
}

// Input implements Layer.
func (a *Automaton) Input(b []byte, now time.Time, out *Output) Signal {
	var p Packet
	if _, err := p.Decode(b); err != nil {
		a.dropped++
		return 0
	}
	if a.state == Initial || a.state == Starting {
		a.dropped++ // the layer below is not up: nothing can have been sent
		return 0
	}
	switch p.Code {
	case ConfigureRequest:
		return a.configureRequest(p, now, out)
	case ConfigureAck, ConfigureNak, ConfigureReject:
		return a.configureAnswer(p, now, out)
	case TerminateRequest:
		if a.err == nil && a.state != Closing {
			a.err = ErrTerminated
		}
		return a.step(EventRTR, &p, now, out)
	case TerminateAck:
		return a.step(EventRTA, &p, now, out)
	case CodeReject:
		return a.codeReject(p, now, out)
	}
	if ext := a.cfg.Extension; ext != nil && ext.Knows(p.Code) {
		return a.step(EventRXR, &p, now, out)
	}
	return a.step(EventRUC, &p, now, out)
}

// configureRequest judges the peer's options: RCR+ or RCR-.
func (a *Automaton) configureRequest(p Packet, now time.Time, out *Output) Signal {
	switch a.state {
	case Closing, Stopping:
		return 0
	case Closed: // not to be judged, but sent away
		return a.step(EventRCRPlus, &p, now, out)
	case Opened:
		// Both ends repeat their first requests early, so a repetition may
		// still be on its way when the negotiation is over. It is the same
		// request, and another Ack serves it as well as a new negotiation.
		if p.ID == a.ackedID && bytes.Equal(p.Data, a.acked) && now.Sub(a.openedAt) < a.cfg.MaxTimeout {
			out.Send(a.cfg.Protocol, Packet{Code: ConfigureAck, ID: p.ID, Data: p.Data})
			return 0
		}
	}
	var req Options
	if _, err := req.Decode(p.Data); err != nil {
		a.dropped++
		return 0
	}
	if a.state == Opened || a.state == Stopped {
		a.begin()
	}
	code, reply := a.policy.Judge(req, a.failures >= a.cfg.MaxFailure, nil)
	if code == ConfigureNak && a.failures >= a.cfg.MaxFailure {
		if code, reply = ConfigureReject, asRequested(req, reply); len(reply) == 0 {
			return a.Fail(ErrNoAgreement, now, out)
		}
	}
	p.Code = code
	if code == ConfigureAck {
		a.failures = 0
		a.ackedID, a.acked = p.ID, append(a.acked[:0], p.Data...)
		return a.step(EventRCRPlus, &p, now, out)
	}
	if code == ConfigureNak {
		a.failures++
	}
	p.Data = reply.Append(nil)
	return a.step(EventRCRMinus, &p, now, out)
}

// asRequested returns the options of req that naks are about, as they were
// requested: what a Configure-Reject must carry.
func asRequested(req, naks Options) Options {
	var rej Options
	for _, o := range req {
		if _, ok := naks.Get(o.Type); ok {
			rej = append(rej, o)
		}
	}
	return rej
}

// configureAnswer takes the peer's answer to our Configure-Request: RCA or RCN.
// An answer to anything but the last request, a second answer, and one that
// does not fit what was sent are discarded (RFC 1661 §5.2 to §5.4).
func (a *Automaton) configureAnswer(p Packet, now time.Time, out *Output) Signal {
	if a.state == Closed || a.state == Stopped {
		return a.step(EventRCA, &p, now, out)
	}
	if !a.state.negotiating() || p.ID != a.requestID || a.answered {
		a.dropped++
		return 0
	}
	var sent, got Options
	if _, err := got.Decode(p.Data); err != nil {
		a.dropped++
		return 0
	}
	sent.Decode(a.request) // our own encoding: it cannot fail
	switch p.Code {
	case ConfigureAck:
		if !bytes.Equal(p.Data, a.request) {
			a.dropped++
			return 0
		}
		a.answered = true
		a.policy.Acked(sent)
		return a.step(EventRCA, &p, now, out)
	case ConfigureReject:
		if len(got) == 0 || !inOrder(got, sent) {
			a.dropped++
			return 0
		}
		a.policy.Refused(got)
	default:
		a.policy.Naked(got)
	}
	a.answered = true
	return a.step(EventRCN, &p, now, out)
}

// inOrder reports whether part is a subsequence of whole.
func inOrder(part, whole Options) bool {
	for _, o := range whole {
		if len(part) > 0 && part[0].Equal(o) {
			part = part[1:]
		}
	}
	return len(part) == 0
}

// codeReject sorts Code-Rejects: one for a code of the common seven is fatal,
// any other is permitted (RFC 1661 §4.3, RXJ).
func (a *Automaton) codeReject(p Packet, now time.Time, out *Output) Signal {
	if len(p.Data) == 0 {
		a.dropped++
		return 0
	}
	if code := Code(p.Data[0]); code >= ConfigureRequest && code <= CodeReject {
		a.err = fmt.Errorf("%w: %v", ErrRejected, code)
		return a.step(EventRXJMinus, &p, now, out)
	}
	return a.step(EventRXJPlus, &p, now, out)
}

// begin voids what was negotiated before.
func (a *Automaton) begin() {
	a.rounds, a.failures = 0, 0
	a.interval = a.cfg.FirstTimeout
	a.acked = a.acked[:0]
	a.err = nil
	a.policy.Begin()
}

// step makes the transition for an event: the state is assigned first, then the
// actions are run. p is the packet that caused it; for Send-Configure-Ack and
// -Nak it has been turned into the answer.
func (a *Automaton) step(e StateEvent, p *Packet, now time.Time, out *Output) (sig Signal) {
	from := a.state
	t := from.On(e)
	do := t.Actions
	a.state = t.Next

	if a.state.negotiating() && !from.negotiating() && e != EventRCRPlus && e != EventRCRMinus {
		a.begin() // a request of the peer has begun it already, to be judged
	}
	if do&irc != 0 {
		a.counter = a.cfg.MaxConfigure
		if do&str != 0 {
			a.counter = a.cfg.MaxTerminate
		}
		a.interval = a.cfg.FirstTimeout
	}
	if do&zrc != 0 {
		a.counter = 0
		a.deadline = now.Add(lingerTimeout)
	}
	if do&scr != 0 {
		if a.rounds >= max(maxRounds, a.cfg.MaxConfigure) {
			a.state = from
			return a.Fail(ErrNoAgreement, now, out)
		}
		a.sendConfigureRequest(e, now, out)
	}
	if do&(sca|scn) != 0 {
		out.Send(a.cfg.Protocol, *p)
	}
	if do&str != 0 {
		out.Send(a.cfg.Protocol, Packet{Code: TerminateRequest, ID: a.NextID()})
		a.restartTimer(now)
	}
	if do&sta != 0 {
		out.Send(a.cfg.Protocol, Packet{Code: TerminateAck, ID: p.ID})
	}
	if do&scj != 0 {
		a.sendCodeReject(p, out)
	}
	if e == EventRXR {
		a.cfg.Extension.Receive(*p, do&ser != 0, now, out)
	}
	if !a.state.timed() {
		a.deadline = time.Time{}
	}
	if do&tlu != 0 {
		a.openedAt, a.err = now, nil
	}
	for _, s := range [...]struct {
		action Actions
		signal Signal
	}{{tlu, SignalUp}, {tld, SignalDown}, {tls, SignalStarted}, {tlf, SignalFinished}} {
		if do&s.action != 0 {
			sig |= s.signal
		}
	}
	return sig
}

// sendConfigureRequest sends a new request, or after a timeout the last one
// again under its identifier, so that a late answer to either counts.
func (a *Automaton) sendConfigureRequest(e StateEvent, now time.Time, out *Output) {
	if e != EventTOPlus || a.answered {
		a.requestID = a.NextID()
		a.request = a.policy.Request(nil, out).Append(a.request[:0])
		a.answered = false
	}
	a.rounds++
	out.Send(a.cfg.Protocol, Packet{Code: ConfigureRequest, ID: a.requestID, Data: a.request})
	a.restartTimer(now)
}

// restartTimer arms the Restart timer after a request and counts it.
func (a *Automaton) restartTimer(now time.Time) {
	if a.counter > 0 {
		a.counter--
	}
	a.deadline = now.Add(a.interval)
	a.interval = min(2*a.interval, a.cfg.MaxTimeout)
}

// maxReject bounds the packet in a Code-Reject, in octets. With its header it must
// fit the peer's MRU (RFC 1661 §5.6), which is not known here: 128 is the least
// that package lcp agrees to. The peer needs no more than the header anyway.
const maxReject = 128 - PacketHeader

func (a *Automaton) sendCodeReject(p *Packet, out *Output) {
	whole := p.Append(nil)
	out.Send(a.cfg.Protocol, Packet{Code: CodeReject, ID: a.NextID(), Data: whole[:min(len(whole), maxReject)]})
}

func cmpDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
