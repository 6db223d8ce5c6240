package ppptest

import (
	"math/rand/v2"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// Line carries packets between two sides in order. One side at both ends is a
// line that is looped back.
type Line struct {
	Sides [2]*Side
	Now   time.Time
	Delay time.Duration    // of each packet; a millisecond unless it is changed
	Lose  func(n int) bool // packet n, counted from zero, does not arrive
	Sent  int

	air []flight
}

type flight struct {
	to *Side
	b  []byte
	at time.Time
}

// NewLine joins two sides that have not begun.
func NewLine(a, b *Side) *Line {
	return &Line{Sides: [2]*Side{a, b}, Now: Start, Delay: time.Millisecond}
}

// Begin opens both layers.
func (l *Line) Begin() {
	for _, s := range l.Sides {
		s.Begin(l.Now)
	}
}

// Run lets d of virtual time pass, or less if until comes true. It returns how
// much has passed.
func (l *Line) Run(d time.Duration, until func() bool) time.Duration {
	began := l.Now
	end := began.Add(d)
	for {
		for i, s := range l.Sides {
			l.send(s, l.Sides[1-i])
		}
		if until != nil && until() {
			return l.Now.Sub(began)
		}
		next := end
		for _, s := range l.Sides {
			if at := s.Layer.Deadline(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if len(l.air) > 0 && !l.air[0].at.After(next) {
			f := l.air[0]
			l.air = l.air[1:]
			l.Now = f.at
			f.to.Hear(f.b, l.Now)
			continue
		}
		if next.Equal(end) {
			l.Now = end
			return d
		}
		l.Now = next
		for _, s := range l.Sides {
			s.Sig |= s.Layer.Tick(l.Now, &s.Out)
		}
	}
}

// send puts on the line what one side has said.
func (l *Line) send(from, to *Side) {
	for _, p := range from.Said() {
		if l.Lose == nil || !l.Lose(l.Sent) {
			l.air = append(l.air, flight{to, p.Append(nil), l.Now.Add(l.Delay)})
		}
		l.Sent++
	}
}

// BothOpen is an end for Run, as is BothFinished.
func (l *Line) BothOpen() bool { return l.Sides[0].Layer.Opened() && l.Sides[1].Layer.Opened() }

func (l *Line) BothFinished() bool {
	return l.Sides[0].Sig&l.Sides[1].Sig&ppp.SignalFinished != 0
}

// Share loses a share of the packets, in tenths.
func Share(seed uint64, tenths int) func(int) bool {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(int) bool { return r.IntN(10) < tenths }
}
