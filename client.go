package gopptp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/internal/loop"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// ClientConfig describes one end of a tunnel as a PPTP client (PNS).
type ClientConfig struct {
	// Dataplane carries the call. Required. Dial does not close it.
	Dataplane Dataplane
	// User is the name to authenticate with, "DOMAIN\user" included. The
	// password is given as it is, or by its NT hash.
	User     string
	Password string
	NTHash   *chap.NTHash
	// AuthMethods are those by which we prove ourselves if the server asks for
	// one of them, the best first. Empty: MS-CHAPv2 only, the one in which the
	// server proves itself too.
	AuthMethods []ppp.AuthMethod
	// Prompt, if not nil, is asked how to go on where the server refuses the
	// password and lets us try another, or set a new one. It runs on a
	// goroutine of its own, may block, and gives up by returning false; ctx
	// ends with the session.
	Prompt func(ctx context.Context, ask chap.CredentialsNeeded) (password string, ok bool)
	// Authenticator, if not nil, has the server prove itself too, by one of
	// AuthMethods. Few servers do.
	Authenticator Authenticator
	// Encryption says what MPPE means. The zero value requires it.
	Encryption EncryptionPolicy
	// KeyLengths are those of MPPE to agree on, the strongest first. Zero: 128
	// bits only. 40 and 56 bits can be searched through in no time.
	KeyLengths mppe.KeyLengths
	// EncryptionModes are those of MPPE to agree on, stateless if the peer will
	// have it. Zero: stateless only, which a loss does not interrupt.
	EncryptionModes mppe.Modes
	// MTU limits the IP packets in the tunnel, in octets, 576 to 1500. Zero:
	// what fits an outer MTU of 1500.
	MTU int
	// Address is the address to ask for in the tunnel; the server may give
	// another. The zero value takes what the server gives.
	Address netip.Addr
	// Routes are the destinations behind the server, beside its own address.
	// Packets from elsewhere are not taken from the tunnel. Those of IPv6 need
	// IPv6.
	Routes []netip.Prefix
	// IPv6 has the session carry IPv6 too, if the server will. Addresses come by
	// Router Advertisements, a little after the session is up: see
	// Session.IPv6Address. Nothing but the server's link-local address is routed
	// into the tunnel unless Routes have it; ::/0 is all of IPv6.
	IPv6 bool
	// InterfaceID makes our IPv6 addresses; the server may give another. The
	// zero value draws one.
	InterfaceID ipcp.InterfaceID
	// RequestDNS and RequestNBNS ask the server for name servers. They are
	// reported by the Session; nothing is configured with them.
	RequestDNS, RequestNBNS bool
	// Name is our host name on the control connection, at most 63 octets.
	// Default "gopptp".
	Name string
	// SetupTimeout is the time from the TCP connection to a session that is
	// up. Default 60 s; the context of Dial may end sooner.
	SetupTimeout time.Duration
	// GRETimeout is how long the call waits for its first GRE packet before
	// it is taken for blocked. Default 12 s.
	GRETimeout time.Duration
	// EchoInterval and EchoFailures are as for a server.
	EchoInterval time.Duration
	EchoFailures int
	// DialContext makes the TCP connection; nil uses net.Dialer.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	// Observer follows the session; nil if nobody does.
	Observer Observer
	// Trace sees all control traffic; see TraceEvent for what that holds.
	Trace TraceFunc
	// Logger is where the session reports. Nil is silent.
	Logger *slog.Logger
}

