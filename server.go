package gopptp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// ServerConfig describes a Server: a PPTP access concentrator (PAC).
type ServerConfig struct {
	// Dataplane carries the calls. Required. The server does not close it.
	Dataplane Dataplane
	// Authenticator decides who may come in. Required.
	Authenticator Authenticator
	// Pool gives addresses to peers for whom the Authenticator names none.
	// Nil: such a peer is refused.
	Pool AddressPool
	// LocalAddress is our address in the tunnels, one for all. Required, IPv4.
	LocalAddress netip.Addr
	// DNS and NBNS are the name servers given to peers, at most two each,
	// IPv4.
	DNS, NBNS []netip.Addr
	// IPv6 has sessions carry IPv6 too. Nil: IPV6CP is rejected.
	IPv6 *IPv6Config
	// AuthMethods are those by which peers may prove themselves, the best
	// first; LCP leads an unwilling peer through them. Empty: MS-CHAPv2 only.
	// All others are worse; PAP and CHAP-MD5 give no keys for MPPE, and EAP is
	// for an Authenticator that speaks it, as that of NewLocalAuthenticator does.
	AuthMethods []ppp.AuthMethod
	// Reauthenticate has peers prove themselves anew at this interval, except
	// with PAP. Zero does not.
	Reauthenticate time.Duration
	// Credentials prove the server to peers that ask for it, by one of
	// AuthMethods. Nil: such a demand is rejected, which few peers mind.
	Credentials *Credentials
	// Encryption says what MPPE means to the sessions. The zero value requires
	// it.
	Encryption EncryptionPolicy
	// KeyLengths are those of MPPE to agree on, the strongest first. Zero: 128
	// bits only. 40 and 56 bits can be searched through in no time.
	KeyLengths mppe.KeyLengths
	// EncryptionModes are those of MPPE to agree on, stateless if the peer will
	// have it. Zero: stateless only, which a loss does not interrupt.
	EncryptionModes mppe.Modes
	// MTU limits the IP packets in the tunnels, in octets, 576 to 1500. Zero:
	// what fits an outer MTU of 1500, which is 1460 in clear and 1456 with
	// MPPE.
	MTU int
	// Name is ours in the challenges to peers and on the control connection,
	// at most 63 octets. Default "gopptp".
	Name string
	// Limits protect the server; zero fields take their defaults.
	Limits Limits
	// EchoInterval is how long a session hears nothing of its peer before it
	// asks by an LCP Echo-Request. Default 30 s. A server waits for a sixteenth
	// of it more, as a peer with the same interval then asks first. EchoFailures
	// is how many go unanswered before the peer is dead. Default 4.
	EchoInterval time.Duration
	EchoFailures int
	// Observer follows the sessions; nil if nobody does.
	Observer Observer
	// Trace sees all control traffic; see TraceEvent for what that holds.
	Trace TraceFunc
	// Logger is where the server reports. Nil is silent.
	Logger *slog.Logger
	// Loops is the number of event loops that share the sessions. Zero: one a
	// processor.
	Loops int
}

// Defaults of ServerConfig, Limits and ClientConfig.
const (
	DefaultPort               = 1723 // RFC 2637 §1.4
	DefaultName               = "gopptp"
	DefaultMaxSessions        = 65535
	DefaultMaxHalfOpen        = 1024
	DefaultMaxPerSource       = 256
	DefaultMaxAuthentications = 256
	DefaultMaxAuthWaiting     = 1024
	DefaultAuthWait           = 20 * time.Second
	DefaultMaxCalls           = 16
	DefaultHandshakeTimeout   = 10 * time.Second
	DefaultSetupTimeout       = 60 * time.Second
	DefaultGRETimeout         = 12 * time.Second
	DefaultEchoInterval       = 30 * time.Second
	DefaultEchoFailures       = 4
)

