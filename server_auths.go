package gopptp

import (
	"container/list"
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

var (
	errAuthQueue = fmt.Errorf("%w: too many authentications wait", ErrLimit)
	errAuthWait  = fmt.Errorf("%w: the authentication has waited too long", ErrLimit)
)

// authGate bounds the calls of the Authenticator under way. Others wait in the order in
// which they came.
type authGate struct {
	mu      sync.Mutex
	limit   int
	running int
	waiting list.List // of chan struct{}, which is closed when the turn has come
}

// enter waits for a place, which leave gives back. Those who are in, and prove themselves
// anew, have all the time.
func (g *authGate) enter(ctx context.Context, again bool, limits *Limits) error {
	most := limits.MaxAuthWaiting
	if again {
		most = math.MaxInt
	}
	g.mu.Lock()
	switch {
	case g.running < g.limit:
		g.running++
		g.mu.Unlock()
		return nil
	case g.waiting.Len() >= most:
		g.mu.Unlock()
		return errAuthQueue
	}
	turn := make(chan struct{})
	place := g.waiting.PushBack(turn)
	g.mu.Unlock()

	var late <-chan time.Time
	if !again {
		timer := time.NewTimer(limits.AuthWait)
		defer timer.Stop()
		late = timer.C
	}
	var err error
	select {
	case <-turn:
		return nil
	case <-late:
		err = errAuthWait
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // it came in this moment
		return nil
	default:
		g.waiting.Remove(place)
		return err
	}
}

func (g *authGate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running--
	g.admit()
}

// admit gives places that are free to those who wait. mu is held.
func (g *authGate) admit() {
	for g.running < g.limit && g.waiting.Len() > 0 {
		g.running++
		close(g.waiting.Remove(g.waiting.Front()).(chan struct{}))
	}
}

func (g *authGate) setLimit(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = n
	g.admit()
}

// figures returns how many have a place, and how many wait.
func (g *authGate) figures() (running, waiting int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, g.waiting.Len()
}
