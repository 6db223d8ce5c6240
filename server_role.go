package gopptp

import (
	"context"
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
type serverRole Server

var _ sessionRole = (*serverRole)(nil)

func (r *serverRole) layers(s *Session, l *lcp.Config, link *ppp.LinkConfig) *ipcp.IPCP {
	l.PeerAuth = r.cfg.AuthMethods
	l.EchoInterval = r.cfg.EchoInterval
	l.EchoFailures = r.cfg.EchoFailures
	link.Authenticators = authenticators(r.cfg.AuthMethods, r.cfg.Name, r.cfg.Reauthenticate)
	if r.cfg.Credentials != nil {
		l.OwnAuth = r.cfg.AuthMethods
		s.link.proofs = proofs(r.cfg.AuthMethods, r.cfg.Credentials, false)
	}
	return ipcp.New(ipcp.Config{FirstTimeout: networkTimeout(s.link.rtt)}) // addresses follow with the user
}

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
	ctx, held := l.ctx, l.leased
	go func() {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.Limits.SetupTimeout)
		defer cancel()
		result, leased, err := r.authenticate(ctx, ask, held)
		posted := l.worker.post(func(now time.Time) { r.verdict(s, ask, result, leased, err, now) })
		if !posted && leased.IsValid() {
			r.cfg.Pool.Release(leased)
		}
	}()
}

// authenticate is the blocking part. leased is an address that must go back to
// the pool. A session that authenticates anew keeps the one that it held.
func (r *serverRole) authenticate(ctx context.Context, req *AuthRequest, held netip.Addr) (result *AuthResult, leased netip.Addr, err error) {
	select {
	case r.auths <- struct{}{}:
		defer func() { <-r.auths }()
	case <-ctx.Done():
		return nil, netip.Addr{}, ctx.Err()
	}
	result, err = r.cfg.Authenticator.Authenticate(ctx, req)
	req.Password.Wipe()
	if err != nil {
		return nil, netip.Addr{}, err
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
	switch {
	case granted.Continue, req.Reauthentication:
	case granted.Address.IsValid():
	case held.IsValid():
		granted.Address = held
	default:
		leased, err = r.lease(ctx, PoolRequest{Session: req.Session, User: granted.User})
		granted.Address = leased
	}
	return &granted, leased, err
}

func (r *serverRole) lease(ctx context.Context, req PoolRequest) (netip.Addr, error) {
	if r.cfg.Pool == nil {
		return netip.Addr{}, ErrPoolExhausted
	}
	return r.cfg.Pool.Acquire(ctx, req)
}

// verdict takes the answer back on the session's loop.
func (r *serverRole) verdict(s *Session, req *AuthRequest, result *AuthResult, leased netip.Addr, err error, now time.Time) {
	l := &s.link
	if l.over || l.ended {
		if leased.IsValid() {
			r.cfg.Pool.Release(leased)
		}
		return
	}
	v := ppp.AuthVerdict{ID: req.ID}
	switch {
	case err != nil:
		v = authVerdict(req.ID, err)
		l.log.Info("authentication refused", "user", req.Name, "error", err)
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
func (r *serverRole) grant(s *Session, result *AuthResult, leased netip.Addr) {
	l := &s.link
	l.granted = result
	if leased.IsValid() {
		l.leased = leased
	}
	dns, nbns := r.nameServers(s)
	cfg := ipcp.Config{Local: r.cfg.LocalAddress, Peer: result.Address}
	copy(cfg.DNS[:], dns)
	copy(cfg.NBNS[:], nbns)
	l.ipcp.Configure(cfg)
	s.update(func(i *sessionInfo) { i.attributes = result.Attributes })
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

func (r *serverRole) release(s *Session) {
	if a := s.link.leased; a.IsValid() {
		r.cfg.Pool.Release(a)
	}
}