func (c *ClientConfig) setDefaults() {
	c.Name = cmp.Or(c.Name, DefaultName)
	c.SetupTimeout = cmp.Or(c.SetupTimeout, DefaultSetupTimeout)
	c.GRETimeout = cmp.Or(c.GRETimeout, DefaultGRETimeout)
	c.EchoInterval = cmp.Or(c.EchoInterval, DefaultEchoInterval)
	c.EchoFailures = cmp.Or(c.EchoFailures, DefaultEchoFailures)
	if len(c.AuthMethods) == 0 {
		c.AuthMethods = defaultAuthMethods
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func (c *ClientConfig) validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &ConfigError{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	if c.Dataplane == nil {
		bad("Dataplane", "is required")
	}
	validateCredentials(bad, "", "User", c.credentials(), c.AuthMethods)
	validateMethods(bad, "AuthMethods", c.AuthMethods)
	if c.Address.IsValid() && !c.Address.Is4() {
		bad("Address", "%q is not an IPv4 address", c.Address)
	}
	if _, six := splitRoutes(c.Routes); len(six) > 0 && !c.IPv6 {
		bad("Routes", "%v needs IPv6", six[0])
	}
	if c.IPv6 {
		(&IPv6Config{}).validate(bad, c.MTU)
	}
	validateNotNegative(bad, []number{
		{"SetupTimeout", int64(c.SetupTimeout)},
		{"GRETimeout", int64(c.GRETimeout)},
		{"EchoInterval", int64(c.EchoInterval)},
		{"EchoFailures", int64(c.EchoFailures)},
	})
	validateCommon(bad, c.Name, c.MTU, c.Encryption, c.KeyLengths, c.EncryptionModes)
	return errors.Join(errs...)
}

func (c *ClientConfig) credentials() *Credentials {
	return &Credentials{Name: c.User, Password: c.Password, NTHash: c.NTHash}
}

// Dial brings a tunnel to a PPTP server up: "host" or "host:port", the port
// 1723 by default. It returns when users' packets flow. A tunnel that does not
// come up is a *SessionError, which says how far it got and why it failed;
// configuration that cannot be used is a *ConfigError.
//
// ctx bounds the set-up only; the session lives on until Close.
func Dial(ctx context.Context, addr string, cfg ClientConfig) (*Session, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	nc, err := connect(ctx, addr, &cfg)
	if err != nil {
		return nil, err
	}
	c := &client{cfg: &cfg, worker: &worker{loop: loop.NewSingle()}, ready: make(chan struct{})}
	c.start(nc, newEventQueue())
	return c.wait(ctx)
}

// connect makes the TCP connection.
func connect(ctx context.Context, addr string, cfg *ClientConfig) (net.Conn, error) {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		addr = net.JoinHostPort(addr, strconv.Itoa(DefaultPort))
	}
	dial := cfg.DialContext
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	nc, err := dial(ctx, "tcp4", addr)
	if err != nil {
		return nil, &SessionError{Stage: StateConnect, Cause: CauseConnect, Err: err}
	}
	return nc, nil
}

// client is a control connection of ours with its one session. Only its worker
// touches it.
type client struct {
	cfg     *ClientConfig
	config  sessionConfig
	worker  *worker
	session *Session
	events  dispatcher
	resets  resetCounters
	ready   chan struct{} // closed when the session is up; nil if nobody waits
	dialer  *Dialer       // nil if the worker is for this session alone

	conn    *pptp.Conn
	asked   time.Time // our Start-Control-Connection-Request
	cleared bool      // the call is gone
	gone    bool      // the control connection is gone
	timer   *loop.Timer
}

// clearTimeout is how long a server may take to confirm the end of a call, and
// then that of the control connection.
const clearTimeout = time.Second

var (
	_ pptp.Handler = (*client)(nil)
	_ callControl  = (*client)(nil)
	_ sessionRole  = (*client)(nil)
)

// start begins the session of c, which has its first fields set, on a TCP connection.
func (c *client) start(nc net.Conn, events *eventQueue) {
	cfg := c.cfg
	c.events = dispatcher{cfg.Observer, events}
	c.config = sessionConfig{
		dataplane:    cfg.Dataplane,
		encryption:   cfg.Encryption,
		keyLengths:   cfg.KeyLengths,
		modes:        cfg.EncryptionModes,
		mtu:          cfg.MTU,
		setupTimeout: cfg.SetupTimeout,
		greTimeout:   cfg.GRETimeout,
		trace:        cfg.Trace,
		logger:       cfg.Logger,
		events:       &c.events,
		resets:       &c.resets,
		role:         c,
	}
	local, remote := addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr())
	c.session = newSession(&c.config, c.worker, c, local, remote)
	c.timer = c.worker.loop.NewTimer(c.tick)
	c.worker.post(func(now time.Time) {
		c.session.enter(StateControl, now)
		c.asked = now
		c.conn = pptp.NewConn(nc, pptp.ConnConfig{
			Config: pptp.Config{
				Role:         pptp.RolePNS,
				Originator:   true,
				HostName:     cfg.Name,
				VendorString: DefaultName,
			},
			Loop:  c.worker.loop,
			Trace: func(_ *pptp.Conn, d pptp.Direction, msg []byte) { c.trace(d, msg) },
		}, c)
		c.conn.Start()
		c.session.arm()
	})
}

