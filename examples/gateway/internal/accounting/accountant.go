package accounting

import (
	"context"
	"sync"
	"time"

	mathrand "math/rand/v2"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/agenda"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// Options describe an Accountant.
type Options struct {
	QueueOptions // Live is the Accountant's. Without any Sinks there is no queue.
	// NAS is the name of the gateway.
	NAS string
	// Interval is that of Interims, for sessions whose grant has none; zero: there are
	// none. No session has a shorter one than MinInterval.
	Interval, MinInterval time.Duration
	// Jitter is by how many percent an interval is longer or shorter, at random.
	Jitter int
	// Checkpoint is how often the usage of all sessions goes to disk, for their Stops
	// after a crash.
	Checkpoint time.Duration
	// Patience is how long a sink that is given up may take for what waits for it.
	Patience time.Duration
}

// Accountant keeps the accounts of all sessions. Its methods are safe for concurrent use.
type Accountant struct {
	nas     string
	stop    context.CancelFunc
	running sync.WaitGroup
	wake    chan struct{}

	mu     sync.Mutex
	opts   Options
	queue  *Queue           // nil: there was no sink so far
	told   map[string]*told // the sinks that there are
	live   map[gopptp.SessionID]*account
	agenda agenda.Agenda[gopptp.SessionID] // of Interims
}

// told is a sink, and what it knows this run of the gateway by.
type told struct {
	sink Sink
	run  string
}

// account is that of a session that is up.
type account struct {
	session  *gopptp.Session
	interval time.Duration
	six      bool // its IPv6 prefix has been told of
}

// Open returns an Accountant. If there are sinks, it opens the queue, and tells them that
// the gateway is on; what a crash has left is told before that.
func Open(o Options) (*Accountant, error) {
	a := &Accountant{nas: o.NAS, wake: make(chan struct{}, 1), told: make(map[string]*told), live: make(map[gopptp.SessionID]*account)}
	c, err := a.Prepare(o)
	if err != nil {
		return nil, err
	}
	c.Take()
	ctx, cancel := context.WithCancel(context.Background())
	a.stop = cancel
	a.running.Go(func() { a.keep(ctx) })
	return a, nil
}

// Close tells that the gateway is off, once its sessions are over. Records that cannot be
// delivered until ctx ends are on disk then, and go out after the next start.
func (a *Accountant) Close(ctx context.Context) error {
	a.stop()
	a.running.Wait()
	a.mu.Lock()
	for name, t := range a.told {
		a.queue.PutFor(name, a.ofGateway(Off, t.run))
	}
	q := a.queue
	a.mu.Unlock()
	if q == nil {
		return nil
	}
	return q.Close(ctx)
}

// Stats returns the figures of the queue; zero: there is none.
func (a *Accountant) Stats() QueueStats {
	a.mu.Lock()
	q := a.queue
	a.mu.Unlock()
	if q == nil {
		return QueueStats{}
	}
	return q.Stats()
}

// HasQueue reports whether the queue is open: it is from the first sink on.
func (a *Accountant) HasQueue() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.queue != nil
}

func (a *Accountant) ofGateway(k Kind, run string) Record {
	return Record{Kind: k, Session: run, Time: time.Now(), NAS: a.nas}
}

// put takes a record in.
func (a *Accountant) put(r Record) {
	if a.queue != nil {
		a.queue.Put(r)
	}
}

// Observe follows the sessions of a sessions.Registry. It does not wait.
func (a *Accountant) Observe(e sessions.Event) {
	switch e.Kind {
	case sessions.Up:
		a.begin(e)
	case sessions.Changed:
		a.changed(e)
	case sessions.Down:
		a.end(e)
	}
}

func (a *Accountant) begin(e sessions.Event) {
	s := e.Session
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := &account{session: s, interval: a.interval(s), six: s.IPv6Prefix().IsValid()}
	a.live[s.ID()] = acc
	a.put(a.record(Start, s, e.Time))
	if acc.interval > 0 {
		a.plan(acc, time.Now())
	}
}

// interval is how often there are to be Interims of a session; zero: never.
func (a *Accountant) interval(s *gopptp.Session) time.Duration {
	if len(a.told) == 0 {
		return 0
	}
	i := a.opts.Interval
	if own := grant.Of(s).InterimInterval; own > 0 {
		i = own
	}
	if i == 0 {
		return 0
	}
	return max(i, a.opts.MinInterval)
}

// changed tells at once of an IPv6 prefix, which the session did not have at its Start.
func (a *Accountant) changed(e sessions.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	acc := a.live[e.Session.ID()]
	if acc == nil || acc.six || !e.Session.IPv6Prefix().IsValid() {
		return
	}
	acc.six = true
	a.put(a.record(Interim, e.Session, e.Time))
}

