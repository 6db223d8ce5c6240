package ppp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Phase is a phase of a link (RFC 1661 §3.2).
type Phase uint8

// The phases.
const (
	PhaseDead Phase = iota
	PhaseEstablish
	PhaseAuthenticate
	PhaseNetwork
	PhaseTerminate
)

var phaseNames = [...]string{"Dead", "Establish", "Authenticate", "Network", "Terminate"}

func (p Phase) String() string { return phaseNames[p] }

// Events of a Link.
type (
	// PhaseChanged is emitted when the link enters a phase.
	PhaseChanged struct{ Phase Phase }
	// LayerUp: a layer other than LCP has opened.
	LayerUp struct{ Protocol Protocol }
	// LayerDown: it is no longer open.
	LayerDown struct{ Protocol Protocol }
	// LayerFinished: it has given up or was closed; Err says why.
	LayerFinished struct {
		Protocol Protocol
		Err      error
	}
	// LinkFinished is the last event of a link: LCP is closed. Err is nil
	// after a Close without a reason.
	LinkFinished struct{ Err error }
)

// Why a link ends by itself, as LinkFinished says.
var (
	// ErrAuthentication wraps what the Auth says.
	ErrAuthentication = errors.New("ppp: authentication failed")
	// ErrNoAuthMethod: LCP agreed on a method that is not registered.
	ErrNoAuthMethod = errors.New("ppp: no such authentication method")
	// ErrCompression: CCP is required and did not open, or closed again.
	ErrCompression = errors.New("ppp: required compression is not up")
	// ErrNoNetwork: no network protocol is left.
	ErrNoNetwork = errors.New("ppp: no network protocol is up")
)

// LinkControl is LCP as a Link needs it.
type LinkControl interface {
	Layer
	// Fail closes LCP because of err.
	Fail(err error, now time.Time, out *Output) Signal
	// PeerAuth and OwnAuth are what LCP agreed on: how the peer authenticates
	// itself to us, and how we do to it. The zero method is none.
	PeerAuth() AuthMethod
	OwnAuth() AuthMethod
	// RejectProtocol sends a Protocol-Reject for a frame; it does nothing
	// unless LCP is open.
	RejectProtocol(p Protocol, info []byte, out *Output)
	// TakeRejected returns, once, the protocol that the peer's last
	// Protocol-Reject named.
	TakeRejected() (p Protocol, ok bool)
}

// LinkConfig says what a Link is made of.
type LinkConfig struct {
	Control LinkControl
	// Authenticators are the methods by which we can authenticate the peer,
	// Peers those by which we can authenticate ourselves.
	Authenticators []Authenticator
	Peers          []Auth
	// Compression is CCP; nil if there is none.
	Compression Layer
	// RequireCompression ends the link when CCP does not open or closes.
	RequireCompression bool
	// Networks are the network control protocols.
	Networks []Layer
}

// Link runs the phases of one PPP link: it brings up LCP, authenticates, then
// opens CCP and the network control protocols. It does no I/O, keeps no time
// and is used by one goroutine: it is given frames and the time, and leaves
// frames and events in an Output.
type Link struct {
	cfg      LinkConfig
	phase    Phase
	peerAuth Authenticator // the peer proves itself to us; nil when done or not asked
	ownAuth  Auth          // we prove ourselves; nil when done or not asked
	verifier Authenticator // who asked, for what comes after: a packet sent again, or authentication anew
	prover   Auth          // who answered
	layers   []linkLayer   // Compression first, then Networks
	held     []heldPacket
	err      error // why we close the link
	dropped  uint64
}

type linkLayer struct {
	Layer
	started  bool // opened and told that the layer below is up
	finished bool
}

// heldPacket is one that came before its phase.
type heldPacket struct {
	protocol Protocol
	data     []byte
}

// maxHeld bounds the packets kept for a later phase; a peer has no use for more
// than the first request of each protocol.
const maxHeld = 8

// maxHeldSize bounds each of them, in octets.
const maxHeldSize = 512

// NewLink returns a link in the Dead phase.
func NewLink(cfg LinkConfig) *Link {
	l := &Link{cfg: cfg}
	if cfg.Compression != nil {
		l.layers = append(l.layers, linkLayer{Layer: cfg.Compression})
	}
	for _, n := range cfg.Networks {
		l.layers = append(l.layers, linkLayer{Layer: n})
	}
	return l
}

// Phase returns the phase that the link is in.
func (l *Link) Phase() Phase { return l.phase }

// Dropped is the number of frames discarded because they were malformed or came
// in a phase where they mean nothing.
func (l *Link) Dropped() uint64 { return l.dropped }

