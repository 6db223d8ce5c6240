package gopptp

import (
	"bytes"
	"sync"
	"time"

	"github.com/gopptp/gopptp/internal/rate"
)

// maxMailbox bounds the control frames that wait for a session's loop. A peer
// that sends more is told nothing: PPP repeats what matters.
const maxMailbox = 32

// maxControlFrame bounds each of them, in octets.
const maxControlFrame = 2048

// maxTurn is how many of them a session handles before others have their turn.
const maxTurn = 8

// controlFrames is how many frames of a peer are heard: a session takes some dozens to
// come up, and one in half a minute then. Others are lost.
var controlFrames = rate.New(100, 200)

// A peer that sends more than that by floodFrames within floodTime is not worth to be
// heard at all.
const (
	floodTime   = 30 * time.Second
	floodFrames = 15_000
)

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
	bucket  rate.Bucket
	flood   *flood // nil if there were never too many frames
}

// flood counts the frames that were lost since there were too many.
type flood struct {
	since time.Time
	n     int
}

var _ IPv6Handler = (*mailbox)(nil)

// ControlFrame implements CallHandler.
func (m *mailbox) ControlFrame(frame []byte) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !controlFrames.Allow(&m.bucket, now):
		m.flooded(now)
		fallthrough
	case len(m.frames) == maxMailbox || len(frame) > maxControlFrame:
		m.dropped++
		return
	}
	m.frames = append(m.frames, bytes.Clone(frame))
	if !m.posted {
		m.posted = true
		m.session.post(m.session.receive)
	}
}

// flooded counts a frame too many.
func (m *mailbox) flooded(now time.Time) {
	f := m.flood
	if f == nil {
		f = new(flood)
		m.flood = f
	}
	if now.Sub(f.since) > floodTime {
		f.since, f.n = now, 0
	}
	if f.n++; f.n == floodFrames {
		m.session.post(func(now time.Time) { m.session.end(CauseFlood, ErrFlood, now) })
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

// take takes frames out of the mailbox, and has the session come again if there are
// more.
func (m *mailbox) take() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	frames := m.frames
	if len(frames) > maxTurn {
		m.frames = frames[maxTurn:]
		m.session.post(m.session.receive)
		return frames[:maxTurn]
	}
	m.frames, m.posted = nil, false
	return frames
}