func (a *Accountant) end(e sessions.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.live[e.Session.ID()] == nil {
		return
	}
	delete(a.live, e.Session.ID())
	a.agenda.Remove(e.Session.ID())
	r := a.record(Stop, e.Session, e.Time)
	r.Cause, r.Reason = causeOf(e.Cause), e.Cause.String()
	a.put(r)
}

// record is one of a session.
func (a *Accountant) record(k Kind, s *gopptp.Session, at time.Time) Record {
	g := grant.Of(s)
	r := Record{
		Kind: k, Session: string(s.ID()), Time: at, NAS: a.nas,
		User: s.User(), Group: g.Group, Backend: g.Backend, Began: s.UpAt(),
		Local: s.LocalAddr(), Remote: s.RemoteAddr(), Serial: s.CallSerialNumber(),
		Address: s.Peer(), IPv6Prefix: s.IPv6Prefix(), InterfaceID: s.PeerIPv6(),
		Encryption: s.Encryption(), NASPort: g.NASPort, Class: g.Class,
	}
	if k != Start {
		r.Usage = usageOf(s, at)
	}
	return r
}

// usageOf is what a session has had. The times are of one process, and so have the reading
// of a clock that nobody sets.
func usageOf(s *gopptp.Session, at time.Time) Usage {
	c := s.Counters()
	return Usage{
		Duration:       max(0, at.Sub(s.UpAt())),
		ReceivedOctets: c.ReceivedOctets, ReceivedPackets: c.ReceivedPackets,
		SentOctets: c.SentOctets, SentPackets: c.SentPackets,
	}
}

// list has all sessions that are up.
func (a *Accountant) list() []Record {
	now := time.Now()
	up := a.sessions()
	records := make([]Record, len(up))
	for i, s := range up {
		records[i] = a.record(Interim, s, now)
	}
	return records
}

func (a *Accountant) sessions() []*gopptp.Session {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]*gopptp.Session, 0, len(a.live))
	for _, acc := range a.live {
		list = append(list, acc.session)
	}
	return list
}

// plan sets when the next Interim of a session is due.
func (a *Accountant) plan(acc *account, now time.Time) {
	d := acc.interval
	if spread := d * time.Duration(a.opts.Jitter) / 100; spread > 0 {
		d += mathrand.N(2*spread) - spread
	}
	a.agenda.Set(acc.session.ID(), now.Add(d))
	if next, _ := a.agenda.Next(); next.Equal(now.Add(d)) { // it is the first now
		a.signal()
	}
}

// signal has what is due be looked at again.
func (a *Accountant) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// keep has Interims told and usage noted when they are due.
func (a *Accountant) keep(ctx context.Context) {
	a.mu.Lock()
	every := a.opts.Checkpoint
	a.mu.Unlock()
	checkpoint := time.NewTicker(every)
	defer checkpoint.Stop()
	due := time.NewTimer(0)
	defer due.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-checkpoint.C:
			a.checkpoint()
		case <-a.wake:
		case <-due.C:
		}
		for a.interims(time.Now()) {
		}
		a.mu.Lock()
		if next, ok := a.agenda.Next(); ok {
			due.Reset(time.Until(next))
		}
		if every != a.opts.Checkpoint {
			every = a.opts.Checkpoint
			checkpoint.Reset(every)
		}
		a.mu.Unlock()
	}
}

// maxInterims is how many Interims are told of before sessions that begin or end have
// their turn.
const maxInterims = 64

// interims tells some of what is due, and reports whether there may be more.
func (a *Accountant) interims(now time.Time) bool {
	a.mu.Lock() // all the while, so that no Interim comes after its session's Stop
	defer a.mu.Unlock()
	for range maxInterims {
		id, ok := a.agenda.Due(now)
		if !ok {
			return false
		}
		acc := a.live[id]
		a.put(a.record(Interim, acc.session, now))
		a.plan(acc, now)
	}
	return true
}

// checkpoint notes the usage of all sessions, if anybody is to be told of it.
func (a *Accountant) checkpoint() {
	a.mu.Lock()
	q, idle := a.queue, len(a.told) == 0 || len(a.live) == 0
	a.mu.Unlock()
	if idle {
		return
	}
	up, now := a.sessions(), time.Now()
	usage := make(map[string]Usage, len(up))
	for _, s := range up {
		usage[string(s.ID())] = usageOf(s, now)
	}
	q.Checkpoint(now, usage)
}
