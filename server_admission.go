package gopptp

import (
	"cmp"
	"errors"
	"math"
	"net"
	"syscall"
	"time"

	"github.com/gopptp/gopptp/internal/rate"
)

const (
	// halfOpenPatience is how long connections wait for a place while none becomes
	// free.
	halfOpenPatience = 5 * time.Second
	// trackedSources is how many source addresses have a bucket, at 24 octets each.
	trackedSources = 1 << 14
)

// admission decides whether a control connection may come in. Server.mu guards it.
type admission struct {
	all       rate.Limit
	bucket    rate.Bucket
	sources   *rate.Table
	fullSince time.Time     // when MaxHalfOpen was last reached
	changed   chan struct{} // closed when something has changed for those that wait; nil if nobody does
}

func newAdmission(l *Limits) admission {
	return admission{
		all:     l.Connections.limit(),
		sources: rate.NewTable(l.SourceConnections.limit(), trackedSources, time.Now()),
	}
}

// setLimits replaces the limits. What has come counts under the new ones.
func (a *admission) setLimits(l *Limits) {
	a.all = l.Connections.limit()
	a.sources.SetLimit(l.SourceConnections.limit())
}

func (r Rate) limit() rate.Limit {
	return rate.New(r.PerSecond, cmp.Or(r.Burst, int(min(math.Ceil(r.PerSecond), math.MaxInt32))))
}

// wake has those that wait look again.
func (a *admission) wake() {
	if a.changed != nil {
		close(a.changed)
		a.changed = nil
	}
}

// wait returns after a time, or when something has changed. Server.mu is free meanwhile.
func (s *Server) wait(d time.Duration) {
	if s.admission.changed == nil {
		s.admission.changed = make(chan struct{})
	}
	changed := s.admission.changed
	s.mu.Unlock()
	defer s.mu.Lock()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// accept takes a new control connection in, or turns it away. While it waits, others
// do in the listener's backlog: to a client that is a server which takes its time, and
// less of a nuisance than one that hangs up.
func (s *Server) accept(nc net.Conn) {
	remote, local := addrPort(nc.RemoteAddr()), addrPort(nc.LocalAddr())
	source := remote.Addr()
	a := &s.admission
	s.mu.Lock()
	refuse := func(counter *uint64, reason string) {
		*counter++
		s.mu.Unlock()
		s.report.refused("control connection refused", reason, "remote", remote)
		reject(nc)
	}
	for counted, delayed := false, false; ; delayed = true {
		now, limits := time.Now(), s.limits()
		switch {
		case s.closing:
			refuse(&s.stats.RefusedDraining, reasonClosing)
			return
		case s.sources[source] >= limits.MaxPerSource:
			refuse(&s.stats.RefusedPerSource, "too many connections of this source")
			return
		case !counted && !a.sources.Allow(source, now):
			refuse(&s.stats.RefusedSourceRate, "too many connections a second of this source")
			return
		}
		counted = true
		if s.stats.HalfOpen >= limits.MaxHalfOpen {
			patience := halfOpenPatience - now.Sub(a.fullSince)
			if patience <= 0 {
				refuse(&s.stats.RefusedHalfOpen, "too many half-open connections")
				return
			}
			s.wait(patience)
			continue
		}
		if d := a.all.Wait(&a.bucket, now); d > 0 {
			s.wait(d)
			continue
		}
		a.all.Charge(&a.bucket, 1, now)
		if delayed {
			s.stats.Delayed++
		}
		break
	}
	s.stats.Accepted++
	if s.stats.HalfOpen++; s.stats.HalfOpen >= s.limits().MaxHalfOpen {
		a.fullSince = time.Now()
	}
	s.sources[source]++
	w := s.workers[s.next.Add(1)%uint32(len(s.workers))]
	c := newServerConn(s, w, local, remote)
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	s.log().Info("control connection", "remote", remote, "local", local)
	c.run(nc)
}

// reject ends a connection at once, by a reset where it can be had: an orderly end would
// cost us a socket for minutes, and tells a client no more.
func reject(nc net.Conn) {
	if t, ok := nc.(interface{ SetLinger(sec int) error }); ok {
		_ = t.SetLinger(0)
	}
	nc.Close()
}

// halfOpenLess notes that a connection is half open no more. s.mu is held.
func (s *Server) halfOpenLess() {
	s.stats.HalfOpen--
	s.admission.wake()
}

// acceptFailed reports why no connection could be accepted.
func (s *Server) acceptFailed(err error, retry time.Duration) {
	s.mu.Lock()
	s.stats.AcceptErrors++
	open := len(s.conns)
	s.mu.Unlock()
	reason := "error of the listener"
	switch {
	case errors.Is(err, syscall.EMFILE):
		reason = "this process may have no more open files: its limit (RLIMIT_NOFILE) is too low"
	case errors.Is(err, syscall.ENFILE):
		reason = "the host has no more open files: its limit (sysctl fs.file-max) is too low"
	}
	s.report.refused("cannot accept connections", reason, "error", err, "connections", open, "retry_in", retry)
}
