package gopptp

import (
	"fmt"
	"math"
	"net"
	"time"
)

// Rates limit the users' packets of a session, each direction by itself. What is above
// a limit is dropped, and what is to the peer may wait for a moment first, as a data
// plane has it. The zero value limits nothing.
type Rates struct {
	FromPeer, ToPeer BitRate
}

// BitRate is a rate in one direction. What counts are the IP packets in the tunnel,
// not what carries them.
type BitRate struct {
	// BitsPerSecond is the rate in the long run; zero: no limit.
	BitsPerSecond uint64
	// Burst is how many octets may pass at once after a pause. Zero is a default: what
	// passes in 250 ms at the rate, and 64 KiB at the least. A TCP connection may get
	// much less than the rate with a smaller one. Any lets single packets pass.
	Burst int
}

const (
	// defaultBurst is more than the 200 ms after which a TCP that has lost the end of
	// what it sent tries again: with less, what it might have sent meanwhile is lost
	// to it, which is half of the rate on a short way.
	defaultBurst = 250 * time.Millisecond
	// minBurst is what a host may hand over of one flow at once.
	minBurst = 64 << 10
)

// Limited reports whether there is a limit.
func (r BitRate) Limited() bool { return r.BitsPerSecond > 0 }

// BurstOctets is Burst, or its default.
func (r BitRate) BurstOctets() int {
	if r.Burst > 0 {
		return r.Burst
	}
	octets := float64(r.BitsPerSecond) / 8 * defaultBurst.Seconds()
	return int(max(minBurst, min(octets, math.MaxInt32)))
}

func (r BitRate) String() string {
	if !r.Limited() {
		return "unlimited"
	}
	return fmt.Sprintf("%d bit/s, bursts of %d octets", r.BitsPerSecond, r.BurstOctets())
}

// Limited reports whether there is a limit in any direction.
func (r Rates) Limited() bool { return r.FromPeer.Limited() || r.ToPeer.Limited() }

// validate returns a *ConfigError.
func (r Rates) validate() error {
	for field, b := range map[string]int{"Rates.FromPeer.Burst": r.FromPeer.Burst, "Rates.ToPeer.Burst": r.ToPeer.Burst} {
		if b < 0 {
			return &ConfigError{Field: field, Reason: fmt.Sprintf("%d is negative", b)}
		}
	}
	return nil
}

// Rates are the limits that the session has: the Authenticator's, or those of the
// last SetRates.
func (s *Session) Rates() Rates { return s.read().rates }

// SetRates changes the limits of the session, at once if it is up. Nothing that
// passes is interrupted. The Authenticator's limits replace what is set before the
// peer has authenticated itself.
//
// After an error the limits are as before: a *ConfigError, net.ErrClosed when the session
// has ended, or what the data plane has against it. One that finds out too late that it
// cannot keep the limits ends the session, with CauseDataplane: a limit is never ignored.
func (s *Session) SetRates(r Rates) error {
	if err := r.validate(); err != nil {
		return err
	}
	if i := s.read(); i.state == StateUp {
		if c, ok := i.call.(RatesCall); ok {
			if err := c.CheckRates(r); err != nil {
				return fmt.Errorf("gopptp: session %v: %w", s.id, err)
			}
		}
	}
	closed := false
	s.update(func(i *sessionInfo) {
		if closed = i.state == StateClosed; !closed {
			i.rates = r
		}
	})
	if closed || !s.link.worker.post(s.rerate) {
		return fmt.Errorf("gopptp: session %v: %w", s.id, net.ErrClosed)
	}
	return nil
}

// rerate attaches again, with the limits as they are now. A session that is not
// attached has them when it is.
func (s *Session) rerate(now time.Time) {
	l := &s.link
	if !l.attaching || l.over || l.ended {
		return
	}
	l.attaching = false
	s.attach(now)
}