// trace shows a control message.
func (c *client) trace(d pptp.Direction, msg []byte) {
	s := c.session
	if f := c.cfg.Trace; f != nil {
		f(TraceEvent{Time: time.Now(), Session: s.id, Remote: s.remote, Sent: d == pptp.Sent, Kind: TraceControl, Data: msg})
	}
	s.traceMessage(d, msg)
}

// wait returns when the session is up, or has ended.
func (c *client) wait(ctx context.Context) (*Session, error) {
	select {
	case <-c.ready:
		return c.session, nil
	case <-c.session.Done():
		return nil, c.session.Err()
	case <-ctx.Done():
		c.session.post(func(now time.Time) { c.session.giveUp(ctx.Err(), now) })
		<-c.session.Done() // bounded by the timers of an orderly end
		return nil, c.session.Err()
	}
}

// HandleEvent implements pptp.Handler.
func (c *client) HandleEvent(_ *pptp.Conn, ev pptp.Event) {
	now := time.Now()
	s := c.session
	switch e := ev.(type) {
	case pptp.Started:
		s.link.rtt = now.Sub(c.asked)
		s.update(func(i *sessionInfo) { i.peerInfo = &e.Peer })
		s.enter(StateCall, now)
		if err := s.open(); err != nil {
			s.end(CauseDataplane, err, now)
			return
		}
		if err := c.conn.PlaceCall(pptp.OutgoingCallRequest{CallID: s.link.call.ID()}); err != nil {
			s.end(CauseCall, err, now)
		}
	case pptp.CallEstablished:
		if err := s.connect(&e, now); err != nil {
			s.end(CauseDataplane, err, now)
		}
	case pptp.CallRefused:
		c.cleared = true
		err := e.Err
		if err == nil {
			err = fmt.Errorf("%w: %v (%v)", ErrCallRefused, e.ResultCode, e.ErrorCode)
		}
		s.drop(CauseCall, err, now)
	case pptp.CallCleared:
		c.cleared = true
		if e.Remote {
			s.drop(CausePeer, fmt.Errorf("%w: %v", ErrPeerClosed, e.ResultCode), now)
		}
		c.stop(now)
	}
}

// HandleClose implements pptp.Handler.
func (c *client) HandleClose(_ *pptp.Conn, err error) {
	c.gone = true
	c.timer.Set(time.Time{})
	now := time.Now()
	s := c.session
	switch stage := s.link.stage; {
	case stage >= StateEstablish:
		if err == nil {
			err = ErrLostCarrier
		} else {
			err = fmt.Errorf("%w: %w", ErrLostCarrier, err)
		}
		s.drop(CauseLostCarrier, err, now)
	default:
		if err == nil {
			err = ErrPeerClosed
		}
		s.drop(CauseControl, err, now)
	}
	s.closed(now)
	if c.dialer != nil {
		c.dialer.forget(c)
		return
	}
	c.worker.loop.Close()
}

// linkOver implements callControl: the call is cleared, then the control
// connection stopped, each within clearTimeout.
func (c *client) linkOver(s *Session, _ Cause, now time.Time) {
	switch {
	case c.gone:
	case c.cleared || s.link.call == nil:
		c.stop(now)
	default:
		c.conn.ClearCall(pptp.CallDisconnectNotify{CallID: s.link.call.ID()})
		c.timer.Set(now.Add(clearTimeout))
	}
}

// stop ends the control connection; HandleClose follows.
func (c *client) stop(now time.Time) {
	if !c.gone {
		c.conn.Stop(pptp.StopNone)
		c.timer.Set(now.Add(clearTimeout))
	}
}

