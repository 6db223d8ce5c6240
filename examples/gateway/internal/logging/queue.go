package logging

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"
)

// record is a record as a sink takes it.
type record struct {
	level slog.Level
	text  []byte
}

// errTooLarge is of a record that a sink can never take.
var errTooLarge = errors.New("a record is too large")

// sink is where records go. A record that it does not take comes again, but for errTooLarge.
type sink interface {
	write(r record) error
	close()
}

const (
	queued     = 4096 // records that wait, of some hundred octets each
	minRetry   = 100 * time.Millisecond
	maxRetry   = 10 * time.Second
	closeLimit = 2 * time.Second
	sayAgain   = time.Minute
)

// queue keeps records for a sink that may be slow, or gone for a while.
type queue struct {
	name    string
	sink    sink
	stderr  io.Writer
	records chan record
	dropped atomic.Uint64
	closing chan struct{}
	closed  chan struct{}
	said    time.Time // that the sink takes nothing
}

func newQueue(name string, s sink, stderr io.Writer) *queue {
	q := &queue{
		name: name, sink: s, stderr: stderr,
		records: make(chan record, queued), closing: make(chan struct{}), closed: make(chan struct{}),
	}
	go q.run()
	return q
}

// put never waits.
func (q *queue) put(r record) {
	select {
	case q.records <- r:
	default:
		q.dropped.Add(1)
	}
}

func (q *queue) run() {
	defer close(q.closed)
	defer q.sink.close()
	for {
		select {
		case r := <-q.records:
			q.write(r)
		case <-q.closing:
			for {
				select {
				case r := <-q.records:
					q.write(r)
				default:
					return
				}
			}
		}
	}
}

// write has the sink take a record, however long that takes; once the queue is being
// closed, it is tried once.
func (q *queue) write(r record) {
	for wait := minRetry; ; wait = min(2*wait, maxRetry) {
		err := q.sink.write(r)
		if err == nil {
			return
		}
		if err == errTooLarge {
			q.dropped.Add(1)
			return
		}
		if time.Since(q.said) > sayAgain {
			q.said = time.Now()
			fmt.Fprintf(q.stderr, "%s takes no records: %v\n", q.name, err)
		}
		select {
		case <-time.After(wait):
		case <-q.closing:
			q.dropped.Add(1)
			return
		}
	}
}

func (q *queue) close() {
	close(q.closing)
	select {
	case <-q.closed:
	case <-time.After(closeLimit):
	}
}
