package gopptp

import (
	"context"
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
	leased    lease           // to be returned to the pools
	ctx       context.Context // see context; nil until it is asked for
	cancel    context.CancelFunc
	connected time.Time // when frames could flow
	heard     bool      // a frame of the peer has come
	attaching bool
	settled   bool // CCP is open or has given up
	countedUp bool // by the server
	over      bool // the link is down for good
	ended     bool // end was called or the peer ended: cause and err are set
	cause     Cause
	stage     State // the furthest state before the end
	err       error

	timer           *loop.Timer
	setupDeadline   time.Time
	sessionTimeout  time.Duration // zero: none
	idleTimeout     time.Duration
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
	resets       *resetCounters
	trace        TraceFunc
	logger       *slog.Logger // see Session.log

	// role completes what server and client do differently.
	role sessionRole
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

var unknownPeer pptp.PeerInfo

// newSession returns a session in its first state. It has no call yet.
func newSession(cfg *sessionConfig, w *worker, control callControl, local, remote netip.AddrPort) *Session {
	now := time.Now()
	s := &Session{id: newSessionID(), local: local, remote: remote, started: now}
	s.info.encryption, s.info.ipv6, s.info.peerInfo = "none", &noIPv6, &unknownPeer
	s.mailbox.session = s
	s.link = sessionLink{
		cfg: cfg, worker: w, control: control, ipv6: ipv6Link{router: &silentRouter},
		setupDeadline: now.Add(cfg.setupTimeout),
	}
	s.link.timer = w.loop.NewTimer(s.tick)
	return s
}

// log reports on the session. A logger of each session's own would cost all of them
// memory for the little that most say.
func (s *Session) log(level slog.Level, msg string, args ...any) {
	if l := s.link.cfg.logger; l.Enabled(context.Background(), level) {
		l.Log(context.Background(), level, msg, append([]any{"session", s.id, "remote", s.remote}, args...)...)
	}
}

// context is for what is done for the session elsewhere. It ends with the session, or
// with endContext.
func (l *sessionLink) context() context.Context {
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancel(context.Background())
	}
	return l.ctx
}

// endContext frees the context.
func (l *sessionLink) endContext() {
	if l.ctx != nil {
		l.cancel()
		l.ctx, l.cancel = nil, nil
	}
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
	s.update(func(i *sessionInfo) { i.call = call })
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
	l.connected = now
	s.run(now, func(out *ppp.Output) { l.ppp.Up(now, out) })
	return nil
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
				s.log(slog.LevelDebug, "control frame not sent", "error", err)
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
	deadlines := [...]time.Time{l.setupDeadline, l.greDeadline(), l.sessionDeadline, l.idleDeadline, l.ipv6.router.deadline, {}}
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

// greDeadline is when GRE is taken for blocked; zero if it is not, or the session ends
// anyway.
func (l *sessionLink) greDeadline() time.Time {
	if l.ppp == nil || l.heard || l.ended {
		return time.Time{}
	}
	return l.connected.Add(l.cfg.greTimeout)
}

// tick runs what is due.
func (s *Session) tick(now time.Time) {
	l := &s.link
	due := func(at time.Time) bool { return !at.IsZero() && !now.Before(at) }
	switch {
	case l.over:
		return
	case due(l.greDeadline()):
		s.end(CauseGREBlocked, ErrGREBlocked, now)
	case due(l.setupDeadline):
		l.setupDeadline = time.Time{}
		s.end(CauseTimeout, ErrSetupTimeout, now)
	case due(l.sessionDeadline):
		l.sessionDeadline = time.Time{}
		s.end(CauseSessionTimeout, ErrSessionTimeout, now)
	case due(l.idleDeadline):
		s.checkIdle(now)
	case due(l.ipv6.router.deadline):
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

// receive handles the frames in the mailbox.
func (s *Session) receive(now time.Time) {
	l := &s.link
	for _, frame := range s.mailbox.take() {
		if l.over || l.ppp == nil {
			return
		}
		l.heard = true
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
		l.cfg.resets.received.Add(1)
		if err := l.call.ResetSend(); err != nil && !l.over {
			s.log(slog.LevelDebug, "encryption not reset", "error", err)
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
		s.log(slog.LevelDebug, "layer finished", "protocol", e.Protocol, "error", e.Err)
		if e.Protocol == ppp.ProtocolCCP {
			l.settled = true
			s.attach(now)
		}
		s.networkFinished(e, now)
	case ppp.LinkFinished:
		s.linkFinished(e.Err, now)
	default:
		s.log(slog.LevelDebug, "event", "type", fmt.Sprintf("%T", e))
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

// enter publishes a new state and tells the observer.
func (s *Session) enter(state State, now time.Time) {
	if state < StateTerminate {
		s.link.stage = max(s.link.stage, state)
	}
	again := false
	s.update(func(i *sessionInfo) {
		i.state = state
		if state == StateUp {
			if again = !i.upAt.IsZero(); !again {
				i.upAt = now
			}
		}
	})
	s.log(slog.LevelDebug, "session", "state", state.String())
	s.link.cfg.events.send(SessionEvent{Session: s, State: state, Time: now, Again: again, Err: s.Err()})
}