// Err says why the link ends, from the Terminate phase on: what LinkFinished
// will say, before the peer has confirmed. It is nil before, and after a Close
// without a reason.
func (l *Link) Err() error {
	switch {
	case l.err != nil:
		return l.err
	case l.phase == PhaseTerminate || l.phase == PhaseDead:
		return l.cfg.Control.Err()
	}
	return nil
}

// Up says that frames can flow, and begins the Establish phase.
func (l *Link) Up(now time.Time, out *Output) {
	if l.phase != PhaseDead {
		return
	}
	l.setPhase(PhaseEstablish, out)
	l.control(l.cfg.Control.Open(now, out), now, out)
	l.control(l.cfg.Control.Up(now, out), now, out)
}

// Down says that frames can flow no more.
func (l *Link) Down(now time.Time, out *Output) {
	if l.phase == PhaseDead {
		return
	}
	l.setPhase(PhaseTerminate, out) // so that it is not taken for a renegotiation
	l.control(l.cfg.Control.Down(now, out), now, out)
	l.finish(out)
}

// Close ends the link in order, by a Terminate-Request. LinkFinished follows
// with err, which may be nil.
func (l *Link) Close(err error, now time.Time, out *Output) {
	if l.phase == PhaseDead || l.phase == PhaseTerminate {
		return
	}
	l.err = err
	l.setPhase(PhaseTerminate, out)
	l.control(l.cfg.Control.Fail(err, now, out), now, out)
}

// Verdict gives the answer to an AuthRequest. A refusal ends the link in the
// Network phase too, when the authentication has been asked for anew.
func (l *Link) Verdict(v AuthVerdict, now time.Time, out *Output) {
	if a := l.verifier; a != nil && (l.phase == PhaseAuthenticate || l.phase == PhaseNetwork) {
		l.authenticated(a, a.Verdict(v, now, out), now, out)
	}
}

// Input handles one frame: the protocol field, then the packet. It keeps
// nothing of frame.
func (l *Link) Input(frame []byte, now time.Time, out *Output) {
	p, payload, err := DecodeProtocol(frame)
	switch {
	case err == ErrProtocol && l.phase != PhaseDead:
		// What cannot be a number is treated like one that is not known
		// (RFC 1661 §2).
		l.cfg.Control.RejectProtocol(Protocol(binary.BigEndian.Uint16(frame)), frame[2:], out)
		return
	case err != nil || l.phase == PhaseDead:
		l.dropped++
		return
	case p == ProtocolLCP:
		l.control(l.cfg.Control.Input(payload, now, out), now, out)
		if rejected, ok := l.cfg.Control.TakeRejected(); ok {
			if n := l.layer(rejected); n != nil {
				l.layerSignal(n, n.Rejected(now, out), now, out)
			}
		}
		return
	}
	l.input(p, payload, now, out)
}

// input handles a packet of a protocol other than LCP.
func (l *Link) input(p Protocol, payload []byte, now time.Time, out *Output) {
	isAuth := l.isAuth(p)
	n := l.layer(p)
	switch {
	case p == ProtocolIPv4, p == ProtocolIPv6, p == ProtocolCompressed:
		l.dropped++ // data that its protocol was not open for
	case !isAuth && n == nil:
		l.cfg.Control.RejectProtocol(p, payload, out)
	case l.phase == PhaseTerminate:
		l.dropped++
	case isAuth && l.phase == PhaseEstablish, n != nil && l.phase < PhaseNetwork:
		// The peer is ahead of us: an answer of ours or its own may have
		// been lost. A Terminate-Ack now would end the protocol for good
		// with some peers, so the packet waits.
		l.hold(p, payload)
		if !isAuth && l.phase == PhaseAuthenticate {
			l.presume(now, out)
		}
	case isAuth:
		l.authInput(payload, now, out)
	default:
		// The peer has begun this protocol, so it will hear our request too.
		l.start(n, now, out)
		l.layerSignal(n, n.Input(payload, now, out), now, out)
	}
}

// Tick runs what is due.
func (l *Link) Tick(now time.Time, out *Output) {
	if l.phase == PhaseDead {
		return
	}
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	if due(l.cfg.Control.Deadline()) {
		l.control(l.cfg.Control.Tick(now, out), now, out)
	}
	if a := l.verifier; a != nil && due(a.Deadline()) {
		l.authenticated(a, a.Tick(now, out), now, out)
	}
	if a := l.prover; a != nil && due(a.Deadline()) {
		l.authenticated(a, a.Tick(now, out), now, out)
	}
	for i := range l.layers {
		if n := &l.layers[i]; due(n.Deadline()) {
			l.layerSignal(n, n.Tick(now, out), now, out)
		}
	}
}

