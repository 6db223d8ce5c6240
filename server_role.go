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
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// serverRole is what a server's sessions do of their own: they authenticate the
// peer and give it its addresses.
type serverRole serverSettings

var _ sessionRole = (*serverRole)(nil)

func (r *serverRole) layers(s *Session, l *lcp.Config, link *ppp.LinkConfig) *ipcp.IPCP {
	l.PeerAuth = r.cfg.AuthMethods
	l.EchoInterval = r.cfg.EchoInterval
	l.EchoPatience = echoPatience(r.cfg.EchoInterval)
	l.EchoFailures = r.cfg.EchoFailures
	link.Authenticators = authenticators(r.cfg.AuthMethods, r.cfg.Name, r.cfg.Reauthenticate)
	if r.cfg.Credentials != nil {
		l.OwnAuth = r.cfg.AuthMethods
		s.link.proofs = proofs(r.cfg.AuthMethods, r.cfg.Credentials, false)
	}
	return ipcp.New(ipcp.Config{FirstTimeout: networkTimeout(s.link.rtt)}) // addresses follow with the user
}

// echoPatience is how much longer than an interval a server is silent, so that a peer with
// the same one asks whether anybody is there, and the server need not: of thousands of
// idle sessions half the cost.
func echoPatience(interval time.Duration) time.Duration { return interval / 16 }

// authRequest asks the Authenticator, and for an address, on a goroutine of its
// own.
func (r *serverRole) authRequest(s *Session, req ppp.AuthRequest) {
	l := &s.link
	ask := &AuthRequest{
		AuthRequest: req,
		Session:     s.id,
		LocalName:   r.cfg.Name,
		Local:       s.local,
		Remote:      s.remote,
		CallID:      l.call.ID(),
	}
	ctx, held := l.context(), l.leased
	go func() {
		result, leased, err := r.authenticate(ctx, ask, held)
		for ask.Reauthentication && undecided(err) && pause(ctx, authPause) {
			r.server.report.refused("authentication put off", "the authenticator fails", "session", s.id, "error", err)
			result, leased, err = r.authenticate(ctx, ask, held)
		}
		if !l.worker.post(func(now time.Time) { r.verdict(s, ask, result, leased, err, now) }) {
			r.giveBack(leased)
		}
	}()
}

// authPause is how long an Authenticator that could not decide about a peer who is in is
// left alone.
const authPause = 10 * time.Second

// undecided reports whether an Authenticator has failed.
func undecided(err error) bool {
	var refusal *AuthError
	return err != nil && !errors.As(err, &refusal)
}

// pause reports false if ctx has ended within that time.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lease is what a session has of the pools.
type lease struct {
	address netip.Addr
	prefix  netip.Prefix
}

// giveBack returns what there is of a lease.
func (r *serverRole) giveBack(l lease) {
	if l.address.IsValid() {
		r.cfg.Pool.Release(l.address)
	}
	if l.prefix.IsValid() {
		r.cfg.IPv6.Pool.Release(l.prefix)
	}
}

// authenticate is the blocking part. leased must go back to the pools. A session
// that authenticates anew keeps what it held.
func (r *serverRole) authenticate(ctx context.Context, req *AuthRequest, held lease) (result *AuthResult, leased lease, err error) {
	defer req.Password.Wipe()
	if err = r.server.auths.enter(ctx, req.Reauthentication, r.server.limits()); err != nil {
		return nil, lease{}, err
	}
	defer r.server.auths.leave()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.SetupTimeout)
	defer cancel()
	result, err = r.cfg.Authenticator.Authenticate(ctx, req)
	if err != nil {
		return nil, lease{}, err
	}
	granted := AuthResult{}
	if result != nil {
		granted = *result
	}
	if granted.Keys != nil {
		keys := *granted.Keys // the session wipes its own
		granted.Keys = &keys
	}
	if granted.User == "" {
		granted.User = req.Name
	}
	if granted.Continue || req.Reauthentication {
		return &granted, lease{}, nil
	}
	if p := granted.IPv6Prefix; p != (netip.Prefix{}) && !isDelegated(p) {
		return nil, lease{}, fmt.Errorf("gopptp: the Authenticator's IPv6Prefix %v is no /64", p)
	}
	if err := granted.Rates.validate(); err != nil {
		return nil, lease{}, fmt.Errorf("gopptp: the Authenticator's limits: %w", err)
	}
	whose := PoolRequest{Session: req.Session, User: granted.User, Remote: req.Remote, Attributes: granted.Attributes}
	switch {
	case granted.Address.IsValid():
	case held.address.IsValid():
		granted.Address = held.address
	default:
		if leased.address, err = r.lease(ctx, whose); err != nil {
			return &granted, leased, err
		}
		granted.Address = leased.address
	}
	switch {
	case granted.IPv6Prefix.IsValid():
	case held.prefix.IsValid():
		granted.IPv6Prefix = held.prefix
	default:
		leased.prefix = r.leasePrefix(ctx, whose)
		granted.IPv6Prefix = leased.prefix
	}
	return &granted, leased, nil
}

