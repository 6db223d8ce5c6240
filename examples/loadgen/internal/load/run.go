package load

import (
	"container/heap"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/loadgen/internal/report"
	"github.com/gopptp/gopptp/examples/loadgen/internal/stats"
	"github.com/gopptp/gopptp/examples/loadgen/internal/traffic"
)

// run is a run under way.
type run struct {
	o       Options
	plane   Plane
	dialer  *gopptp.Dialer
	traffic *traffic.Traffic
	began   time.Time
	dials   sync.WaitGroup // TCP connections being made

	mu       sync.Mutex
	clients  []client
	ready    []*client // to be dialled, in this order
	later    delays    // to be ready at a time
	holds    []delayed // to be hung up, the soonest first
	ups      []*client // that are up, in no order
	dialling int
	epochs   uint32
	ended    bool // nobody dials any more
	leaving  bool // sessions are hung up

	attempted, succeeded, failures, dropped, planned int
	first, lastFirst                                 time.Time // of sessions: the first dial, the last that came up for the first time
	firsts                                           int       // clients that have been up
	most                                             int
	second, bestSecond                               int // set-ups in this second, and the most
	phases                                           [phaseCount]stats.Histogram
	failedBy, droppedBy                              map[string]int
}

// delayed is a client, and when it is its turn. epoch is that of the session meant.
type delayed struct {
	at     time.Time
	client *client
	epoch  uint32
}

// delays has the soonest first.
type delays []delayed

func (h delays) Len() int           { return len(h) }
func (h delays) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h delays) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *delays) Push(x any)        { *h = append(*h, x.(delayed)) }

func (h *delays) Pop() any {
	last := len(*h) - 1
	d := (*h)[last]
	*h = (*h)[:last]
	return d
}

// Run carries a run out. ctx ends it early.
func Run(ctx context.Context, o Options) (*report.Report, error) {
	r := &run{
		o: o, traffic: traffic.New(o.Mix, o.Tunnels), began: time.Now(),
		clients: make([]client, o.Tunnels), ready: make([]*client, 0, o.Tunnels),
		failedBy: make(map[string]int), droppedBy: make(map[string]int),
	}
	var err error
	if r.plane, err = o.OpenPlane(r.traffic.Deliver); err != nil {
		return nil, err
	}
	defer r.plane.Close()
	r.dialer = gopptp.NewDialer(gopptp.DialerConfig{})
	for i := range r.clients {
		c := &r.clients[i]
		c.run, c.index = r, i
		r.ready = append(r.ready, c)
	}
	before := inUse()
	cpu := o.CPUTime()
	r.traffic.Start(r.plane)
	interrupted := r.conduct(ctx)
	r.progress(true)

	// Nothing new is sent, and what is on its way has time to come back.
	r.traffic.Quiet()
	length := time.Since(r.began)
	time.Sleep(traffic.Grace)
	rep := r.report(length)
	rep.Interrupted = interrupted
	if n := rep.Held.AtEnd; n > 0 {
		rep.Process.OctetsASession = (max(inUse(), before) - before) / uint64(n)
	}
	r.hangUp()
	rep.Process.CPUSeconds = (o.CPUTime() - cpu).Seconds()
	r.dials.Wait()
	_ = r.dialer.Close()
	r.traffic.Close()
	return rep, nil
}

// inUse is what sessions may have grown, in octets.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// tick is how often it is looked who is to dial.
const tick = 5 * time.Millisecond

