package gopptp

import (
	"sync"
	"time"
)

// Observer follows sessions, for logs and accounting. SessionEvent is called
// from one goroutine, in order; a slow Observer delays later events, never a
// session.
type Observer interface {
	SessionEvent(e SessionEvent)
}

// ObserverFunc makes a function an Observer.
type ObserverFunc func(e SessionEvent)

// SessionEvent implements Observer.
func (f ObserverFunc) SessionEvent(e SessionEvent) { f(e) }

// SessionEvent says that a session has entered a state. With StateUp, user and
// addresses are settled; with StateClosed, the counters are final. StateUp comes
// again, after the time of Session.UpAt, when the session is up once more after a
// negotiation, or its IPv6 addresses have changed.
type SessionEvent struct {
	Session *Session
	State   State
	Time    time.Time
	Again   bool  // with StateUp: the session has been up before
	Err     error // with StateClosed: Session.Err
}

// dispatcher carries the events of sessions to their Observer.
type dispatcher struct {
	observer Observer // nil if nobody cares
	queue    *eventQueue
}

func (d *dispatcher) send(e SessionEvent) {
	if d.observer != nil {
		d.queue.send(observed{d.observer, e})
	}
}

// observed is an event on its way to an Observer.
type observed struct {
	observer Observer
	event    SessionEvent
}

// eventQueue has events seen on a goroutine that exists only while there are any.
type eventQueue struct {
	mu      sync.Mutex
	waiting []observed
	running bool
	idle    *sync.Cond
}

func newEventQueue() *eventQueue {
	q := new(eventQueue)
	q.idle = sync.NewCond(&q.mu)
	return q
}

func (q *eventQueue) send(o observed) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, o)
	if !q.running {
		q.running = true
		go q.run()
	}
}

func (q *eventQueue) run() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) > 0 {
		batch := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		for _, o := range batch {
			o.observer.SessionEvent(o.event)
		}
		q.mu.Lock()
	}
	q.running = false
	q.idle.Broadcast()
}

// flush waits until all events have been seen.
func (q *eventQueue) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.running {
		q.idle.Wait()
	}
}
