package ppp

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// testControl is LCP as far as a link is concerned: an Automaton with results
// that the test sets.
type testControl struct {
	Automaton
	peerAuth, ownAuth AuthMethod
	rejected          []Protocol // what it sent Protocol-Rejects for
	take              Protocol
}

func (c *testControl) PeerAuth() AuthMethod { return c.peerAuth }
func (c *testControl) OwnAuth() AuthMethod  { return c.ownAuth }
func (c *testControl) RejectProtocol(p Protocol, _ []byte, _ *Output) {
	if c.Opened() {
		c.rejected = append(c.rejected, p)
	}
}
func (c *testControl) TakeRejected() (Protocol, bool) {
	p := c.take
	c.take = 0
	return p, p != 0
}

// testAuth is an authentication role that does what the first octet after the
// packet header tells it.
type testAuth struct {
	method   AuthMethod
	onStart  Signal
	starts   int
	inputs   [][]byte
	verdicts []AuthVerdict
	deadline time.Time
	err      error
	passed   bool // gave SignalUp since the last Start
}

var errTestAuth = errors.New("wrong password")

func (a *testAuth) Method() AuthMethod { return a.method }
func (a *testAuth) Start(time.Time, *Output) Signal {
	a.starts++
	a.err, a.passed = nil, false
	return a.signal(a.onStart)
}
func (a *testAuth) Input(b []byte, _ time.Time, _ *Output) Signal {
	a.inputs = append(a.inputs, slices.Clone(b))
	if len(b) <= PacketHeader {
		return 0
	}
	return a.signal(Signal(b[PacketHeader]))
}
func (a *testAuth) Verdict(v AuthVerdict, _ time.Time, _ *Output) Signal {
	a.verdicts = append(a.verdicts, v)
	if v.Accepted {
		return a.signal(SignalUp)
	}
	return a.signal(SignalFinished)
}
func (a *testAuth) Tick(time.Time, *Output) Signal {
	a.deadline = time.Time{}
	return a.signal(SignalFinished)
}
func (a *testAuth) signal(s Signal) Signal {
	if s&SignalFinished != 0 {
		a.err = errTestAuth
	} else if s&SignalUp != 0 {
		a.passed = true
	}
	return s
}
func (a *testAuth) Deadline() time.Time { return a.deadline }
func (a *testAuth) Err() error          { return a.err }

type linkRig struct {
	t       *testing.T
	link    *Link
	lcp     testControl
	ccp     Automaton
	ipcp    Automaton
	ipv6cp  Automaton
	policy  [4]testPolicy
	verify  testAuth
	prove   testAuth
	out     Output
	now     time.Time
	id      uint8
	events  []Event
	packets []linkPacket
}

// linkPacket is a packet that the link sent.
type linkPacket struct {
	Protocol Protocol
	Code     Code
}

// newLinkRig returns a link with LCP, CCP, IPCP and IPV6CP, not up yet.
func newLinkRig(t *testing.T, change func(r *linkRig, cfg *LinkConfig)) *linkRig {
	r := &linkRig{t: t, now: time.Unix(1000, 0), id: 100}
	r.verify.method = AuthMSCHAPv2
	r.prove.method = AuthMSCHAPv2
	r.lcp.Init(AutomatonConfig{Protocol: ProtocolLCP}, &r.policy[0])
	r.ccp.Init(AutomatonConfig{Protocol: ProtocolCCP}, &r.policy[1])
	r.ipcp.Init(AutomatonConfig{Protocol: ProtocolIPCP}, &r.policy[2])
	r.ipv6cp.Init(AutomatonConfig{Protocol: ProtocolIPV6CP}, &r.policy[3])
	cfg := LinkConfig{
		Control:        &r.lcp,
		Authenticators: []Authenticator{&r.verify},
		Peers:          []Auth{&r.prove},
		Compression:    &r.ccp,
		Networks:       []Layer{&r.ipcp, &r.ipv6cp},
	}
	if change != nil {
		change(r, &cfg)
	}
	r.link = NewLink(cfg)
	return r
}

