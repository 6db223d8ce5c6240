package gopptp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/internal/loop"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// sessionLink is the working half of a Session: its call on the data plane, the
// PPP link in it and their deadlines. Only the session's worker touches it.
type sessionLink struct {
	cfg     *sessionConfig
	worker  *worker
	control callControl
	log     *slog.Logger

	// rtt is an upper bound of the round trip, from the control connection.
	rtt    time.Duration
	call   Call
	ppp    *ppp.Link // nil until the call is connected
	lcp    *lcp.LCP
	ccp    *mppe.CCP // nil when encryption is denied
	ipcp   *ipcp.IPCP
	ipv6   ipv6Link
	proofs []proof // how we prove ourselves, one of which the peer chooses

	keys      *mppe.Keys
	granted   *AuthResult
	leased    lease // to be returned to the pools
	ctx       context.Context
	cancel    context.CancelFunc
	connected time.Time // when frames could flow
	heard     bool      // a frame of the peer has come
	attaching bool
	settled   bool // CCP is open or has given up
	countedUp bool // by the server
	over      bool // the link is down for good
	ended     bool // end was called or the peer ended: cause and err are set
	cause     Cause
	err       error
	stage     State // the furthest state before the end

	timer           *loop.Timer
	setupDeadline   time.Time
	greDeadline     time.Time
	sessionDeadline time.Time
	idleDeadline    time.Time
	idleMark        uint64 // packets seen at the last idle check
	heardMark       uint64 // packets of the peer seen at the last tick
}

// sessionConfig is what the sessions of one Server or Dial share.
type sessionConfig struct {
	dataplane    Dataplane
	encryption   EncryptionPolicy
	keyLengths   mppe.KeyLengths
	modes        mppe.Modes
	mtu          int // limit; zero: what fits
	setupTimeout time.Duration
	greTimeout   time.Duration
	events       *dispatcher
	trace        TraceFunc

	// role completes what server and client do differently.
	role sessionRole
}

// mru is what we let the peer send: as much as fits outside, or what keeps its
// packets within the configured MTU when MPPE adds to them.
func (c *sessionConfig) mru() int {
	if c.mtu == 0 {
		return outerMTU - overhead
	}
	return min(outerMTU-overhead, c.mtu+mppe.HeaderLen+2)
}

// sessionRole is the side of PPP that a session plays.
type sessionRole interface {
	// layers fills in the role's share of the link: LCP's demands, the
	// authentication and IPCP.
	layers(s *Session, l *lcp.Config, link *ppp.LinkConfig) *ipcp.IPCP
	// authRequest answers a peer that wants to be authenticated.
	authRequest(s *Session, req ppp.AuthRequest)
	// credentialsNeeded asks for another password, which the peer lets us try.
	credentialsNeeded(s *Session, ask chap.CredentialsNeeded, now time.Time)
	// keys are those that the authentication, which is over, has given; nil if
	// there are none. They are the session's, which wipes them.
	keys(s *Session) *mppe.Keys
	// user is whom the authentication was about.
	user(s *Session) string
	// routes are the networks behind the peer.
	routes(s *Session) []netip.Prefix
	// ipv6Layer returns IPV6CP; nil: the session carries no IPv6.
	ipv6Layer(s *Session) *ipcp.IPV6CP
	// ipv6Network completes what IPV6CP has agreed on.
	ipv6Network(s *Session, n *IPv6Network)
	// nameServers are those given to the peer, or by it.
	nameServers(s *Session) (dns, nbns []netip.Addr)
	// release gives back what the session held.
	release(s *Session)
}

// callControl is the control connection as a session uses it.
type callControl interface {
	// up says that users' packets flow.
	up(s *Session)
	// linkOver says that the session's PPP link has ended. The controller
	// clears the call, if the peer has not, and calls s.closed in the end.
	linkOver(s *Session, cause Cause, now time.Time)
}

// newSession returns a session in its first state. It has no call yet.
func newSession(cfg *sessionConfig, w *worker, control callControl, local, remote netip.AddrPort, log *slog.Logger) *Session {
	now := time.Now()
	s := &Session{id: newSessionID(), local: local, remote: remote, started: now, done: make(chan struct{})}
	s.info.encryption = "none"
	s.mailbox.session = s
	ctx, cancel := context.WithCancel(context.Background())
	s.link = sessionLink{
		cfg: cfg, worker: w, control: control,
		log: log.With("session", s.id, "remote", remote),
		ctx: ctx, cancel: cancel,
		setupDeadline: now.Add(cfg.setupTimeout),
	}
	s.link.timer = w.loop.NewTimer(s.tick)
	return s
}

