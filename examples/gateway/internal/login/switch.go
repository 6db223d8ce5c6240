package login

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/gopptp/gopptp"
)

// Switch is an Authenticator that another can be put in the place of while users log in
// and are in. Whoever proves itself anew is asked by the new one.
type Switch struct{ now atomic.Pointer[generation] }

// generation is an Authenticator at work.
type generation struct {
	gopptp.Authenticator
	mu      sync.Mutex
	asked   int    // rounds of attempts that are under way
	retired bool   // another has taken its place
	gone    bool   // and nobody is asking it
	close   func() // then; may be nil
}

// kept is the State of an attempt that goes on.
type kept struct {
	*generation
	state any
}

var _ gopptp.Authenticator = (*Switch)(nil)

// errChanged is no decision: one who is in stays in.
var errChanged = errors.New("login: the servers that were asked have been replaced in the middle of this")

// NewSwitch returns a Switch to a.
func NewSwitch(a gopptp.Authenticator) *Switch {
	s := new(Switch)
	s.now.Store(&generation{Authenticator: a})
	return s
}

// Set has a be asked from now on. What only the last one needs is closed by the function,
// once nobody is asking it any more. Attempts of several rounds that are between two of
// them at that time have to begin again; if there is no such function, they go on with a.
func (s *Switch) Set(a gopptp.Authenticator, closer func()) {
	s.now.Swap(&generation{Authenticator: a}).retire(closer)
}

// Authenticate implements gopptp.Authenticator.
func (s *Switch) Authenticate(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
	asked := *req
	k, again := req.State.(kept)
	g := s.enter(k.generation)
	defer g.leave()
	if again {
		if asked.State = k.state; k.generation != g && k.close != nil {
			return nil, errChanged
		}
	}
	result, err := g.Authenticator.Authenticate(ctx, &asked)
	var refusal *gopptp.AuthError
	switch {
	case errors.As(err, &refusal) && refusal.State != nil:
		next := *refusal // which may be everybody's
		next.State = kept{g, refusal.State}
		return nil, &next
	case err == nil && result.State != nil:
		result.State = kept{g, result.State}
	}
	return result, err
}

// enter returns who is to be asked: whoever has the attempt, if that is still there.
func (s *Switch) enter(last *generation) *generation {
	if last != nil && last.enter() {
		return last
	}
	for {
		if g := s.now.Load(); g.enter() {
			return g
		}
	}
}

func (g *generation) enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gone {
		return false
	}
	g.asked++
	return true
}

func (g *generation) leave() {
	g.mu.Lock()
	g.asked--
	g.unlock()
}

func (g *generation) retire(closer func()) {
	g.mu.Lock()
	g.retired, g.close = true, closer
	g.unlock()
}

// unlock unlocks g, which is gone if nobody needs it any more.
func (g *generation) unlock() {
	last := g.retired && g.asked == 0 && !g.gone
	g.gone = g.gone || last
	g.mu.Unlock()
	if last && g.close != nil {
		g.close()
	}
}