func (r *linkRig) automaton(p Protocol) *Automaton {
	switch p {
	case ProtocolLCP:
		return &r.lcp.Automaton
	case ProtocolCCP:
		return &r.ccp
	case ProtocolIPV6CP:
		return &r.ipv6cp
	}
	return &r.ipcp
}

// flush takes what the link left in the Output.
func (r *linkRig) flush() {
	for i := range r.out.Len() {
		a := r.out.At(i)
		if a.Event != nil {
			r.events = append(r.events, a.Event)
			continue
		}
		p, body, err := DecodeProtocol(a.Frame)
		require.NoError(r.t, err)
		r.packets = append(r.packets, linkPacket{p, Code(body[0])})
	}
	r.out.Reset()
}

func (r *linkRig) takeEvents() []Event {
	r.flush()
	e := r.events
	r.events = nil
	return e
}

func (r *linkRig) takePackets() []linkPacket {
	r.flush()
	p := r.packets
	r.packets = nil
	return p
}

func (r *linkRig) send(p Protocol, pkt Packet) {
	r.link.Input(pkt.Append(AppendProtocol(nil, p, false)), r.now, &r.out)
}

func (r *linkRig) ack(p Protocol) {
	a := r.automaton(p)
	r.send(p, Packet{Code: ConfigureAck, ID: a.requestID, Data: slices.Clone(a.request)})
}

func (r *linkRig) request(p Protocol) {
	r.id++
	r.send(p, Packet{Code: ConfigureRequest, ID: r.id, Data: []byte{1, 3, r.id}})
}

// agree brings a protocol up from the peer's side.
func (r *linkRig) agree(p Protocol) {
	r.request(p)
	r.ack(p)
	require.True(r.t, r.automaton(p).Opened(), p)
}

// auth sends an authentication packet that makes both roles give sig.
func (r *linkRig) auth(sig Signal) {
	r.send(ProtocolCHAP, Packet{Code: 1, Data: []byte{byte(sig)}})
}

func (r *linkRig) up() {
	r.link.Up(r.now, &r.out)
	r.agree(ProtocolLCP)
}

// network brings the link into the Network phase with all protocols open.
func (r *linkRig) network() {
	r.up()
	r.agree(ProtocolCCP)
	r.agree(ProtocolIPCP)
	r.agree(ProtocolIPV6CP)
	require.Equal(r.t, PhaseNetwork, r.link.Phase())
	r.flush()
	r.events, r.packets = nil, nil
}

func phase(p Phase) Event { return PhaseChanged{p} }