func (s *Session) post(f func(now time.Time)) { s.link.worker.post(f) }

// open reserves our call ID.
func (s *Session) open() error {
	l := &s.link
	call, err := l.cfg.dataplane.Open(CallConfig{
		Local:             s.local.Addr(),
		Peer:              s.remote.Addr(),
		RequireEncryption: l.cfg.encryption == EncryptionRequire,
	}, &s.mailbox)
	if err != nil {
		return err
	}
	l.call = call
	s.update(func(i *sessionInfo) { i.counters = call.Counters })
	return nil
}

// connect starts PPP on the established call.
func (s *Session) connect(e *pptp.CallEstablished, now time.Time) error {
	l := &s.link
	s.update(func(i *sessionInfo) { i.callInfo, i.serial = e.Peer, e.CallSerialNumber })
	peer := PeerCall{
		ID:     e.PeerCallID,
		Window: e.PacketRecvWindowSize,
		Delay:  time.Duration(e.PacketProcessingDelay) * 100 * time.Millisecond,
	}
	if s.PeerInfo().Windows() {
		peer.Window = 0 // it tells one, and does not keep it ([MS-PTPT])
	}
	if err := l.call.Connect(peer); err != nil {
		return err
	}
	lcpCfg := lcp.Config{MRU: l.cfg.mru()}
	lcpCfg.FirstTimeout = firstTimeout(l.rtt)
	var link ppp.LinkConfig
	if l.cfg.encryption != EncryptionDeny {
		l.ccp = mppe.NewCCP(mppe.CCPConfig{
			Request:      l.cfg.encryption != EncryptionAllow,
			Required:     l.cfg.encryption == EncryptionRequire,
			KeyLengths:   l.cfg.keyLengths,
			Modes:        l.cfg.modes,
			FirstTimeout: networkTimeout(l.rtt),
		})
		link.Compression = keyedCCP{l.ccp, s}
		link.RequireCompression = l.cfg.encryption == EncryptionRequire
	}
	l.ipcp = l.cfg.role.layers(s, &lcpCfg, &link)
	for _, p := range l.proofs {
		link.Peers = append(link.Peers, p.Auth)
	}
	l.lcp = lcp.New(lcpCfg)
	link.Control = l.lcp
	link.Networks = []ppp.Layer{l.ipcp}
	if l.ipv6.ncp = l.cfg.role.ipv6Layer(s); l.ipv6.ncp != nil {
		link.Networks = append(link.Networks, l.ipv6.ncp)
	}
	l.ppp = ppp.NewLink(link)
	l.connected, l.greDeadline = now, now.Add(l.cfg.greTimeout)
	s.run(now, func(out *ppp.Output) { l.ppp.Up(now, out) })
	return nil
}

// keyedCCP asks for no more than there are keys for, which is known once
// authentication is over.
type keyedCCP struct {
	*mppe.CCP
	session *Session
}

// Up implements ppp.Layer.
func (c keyedCCP) Up(now time.Time, out *ppp.Output) ppp.Signal {
	l := &c.session.link
	l.keys = l.cfg.role.keys(c.session)
	available := mppe.KeyLengths(0)
	if l.keys != nil {
		available = l.keys.Lengths()
	}
	c.Limit(available)
	return c.CCP.Up(now, out)
}

// The first LCP Configure-Request may be lost because the peer is not listening
// yet; a repetition that is not too late spares it seconds, and one that is
// sooner than an answer can come is wasted.
const (
	minFirstTimeout = 50 * time.Millisecond
	maxFirstTimeout = time.Second
)

func firstTimeout(rtt time.Duration) time.Duration {
	return max(minFirstTimeout, min(rtt+rtt/2, maxFirstTimeout))
}

// networkTimeout is when the first Configure-Request of CCP or IPCP is repeated.
// One that is repeated while the answer is on its way takes the layer down again
// when it arrives (RFC 1661 §4.1): a pppd that requires MPPE hangs up then, and
// IPCP may begin anew for ever. So it is later than an answer takes, on slow paths
// too.
func networkTimeout(rtt time.Duration) time.Duration {
	return max(ppp.DefaultFirstTimeout, min(4*rtt, ppp.DefaultMaxTimeout))
}