// Deadline is when Tick has work to do; zero when nothing is pending.
func (l *Link) Deadline() time.Time {
	if l.phase == PhaseDead {
		return time.Time{}
	}
	at := l.cfg.Control.Deadline()
	earlier := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if l.verifier != nil {
		earlier(l.verifier.Deadline())
	}
	if l.prover != nil {
		earlier(l.prover.Deadline())
	}
	for i := range l.layers {
		earlier(l.layers[i].Deadline())
	}
	return at
}

// control heeds what a call did to LCP.
func (l *Link) control(sig Signal, now time.Time, out *Output) {
	if sig&SignalDown != 0 {
		l.upperDown(now, out)
		if l.phase != PhaseTerminate {
			if l.cfg.Control.Err() != nil {
				l.setPhase(PhaseTerminate, out) // by the peer
			} else {
				l.setPhase(PhaseEstablish, out) // renegotiation
			}
		}
	}
	if sig&SignalUp != 0 {
		l.authenticate(now, out)
	}
	if sig&SignalFinished != 0 {
		l.finish(out)
	}
}

// upperDown tells everything above LCP that LCP is down.
func (l *Link) upperDown(now time.Time, out *Output) {
	l.peerAuth, l.ownAuth, l.verifier, l.prover = nil, nil, nil, nil
	for i := range l.layers {
		if n := &l.layers[i]; n.started {
			n.started, n.finished = false, false
			l.layerSignal(n, n.Down(now, out), now, out)
		}
	}
}

func (l *Link) finish(out *Output) {
	if l.phase == PhaseDead {
		return
	}
	l.held = nil
	l.setPhase(PhaseDead, out)
	out.Emit(LinkFinished{Err: l.Err()})
}

// authenticate begins the Authenticate phase with what LCP agreed on.
func (l *Link) authenticate(now time.Time, out *Output) {
	l.setPhase(PhaseAuthenticate, out)
	peer, own := l.cfg.Control.PeerAuth(), l.cfg.Control.OwnAuth()
	if peer != (AuthMethod{}) {
		i := slices.IndexFunc(l.cfg.Authenticators, func(a Authenticator) bool { return a.Method() == peer })
		if i < 0 {
			l.Close(fmt.Errorf("%w: %v", ErrNoAuthMethod, peer), now, out)
			return
		}
		l.peerAuth = l.cfg.Authenticators[i]
		l.verifier = l.peerAuth
	}
	if own != (AuthMethod{}) {
		i := slices.IndexFunc(l.cfg.Peers, func(a Auth) bool { return a.Method() == own })
		if i < 0 {
			l.Close(fmt.Errorf("%w: %v", ErrNoAuthMethod, own), now, out)
			return
		}
		l.ownAuth = l.cfg.Peers[i]
		l.prover = l.ownAuth
	}
	if a := l.peerAuth; a != nil {
		l.authenticated(a, a.Start(now, out), now, out)
	}
	if a := l.ownAuth; a != nil {
		l.authenticated(a, a.Start(now, out), now, out)
	}
	if l.phase != PhaseAuthenticate {
		return // failed already, or both done at once
	}
	if l.peerAuth == nil && l.ownAuth == nil {
		l.network(now, out)
		return
	}
	l.release(l.isAuth, now, out)
}

// authInput passes a packet to both roles; each ignores what is the other's. A
// role that is done still answers repeated packets, since its last answer was
// lost, and authenticates anew where the peer, or its own timer, says so.
func (l *Link) authInput(payload []byte, now time.Time, out *Output) {
	if a := l.verifier; a != nil {
		l.authenticated(a, a.Input(payload, now, out), now, out)
	}
	if a := l.prover; a != nil {
		l.authenticated(a, a.Input(payload, now, out), now, out)
	}
}

// presume tells the role in which we prove ourselves that the peer has gone on
// to the network protocols.
func (l *Link) presume(now time.Time, out *Output) {
	if a, ok := l.ownAuth.(Presumer); ok {
		l.authenticated(l.ownAuth, a.Presume(now, out), now, out)
	}
}

// authenticated heeds what a call did to an Auth.
func (l *Link) authenticated(a Auth, sig Signal, now time.Time, out *Output) {
	if sig&SignalFinished != 0 {
		l.Close(fmt.Errorf("%w: %w", ErrAuthentication, a.Err()), now, out)
		return
	}
	if sig&SignalUp == 0 {
		return
	}
	switch a {
	case Auth(l.peerAuth):
		l.peerAuth = nil
	case l.ownAuth:
		l.ownAuth = nil
	}
	if l.phase == PhaseAuthenticate && l.peerAuth == nil && l.ownAuth == nil {
		l.network(now, out)
	}
}