// Server accepts PPTP clients. Its methods are safe for concurrent use.
type Server struct {
	settings atomic.Pointer[serverSettings]
	events   *eventQueue
	workers  []*worker
	auths    authGate
	report   reporter

	next   atomic.Uint32 // round robin over the workers
	resets resetCounters

	mu        sync.Mutex
	listeners map[*net.Listener]struct{} // by address, as one may be of a type that is no key
	conns     map[*serverConn]struct{}
	sources   map[netip.Addr]int
	sessions  map[SessionID]*Session
	stats     ServerStats
	admission admission
	draining  bool // by Drain
	closing   bool // by Shutdown or Close
	closed    bool
	empty     chan struct{} // closed when closing and no connection is left
}

// NewServer checks cfg and returns a Server that is ready to Serve. All that is
// wrong is reported at once, as joined ConfigErrors.
func NewServer(cfg ServerConfig) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{
		events:    newEventQueue(),
		listeners: make(map[*net.Listener]struct{}),
		conns:     make(map[*serverConn]struct{}),
		sources:   make(map[netip.Addr]int),
		sessions:  make(map[SessionID]*Session),
		empty:     make(chan struct{}),
		admission: newAdmission(&cfg.Limits),
	}
	for i := range cfg.Loops {
		w := newWorker(cfg.Dataplane)
		w.index = i
		s.workers = append(s.workers, w)
	}
	s.report.log = s.log
	s.auths.setLimit(cfg.Limits.MaxAuthentications)
	s.settings.Store(newServerSettings(s, cfg))
	return s, nil
}

func (c *ServerConfig) setDefaults() {
	c.Limits.setDefaults()
	c.EchoInterval = cmp.Or(c.EchoInterval, DefaultEchoInterval)
	c.EchoFailures = cmp.Or(c.EchoFailures, DefaultEchoFailures)
	c.Loops = cmp.Or(c.Loops, runtime.GOMAXPROCS(0))
	c.Name = cmp.Or(c.Name, DefaultName)
	if len(c.AuthMethods) == 0 {
		c.AuthMethods = defaultAuthMethods
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

func (c *ServerConfig) validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, &ConfigError{Field: field, Reason: fmt.Sprintf(format, args...)})
	}
	if c.Dataplane == nil {
		bad("Dataplane", "is required")
	}
	if c.Authenticator == nil {
		bad("Authenticator", "is required")
	}
	if !c.LocalAddress.Is4() {
		bad("LocalAddress", "must be an IPv4 address, not %q", c.LocalAddress)
	}
	validateCommon(bad, c.Name, c.MTU, c.Encryption, c.KeyLengths, c.EncryptionModes)
	validateMethods(bad, "AuthMethods", c.AuthMethods)
	if c.Encryption == EncryptionRequire && !slices.ContainsFunc(c.AuthMethods, givesKeys) {
		bad("AuthMethods", "none of %v gives the keys for MPPE, which is required", c.AuthMethods)
	}
	if c.Credentials != nil {
		validateCredentials(bad, "Credentials.", "Name", c.Credentials, c.AuthMethods)
	}
	servers := func(field string, addrs []netip.Addr) {
		if len(addrs) > 2 {
			bad(field, "has %d addresses, at most 2 can be given", len(addrs))
		}
		for _, a := range addrs {
			if !a.Is4() {
				bad(field, "%q is not an IPv4 address", a)
			}
		}
	}
	servers("DNS", c.DNS)
	servers("NBNS", c.NBNS)
	if c.IPv6 != nil {
		c.IPv6.validate(bad, c.MTU)
	}
	c.Limits.validate(bad)
	validateNotNegative(bad, []number{
		{"EchoInterval", int64(c.EchoInterval)},
		{"EchoFailures", int64(c.EchoFailures)},
		{"Reauthenticate", int64(c.Reauthenticate)},
		{"Loops", int64(c.Loops)},
	})
	return errors.Join(errs...)
}

// number is a field of a configuration.
type number struct {
	field string
	value int64
}

func validateNotNegative(bad func(field, format string, args ...any), numbers []number) {
	for _, n := range numbers {
		if n.value < 0 {
			bad(n.field, "must not be negative")
		}
	}
}

