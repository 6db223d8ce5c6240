package gopptp

import (
	"bytes"
	"sync"
	"time"
)

// maxMailbox bounds the control frames that wait for a session's loop. A peer
// that sends more is told nothing: PPP repeats what matters.
const maxMailbox = 32

// maxControlFrame bounds each of them, in octets.
const maxControlFrame = 2048

// mailbox is the CallHandler of a session: what the data plane says, from
// whatever goroutine, waits here for the session's loop.
type mailbox struct {
	session *Session

	mu      sync.Mutex
	frames  [][]byte
	posted  bool                 // the loop has been told
	reset   bool                 // and of a reset that is needed
	router  *RouterAdvertisement // the last one, which the loop has not seen
	dropped uint64
}

var _ IPv6Handler = (*mailbox)(nil)

// ControlFrame implements CallHandler.
func (m *mailbox) ControlFrame(frame []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.frames) == maxMailbox || len(frame) > maxControlFrame {
		m.dropped++
		return
	}
	m.frames = append(m.frames, bytes.Clone(frame))
	if !m.posted {
		m.posted = true
		m.session.post(m.session.receive)
	}
}

// Attached implements CallHandler.
func (m *mailbox) Attached(err error) {
	m.session.post(func(now time.Time) { m.session.attached(err, now) })
}

// ResetNeeded implements CallHandler.
func (m *mailbox) ResetNeeded() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.reset {
		m.reset = true
		m.session.post(m.resetNeeded)
	}
}

func (m *mailbox) resetNeeded(now time.Time) {
	m.mu.Lock()
	m.reset = false
	m.mu.Unlock()
	m.session.requestReset(now)
}

// RouterAdvertised implements IPv6Handler.
func (m *mailbox) RouterAdvertised(a RouterAdvertisement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	posted := m.router != nil
	m.router = &a
	if !posted {
		m.session.post(m.routerAdvertised)
	}
}

func (m *mailbox) routerAdvertised(now time.Time) {
	m.mu.Lock()
	a := *m.router
	m.router = nil
	m.mu.Unlock()
	m.session.routerAdvertised(a, now)
}

// Failed implements CallHandler.
func (m *mailbox) Failed(err error) {
	m.session.post(func(now time.Time) { m.session.end(CauseDataplane, err, now) })
}

// take empties the mailbox.
func (m *mailbox) take() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	frames := m.frames
	m.frames, m.posted = nil, false
	return frames
}