func TestLinkPhases(t *testing.T) {
	r := newLinkRig(t, nil)
	require.Equal(t, PhaseDead, r.link.Phase())
	require.True(t, r.link.Deadline().IsZero())
	r.lcp.peerAuth, r.lcp.ownAuth = AuthMSCHAPv2, AuthMSCHAPv2
	r.link.Up(r.now, &r.out)
	require.Equal(t, []Event{phase(PhaseEstablish)}, r.takeEvents())
	require.Equal(t, []linkPacket{{ProtocolLCP, ConfigureRequest}}, r.takePackets())
	require.Equal(t, r.lcp.Deadline(), r.link.Deadline())

	r.agree(ProtocolLCP)
	require.Equal(t, []Event{phase(PhaseAuthenticate)}, r.takeEvents())
	require.Equal(t, []linkPacket{{ProtocolLCP, ConfigureAck}}, r.takePackets())
	require.Equal(t, 1, r.verify.starts)
	require.Equal(t, 1, r.prove.starts)

	r.auth(0)
	require.Empty(t, r.takeEvents())
	r.link.Verdict(AuthVerdict{ID: 3, Accepted: true}, r.now, &r.out)
	require.Equal(t, []AuthVerdict{{ID: 3, Accepted: true}}, r.verify.verdicts)
	require.Equal(t, PhaseAuthenticate, r.link.Phase(), "we have not proved ourselves yet")
	r.auth(SignalUp)
	require.Equal(t, []Event{phase(PhaseNetwork)}, r.takeEvents())
	require.Equal(t, []linkPacket{{ProtocolCCP, ConfigureRequest}}, r.takePackets(), "the networks wait for CCP")

	r.agree(ProtocolCCP)
	require.Equal(t, []Event{LayerUp{ProtocolCCP}}, r.takeEvents())
	require.Equal(t, []linkPacket{
		{ProtocolCCP, ConfigureAck}, {ProtocolIPCP, ConfigureRequest}, {ProtocolIPV6CP, ConfigureRequest},
	}, r.takePackets())
	r.agree(ProtocolIPCP)
	r.agree(ProtocolIPV6CP)
	require.Equal(t, []Event{LayerUp{ProtocolIPCP}, LayerUp{ProtocolIPV6CP}}, r.takeEvents())
	require.True(t, r.link.Deadline().IsZero())
	r.takePackets()

	reason := errors.New("reason")
	r.link.Close(reason, r.now, &r.out)
	require.Equal(t, []Event{
		phase(PhaseTerminate), LayerDown{ProtocolCCP}, LayerDown{ProtocolIPCP}, LayerDown{ProtocolIPV6CP},
	}, r.takeEvents())
	require.Equal(t, []linkPacket{{ProtocolLCP, TerminateRequest}}, r.takePackets())
	r.link.Close(errors.New("another"), r.now, &r.out)
	r.send(ProtocolIPCP, Packet{Code: ConfigureRequest})
	require.Empty(t, r.takePackets())
	r.send(ProtocolLCP, Packet{Code: TerminateAck})
	require.Equal(t, []Event{phase(PhaseDead), LinkFinished{reason}}, r.takeEvents())
	require.True(t, r.link.Deadline().IsZero())

	r.send(ProtocolLCP, Packet{Code: TerminateRequest})
	r.link.Tick(r.now.Add(time.Hour), &r.out)
	r.link.Close(nil, r.now, &r.out)
	r.link.Down(r.now, &r.out)
	require.Zero(t, r.out.Len(), "nothing comes after LinkFinished")
}

func TestLinkWithoutAuthOrCompression(t *testing.T) {
	r := newLinkRig(t, func(_ *linkRig, cfg *LinkConfig) { cfg.Compression = nil })
	r.up()
	require.Equal(t, []Event{phase(PhaseEstablish), phase(PhaseAuthenticate), phase(PhaseNetwork)}, r.takeEvents())
	require.Equal(t, []linkPacket{
		{ProtocolLCP, ConfigureRequest}, {ProtocolLCP, ConfigureAck},
		{ProtocolIPCP, ConfigureRequest}, {ProtocolIPV6CP, ConfigureRequest},
	}, r.takePackets())
	require.Zero(t, r.verify.starts+r.prove.starts)
}

func TestLinkAuthenticationFails(t *testing.T) {
	for name, c := range map[string]struct {
		before func(r *linkRig)
		fail   func(r *linkRig)
	}{
		"packet": {fail: func(r *linkRig) { r.auth(SignalFinished) }},
		"verdict": {fail: func(r *linkRig) {
			r.link.Verdict(AuthVerdict{}, r.now, &r.out)
		}},
		"timeout": {
			before: func(r *linkRig) { r.prove.deadline = r.now.Add(time.Second) },
			fail: func(r *linkRig) {
				require.Equal(r.t, r.now.Add(time.Second), r.link.Deadline())
				r.now = r.link.Deadline()
				r.link.Tick(r.now, &r.out)
			},
		},
		"verifier's start": {before: func(r *linkRig) { r.verify.onStart = SignalFinished }},
		"prover's start":   {before: func(r *linkRig) { r.prove.onStart = SignalFinished }},
		"one up, one fails at start": {before: func(r *linkRig) {
			r.verify.onStart, r.prove.onStart = SignalUp, SignalFinished
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newLinkRig(t, nil)
			r.lcp.peerAuth, r.lcp.ownAuth = AuthMSCHAPv2, AuthMSCHAPv2
			if c.before != nil {
				c.before(r)
			}
			r.link.Up(r.now, &r.out)
			r.request(ProtocolLCP)
			r.ack(ProtocolLCP)
			r.takePackets()
			if c.fail != nil {
				require.Equal(t, PhaseAuthenticate, r.link.Phase())
				c.fail(r)
				require.Equal(t, []linkPacket{{ProtocolLCP, TerminateRequest}}, r.takePackets())
			}
			require.Equal(t, PhaseTerminate, r.link.Phase())
			require.NotContains(t, r.takeEvents(), phase(PhaseNetwork))

			// What was agreed or comes now does not help the peer.
			r.link.Verdict(AuthVerdict{Accepted: true}, r.now, &r.out)
			r.auth(SignalUp)
			r.request(ProtocolIPCP)
			require.Equal(t, PhaseTerminate, r.link.Phase())
			require.Empty(t, r.takePackets())
			require.Equal(t, Initial, r.ipcp.State())

			r.send(ProtocolLCP, Packet{Code: TerminateAck})
			events := r.takeEvents()
			last, ok := events[len(events)-1].(LinkFinished)
			require.True(t, ok)
			require.ErrorIs(t, last.Err, ErrAuthentication)
			require.ErrorIs(t, last.Err, errTestAuth)
		})
	}
}