func validateCommon(bad func(field, format string, args ...any), name string, mtu int, enc EncryptionPolicy, lengths mppe.KeyLengths, modes mppe.Modes) {
	if len(name) > 63 {
		bad("Name", "has %d octets, at most 63 fit", len(name))
	}
	if mtu != 0 && (mtu < 576 || mtu > 1500) {
		bad("MTU", "%d is not within 576 and 1500", mtu)
	}
	if enc > EncryptionDeny {
		bad("Encryption", "%v is unknown", enc)
	}
	if lengths&^mppe.AllKeyLengths != 0 {
		bad("KeyLengths", "%#x has unknown members", uint8(lengths))
	}
	if modes&^(mppe.AllowStateless|mppe.AllowStateful) != 0 {
		bad("EncryptionModes", "%#x has unknown members", uint8(modes))
	}
}

// Serve accepts clients on l until ctx ends, which closes the server, or until
// Shutdown or Close, after which it returns ErrServerClosed. It may be called
// for several listeners. It closes l. A connection of l that wraps a *net.TCPConn is read
// as cheaply as that is, if a method PlainTCP() *net.TCPConn says that the wrapping leaves
// Read alone.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	if !s.addListener(&l) {
		return ErrServerClosed
	}
	defer s.removeListener(&l)
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	for delay := time.Duration(0); ; {
		nc, err := l.Accept()
		if err == nil {
			delay = 0
			s.accept(nc)
			continue
		}
		if s.isClosing() {
			return ErrServerClosed
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("gopptp: listener: %w", err)
		}
		// Those that are in go on, and the next connection may find what this one
		// lacked.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		s.acceptFailed(err, delay)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
}

func (s *Server) addListener(l *net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l *net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// isClosing reports whether Shutdown or Close has been called.
func (s *Server) isClosing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closing
}

func addrPort(a net.Addr) netip.AddrPort {
	if t, ok := a.(interface{ AddrPort() netip.AddrPort }); ok {
		ap := t.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return ap
}

// Shutdown ends the server in order: it takes in nobody any more, tells the
// peers of all sessions, and returns when the last is gone. When ctx ends
// before that, the rest is dropped and the context's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.takeNoMore() {
		c.worker.post(c.shutdown)
	}
	select {
	case <-s.empty:
		s.finish()
		return nil
	case <-ctx.Done():
		s.Close()
		return ctx.Err()
	}
}

// Close drops everything at once and returns when nothing is left.
func (s *Server) Close() error {
	for _, c := range s.takeNoMore() {
		c.worker.post(c.abort)
	}
	<-s.empty
	s.finish()
	return nil
}

// takeNoMore stops taking in for good and returns the connections that are left.
func (s *Server) takeNoMore() []*serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closing {
		s.closing = true
		for l := range s.listeners {
			(*l).Close()
		}
		s.admission.wake()
		if len(s.conns) == 0 {
			close(s.empty)
		}
	}
	conns := make([]*serverConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

// finish ends the loops of a server without connections.
func (s *Server) finish() {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	for _, w := range s.workers {
		if first {
			w.loop.Close()
		}
		<-w.loop.Done()
	}
	s.events.flush()
	s.report.flush()
}

// Sessions returns the sessions that have not ended, in no order.
func (s *Server) Sessions() []*Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*Session, 0, len(s.sessions))
	for _, session := range s.sessions {
		list = append(list, session)
	}
	return list
}

// Session finds one by its ID; nil if there is none.
func (s *Server) Session(id SessionID) *Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions[id]
}

// Stats returns the server's figures.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.Connections, st.Sessions = len(s.conns), len(s.sessions)
	running, newcomers, members := s.auths.figures()
	st.Authentications, st.AuthenticationsWaiting = running, newcomers+members
	st.ResetsSent, st.ResetsReceived = s.resets.sent.Load(), s.resets.received.Load()
	return st
}
