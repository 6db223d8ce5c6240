package accounting

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"time"

	mathrand "math/rand/v2"
)

// Change is what an Accountant is about to go by instead: Take has it do so, and Drop
// leaves it as it is. One of them has to be called.
type Change struct {
	accountant *Accountant
	options    Options
	queue      *Queue // nil: it was open before, or nobody is told
}

// Prepare does of a change what can fail: it opens the queue, if there is somebody to be
// told for the first time. NAS and File must be what they were once that is open. Sinks
// that the Accountant does not have already are its own from now on, with an error, too,
// and closed in time.
func (a *Accountant) Prepare(o Options) (*Change, error) {
	c := &Change{accountant: a, options: o}
	if a.HasQueue() || len(o.Sinks) == 0 {
		return c, nil
	}
	o.QueueOptions.Live = a.list
	var err error
	if c.queue, err = OpenQueue(o.QueueOptions); err != nil {
		c.Drop()
		return nil, err
	}
	return c, nil
}

// Drop closes what was prepared in vain.
func (c *Change) Drop() {
	if c.queue != nil {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		c.queue.Close(ctx)
		return
	}
	c.accountant.mu.Lock()
	defer c.accountant.mu.Unlock()
	for _, s := range c.options.Sinks {
		if t := c.accountant.told[s.Name()]; t == nil || t.sink != s {
			closeSink(s)
		}
	}
}

// Take has the Accountant go by the options. A sink that is new is told that the gateway
// is on, and of all sessions that are up, that they have begun; one that is given up, that
// the gateway is off. One in the place of another goes on where that was.
func (c *Change) Take() {
	a := c.accountant
	a.mu.Lock()
	a.opts = c.options
	if c.queue != nil {
		a.queue = c.queue
	}
	if a.queue != nil {
		a.queue.SetMax(a.opts.MaxRecords)
		a.tell(c.queue == nil)
	}
	now := time.Now()
	for _, acc := range a.live {
		a.replan(acc, now)
	}
	a.mu.Unlock()
	a.signal()
	if c.queue != nil {
		a.checkpoint() // it knows no usage yet
	}
}

// tell has the sinks be those of the options. The queue has them already, or is to begin
// with them.
func (a *Accountant) tell(begin bool) {
	gone := a.told
	a.told = make(map[string]*told)
	for _, s := range a.opts.Sinks {
		t := gone[s.Name()]
		delete(gone, s.Name())
		if begin && (t == nil || t.sink != s) {
			a.queue.Begin(s)
		}
		if t != nil {
			a.told[s.Name()] = &told{s, t.run}
			continue
		}
		t = &told{s, newRun()}
		a.told[s.Name()] = t
		a.queue.PutFor(s.Name(), a.ofGateway(On, t.run))
		for _, acc := range a.live {
			a.queue.PutFor(s.Name(), a.record(Start, acc.session, acc.session.UpAt()))
		}
	}
	for name, t := range gone {
		a.queue.PutFor(name, a.ofGateway(Off, t.run))
		a.queue.End(name, a.opts.Patience)
	}
}

// replan has the Interims of a session come as often as they are to now. The next one is
// at any moment of the interval, as those of all sessions are planned at once, but never
// later than it was to be.
func (a *Accountant) replan(acc *account, now time.Time) {
	i := a.interval(acc.session)
	if i == acc.interval {
		return
	}
	acc.interval = i
	id := acc.session.ID()
	if i == 0 {
		a.agenda.Remove(id)
		return
	}
	due := now.Add(mathrand.N(i))
	if at, planned := a.agenda.At(id); !planned || due.Before(at) {
		a.agenda.Set(id, due)
	}
}

// newRun names the time for which a sink is told of a gateway.
func newRun() string {
	var id [8]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}