// tick ends what the server did not confirm in time.
func (c *client) tick(now time.Time) {
	if !c.cleared {
		c.cleared = true
		c.stop(now)
		return
	}
	c.conn.Close()
}

// up implements callControl.
func (c *client) up(*Session) {
	if c.ready == nil {
		return
	}
	select {
	case <-c.ready:
	default:
		close(c.ready)
	}
}

// layers implements sessionRole.
func (c *client) layers(s *Session, l *lcp.Config, link *ppp.LinkConfig) *ipcp.IPCP {
	l.OwnAuth = c.cfg.AuthMethods
	l.EchoInterval = c.cfg.EchoInterval
	l.EchoFailures = c.cfg.EchoFailures
	s.link.proofs = proofs(c.cfg.AuthMethods, c.cfg.credentials(), c.cfg.Prompt != nil)
	if c.cfg.Authenticator != nil {
		l.PeerAuth = c.cfg.AuthMethods
		link.Authenticators = authenticators(c.cfg.AuthMethods, c.cfg.Name, 0)
	}
	return ipcp.New(ipcp.Config{
		Local:        c.cfg.Address,
		AcceptLocal:  true,
		RequestDNS:   c.cfg.RequestDNS,
		RequestNBNS:  c.cfg.RequestNBNS,
		FirstTimeout: networkTimeout(s.link.rtt),
	})
}

// authRequest implements sessionRole: the server proves itself to us.
func (c *client) authRequest(s *Session, req ppp.AuthRequest) {
	l := &s.link
	ask := &AuthRequest{AuthRequest: req, Session: s.id, LocalName: c.cfg.Name, Local: s.local, Remote: s.remote, CallID: l.call.ID()}
	ctx := l.context()
	go func() {
		result, err := c.cfg.Authenticator.Authenticate(ctx, ask)
		l.worker.post(func(now time.Time) {
			v := ppp.AuthVerdict{ID: req.ID}
			switch {
			case l.over || l.ended:
				return
			case err != nil:
				v = authVerdict(req.ID, err)
				s.authFailed(err, v.Retry || v.ChangePassword)
			case result != nil:
				v.Accepted, v.EAP, v.State = !result.Continue, result.EAP, result.State
				v.AuthenticatorResponse, v.Message = result.AuthenticatorResponse, result.Message
			default:
				v.Accepted = true
			}
			s.run(now, func(out *ppp.Output) { l.ppp.Verdict(v, now, out) })
		})
	}()
}

// credentialsNeeded implements sessionRole: Prompt is asked.
func (c *client) credentialsNeeded(s *Session, ask chap.CredentialsNeeded, now time.Time) {
	l := &s.link
	peer, ok := l.proof().Auth.(*chap.Peer)
	if !ok {
		return
	}
	ctx := l.context()
	go func() {
		password, ok := c.cfg.Prompt(ctx, ask)
		l.worker.post(func(now time.Time) {
			switch {
			case l.over || l.ended:
			case !ok:
				s.end(CauseAuthentication, &ask.Failure, now)
			default:
				s.run(now, func(out *ppp.Output) {
					err := error(nil)
					if ask.ChangePassword {
						err = peer.ChangePassword(password, now, out)
					} else {
						err = peer.Retry(chap.NTPasswordHash(password), now, out)
					}
					if err != nil {
						l.ended, l.cause, l.err = true, CauseAuthentication, err
						l.ppp.Close(err, now, out)
					}
				})
			}
		})
	}()
}

// keys implements sessionRole: they come from our proof.
func (c *client) keys(s *Session) *mppe.Keys {
	if p := s.link.proof(); p.Auth != nil {
		return p.keys()
	}
	return nil
}

// user implements sessionRole.
func (c *client) user(*Session) string { return c.cfg.User }

// routes implements sessionRole.
func (c *client) routes(*Session) []netip.Prefix { return c.cfg.Routes }

// nameServers implements sessionRole: those that the server gave us.
func (c *client) nameServers(s *Session) (dns, nbns []netip.Addr) {
	return s.link.ipcp.DNS(), s.link.ipcp.NBNS()
}

// release implements sessionRole: nothing was lent.
func (c *client) release(*Session) {}
