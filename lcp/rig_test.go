package lcp

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// side is an LCP at one end of a line.
type side struct {
	*LCP
	out    ppp.Output
	done   int // actions of out that were seen
	events []ppp.Event
	sig    ppp.Signal // all signals so far
}

// magicFrom is a Config.Rand that gives first, then the numbers after it.
func magicFrom(first uint32) func([]byte) {
	return func(b []byte) {
		binary.BigEndian.PutUint32(b, first)
		first++
	}
}

func newSide(cfg Config) *side { return &side{LCP: New(cfg)} }

// open starts the layer.
func (s *side) open(now time.Time) {
	s.sig |= s.Open(now, &s.out)
	s.sig |= s.Up(now, &s.out)
}

// take returns the packets sent since the last call and notes the events.
func (s *side) take() (packets [][]byte) {
	for ; s.done < s.out.Len(); s.done++ {
		if a := s.out.At(s.done); a.Event != nil {
			s.events = append(s.events, a.Event)
		} else {
			packets = append(packets, slices.Clone(a.Frame[2:]))
		}
	}
	return packets
}

// line carries packets between two sides in virtual time.
type line struct {
	sides [2]*side
	now   time.Time
	air   []flight
	sent  int
	delay time.Duration
	lose  func(n int) bool // packet n, counted from zero, does not arrive
	log   []ppp.Packet
}

type flight struct {
	to *side
	b  []byte
	at time.Time
}

func newLine(a, b *side) *line {
	return &line{sides: [2]*side{a, b}, now: start, delay: time.Millisecond}
}

func (l *line) open() {
	for _, s := range l.sides {
		s.open(l.now)
	}
}

// run lets d of virtual time pass, or less if until comes true. It returns how
// much has passed.
func (l *line) run(d time.Duration, until func() bool) time.Duration {
	began := l.now
	end := began.Add(d)
	for {
		for i, s := range l.sides {
			for _, b := range s.take() {
				var p ppp.Packet
				p.Decode(b)
				l.log = append(l.log, p)
				if l.lose == nil || !l.lose(l.sent) {
					l.air = append(l.air, flight{l.sides[1-i], b, l.now.Add(l.delay)})
				}
				l.sent++
			}
		}
		if until != nil && until() {
			return l.now.Sub(began)
		}
		next := end
		for _, s := range l.sides {
			if at := s.Deadline(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if len(l.air) > 0 && !l.air[0].at.After(next) {
			f := l.air[0]
			l.air = l.air[1:]
			l.now = f.at
			f.to.sig |= f.to.Input(f.b, l.now, &f.to.out)
			continue
		}
		if next.Equal(end) {
			l.now = end
			return d
		}
		l.now = next
		for _, s := range l.sides {
			s.sig |= s.Tick(l.now, &s.out)
		}
	}
}

func (l *line) bothOpen() bool { return l.sides[0].Opened() && l.sides[1].Opened() }

// peer drives an LCP by hand: the test plays the other side.
type peer struct {
	t *testing.T
	*side
	now time.Time
	id  uint8
}

// newPeer faces an LCP that is up and has sent its first request.
func newPeer(t *testing.T, cfg Config) *peer {
	if cfg.Rand == nil {
		cfg.Rand = magicFrom(0x01020304)
	}
	p := &peer{t: t, side: newSide(cfg), now: start}
	p.open(p.now)
	return p
}

// say has the LCP hear a packet and returns what it answers.
func (p *peer) say(code ppp.Code, id uint8, data []byte) []ppp.Packet {
	pkt := ppp.Packet{Code: code, ID: id, Data: data}
	p.sig |= p.Input(pkt.Append(nil), p.now, &p.out)
	return p.heard()
}

func (p *peer) sayOptions(code ppp.Code, id uint8, opts ...ppp.Option) []ppp.Packet {
	return p.say(code, id, ppp.Options(opts).Append(nil))
}

// request has the peer ask for opts under a fresh identifier.
func (p *peer) request(opts ...ppp.Option) []ppp.Packet {
	p.id++
	return p.sayOptions(ppp.ConfigureRequest, p.id, opts...)
}

// heard returns what the LCP has sent since the last call.
func (p *peer) heard() (got []ppp.Packet) {
	p.t.Helper()
	for _, b := range p.take() {
		var pkt ppp.Packet
		_, err := pkt.Decode(b)
		require.NoError(p.t, err)
		got = append(got, pkt)
	}
	return got
}

// one returns the only packet of got, which has the given code.
func (p *peer) one(code ppp.Code, got []ppp.Packet) ppp.Packet {
	p.t.Helper()
	require.Len(p.t, got, 1)
	require.Equal(p.t, code, got[0].Code)
	return got[0]
}

// establish opens the LCP: the peer acks what it asks for, and asks for opts.
func (p *peer) establish(opts ...ppp.Option) {
	p.t.Helper()
	req := p.one(ppp.ConfigureRequest, p.heard())
	require.Empty(p.t, p.say(ppp.ConfigureAck, req.ID, req.Data))
	got := p.request(opts...)
	require.Equal(p.t, ppp.ConfigureAck, got[0].Code, "% x", got[0].Data)
	require.True(p.t, p.Opened())
}

// advance lets time pass in steps of the LCP's deadlines.
func (p *peer) advance(d time.Duration) {
	end := p.now.Add(d)
	for {
		at := p.Deadline()
		if at.IsZero() || at.After(end) {
			p.now = end
			return
		}
		p.now = at
		p.sig |= p.Tick(p.now, &p.out)
	}
}

func options(t *testing.T, p ppp.Packet) ppp.Options {
	t.Helper()
	var o ppp.Options
	_, err := o.Decode(p.Data)
	require.NoError(t, err)
	return o
}

// raw is an option from its octets, without the length.
func raw(typ uint8, data ...byte) ppp.Option {
	return ppp.Option{Type: typ, Data: append([]byte{}, data...)}
}

// seeded loses a share of the packets, in tenths.
func seeded(seed uint64, tenths int) func(int) bool {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(int) bool { return r.IntN(10) < tenths }
}