func TestLinkBothAuthsAtStart(t *testing.T) {
	r := newLinkRig(t, nil)
	r.lcp.peerAuth, r.lcp.ownAuth = AuthMSCHAPv2, AuthMSCHAPv2
	r.verify.onStart, r.prove.onStart = SignalUp, SignalUp
	r.up()
	require.Equal(t, []Event{phase(PhaseEstablish), phase(PhaseAuthenticate), phase(PhaseNetwork)}, r.takeEvents())
}

// TestLinkNoAuthMethod: LCP agreed on what is not there. Nobody gets in.
func TestLinkNoAuthMethod(t *testing.T) {
	for _, own := range []bool{false, true} {
		r := newLinkRig(t, nil)
		if own {
			r.lcp.peerAuth, r.lcp.ownAuth = AuthMSCHAPv2, AuthPAP
		} else {
			r.lcp.peerAuth = AuthPAP
		}
		r.link.Up(r.now, &r.out)
		r.request(ProtocolLCP)
		r.ack(ProtocolLCP)
		require.Equal(t, []Event{phase(PhaseEstablish), phase(PhaseAuthenticate), phase(PhaseTerminate)}, r.takeEvents())
		r.send(ProtocolLCP, Packet{Code: TerminateAck})
		events := r.takeEvents()
		require.Len(t, events, 2)
		require.ErrorIs(t, events[1].(LinkFinished).Err, ErrNoAuthMethod)
	}
}

// TestLinkHoldsEarlyPackets: what the peer sends ahead of its phase waits for
// that, and is not answered before.
func TestLinkHoldsEarlyPackets(t *testing.T) {
	r := newLinkRig(t, nil)
	r.lcp.peerAuth = AuthMSCHAPv2
	r.link.Up(r.now, &r.out)
	r.auth(0)
	r.request(ProtocolIPCP)
	r.request(ProtocolIPCP) // takes the place of the one before
	r.request(ProtocolCCP)
	r.send(ProtocolIPv4, Packet{})                                  // data are not held
	r.send(ProtocolIPV6CP, Packet{1, 1, make([]byte, maxHeldSize)}) // nor what is too long
	require.Equal(t, uint64(2), r.link.Dropped())
	require.Equal(t, []linkPacket{{ProtocolLCP, ConfigureRequest}}, r.takePackets())
	require.Empty(t, r.verify.inputs)

	r.agree(ProtocolLCP)
	require.Len(t, r.verify.inputs, 1, "the authentication's packet is handled in its phase")
	require.Equal(t, []linkPacket{{ProtocolLCP, ConfigureAck}}, r.takePackets())
	require.Zero(t, r.policy[1].judged+r.policy[2].judged)

	r.link.Verdict(AuthVerdict{Accepted: true}, r.now, &r.out)
	require.Equal(t, PhaseNetwork, r.link.Phase())
	require.Equal(t, []linkPacket{
		{ProtocolCCP, ConfigureRequest},
		{ProtocolIPCP, ConfigureRequest}, {ProtocolIPCP, ConfigureAck},
		{ProtocolCCP, ConfigureAck},
	}, r.takePackets())
	require.Equal(t, 1, r.policy[2].judged, "only the last of the same kind is kept")
	require.Equal(t, uint64(2), r.link.Dropped())
}