// run calls f, carries out what it wants done, and sets the timer anew.
func (s *Session) run(now time.Time, f func(out *ppp.Output)) {
	l := &s.link
	l.worker.withOutput(func(out *ppp.Output) {
		f(out)
		for i := 0; i < out.Len(); i++ {
			a := out.At(i)
			if a.Event != nil {
				s.event(a.Event, now, out)
				continue
			}
			s.traceFrame(a.Frame, true, now)
			if err := l.call.WriteControl(a.Frame); err != nil && !l.over {
				l.log.Debug("control frame not sent", "error", err)
			}
		}
	})
	if l.ipcp != nil {
		s.attach(now) // should it have waited for CCP
	}
	s.arm()
}

// arm sets the timer to the next deadline.
func (s *Session) arm() {
	l := &s.link
	var at time.Time
	deadlines := [...]time.Time{l.setupDeadline, l.greDeadline, l.sessionDeadline, l.idleDeadline, l.ipv6.deadline, {}}
	if l.ppp != nil {
		deadlines[len(deadlines)-1] = l.ppp.Deadline()
	}
	for _, t := range deadlines {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	if l.over {
		at = time.Time{}
	}
	l.timer.Set(at)
}

// tick runs what is due.
func (s *Session) tick(now time.Time) {
	l := &s.link
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	switch {
	case l.over:
		return
	case due(l.greDeadline):
		l.greDeadline = time.Time{}
		s.end(CauseGREBlocked, ErrGREBlocked, now)
	case due(l.setupDeadline):
		l.setupDeadline = time.Time{}
		s.end(CauseTimeout, ErrSetupTimeout, now)
	case due(l.sessionDeadline):
		l.sessionDeadline = time.Time{}
		s.end(CauseSessionTimeout, ErrSessionTimeout, now)
	case due(l.idleDeadline):
		s.checkIdle(now)
	case due(l.ipv6.deadline):
		s.prefixExpired(now)
	}
	if l.ppp == nil || l.over {
		s.arm()
		return
	}
	s.hearData(now)
	s.run(now, func(out *ppp.Output) { l.ppp.Tick(now, out) })
}

// hearData spares a peer whose users' packets come through the question whether
// it is still there: they pass LCP by.
func (s *Session) hearData(now time.Time) {
	l := &s.link
	if packets := l.call.Counters().ReceivedPackets; packets != l.heardMark {
		l.heardMark = packets
		l.lcp.Heard(now)
	}
}

// checkIdle ends the session if no packet has passed since the last check.
func (s *Session) checkIdle(now time.Time) {
	l := &s.link
	c := l.call.Counters()
	packets := c.ReceivedPackets + c.SentPackets
	if packets == l.idleMark {
		l.idleDeadline = time.Time{}
		s.end(CauseIdleTimeout, ErrIdleTimeout, now)
		return
	}
	l.idleMark = packets
	l.idleDeadline = now.Add(l.granted.IdleTimeout)
}

// receive handles the frames in the mailbox.
func (s *Session) receive(now time.Time) {
	l := &s.link
	for _, frame := range s.mailbox.take() {
		if l.over || l.ppp == nil {
			return
		}
		if !l.heard {
			l.heard, l.greDeadline = true, time.Time{}
		}
		s.traceFrame(frame, false, now)
		l.lcp.Heard(now)
		s.run(now, func(out *ppp.Output) { l.ppp.Input(frame, now, out) })
	}
}

// event heeds one event of the link.
func (s *Session) event(e ppp.Event, now time.Time, out *ppp.Output) {
	l := &s.link
	switch e := e.(type) {
	case ppp.PhaseChanged:
		s.phase(e.Phase, now)
	case ppp.AuthRequest:
		l.cfg.role.authRequest(s, e)
	case chap.CredentialsNeeded:
		l.cfg.role.credentialsNeeded(s, e, now)
	case mppe.PrepareReceive:
		s.prepareReceive(e, now)
	case mppe.ResetRequested:
		if err := l.call.ResetSend(); err != nil && !l.over {
			l.log.Debug("encryption not reset", "error", err)
		}
	case ppp.LayerUp:
		if e.Protocol == ppp.ProtocolCCP {
			s.encrypt(now)
		}
		l.attaching = false // for the MTU and the other family, should packets flow already
		s.attach(now)
	case ppp.LayerDown:
		switch e.Protocol {
		case ppp.ProtocolCCP:
			s.decryptNoMore(now)
		case ppp.ProtocolIPCP, ppp.ProtocolIPV6CP:
			s.networkClosed(e.Protocol, now)
		}
	case ppp.LayerFinished:
		l.log.Debug("layer finished", "protocol", e.Protocol, "error", e.Err)
		if e.Protocol == ppp.ProtocolCCP {
			l.settled = true
			s.attach(now)
		}
		s.networkFinished(e, now)
	case ppp.LinkFinished:
		s.linkFinished(e.Err, now)
	default:
		l.log.Debug("event", "type", fmt.Sprintf("%T", e))
	}
}

// proof is the method by which we have proved ourselves; the zero proof if the
// peer did not ask for one.
func (l *sessionLink) proof() proof {
	i := slices.IndexFunc(l.proofs, func(p proof) bool { return p.Method() == l.lcp.OwnAuth() })
	if i < 0 {
		return proof{}
	}
	return l.proofs[i]
}

// authFailed notes why the link is about to end, if it is.
func (s *Session) authFailed(err error, retry bool) {
	l := &s.link
	var refusal *AuthError
	switch {
	case errors.As(err, &refusal):
		if retry {
			return
		}
		l.cause = CauseAuthentication
	case errors.Is(err, ErrPoolExhausted):
		l.cause = CauseNoAddress
	default:
		l.cause = CauseAuthBackend
	}
	l.ended, l.err = true, err
}

// phase follows the phases of the link in the session's state.
func (s *Session) phase(p ppp.Phase, now time.Time) {
	l := &s.link
	switch p {
	case ppp.PhaseEstablish:
		s.enter(StateEstablish, now)
	case ppp.PhaseAuthenticate:
		s.enter(StateAuthenticate, now)
	case ppp.PhaseNetwork:
		// Where MPPE is left to the peer, nothing waits for it to ask.
		l.settled = l.ccp == nil || l.cfg.encryption == EncryptionAllow
		s.update(func(i *sessionInfo) { i.user = l.cfg.role.user(s) })
		s.enter(StateNetwork, now)
	case ppp.PhaseTerminate:
		// The peer may clear the call before PPP has ended: that is not why.
		if err := l.ppp.Err(); err != nil {
			s.blame(err)
		}
		s.enter(StateTerminate, now)
	}
}

// prepareReceive makes the data plane ready for what the peer may send once it
// acks the CCP request that is about to go out.
func (s *Session) prepareReceive(e mppe.PrepareReceive, now time.Time) {
	l := &s.link
	p, ok := l.keys.RecvParams(mppe.Agreed(e)) // CCP asks for nothing else
	if !ok {
		s.end(CauseEncryption, errNoKeys, now)
		return
	}
	if err := l.call.PrepareReceive(p); err != nil {
		s.end(CauseDataplane, err, now)
	}
}

var errNoKeys = errors.New("gopptp: the authentication gave no keys for MPPE")

// encrypt turns on what CCP has agreed on.
func (s *Session) encrypt(now time.Time) {
	l := &s.link
	l.settled = true
	var e Encryption
	description := "none"
	if send, ok := l.ccp.Send(); ok {
		p, _ := l.keys.SendParams(send)
		e.Send, description = &p, send.String()
	}
	if recv, ok := l.ccp.Recv(); ok {
		p, _ := l.keys.RecvParams(recv)
		e.Receive = &p
	}
	if err := l.call.SetEncryption(e); err != nil {
		s.end(CauseDataplane, err, now)
		return
	}
	s.update(func(i *sessionInfo) { i.encryption = description })
}

// requestReset asks the peer to begin its encryption anew.
func (s *Session) requestReset(now time.Time) {
	l := &s.link
	if l.ccp != nil && !l.over {
		s.run(now, func(out *ppp.Output) { l.ccp.RequestReset(now, out) })
	}
}

// decryptNoMore follows a CCP that went down. Users' packets stop until it has
// settled again.
func (s *Session) decryptNoMore(now time.Time) {
	l := &s.link
	l.settled = false
	l.attaching = false
	l.call.Detach()
	if err := l.call.SetEncryption(Encryption{}); err != nil {
		s.end(CauseDataplane, err, now)
	}
}

// attach lets users' packets flow once IPCP is open and CCP has settled. IPv6 may
// join them later, and stays if IPCP is closed again.
func (s *Session) attach(now time.Time) {
	l := &s.link
	four := l.ipcp.Opened()
	if l.attaching || l.over || l.ended || !l.settled || l.ccpBegun() ||
		!four && (!l.ipv6.open() || l.stage < StateUp) {
		return
	}
	_, encrypted := l.ccpSend()
	if l.cfg.encryption == EncryptionRequire && !encrypted {
		return // the link is about to end for it
	}
	routes, routes6 := splitRoutes(l.cfg.role.routes(s))
	n := Network{
		MTU:    l.tunnelMTU(encrypted),
		Header: l.lcp.HeaderCompression(),
	}
	if four {
		n.Local, n.Peer, n.Routes = l.ipcp.Local(), l.ipcp.Peer(), routes
	}
	if n.IPv6 = s.ipv6Network(n.MTU, routes6); n.IPv6 == nil && !four {
		return
	}
	l.attaching = true
	s.update(func(i *sessionInfo) {
		i.mtu = n.MTU
		if four {
			i.local, i.peer = n.Local, n.Peer
			i.dns, i.nbns = l.cfg.role.nameServers(s)
		}
	})
	l.ipv6.changed = s.publishIPv6(n.IPv6) || l.ipv6.changed
	if err := l.call.Attach(n); err != nil {
		s.end(CauseDataplane, err, now)
	}
}

// ccpBegun reports whether CCP has been begun and not come to an end. Where MPPE
// is left to the peer, that is the peer's doing, and users' packets must not go in
// clear to one that has asked for encryption.
func (l *sessionLink) ccpBegun() bool {
	if l.ccp == nil {
		return false
	}
	switch l.ccp.State() {
	case ppp.ReqSent, ppp.AckRcvd, ppp.AckSent:
		return true
	}
	return false
}

func (l *sessionLink) ccpSend() (mppe.Agreed, bool) {
	if l.ccp == nil {
		return mppe.Agreed{}, false
	}
	return l.ccp.Send()
}

// outerMTU is what the path outside the tunnel is taken to carry.
const outerMTU = 1500

// overhead is what a tunnel adds at the most: IP, GRE with both numbers, and a
// PPP header that is not compressed.
const overhead = 20 + 16 + ppp.MaxHeader

// tunnelMTU is the largest IP packet that fits what the peer receives and the
// path carries. MPPE adds its header and a second protocol field.
func (l *sessionLink) tunnelMTU(encrypted bool) int {
	mtu := min(outerMTU-overhead, l.lcp.PeerMRU())
	if encrypted {
		mtu -= mppe.HeaderLen + 2
	}
	if l.cfg.mtu > 0 {
		mtu = min(mtu, l.cfg.mtu)
	}
	return mtu
}

// attached follows the data plane's answer to Attach.
func (s *Session) attached(err error, now time.Time) {
	l := &s.link
	if l.over || l.ended || !l.attaching {
		return
	}
	if err != nil {
		s.end(CauseDataplane, err, now)
		return
	}
	first := l.stage < StateUp
	l.setupDeadline = time.Time{}
	if first && l.granted != nil {
		if d := l.granted.SessionTimeout; d > 0 {
			l.sessionDeadline = now.Add(d)
		}
		if d := l.granted.IdleTimeout; d > 0 {
			l.idleDeadline = now.Add(d)
		}
	}
	if s.State() != StateUp || l.ipv6.changed {
		l.ipv6.changed = false
		s.enter(StateUp, now)
	}
	if first {
		l.control.up(s)
	}
	s.arm()
}

// enter publishes a new state and tells the observer.
func (s *Session) enter(state State, now time.Time) {
	if state < StateTerminate {
		s.link.stage = max(s.link.stage, state)
	}
	s.update(func(i *sessionInfo) {
		i.state = state
		if state == StateUp && i.upAt.IsZero() {
			i.upAt = now
		}
	})
	s.link.cfg.events.send(SessionEvent{Session: s, State: state, Time: now, Err: s.Err()})
}

// end begins an orderly end for the given cause. The first cause stands.
func (s *Session) end(cause Cause, err error, now time.Time) {
	l := &s.link
	if l.over {
		return
	}
	if !l.ended {
		l.ended, l.cause, l.err = true, cause, err
	}
	if l.ppp == nil || l.ppp.Phase() == ppp.PhaseDead {
		s.linkOver(now)
		return
	}
	s.run(now, func(out *ppp.Output) { l.ppp.Close(err, now, out) })
}

// giveUp ends the session because whoever wanted it wants it no more. That there
// was no GRE to be heard by then is worth more than the wait being over.
func (s *Session) giveUp(err error, now time.Time) {
	l := &s.link
	switch {
	case l.ppp != nil && !l.heard:
		s.end(CauseGREBlocked, fmt.Errorf("%w: %w", ErrGREBlocked, err), now)
	case errors.Is(err, context.Canceled):
		s.end(CauseLocal, err, now)
	default:
		s.end(CauseTimeout, err, now)
	}
}

// minSilence is how long nothing has come over GRE before a call that the peer
// clears is taken for one whose GRE is blocked.
const minSilence = 2 * time.Second

// drop ends the session at once, without a word to the peer over PPP: the call
// or the control connection is gone.
func (s *Session) drop(cause Cause, err error, now time.Time) {
	l := &s.link
	if l.over {
		return
	}
	if !l.ended {
		if l.ppp != nil && !l.heard && now.Sub(l.connected) >= minSilence {
			// The peer has given up, and most likely for the same reason.
			cause, err = CauseGREBlocked, fmt.Errorf("%w: %w", ErrGREBlocked, err)
		}
		l.ended, l.cause, l.err = true, cause, err
	}
	s.linkOver(now)
}

// linkFinished follows the end of the PPP link.
func (s *Session) linkFinished(err error, now time.Time) {
	s.blame(err)
	s.linkOver(now)
}

// blame notes why the link ends, unless that is known already.
func (s *Session) blame(err error) {
	l := &s.link
	if l.ended {
		return
	}
	l.ended, l.cause, l.err = true, causeOf(err), err
	if errors.Is(err, ppp.ErrNoAnswer) && !l.heard {
		l.cause, l.err = CauseGREBlocked, ErrGREBlocked
	}
}

// causeOf sorts the errors of a link.
func causeOf(err error) Cause {
	var dial *chap.FailureError
	switch {
	case errors.Is(err, ppp.ErrAuthentication), errors.As(err, &dial), errors.Is(err, lcp.ErrAuthRefused):
		return CauseAuthentication
	case errors.Is(err, ppp.ErrCompression):
		return CauseEncryption
	case errors.Is(err, ipcp.ErrNoAddress):
		return CauseNoAddress
	case errors.Is(err, lcp.ErrPeerDead):
		return CauseDeadPeer
	case errors.Is(err, ppp.ErrTerminated):
		return CausePeer
	}
	return CauseNegotiation
}

// linkOver frees what the session holds below the control connection.
func (s *Session) linkOver(now time.Time) {
	l := &s.link
	if l.over {
		return
	}
	l.over = true
	l.cancel()
	l.timer.Set(time.Time{})
	if l.call != nil {
		if err := l.call.Close(); err != nil {
			l.log.Warn("data plane could not close the call", "error", err)
		}
	}
	l.cfg.role.release(s)
	if l.keys != nil {
		l.keys.Wipe()
	}
	for _, p := range l.proofs {
		if w, ok := p.Auth.(interface{ Wipe() }); ok {
			w.Wipe()
		}
	}
	l.control.linkOver(s, l.cause, now)
}

// closed is the session's last moment.
func (s *Session) closed(now time.Time) {
	l := &s.link
	s.update(func(i *sessionInfo) {
		if l.err != nil {
			i.err = &SessionError{Stage: l.stage, Cause: l.cause, Err: l.err}
		}
	})
	s.enter(StateClosed, now)
	close(s.done)
}

func (s *Session) traceFrame(frame []byte, sent bool, now time.Time) {
	if f := s.link.cfg.trace; f != nil {
		f(TraceEvent{Time: now, Session: s.id, Remote: s.remote, Sent: sent, Kind: TracePPP, Data: frame})
	}
}
