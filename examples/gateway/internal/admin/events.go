package admin

import (
	"net/netip"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// The kinds of events that are not of one session.
const (
	EventDrain   = "drain"
	EventUndrain = "undrain"
	EventReload  = "reload"
	EventBan     = "ban"
	EventUnban   = "unban"
	EventLost    = "lost" // Lost events are missing before this one: whoever reads was too slow
)

// Event is what GET /api/v1/events has a line of. Kind is that of a sessions.Event, with
// what is known of the session, or one of the above.
type Event struct {
	Kind    string           `json:"kind"`
	Time    time.Time        `json:"time"`
	Session gopptp.SessionID `json:"session,omitempty"`
	User    string           `json:"user,omitempty"`
	Source  *netip.AddrPort  `json:"source,omitempty"`
	Address *netip.Addr      `json:"address,omitempty"`
	// With down and failed: why it ended.
	Cause string `json:"cause,omitempty"`
	Stage string `json:"stage,omitempty"`
	Error string `json:"error,omitempty"`
	// With down.
	Uptime         float64 `json:"uptime_seconds,omitempty"`
	ReceivedOctets uint64  `json:"received_octets,omitempty"`
	SentOctets     uint64  `json:"sent_octets,omitempty"`
	// With ban and unban: the source, an address or a network, if it is of one.
	Network string     `json:"network,omitempty"`
	Until   *time.Time `json:"until,omitempty"`

	Text string `json:"text,omitempty"`
	Lost int    `json:"lost,omitempty"`
}

// BanEvent says that a ban begins, and why, or by whom.
func BanEvent(b Ban, why string) Event {
	until := b.Until.Round(0)
	return Event{Kind: EventBan, User: b.User, Network: networkText(b.Source), Until: &until, Text: why}
}

const (
	// eventBuffer is how many events wait for one subscriber.
	eventBuffer = 1024
	// maxSubscribers bounds the memory of them all.
	maxSubscribers = 32
)

// Events tells subscribers what happens. It never waits for one of them. The zero value is
// ready for use.
type Events struct {
	mu          sync.Mutex
	subscribers map[*subscriber]struct{}
}

// subscriber has the events that it has not read yet.
type subscriber struct {
	user string // only those of this user; empty: all
	more chan struct{}

	mu      sync.Mutex
	waiting []Event
	lost    int
}

// SessionEvent is for sessions.Registry.Watch.
func (h *Events) SessionEvent(e sessions.Event) {
	if h.empty() {
		return
	}
	s := e.Session
	v := Event{Kind: e.Kind.String(), Time: e.Time.Round(0), Session: s.ID(), User: s.User()}
	if source := s.RemoteAddr(); source.IsValid() {
		v.Source = &source
	}
	if addr := s.Peer(); addr.IsValid() {
		v.Address = &addr
	}
	switch e.Kind {
	case sessions.Down:
		c := s.Counters()
		v.ReceivedOctets, v.SentOctets = c.ReceivedOctets, c.SentOctets
		v.Uptime = seconds(e.Time.Sub(s.UpAt()))
		v.Cause = e.Cause.String()
	case sessions.Failed:
		v.Cause, v.Stage = e.Cause.String(), e.Stage.String()
	}
	if e.Err != nil {
		v.Error = e.Err.Error()
	}
	h.Publish(v)
}

// Publish tells of an event. Its time is now, if it has none.
func (h *Events) Publish(e Event) {
	if e.Time.IsZero() {
		e.Time = time.Now().Round(0)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range h.subscribers {
		s.put(e)
	}
}

func (h *Events) empty() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.subscribers) == 0
}

// subscribe returns nil if there are too many.
func (h *Events) subscribe(user string) *subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subscribers) >= maxSubscribers {
		return nil
	}
	if h.subscribers == nil {
		h.subscribers = make(map[*subscriber]struct{})
	}
	s := &subscriber{user: user, more: make(chan struct{}, 1)}
	h.subscribers[s] = struct{}{}
	return s
}

func (h *Events) unsubscribe(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subscribers, s)
}

func (s *subscriber) put(e Event) {
	if s.user != "" && s.user != e.User {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) >= eventBuffer {
		s.lost++
		return
	}
	if s.lost > 0 { // is told of where they are missing
		s.waiting = append(s.waiting, Event{Kind: EventLost, Time: e.Time, Lost: s.lost})
		s.lost = 0
	}
	s.waiting = append(s.waiting, e)
	select {
	case s.more <- struct{}{}:
	default: // it has been told
	}
}

func (s *subscriber) take() []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.waiting
	s.waiting = nil
	if s.lost > 0 {
		list = append(list, Event{Kind: EventLost, Time: time.Now().Round(0), Lost: s.lost})
		s.lost = 0
	}
	return list
}