func TestLinkHeldIsBounded(t *testing.T) {
	r := newLinkRig(t, nil)
	r.link.Up(r.now, &r.out)
	for range 3 {
		for code := range 256 {
			for _, p := range []Protocol{ProtocolCHAP, ProtocolIPCP, ProtocolCCP} {
				r.send(p, Packet{Code: Code(code), Data: make([]byte, 100)})
				require.LessOrEqual(t, len(r.link.held), maxHeld)
			}
		}
	}
	require.NotZero(t, r.link.Dropped())
	require.LessOrEqual(t, r.out.Len(), 2)
}

func TestLinkUnknownProtocols(t *testing.T) {
	r := newLinkRig(t, nil)
	r.link.Up(r.now, &r.out)
	r.send(0x8035, Packet{Code: ConfigureRequest})
	require.Empty(t, r.lcp.rejected, "not before LCP is open")
	r.agree(ProtocolLCP)
	r.send(0x8035, Packet{Code: ConfigureRequest})
	r.send(ProtocolPAP, Packet{Code: 1})
	r.send(ProtocolLQR, Packet{Code: 1})
	require.Equal(t, []Protocol{0x8035, ProtocolPAP, ProtocolLQR}, r.lcp.rejected)
	require.Zero(t, r.link.Dropped())

	// Data of a network protocol that is not open yet are dropped without a
	// word: a reject would end what is about to open.
	for _, p := range []Protocol{ProtocolIPv4, ProtocolIPv6, ProtocolCompressed} {
		r.send(p, Packet{})
	}
	require.Len(t, r.lcp.rejected, 3)
	require.Equal(t, uint64(3), r.link.Dropped())
	r.link.Input(nil, r.now, &r.out)
	r.link.Input([]byte{0xc0}, r.now, &r.out)
	require.Equal(t, uint64(5), r.link.Dropped())

	// A number that cannot be (RFC 1661 §2).
	r.link.Input([]byte{0xc0, 0x20, 1, 2}, r.now, &r.out)
	require.Equal(t, Protocol(0xc020), r.lcp.rejected[3])
	require.Equal(t, uint64(5), r.link.Dropped())
}

func TestLinkProtocolRejected(t *testing.T) {
	r := newLinkRig(t, nil)
	r.up()
	r.agree(ProtocolCCP)
	r.agree(ProtocolIPCP)
	r.takeEvents()
	r.lcp.take = ProtocolIPV6CP
	r.send(ProtocolLCP, Packet{Code: DiscardRequest})
	events := r.takeEvents()
	require.Equal(t, []Event{LayerFinished{ProtocolIPV6CP, ErrRejected}}, events)
	require.Equal(t, PhaseNetwork, r.link.Phase(), "IPCP is still up")
	r.lcp.take = 0x1234
	r.send(ProtocolLCP, Packet{Code: DiscardRequest})
	require.Empty(t, r.takeEvents())

	r.takePackets()
	r.lcp.take = ProtocolIPCP
	r.send(ProtocolLCP, Packet{Code: DiscardRequest})
	require.Equal(t, []Event{LayerDown{ProtocolIPCP}}, r.takeEvents())
	require.Equal(t, []linkPacket{{ProtocolLCP, CodeReject}, {ProtocolIPCP, TerminateRequest}}, r.takePackets())
}

