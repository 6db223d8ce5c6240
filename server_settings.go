package gopptp

import (
	"errors"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"time"

	"github.com/gopptp/gopptp/internal/rate"
	"github.com/gopptp/gopptp/pptp"
)

// serverSettings is a ServerConfig as connections and sessions use it. Nothing changes
// it: Reconfigure makes another, and who has begun with this one keeps it.
type serverSettings struct {
	server  *Server
	cfg     ServerConfig // with its defaults set
	session sessionConfig
	calls   rate.Limit                                     // on each control connection
	newConn []func(nc net.Conn, h pptp.Handler) *pptp.Conn // of each worker
}

// newServerSettings takes a cfg that is valid, and what the caller might change in it as
// a copy.
func newServerSettings(s *Server, cfg ServerConfig) *serverSettings {
	cfg.AuthMethods = slices.Clone(cfg.AuthMethods)
	cfg.DNS, cfg.NBNS = slices.Clone(cfg.DNS), slices.Clone(cfg.NBNS)
	if cfg.IPv6 != nil {
		six := *cfg.IPv6
		six.DNS = slices.Clone(six.DNS)
		cfg.IPv6 = &six
	}
	if cfg.Credentials != nil {
		credentials := *cfg.Credentials
		cfg.Credentials = &credentials
	}
	t := &serverSettings{server: s, cfg: cfg, calls: rate.New(1, cfg.Limits.MaxCalls)}
	t.session = sessionConfig{
		dataplane:    cfg.Dataplane,
		encryption:   cfg.Encryption,
		keyLengths:   cfg.KeyLengths,
		modes:        cfg.EncryptionModes,
		mtu:          cfg.MTU,
		setupTimeout: cfg.Limits.SetupTimeout,
		greTimeout:   cfg.Limits.GRETimeout,
		trace:        cfg.Trace,
		logger:       cfg.Logger,
		events:       &dispatcher{cfg.Observer, s.events},
		resets:       &s.resets,
		role:         (*serverRole)(t),
	}
	for _, w := range s.workers {
		t.newConn = append(t.newConn, pptp.NewConns(t.connConfig(w)))
	}
	return t
}

func (t *serverSettings) connConfig(w *worker) pptp.ConnConfig {
	return pptp.ConnConfig{
		Config: pptp.Config{
			Role:             pptp.RolePAC,
			HostName:         t.cfg.Name,
			VendorString:     DefaultName,
			HandshakeTimeout: t.cfg.Limits.HandshakeTimeout,
			EchoInterval:     pptp.DefaultEchoInterval + echoPatience(pptp.DefaultEchoInterval),
		},
		Loop:  w.loop,
		Trace: controlTrace(t.cfg.Trace),
	}
}

// Reconfigure has the server work by cfg from now on, as a whole or, if anything is
// wrong with it, not at all. It disturbs nobody: control connections and sessions that
// have begun go on with what they began with, their Authenticator, pools, Observer and
// Logger included, for as long as they live. Whoever replaces one of these keeps the old
// one working until Sessions has none left that has it; a new pool must not give out
// addresses that are still out of an old one.
//
// Limits that bound a number or a rate hold at once. Those who are beyond a limit that
// has become lower stay, and nobody new comes in meanwhile. SetupTimeout and
// GRETimeout are of sessions, HandshakeTimeout of connections that begin afterwards.
//
// Dataplane and Loops cannot change on a running server. Nil and zero are those that
// it has; others are a ConfigError. All that is wrong is reported at once, as
// joined ConfigErrors. A server that has been closed returns ErrServerClosed.
func (s *Server) Reconfigure(cfg ServerConfig) error {
	current := &s.settings.Load().cfg
	var errs []error
	switch {
	case cfg.Dataplane == nil:
		cfg.Dataplane = current.Dataplane
	case !same(cfg.Dataplane, current.Dataplane):
		errs = append(errs, &ConfigError{Field: "Dataplane", Reason: "cannot change while the server runs"})
	}
	switch cfg.Loops {
	case 0:
		cfg.Loops = current.Loops
	case current.Loops:
	default:
		errs = append(errs, &ConfigError{Field: "Loops", Reason: "cannot change while the server runs"})
	}
	cfg.setDefaults()
	if err := errors.Join(append(errs, cfg.validate())...); err != nil {
		return err
	}
	t := newServerSettings(s, cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return ErrServerClosed
	}
	s.settings.Store(t)
	s.auths.setLimit(cfg.Limits.MaxAuthentications)
	s.admission.setLimits(&cfg.Limits)
	if s.stats.HalfOpen >= cfg.Limits.MaxHalfOpen {
		s.admission.fullSince = time.Now()
	}
	s.admission.wake()
	return nil
}

// same reports whether two interface values are equal. Those that cannot be compared are
// not.
func same(a, b any) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.ValueOf(a).Comparable() && a == b
}

// log is where the server reports.
func (s *Server) log() *slog.Logger { return s.settings.Load().cfg.Logger }

// limits are those that hold now.
func (s *Server) limits() *Limits { return &s.settings.Load().cfg.Limits }
