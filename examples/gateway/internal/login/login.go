// Package login decides who may come in, in one place whatever the gateway is configured
// to ask: whether the user or its source is banned; then whoever knows the user, which is
// a local store or, for those whom these do not know, a RADIUS server; and then the policy,
// which sees what was granted.
package login

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
)

// Lookup finds a local user: nil and no error if there is none of that name.
type Lookup func(ctx context.Context, name string) (*gopptp.LocalUser, error)

// Guard keeps those out who have tried too often. Its methods do not block.
type Guard interface {
	// Check returns why nobody is asked, an *gopptp.AuthError, or nil.
	Check(user string, source netip.Addr) error
	// Failed notes a wrong name or password, Succeeded a right one.
	Failed(user string, source netip.Addr)
	Succeeded(user string, source netip.Addr)
}

// Config says who is asked. What is nil is not.
type Config struct {
	// Local are the local stores, the first of which to know a user decides.
	Local []Lookup
	// Remote decides about users whom no local store knows. Without it they are refused.
	Remote gopptp.Authenticator
	Guard  Guard
	// Admit may refuse one whose password was right, by an *gopptp.AuthError, or change
	// what is granted. One who is in already and proves itself anew is not asked for.
	Admit func(ctx context.Context, req *gopptp.AuthRequest, granted *gopptp.AuthResult) error
	// Observe is told of each decision that was asked for, for metrics; see Attempt.
	Observe func(Attempt)
}

// Attempt is one attempt to log in, or one round of it.
type Attempt struct {
	Request *gopptp.AuthRequest
	Outcome Outcome
	Remote  bool // Remote was asked
	Took    time.Duration
	Err     error // none with Accepted and Continued
}

// Outcome is how an attempt ended.
type Outcome uint8

// The outcomes.
const (
	Accepted    Outcome = iota
	Continued           // there is more to ask, as with EAP
	Refused             // wrong name or password, or a user who is disabled or whose password has expired
	NotAdmitted         // refused by policy
	Banned              // nobody was asked
	Undecided           // who was to decide could not
)

var outcomes = [...]string{"accepted", "continued", "refused", "not admitted", "banned", "undecided"}

// String is the outcome in words.
func (o Outcome) String() string { return outcomes[o] }

// New returns the gateway's gopptp.Authenticator.
func New(cfg Config) gopptp.Authenticator { return &gate{cfg} }

type gate struct{ Config }

// step is the State of an attempt that goes on. Whoever began it goes on with it.
type step struct {
	remote bool
	state  any
}

// Authenticate implements gopptp.Authenticator.
func (g *gate) Authenticate(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
	begin := time.Now()
	a := Attempt{Request: req}
	result, err := g.decide(ctx, req, &a)
	if g.Observe != nil {
		a.Took, a.Err = time.Since(begin), err
		g.Observe(a)
	}
	return result, err
}

func (g *gate) decide(ctx context.Context, req *gopptp.AuthRequest, a *Attempt) (*gopptp.AuthResult, error) {
	source := req.Remote.Addr()
	if g.Guard != nil && !req.Reauthentication {
		if err := g.Guard.Check(req.Name, source); err != nil {
			a.Outcome = Banned
			return nil, err
		}
	}
	result, err := g.ask(ctx, req, a)
	switch {
	case err != nil:
		a.Outcome = Undecided
		if refused(err) {
			a.Outcome = Refused
			if g.Guard != nil && isGuess(err) {
				g.Guard.Failed(req.Name, source)
			}
		}
		return nil, err
	case result.Continue:
		a.Outcome = Continued
		return result, nil
	}
	if g.Guard != nil {
		g.Guard.Succeeded(req.Name, source)
	}
	if g.Admit != nil && !req.Reauthentication {
		if err := g.Admit(ctx, req, result); err != nil {
			a.Outcome = Undecided
			if refused(err) {
				a.Outcome = NotAdmitted
			}
			if result.Keys != nil {
				result.Keys.Wipe()
			}
			return nil, err
		}
	}
	a.Outcome = Accepted
	return result, nil
}

// ask has the right one decide.
func (g *gate) ask(ctx context.Context, req *gopptp.AuthRequest, a *Attempt) (*gopptp.AuthResult, error) {
	last, again := req.State.(step)
	var user *gopptp.LocalUser
	if again {
		a.Remote = last.remote
	} else {
		last.state = req.State
	}
	if !a.Remote {
		var err error
		if user, err = g.lookup(ctx, req.Name); err != nil {
			return nil, err
		}
		a.Remote = !again && user == nil && g.Remote != nil
	}
	decider := g.Remote
	if !a.Remote {
		// It spends as much time on a user that there is not as on one that there is.
		decider = gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) { return user, nil })
	}
	asked := *req
	asked.State = last.state
	result, err := decider.Authenticate(ctx, &asked)
	var refusal *gopptp.AuthError
	switch {
	case errors.As(err, &refusal) && refusal.State != nil:
		next := *refusal // which may be everybody's
		next.State = step{a.Remote, refusal.State}
		return nil, &next
	case err == nil && result.State != nil:
		result.State = step{a.Remote, result.State}
	}
	return result, err
}

// lookup finds a user by its name, and then by the name without a domain. A store that
// fails is an error even if another knows the user: who decides must not depend on that.
func (g *gate) lookup(ctx context.Context, name string) (*gopptp.LocalUser, error) {
	names := []string{name}
	if domain, bare := chap.SplitDomain(name); domain != "" {
		names = append(names, bare)
	}
	for _, find := range g.Local {
		for _, name := range names {
			if user, err := find(ctx, name); err != nil || user != nil {
				return user, err
			}
		}
	}
	return nil, nil
}

// refused is true of a decision against a user, in contrast to none.
func refused(err error) bool {
	var refusal *gopptp.AuthError
	return errors.As(err, &refusal)
}

// isGuess is true of what somebody who guesses passwords is told: a right password that
// has expired, or may not be used at this hour, is none.
func isGuess(err error) bool {
	var refusal *gopptp.AuthError
	const authenticationFailure = 691
	return errors.As(err, &refusal) && (refusal.Code == 0 || refusal.Code == authenticationFailure)
}
