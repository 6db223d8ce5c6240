package loop

import (
	"runtime"
	"sync"
	"time"
)

// Loop executes functions one at a time on its own goroutine.
type Loop struct {
	mu     sync.Mutex
	queue  []func() // waiting; the loop goroutine swaps it for spare
	closed bool
	poller *poller // nil until there is something to watch
	single bool    // nothing is ever watched
	yield  func()  // nil: nobody else is thought of

	wake chan struct{} // capacity 1: something is waiting
	done chan struct{}
	born time.Time

	// Only the loop goroutine touches what follows.
	now    time.Time // when this round began
	turn   time.Time // when the loop began to have the processor for itself
	spare  []func()
	timers timerHeap
	due    []*Timer // those that fire in this round
}

// New starts a Loop. Close ends it.
func New() *Loop { return start(&Loop{}) }

// NewYielding starts a Loop that calls yield while it is busy, every 200 µs or so and
// between two functions, and then lets other goroutines run. The runtime does neither
// itself where all processors are busy: it looks for what goroutines wait for, in
// sockets, every 10 ms.
func NewYielding(yield func()) *Loop { return start(&Loop{yield: yield}) }

// NewSingle starts a Loop for one connection, which it cannot Watch: a goroutine that
// reads is less than the descriptor of what would watch it.
func NewSingle() *Loop { return start(&Loop{single: true}) }

func start(l *Loop) *Loop {
	l.wake, l.done = make(chan struct{}, 1), make(chan struct{})
	l.born = time.Now()
	l.now = l.born
	go l.run()
	return l
}

// Post queues f to run on the loop, after all that was posted before. It never
// blocks and may be called from any goroutine, the loop's own included. It
// reports false, and drops f, once the loop is closed.
//
// The queue has no bound of its own: whoever posts on behalf of a peer keeps at
// most one function of that peer outstanding.
func (l *Loop) Post(f func()) bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.queue = append(l.queue, f)
	first := len(l.queue) == 1
	l.mu.Unlock()
	if first {
		l.signal()
	}
	return true
}

// Close lets the functions already queued run, then stops the loop. Timers that
// are still set do not fire. It does not wait; Done does.
func (l *Loop) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
}

// Done is closed when the loop has stopped.
func (l *Loop) Done() <-chan struct{} { return l.done }

func (l *Loop) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Loop) run() {
	defer close(l.done)
	defer l.closePoller()
	alarm := time.NewTimer(time.Hour)
	alarm.Stop()
	var armed time.Time // what alarm is set to; zero when it is not
	for {
		l.now = time.Now()
		l.turn = l.now
		if l.runQueued() {
			return
		}
		l.fire(time.Now())

		next := l.next()
		if !next.Equal(armed) {
			if next.IsZero() {
				alarm.Stop()
			} else {
				alarm.Reset(time.Until(next))
			}
			armed = next
		}
		select {
		case <-l.wake:
		case <-alarm.C:
			armed = time.Time{}
		}
	}
}

// turnLen is how long a loop is busy before others have their turn.
const turnLen = 200 * time.Microsecond

// breathe gives others a turn when it is time.
func (l *Loop) breathe() {
	if l.yield == nil {
		return
	}
	if now := time.Now(); now.Sub(l.turn) >= turnLen {
		l.yield()
		runtime.Gosched()
		l.turn = time.Now()
	}
}

func (l *Loop) closePoller() {
	l.mu.Lock()
	p := l.poller
	l.mu.Unlock()
	if p != nil {
		p.close()
	}
}

// runQueued runs what was queued when it was called and reports whether the
// loop is to end. What those functions post waits for the next round, so that
// timers get their turn.
func (l *Loop) runQueued() (end bool) {
	l.mu.Lock()
	batch := l.queue
	l.queue = l.spare[:0]
	end = l.closed && len(batch) == 0
	more := l.closed
	l.mu.Unlock()

	for i, f := range batch {
		f()
		batch[i] = nil // or it would live until overwritten
		l.breathe()
	}
	if cap(batch) > maxSpare {
		batch = nil
	}
	l.spare = batch
	l.mu.Lock()
	more = more || len(l.queue) > 0
	l.mu.Unlock()
	if more {
		l.signal()
	}
	return end
}

// maxSpare bounds the queue memory kept after a storm, in functions.
const maxSpare = 4096