// TestLinkNetworkEnds: the link ends with its last network protocol, and not
// before.
func TestLinkNetworkEnds(t *testing.T) {
	r := newLinkRig(t, nil)
	r.network()
	r.send(ProtocolIPCP, Packet{Code: TerminateRequest, ID: 1})
	require.Equal(t, []Event{LayerDown{ProtocolIPCP}}, r.takeEvents())
	require.Equal(t, []linkPacket{{ProtocolIPCP, TerminateAck}}, r.takePackets())
	r.now = r.link.Deadline()
	r.link.Tick(r.now, &r.out)
	require.Equal(t, []Event{LayerFinished{ProtocolIPCP, ErrTerminated}}, r.takeEvents())
	require.Equal(t, PhaseNetwork, r.link.Phase())

	// It may come back while the link is there.
	r.agree(ProtocolIPCP)
	require.Equal(t, []Event{LayerUp{ProtocolIPCP}}, r.takeEvents())

	for _, p := range []Protocol{ProtocolIPV6CP, ProtocolIPCP} {
		require.Equal(t, PhaseNetwork, r.link.Phase())
		r.send(p, Packet{Code: TerminateRequest, ID: 1})
		r.now = r.link.Deadline()
		r.link.Tick(r.now, &r.out)
	}
	require.Equal(t, PhaseTerminate, r.link.Phase())
	r.send(ProtocolLCP, Packet{Code: TerminateAck})
	events := r.takeEvents()
	last := events[len(events)-1].(LinkFinished)
	require.ErrorIs(t, last.Err, ErrNoNetwork)
	require.ErrorIs(t, last.Err, ErrTerminated)
	require.ErrorContains(t, last.Err, "IPCP")
}

func TestLinkRequiredCompression(t *testing.T) {
	finished := func(r *linkRig) error {
		require.Equal(r.t, PhaseTerminate, r.link.Phase())
		r.send(ProtocolLCP, Packet{Code: TerminateAck})
		events := r.takeEvents()
		return events[len(events)-1].(LinkFinished).Err
	}
	required := func(_ *linkRig, cfg *LinkConfig) { cfg.RequireCompression = true }

	t.Run("does not open", func(t *testing.T) {
		r := newLinkRig(t, required)
		r.up()
		for r.link.Phase() == PhaseNetwork {
			r.now = r.link.Deadline()
			r.link.Tick(r.now, &r.out)
		}
		require.Equal(t, Initial, r.ipcp.State(), "no network without CCP")
		err := finished(r)
		require.ErrorIs(t, err, ErrCompression)
		require.ErrorIs(t, err, ErrNoAnswer)
	})
	t.Run("is rejected", func(t *testing.T) {
		r := newLinkRig(t, required)
		r.up()
		r.lcp.take = ProtocolCCP
		r.send(ProtocolLCP, Packet{Code: DiscardRequest})
		err := finished(r)
		require.ErrorIs(t, err, ErrCompression)
		require.ErrorIs(t, err, ErrRejected)
	})
	t.Run("is terminated", func(t *testing.T) {
		r := newLinkRig(t, required)
		r.network()
		r.send(ProtocolCCP, Packet{Code: TerminateRequest, ID: 1})
		err := finished(r)
		require.ErrorIs(t, err, ErrCompression)
		require.ErrorIs(t, err, ErrTerminated)
	})
	t.Run("is negotiated again", func(t *testing.T) {
		r := newLinkRig(t, required)
		r.network()
		r.request(ProtocolCCP)
		require.Equal(t, []Event{LayerDown{ProtocolCCP}}, r.takeEvents())
		require.Equal(t, PhaseNetwork, r.link.Phase())
		r.ack(ProtocolCCP)
		require.Equal(t, []Event{LayerUp{ProtocolCCP}}, r.takeEvents())
		require.True(t, r.ipcp.Opened())
	})
	t.Run("not required", func(t *testing.T) {
		r := newLinkRig(t, nil)
		r.up()
		r.takePackets()
		r.lcp.take = ProtocolCCP
		r.send(ProtocolLCP, Packet{Code: DiscardRequest})
		require.Equal(t, PhaseNetwork, r.link.Phase())
		require.Contains(t, r.takePackets(), linkPacket{ProtocolIPCP, ConfigureRequest})
	})
}

