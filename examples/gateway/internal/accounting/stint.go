package accounting

import (
	"context"
	"io"
	"time"
)

// stint is the time for which a line has one sink. A line has one at a time: another
// begins to send when the last one has ended.
type stint struct {
	sink    Sink
	context context.Context
	cancel  context.CancelFunc
	hurry   chan struct{} // closed when it is no time to rest any more; Queue.mu protects that
	done    chan struct{} // closed when the sink is closed
}

// begin has a sink take the place of the one that there is, if there is any.
func (l *line) begin(sink Sink) {
	s, last := &stint{sink: sink, hurry: make(chan struct{}), done: make(chan struct{})}, l.stint
	s.context, s.cancel = context.WithCancel(l.q.context)
	if last != nil {
		l.hurry()
		if l.down { // what it sends now is in vain, most likely
			last.cancel()
		}
	}
	l.on, l.stint = true, s
	l.q.sending.Go(func() {
		defer close(s.done)
		defer s.cancel()
		if last != nil {
			<-last.done
		}
		l.run(s)
		closeSink(sink)
		l.over(s)
	})
}

// end has the line take in nothing more, and the stint end soon.
func (l *line) end(patience time.Duration) {
	l.on = false
	l.hurry()
	time.AfterFunc(patience, l.stint.cancel)
}

// hurry has the goroutine of the line look again at what it is to do.
func (l *line) hurry() {
	if s := l.stint; s != nil {
		select {
		case <-s.hurry:
		default:
			close(s.hurry)
		}
	}
	l.signal()
}

// isOf reports whether the stint goes on.
func (l *line) isOf(s *stint) bool {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	return l.stint == s && s.context.Err() == nil
}

// over says what a sink that is given up has left.
func (l *line) over(s *stint) {
	l.q.mu.Lock()
	defer l.q.mu.Unlock()
	if l.stint == s && !l.on && !l.q.closing && l.count > 0 {
		l.q.log.Warn("accounting: these records wait on disk until their sink is configured again", "sink", l.name, "records", l.count)
	}
}

// rest waits after a Send that got nowhere. It reports false if the time for that was cut
// short: the next one may be the last.
func (s *stint) rest(d time.Duration) bool {
	hurry := s.hurry
	select {
	case <-hurry:
		hurry = nil // it has been already
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-hurry:
	case <-s.context.Done():
	}
	return false
}

// closeSink closes a sink that nothing goes to any more.
func closeSink(s Sink) {
	if c, ok := s.(io.Closer); ok {
		c.Close()
	}
}
