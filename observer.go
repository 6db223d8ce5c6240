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
	Err     error // with StateClosed: Session.Err
}

// dispatcher carries events to an Observer on a goroutine that exists only
// while there are any.
type dispatcher struct {
	observer Observer

	mu      sync.Mutex
	queue   []SessionEvent
	running bool
	idle    *sync.Cond
}

func newDispatcher(o Observer) *dispatcher {
	d := &dispatcher{observer: o}
	d.idle = sync.NewCond(&d.mu)
	return d
}

func (d *dispatcher) send(e SessionEvent) {
	if d.observer == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.queue = append(d.queue, e)
	if !d.running {
		d.running = true
		go d.run()
	}
}

func (d *dispatcher) run() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.queue) > 0 {
		batch := d.queue
		d.queue = nil
		d.mu.Unlock()
		for _, e := range batch {
			d.observer.SessionEvent(e)
		}
		d.mu.Lock()
	}
	d.running = false
	d.idle.Broadcast()
}

// flush waits until all events have been seen.
func (d *dispatcher) flush() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for d.running {
		d.idle.Wait()
	}
}