// conduct has clients dial and hang up until the time is over. It reports whether ctx
// ended it.
func (r *run) conduct(ctx context.Context) (interrupted bool) {
	dialling, cancel := context.WithCancel(ctx)
	defer cancel()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	end := time.NewTimer(r.o.Duration)
	defer end.Stop()
	var dials, churns float64
	last, told := r.began, r.began
	for done := false; !done; {
		select {
		case <-ctx.Done():
			interrupted, done = true, true
			continue
		case <-end.C:
			done = true
			continue
		case <-ticker.C:
		}
		now := time.Now()
		passed := now.Sub(last).Seconds()
		last = now
		rate := r.o.Rate
		if at := now.Sub(r.began); at < r.o.Ramp {
			rate *= at.Seconds() / r.o.Ramp.Seconds()
		}
		// What a pause of this machine has missed is made good for a tenth of a second.
		dials = min(dials+rate*passed, max(rate/10, 1))
		r.mu.Lock()
		churns += r.o.Churn * float64(len(r.ups)) * passed
		for ; churns >= 1; churns-- {
			if len(r.ups) > 0 {
				r.hang(r.ups[rand.IntN(len(r.ups))])
			}
		}
		for len(r.holds) > 0 && !r.holds[0].at.After(now) {
			if d := r.holds[0]; d.client.state == up && d.client.epoch == d.epoch {
				r.hang(d.client)
			}
			r.holds = r.holds[1:]
		}
		for len(r.later) > 0 && !r.later[0].at.After(now) {
			r.ready = append(r.ready, heap.Pop(&r.later).(delayed).client)
		}
		for dials >= 1 && len(r.ready) > 0 && r.dialling < r.o.MaxDialling {
			dials--
			c := r.ready[0]
			r.ready = r.ready[1:]
			r.begin(dialling, c, now)
		}
		r.mu.Unlock()
		if now.Sub(told) >= time.Second {
			told = now
			r.progress(false)
		}
	}
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	return interrupted
}

// begin has c dial.
func (r *run) begin(ctx context.Context, c *client, now time.Time) {
	r.epochs++
	r.attempted++
	r.dialling++
	if r.first.IsZero() {
		r.first = now
	}
	c.state, c.epoch, c.planned, c.session = dialling, r.epochs, false, nil
	c.began, c.connected = now, time.Time{}
	clear(c.entered[:])
	for i := range c.opened {
		o := &c.opened[i]
		o.sent.Store(0)
		o.received.Store(0)
		o.at.Store(0)
	}
	r.dials.Go(func() { c.dial(ctx) })
}

// hang ends a session that is up, which is dialled again.
func (r *run) hang(c *client) {
	r.noLongerUp(c)
	c.state, c.planned = ending, true
	r.planned++
	_ = c.session.Close()
}

func (r *run) cameUp(c *client, e gopptp.SessionEvent) {
	r.dialling--
	c.state, c.failures = up, 0
	r.succeeded++
	r.second++
	if !c.everUp {
		c.everUp = true
		r.firsts++
		r.lastFirst = e.Time
	}
	c.place = len(r.ups)
	r.ups = append(r.ups, c)
	r.most = max(r.most, len(r.ups))
	c.phases(func(phase int, d time.Duration) { r.phases[phase].Add(d) })
	if r.o.Hold > 0 {
		r.holds = append(r.holds, delayed{e.Time.Add(r.o.Hold), c, c.epoch})
	}
	s := e.Session
	r.traffic.Up(c.index, c.epoch, s.Local(), s.Peer(), s.MTU())
}

// noLongerUp takes c out of those that are.
func (r *run) noLongerUp(c *client) {
	last := r.ups[len(r.ups)-1]
	r.ups[c.place] = last
	last.place = c.place
	r.ups = r.ups[:len(r.ups)-1]
	r.traffic.Down(c.index)
}

// closed follows the end of c's session.
func (r *run) closed(c *client, e gopptp.SessionEvent) {
	c.session = nil
	switch {
	case r.ended && c.state == dialling:
		r.dialling--
		c.state = over
		return
	case c.state == dialling:
		r.fail(c, cause(e.Err))
		return
	case c.state == up:
		r.noLongerUp(c)
		if r.leaving {
			c.state = over
			return
		}
		why := "closed by the peer"
		if e.Err != nil {
			why = cause(e.Err)
		}
		r.dropped++
		count(r.droppedBy, why)
		c.failures = 1
		r.again(c, backoff(r.o.Backoff, r.o.MaxBackoff, 1))
	case c.planned:
		r.again(c, 0)
	}
}

// failed is fail of a client that has no session.
func (r *run) failed(c *client, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		r.dialling--
		c.state = over
		return
	}
	r.fail(c, why)
}

func (r *run) fail(c *client, why string) {
	r.dialling--
	r.failures++
	count(r.failedBy, why)
	c.failures++
	r.again(c, backoff(r.o.Backoff, r.o.MaxBackoff, c.failures))
}

