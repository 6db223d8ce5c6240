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
// which they came, newcomers before those who are in: these may be very many, when their
// Authenticator fails, and lose nothing by waiting.
type authGate struct {
	mu        sync.Mutex
	limit     int
	running   int
	newcomers list.List // of chan struct{}, which is closed when the turn has come
	members   list.List // those who are in, and prove themselves anew
}

// enter waits for a place, which leave gives back. Those who are in have all the time.
func (g *authGate) enter(ctx context.Context, again bool, limits *Limits) error {
	waiting, most := &g.newcomers, limits.MaxAuthWaiting
	if again {
		waiting, most = &g.members, math.MaxInt
	}
	g.mu.Lock()
	switch {
	case g.running < g.limit:
		g.running++
		g.mu.Unlock()
		return nil
	case waiting.Len() >= most:
		g.mu.Unlock()
		return errAuthQueue
	}
	turn := make(chan struct{})
	place := waiting.PushBack(turn)
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
		waiting.Remove(place)
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
	for _, waiting := range []*list.List{&g.newcomers, &g.members} {
		for g.running < g.limit && waiting.Len() > 0 {
			g.running++
			close(waiting.Remove(waiting.Front()).(chan struct{}))
		}
	}
}

func (g *authGate) setLimit(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = n
	g.admit()
}

// figures returns how many have a place, and how many newcomers and others wait.
func (g *authGate) figures() (running, newcomers, members int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.running, g.newcomers.Len(), g.members.Len()
}
