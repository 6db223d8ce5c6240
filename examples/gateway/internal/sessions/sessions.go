// Package sessions knows the live sessions of the gateway by what an operator knows
// them by, and tells of their beginning and their end, each once, to all who care: the
// log, accounting, metrics, the administration.
package sessions

import (
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
)

// Kind is what has happened to a session.
type Kind uint8

// The kinds. Each session has either one Failed, or one Up, any number of Changed, and
// one Down, in this order.
const (
	Up      Kind = iota // users' packets flow
	Changed             // it is up again after a negotiation, or has other IPv6 addresses
	Down                // it was up, and has ended
	Failed              // it has ended without ever having been up
)

var kinds = [...]string{"up", "changed", "down", "failed"}

// String is the kind in one word.
func (k Kind) String() string { return kinds[k] }

// Event is one of them.
type Event struct {
	Kind    Kind
	Session *gopptp.Session
	Time    time.Time
	// Cause is why it has ended, and Err what was said of it, with Down and Failed;
	// Stage is how far it had come, with Failed. Err may be nil where the end was
	// asked for here.
	Cause gopptp.Cause
	Stage gopptp.State
	Err   error
}

// Registry is the gopptp.Observer of the server. Its methods are safe for concurrent
// use.
type Registry struct {
	mu       sync.RWMutex
	up       map[gopptp.SessionID]entry
	byUser   map[string][]*gopptp.Session
	bySource map[netip.Addr][]*gopptp.Session
	byAddr   map[netip.Addr]*gopptp.Session

	watchers []func(Event) // never changed once there are sessions
}

// entry is a session with what it is found by: the user may be another, and so may the
// address, once the link has been negotiated anew.
type entry struct {
	session *gopptp.Session
	user    string
	address netip.Addr
}

// New returns an empty registry.
func New() *Registry {
	return &Registry{
		up:       make(map[gopptp.SessionID]entry),
		byUser:   make(map[string][]*gopptp.Session),
		bySource: make(map[netip.Addr][]*gopptp.Session),
		byAddr:   make(map[netip.Addr]*gopptp.Session),
	}
}

// Watch has f told of every event, in order, on the one goroutine that tells all of
// them: f returns promptly. It must be called before the server serves.
func (r *Registry) Watch(f func(Event)) { r.watchers = append(r.watchers, f) }

// SessionEvent implements gopptp.Observer.
func (r *Registry) SessionEvent(e gopptp.SessionEvent) {
	switch e.State {
	case gopptp.StateUp:
		kind := Changed
		if r.add(e.Session) {
			kind = Up
		}
		r.tell(Event{Kind: kind, Session: e.Session, Time: e.Time})
	case gopptp.StateClosed:
		kind := Failed
		if r.remove(e.Session) {
			kind = Down
		}
		cause, stage := endOf(e.Err)
		r.tell(Event{Kind: kind, Session: e.Session, Time: e.Time, Cause: cause, Stage: stage, Err: e.Err})
	}
}

func (r *Registry) tell(e Event) {
	for _, w := range r.watchers {
		w(e)
	}
}

// endOf says why a session ended, and how far it had come.
func endOf(err error) (gopptp.Cause, gopptp.State) {
	var end *gopptp.SessionError
	if errors.As(err, &end) {
		return end.Cause, end.Stage
	}
	return gopptp.CauseLocal, gopptp.StateUp // there is no error then
}

// add reports whether the session was not there.
func (r *Registry) add(s *gopptp.Session) bool {
	now := entry{s, s.User(), s.Peer()}
	r.mu.Lock()
	defer r.mu.Unlock()
	last, again := r.up[s.ID()]
	if again {
		r.forget(last)
	}
	r.up[s.ID()] = now
	put(r.byUser, now.user, s)
	put(r.bySource, s.RemoteAddr().Addr(), s)
	r.byAddr[now.address] = s
	return !again
}

// remove reports whether the session was there.
func (r *Registry) remove(s *gopptp.Session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, there := r.up[s.ID()]
	if there {
		r.forget(last)
	}
	return there
}

// forget takes a session out as it was put in. mu is held.
func (r *Registry) forget(e entry) {
	s := e.session
	delete(r.up, s.ID())
	take(r.byUser, e.user, s)
	take(r.bySource, s.RemoteAddr().Addr(), s)
	if r.byAddr[e.address] == s { // and not a later one that has the address now
		delete(r.byAddr, e.address)
	}
}

func put[K comparable](m map[K][]*gopptp.Session, key K, s *gopptp.Session) {
	m[key] = append(m[key], s)
}

func take[K comparable](m map[K][]*gopptp.Session, key K, s *gopptp.Session) {
	list := m[key]
	if len(list) == 1 {
		delete(m, key)
		return
	}
	i, last := slices.Index(list, s), len(list)-1
	list[i], list[last] = list[last], nil
	m[key] = list[:last]
}

// Get finds a session that is up by its ID; nil if there is none.
func (r *Registry) Get(id gopptp.SessionID) *gopptp.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.up[id].session
}

// Len is how many sessions are up.
func (r *Registry) Len() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.up)
}

// All returns the sessions that are up, in no order.
func (r *Registry) All() []*gopptp.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list := make([]*gopptp.Session, 0, len(r.up))
	for _, e := range r.up {
		list = append(list, e.session)
	}
	return list
}

// ByUser returns the sessions of a user that are up, in no order.
func (r *Registry) ByUser(user string) []*gopptp.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.byUser[user])
}

// BySource returns the sessions that are up from a source address, in no order.
func (r *Registry) BySource(source netip.Addr) []*gopptp.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.bySource[source])
}

// HasSource reports whether a session is up from a source address.
func (r *Registry) HasSource(source netip.Addr) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.bySource[source]) > 0
}

// ByAddress finds the session whose peer has the address in the tunnel; nil if none has.
func (r *Registry) ByAddress(addr netip.Addr) *gopptp.Session {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byAddr[addr]
}