// again has c dial once more, if it is to.
func (r *run) again(c *client, after time.Duration) {
	switch {
	case r.ended || !c.planned && !r.o.Redial:
		c.state = over
	case after == 0:
		c.state = waiting
		r.ready = append(r.ready, c)
	default:
		c.state = waiting
		heap.Push(&r.later, delayed{time.Now().Add(after), c, c.epoch})
	}
}

// maxCauses bounds how many are told apart.
const maxCauses = 64

func count(by map[string]int, why string) {
	if _, known := by[why]; !known && len(by) >= maxCauses {
		why = "other"
	}
	by[why]++
}

// hangUp ends all sessions, a little faster than they came.
func (r *run) hangUp() {
	r.mu.Lock()
	r.leaving = true
	sessions := make([]*gopptp.Session, 0, len(r.ups))
	for _, c := range r.ups {
		sessions = append(sessions, c.session)
	}
	r.mu.Unlock()
	// At most ten seconds.
	rate := max(2*r.o.Rate, float64(len(sessions))/10)
	began := time.Now()
	for i := 0; i < len(sessions); time.Sleep(tick) {
		for due := int(time.Since(began).Seconds()*rate) + 1; i < min(due, len(sessions)); i++ {
			_ = sessions[i].Close()
		}
	}
}

// progress prints a line; last is of the one after all others.
func (r *run) progress(last bool) {
	r.mu.Lock()
	r.bestSecond = max(r.bestSecond, r.second)
	second := r.second
	r.second = 0
	text := fmt.Sprintf("%4.0fs  up %d of %d  dialling %d  %d set-ups/s  p99 %v  failed %d  dropped %d",
		time.Since(r.began).Seconds(), len(r.ups), r.o.Tunnels, r.dialling, second,
		r.phases[phaseTotal].Quantile(0.99).Round(100*time.Microsecond), r.failures, r.dropped)
	r.mu.Unlock()
	if r.o.Progress == nil {
		return
	}
	if r.o.Mix.Total() > r.o.Mix.Share[traffic.Idle] {
		kinds, odd := r.traffic.Sum()
		var sent, lost uint64
		for _, k := range kinds {
			sent += k.Sent
			lost += k.Lost
		}
		text += fmt.Sprintf("  sent %d  lost %d  damaged %d", sent, lost, odd.Damaged)
	}
	if !r.o.Rewrite {
		if !last { // it was said just before
			fmt.Fprintln(r.o.Progress, text)
		}
		return
	}
	const width = 118
	text += strings.Repeat(" ", max(width-len(text), 0))
	fmt.Fprint(r.o.Progress, "\r", text)
	if last {
		fmt.Fprintln(r.o.Progress)
	}
}

// report sums up. Sessions are still up.
func (r *run) report(length time.Duration) *report.Report {
	kinds, odd := r.traffic.Sum()
	r.mu.Lock()
	defer r.mu.Unlock()
	rep := &report.Report{
		Target: r.o.Target.String(), Tunnels: r.o.Tunnels, Rate: r.o.Rate, Seconds: length.Seconds(),
		Setups: report.Setups{
			Attempted: r.attempted, Succeeded: r.succeeded, Failed: r.failures, Unended: r.attempted - r.succeeded - r.failures,
			Planned: r.planned, BestSecond: r.bestSecond,
		},
		Failures: r.failedBy, Drops: r.droppedBy,
		Held:    report.Held{Most: r.most, AtEnd: len(r.ups)},
		Traffic: report.TrafficOf(kinds, r.traffic.RTT, length),
		Odd:     report.Odd(odd),
		Process: report.Process{SenderBehind: float64(r.traffic.Slipped().Microseconds()) / 1000, Dropped: r.plane.Dropped()},
	}
	if span := r.lastFirst.Sub(r.first).Seconds(); span > 0 {
		rep.Setups.PerSecond = float64(r.firsts) / span
	}
	for i := range r.phases {
		if h := &r.phases[i]; h.Count() > 0 {
			rep.Phases = append(rep.Phases, report.Phase{Name: phaseNames[i], Times: report.TimesOf(h)})
		}
	}
	return rep
}