// TestLinkRenegotiation: a Configure-Request of LCP on an open link begins all
// anew, authentication too.
func TestLinkRenegotiation(t *testing.T) {
	r := newLinkRig(t, nil)
	r.lcp.peerAuth = AuthMSCHAPv2
	r.verify.onStart = SignalUp
	r.network()
	r.verify.onStart = 0

	r.request(ProtocolLCP)
	require.Equal(t, []Event{
		LayerDown{ProtocolCCP}, LayerDown{ProtocolIPCP}, LayerDown{ProtocolIPV6CP}, phase(PhaseEstablish),
	}, r.takeEvents())
	r.ack(ProtocolLCP)
	require.Equal(t, []Event{phase(PhaseAuthenticate)}, r.takeEvents())
	require.Equal(t, 2, r.verify.starts)
	r.request(ProtocolIPCP)
	require.Equal(t, Starting, r.ipcp.State(), "held until the peer has proved itself again")
	r.link.Verdict(AuthVerdict{Accepted: true}, r.now, &r.out)
	r.agree(ProtocolCCP)
	r.agree(ProtocolIPCP)
	require.Equal(t, []Event{phase(PhaseNetwork), LayerUp{ProtocolCCP}, LayerUp{ProtocolIPCP}}, r.takeEvents())
}

func TestLinkRepeatedAuthPackets(t *testing.T) {
	r := newLinkRig(t, nil)
	r.lcp.peerAuth = AuthMSCHAPv2
	r.up()
	r.auth(SignalUp)
	require.Equal(t, PhaseNetwork, r.link.Phase())
	n := len(r.verify.inputs)
	r.auth(0)
	require.Len(t, r.verify.inputs, n+1, "its answer may have been lost")
	require.Empty(t, r.prove.inputs, "a role that was not agreed on is never asked")
}

// TestLinkReauthentication: either role may begin anew in the Network phase. The
// link goes on, and ends if the outcome is bad.
func TestLinkReauthentication(t *testing.T) {
	for name, fail := range map[string]func(r *linkRig){
		"refused":      func(r *linkRig) { r.link.Verdict(AuthVerdict{}, r.now, &r.out) },
		"not answered": func(r *linkRig) { r.tickAt(&r.verify) },
		"by the peer":  func(r *linkRig) { r.auth(SignalFinished) },
		"no success":   func(r *linkRig) { r.tickAt(&r.prove) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newLinkRig(t, nil)
			r.lcp.peerAuth, r.lcp.ownAuth = AuthMSCHAPv2, AuthMSCHAPv2
			r.verify.onStart, r.prove.onStart = SignalUp, SignalUp
			r.network()
			r.takePackets()

			r.link.Verdict(AuthVerdict{Accepted: true}, r.now, &r.out)
			r.auth(SignalUp)
			require.Len(t, r.verify.verdicts, 1)
			require.Empty(t, r.takeEvents(), "nothing has changed")
			require.Equal(t, PhaseNetwork, r.link.Phase())

			fail(r)
			require.Equal(t, PhaseTerminate, r.link.Phase())
			require.Contains(t, r.takePackets(), linkPacket{ProtocolLCP, TerminateRequest})
			r.send(ProtocolLCP, Packet{Code: TerminateAck})
			events := r.takeEvents()
			require.ErrorIs(t, events[len(events)-1].(LinkFinished).Err, errTestAuth)
		})
	}
}

// tickAt runs an authentication's timer.
func (r *linkRig) tickAt(a *testAuth) {
	a.deadline = r.now.Add(time.Hour)
	for r.link.Deadline().Before(a.deadline) { // other protocols' business
		r.now = r.link.Deadline()
		r.link.Tick(r.now, &r.out)
	}
	require.Equal(r.t, a.deadline, r.link.Deadline())
	r.now = a.deadline
	r.link.Tick(r.now, &r.out)
}

// presumingAuth is a testAuth that heeds the network protocols.
type presumingAuth struct {
	testAuth
	presumed int
	signals  Signal
}

func (a *presumingAuth) Presume(time.Time, *Output) Signal {
	a.presumed++
	return a.signal(a.signals)
}

// TestLinkPresumes: the first packet of a network protocol stands for a success
// that was lost, where the authentication agrees.
func TestLinkPresumes(t *testing.T) {
	prove := &presumingAuth{testAuth: testAuth{method: AuthEAP}}
	r := newLinkRig(t, func(r *linkRig, cfg *LinkConfig) {
		r.lcp.ownAuth = AuthEAP
		cfg.Peers = append(cfg.Peers, prove)
	})
	r.up()
	require.Equal(t, PhaseAuthenticate, r.link.Phase())
	r.request(ProtocolCCP)
	require.Equal(t, 1, prove.presumed)
	require.Equal(t, PhaseAuthenticate, r.link.Phase(), "it does not agree")
	r.takePackets()

	prove.signals = SignalUp
	r.request(ProtocolCCP)
	require.Equal(t, PhaseNetwork, r.link.Phase())
	require.Contains(t, r.takePackets(), linkPacket{ProtocolCCP, ConfigureAck}, "the packet was kept")
	r.request(ProtocolIPCP)
	require.Equal(t, 2, prove.presumed)
}