// network begins the Network phase. The network protocols wait for CCP, since
// many peers answer an IPCP request with a Terminate-Ack until theirs has
// settled; a peer that begins one itself is answered at once.
func (l *Link) network(now time.Time, out *Output) {
	l.setPhase(PhaseNetwork, out)
	if c := l.compression(); c != nil {
		l.start(c, now, out)
	} else {
		l.startNetworks(now, out)
	}
	l.release(func(Protocol) bool { return true }, now, out)
}

func (l *Link) startNetworks(now time.Time, out *Output) {
	for i := range l.layers {
		if n := &l.layers[i]; n.Layer != l.cfg.Compression {
			l.start(n, now, out)
		}
	}
}

// start opens a layer whose phase has come.
func (l *Link) start(n *linkLayer, now time.Time, out *Output) {
	if n.started || l.phase != PhaseNetwork {
		return
	}
	n.started = true
	l.layerSignal(n, n.Open(now, out), now, out)
	l.layerSignal(n, n.Up(now, out), now, out)
}

// layerSignal heeds what a call did to CCP or a network protocol.
func (l *Link) layerSignal(n *linkLayer, sig Signal, now time.Time, out *Output) {
	isCCP := n.Layer == l.cfg.Compression
	if sig&SignalDown != 0 {
		out.Emit(LayerDown{Protocol: n.Protocol()})
	}
	if sig&SignalUp != 0 {
		n.finished = false
		out.Emit(LayerUp{Protocol: n.Protocol()})
		if isCCP {
			l.startNetworks(now, out)
		}
	}
	if sig&SignalFinished != 0 && !n.finished {
		n.finished = true
		out.Emit(LayerFinished{Protocol: n.Protocol(), Err: n.Err()})
	}
	if l.phase != PhaseNetwork {
		return
	}
	switch {
	case isCCP && l.cfg.RequireCompression && (sig&SignalFinished != 0 || sig&SignalDown != 0 && n.Err() != nil):
		l.Close(fmt.Errorf("%w: %w", ErrCompression, layerErr(n)), now, out)
	case isCCP && sig&SignalFinished != 0:
		l.startNetworks(now, out)
	case sig&SignalFinished != 0 && l.networksFinished():
		l.Close(fmt.Errorf("%w: %v: %w", ErrNoNetwork, n.Protocol(), layerErr(n)), now, out)
	}
}

// layerErr is why n finished, never nil.
func layerErr(n *linkLayer) error {
	if err := n.Err(); err != nil {
		return err
	}
	return errors.New("closed")
}

func (l *Link) networksFinished() bool {
	for i := range l.layers {
		if n := &l.layers[i]; n.Layer != l.cfg.Compression && !n.finished {
			return false
		}
	}
	return true
}

// hold keeps a packet for its phase, in place of an earlier one of the same
// protocol and code.
func (l *Link) hold(p Protocol, payload []byte) {
	if len(payload) < PacketHeader || len(payload) > maxHeldSize {
		l.dropped++
		return
	}
	same := func(h heldPacket) bool { return h.protocol == p && h.data[0] == payload[0] }
	if i := slices.IndexFunc(l.held, same); i >= 0 {
		l.held = slices.Delete(l.held, i, i+1)
	}
	if len(l.held) == maxHeld {
		l.dropped++
		return
	}
	l.held = append(l.held, heldPacket{p, bytes.Clone(payload)})
}

// release handles the held packets of the protocols that want selects.
func (l *Link) release(want func(Protocol) bool, now time.Time, out *Output) {
	held := l.held
	l.held = nil
	for _, h := range held {
		if want(h.protocol) {
			l.input(h.protocol, h.data, now, out)
		} else {
			l.held = append(l.held, h)
		}
	}
}

func (l *Link) setPhase(p Phase, out *Output) {
	if l.phase != p {
		l.phase = p
		out.Emit(PhaseChanged{Phase: p})
	}
}

// layer finds CCP or a network protocol by its number.
func (l *Link) layer(p Protocol) *linkLayer {
	i := slices.IndexFunc(l.layers, func(n linkLayer) bool { return n.Protocol() == p })
	if i < 0 {
		return nil
	}
	return &l.layers[i]
}

func (l *Link) compression() *linkLayer {
	if l.cfg.Compression == nil {
		return nil
	}
	return &l.layers[0]
}

// isAuth reports whether p is a registered authentication protocol.
func (l *Link) isAuth(p Protocol) bool {
	return slices.ContainsFunc(l.cfg.Authenticators, func(a Authenticator) bool { return a.Method().Protocol == p }) ||
		slices.ContainsFunc(l.cfg.Peers, func(a Auth) bool { return a.Method().Protocol == p })
}
