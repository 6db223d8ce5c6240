package admin

import (
	"context"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
)

const (
	// sampleInterval is from one sample of all sessions' counters to the next, but no
	// more than one part in sampleShare of a processor's time goes into them.
	sampleInterval = 2 * time.Second
	sampleShare    = 20
	// firstInterval is the time to the second sample, which somebody is waiting for.
	firstInterval = time.Second
	// sampleFor is how long samples go on when nobody asks any more.
	sampleFor = 15 * time.Second
)

// sampler knows how much passes in each session, from two samples of its counters. It
// takes them while somebody asks, and costs nothing otherwise.
type sampler struct {
	ctx  context.Context // of the server
	live interface{ All() []*gopptp.Session }

	mu      sync.Mutex
	asked   time.Time
	ready   chan struct{} // nil: does not run; closed: rates are there
	current map[gopptp.SessionID]Traffic
}

// traffic returns what passes in the sessions that have been up for two samples. The map
// is not changed any more. It waits for the second sample if the sampler has to begin.
func (s *sampler) traffic(ctx context.Context) (map[gopptp.SessionID]Traffic, error) {
	s.mu.Lock()
	s.asked = time.Now()
	if s.ready == nil {
		s.ready = make(chan struct{})
		go s.run(s.ready)
	}
	ready := s.ready
	s.mu.Unlock()
	select {
	case <-ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = time.Now()
	return s.current, nil
}

type sample struct {
	received, sent uint64
	at             time.Time
}

func (s *sampler) run(ready chan struct{}) {
	var last map[gopptp.SessionID]sample
	for {
		begin := time.Now()
		now, rates := s.take(last)
		pause := max(sampleInterval, sampleShare*time.Since(begin))
		if last == nil {
			pause = max(firstInterval, time.Since(begin))
		}
		if !s.publish(last != nil, rates, ready) {
			return
		}
		last = now
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
			return
		}
	}
}

// publish reports whether to go on.
func (s *sampler) publish(valid bool, rates map[gopptp.SessionID]Traffic, ready chan struct{}) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !valid {
		return true
	}
	if s.current == nil {
		close(ready)
	} else if time.Since(s.asked) > sampleFor {
		s.ready, s.current = nil, nil
		return false
	}
	s.current = rates
	return true
}

func (s *sampler) take(last map[gopptp.SessionID]sample) (now map[gopptp.SessionID]sample, rates map[gopptp.SessionID]Traffic) {
	all := s.live.All()
	now, rates = make(map[gopptp.SessionID]sample, len(all)), make(map[gopptp.SessionID]Traffic, len(last))
	for _, one := range all {
		c := one.Counters()
		n := sample{c.ReceivedOctets, c.SentOctets, time.Now()}
		now[one.ID()] = n
		if before, ok := last[one.ID()]; ok {
			rates[one.ID()] = Traffic{
				FromPeer: perSecond(before.received, n.received, n.at.Sub(before.at)),
				ToPeer:   perSecond(before.sent, n.sent, n.at.Sub(before.at)),
			}
		}
	}
	return now, rates
}

// perSecond is in bits. Counters that went back, as none should, are of no rate.
func perSecond(before, now uint64, in time.Duration) uint64 {
	if now < before || in <= 0 {
		return 0
	}
	return uint64(float64(now-before) * 8 / in.Seconds())
}