func TestLinkDoesNotPresumeForThePeer(t *testing.T) {
	r := newLinkRig(t, func(r *linkRig, cfg *LinkConfig) { r.lcp.peerAuth = AuthMSCHAPv2 })
	r.up()
	r.request(ProtocolIPCP)
	require.Equal(t, PhaseAuthenticate, r.link.Phase())
}

func TestRepeat(t *testing.T) {
	now := time.Unix(1000, 0)
	r := Repeat{Limit: 3 * time.Second, Max: 5}
	require.True(t, r.Deadline().IsZero())
	again, over := r.Due(now)
	require.False(t, again || over)

	r.Begin(500*time.Millisecond, now)
	for _, wait := range []time.Duration{500, 1000, 2000, 3000} {
		wait *= time.Millisecond
		require.Equal(t, now.Add(wait), r.Deadline())
		again, over = r.Due(now.Add(wait - 1))
		require.False(t, again || over)
		now = now.Add(wait)
		again, over = r.Due(now)
		require.True(t, again && !over)
	}
	now = now.Add(3 * time.Second)
	again, over = r.Due(now)
	require.True(t, !again && over)
	require.True(t, r.Deadline().IsZero())
}

func TestSecret(t *testing.T) {
	s := Secret("hunter2")
	req := AuthRequest{Method: AuthPAP, Password: s}
	var out bytes.Buffer
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", s, "request", req)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", s, "request", req)
	fmt.Fprintf(&out, "%v %+v %#v %s %q %x %d %v %+v %#v", s, s, s, s, s, s, s, req, req, req)
	for _, leak := range []string{"hunter2", fmt.Sprintf("%x", "hunter2"), "104", "0x68", "aHVudGVyMg"} {
		require.NotContains(t, out.String(), leak)
	}
	require.True(t, s.Equal(Secret("hunter2")))
	require.False(t, s.Equal(Secret("hunter3")))
	require.False(t, s.Equal(nil))
	s.Wipe()
	require.Equal(t, make([]byte, 7), []byte(s))
}

func TestLinkDown(t *testing.T) {
	r := newLinkRig(t, nil)
	r.network()
	r.link.Down(r.now, &r.out)
	require.Equal(t, []Event{
		phase(PhaseTerminate), LayerDown{ProtocolCCP}, LayerDown{ProtocolIPCP}, LayerDown{ProtocolIPV6CP},
		phase(PhaseDead), LinkFinished{},
	}, r.takeEvents())
	require.Empty(t, r.takePackets())
	require.True(t, r.link.Deadline().IsZero())
}

func TestLinkPeerTerminates(t *testing.T) {
	r := newLinkRig(t, nil)
	r.network()
	r.send(ProtocolLCP, Packet{Code: TerminateRequest, ID: 9})
	require.Equal(t, []linkPacket{{ProtocolLCP, TerminateAck}}, r.takePackets())
	require.Equal(t, PhaseTerminate, r.link.Phase())
	r.takeEvents()
	r.now = r.link.Deadline()
	r.link.Tick(r.now, &r.out)
	require.Equal(t, []Event{phase(PhaseDead), LinkFinished{ErrTerminated}}, r.takeEvents())
}

func TestLinkNoAnswer(t *testing.T) {
	r := newLinkRig(t, nil)
	r.link.Up(r.now, &r.out)
	for r.link.Phase() != PhaseDead {
		r.now = r.link.Deadline()
		r.link.Tick(r.now, &r.out)
	}
	events := r.takeEvents()
	require.Equal(t, []Event{phase(PhaseEstablish), phase(PhaseDead), LinkFinished{ErrNoAnswer}}, events)
	require.Len(t, r.takePackets(), DefaultMaxConfigure)
}