func (r *serverRole) lease(ctx context.Context, req PoolRequest) (netip.Addr, error) {
	if r.cfg.Pool == nil {
		return netip.Addr{}, ErrPoolExhausted
	}
	return r.cfg.Pool.Acquire(ctx, req)
}

// verdict takes the answer back on the session's loop.
func (r *serverRole) verdict(s *Session, req *AuthRequest, result *AuthResult, leased lease, err error, now time.Time) {
	l := &s.link
	l.endContext()
	if l.over || l.ended {
		r.giveBack(leased)
		return
	}
	if err == nil && !result.Continue && l.granted != nil && result.User != l.granted.User {
		r.giveBack(leased)
		err = ErrUserChanged
	}
	v := ppp.AuthVerdict{ID: req.ID}
	switch {
	case err != nil:
		v = authVerdict(req.ID, err)
		s.log(slog.LevelInfo, "authentication refused", "user", req.Name, "error", err)
		s.authFailed(err, v.Retry || v.ChangePassword)
	case result.Continue:
		v.EAP, v.State = result.EAP, result.State
	default:
		v.Accepted, v.EAP = true, result.EAP
		v.AuthenticatorResponse, v.Message = result.AuthenticatorResponse, result.Message
		if !req.Reauthentication { // keys are those of the first (RFC 3079 §3)
			r.grant(s, result, leased)
		}
	}
	s.run(now, func(out *ppp.Output) { l.ppp.Verdict(v, now, out) })
}

// grant notes what an accepted user has.
func (r *serverRole) grant(s *Session, result *AuthResult, leased lease) {
	l := &s.link
	l.granted = result
	if leased.address.IsValid() {
		l.leased.address = leased.address
	}
	if leased.prefix.IsValid() {
		l.leased.prefix = leased.prefix
	}
	l.sessionTimeout, l.idleTimeout = result.SessionTimeout, result.IdleTimeout
	dns, nbns := r.nameServers(s)
	cfg := ipcp.Config{Local: r.cfg.LocalAddress, Peer: result.Address}
	copy(cfg.DNS[:], dns)
	copy(cfg.NBNS[:], nbns)
	l.ipcp.Configure(cfg)
	s.update(func(i *sessionInfo) {
		i.attributes, i.rates = result.Attributes, result.Rates
		i.sessionTimeout, i.idleTimeout = result.SessionTimeout, result.IdleTimeout
	})
}

// nameServers returns those that the Authenticator named, or else the server's.
func (r *serverRole) nameServers(s *Session) (dns, nbns []netip.Addr) {
	dns, nbns = s.link.granted.DNS, s.link.granted.NBNS
	if len(dns) == 0 {
		dns = r.cfg.DNS
	}
	if len(nbns) == 0 {
		nbns = r.cfg.NBNS
	}
	return dns, nbns
}

func (r *serverRole) keys(s *Session) *mppe.Keys { return s.link.granted.Keys }

func (r *serverRole) user(s *Session) string { return s.link.granted.User }

// credentialsNeeded is never asked of a server.
func (r *serverRole) credentialsNeeded(*Session, chap.CredentialsNeeded, time.Time) {}

func (r *serverRole) routes(s *Session) []netip.Prefix {
	return slices.Clone(s.link.granted.Routes)
}

func (r *serverRole) release(s *Session) { r.giveBack(s.link.leased) }
