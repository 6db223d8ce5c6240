package accounting

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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
	QueueOptions // Live is the Accountant's
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
}

// Accountant keeps the accounts of all sessions. Its methods are safe for concurrent use.
type Accountant struct {
	opts  Options
	queue *Queue
	run   string // names this run of the gateway

	stop    context.CancelFunc
	running sync.WaitGroup
	wake    chan struct{}

	mu     sync.Mutex
	live   map[gopptp.SessionID]*account
	agenda agenda.Agenda[gopptp.SessionID] // of Interims
}

// account is that of a session that is up.
type account struct {
	session  *gopptp.Session
	interval time.Duration
	six      bool // its IPv6 prefix has been told of
}

// Open opens the queue and tells that the gateway is on. What a crash has left is told
// before that.
func Open(o Options) (*Accountant, error) {
	var id [8]byte
	rand.Read(id[:])
	a := &Accountant{opts: o, run: hex.EncodeToString(id[:]), wake: make(chan struct{}, 1), live: make(map[gopptp.SessionID]*account)}
	o.QueueOptions.Live = a.list
	var err error
	if a.queue, err = OpenQueue(o.QueueOptions); err != nil {
		return nil, err
	}
	a.queue.Put(a.ofGateway(On))
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
	a.queue.Put(a.ofGateway(Off))
	return a.queue.Close(ctx)
}

// Stats returns the figures of the queue.
func (a *Accountant) Stats() QueueStats { return a.queue.Stats() }

func (a *Accountant) ofGateway(k Kind) Record {
	return Record{Kind: k, Session: a.run, Time: time.Now(), NAS: a.opts.NAS}
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
	acc := &account{session: s, interval: a.opts.Interval, six: s.IPv6Prefix().IsValid()}
	if i := grant.Of(s).InterimInterval; i > 0 {
		acc.interval = i
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.live[s.ID()] = acc
	a.queue.Put(a.record(Start, s, e.Time))
	if acc.interval > 0 {
		acc.interval = max(acc.interval, a.opts.MinInterval)
		a.plan(acc, time.Now())
	}
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
	a.queue.Put(a.record(Interim, e.Session, e.Time))
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
	a.queue.Put(r)
}

// record is one of a session.
func (a *Accountant) record(k Kind, s *gopptp.Session, at time.Time) Record {
	g := grant.Of(s)
	r := Record{
		Kind: k, Session: string(s.ID()), Time: at, NAS: a.opts.NAS,
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
		select {
		case a.wake <- struct{}{}:
		default:
		}
	}
}

// keep has Interims told and usage noted when they are due.
func (a *Accountant) keep(ctx context.Context) {
	checkpoint := time.NewTicker(a.opts.Checkpoint)
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
		a.queue.Put(a.record(Interim, acc.session, now))
		a.plan(acc, now)
	}
	return true
}

// checkpoint notes the usage of all sessions.
func (a *Accountant) checkpoint() {
	up := a.sessions()
	if len(up) == 0 {
		return
	}
	now := time.Now()
	usage := make(map[string]Usage, len(up))
	for _, s := range up {
		usage[string(s.ID())] = usageOf(s, now)
	}
	a.queue.Checkpoint(now, usage)
}
