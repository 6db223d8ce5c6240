package ipcp

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var (
	zero    netip.Addr
	gateway = netip.MustParseAddr("10.0.0.1")
	alice   = netip.MustParseAddr("10.0.0.2")
	other   = netip.MustParseAddr("192.0.2.9")
	dns1    = netip.MustParseAddr("198.51.100.1")
	dns2    = netip.MustParseAddr("198.51.100.2")
	nbns1   = netip.MustParseAddr("198.51.100.3")
	nbns2   = netip.MustParseAddr("198.51.100.4")
)

// side is an IPCP at one end of a line.
type side struct {
	*IPCP
	out  ppp.Output
	done int        // actions of out that were seen
	sig  ppp.Signal // all signals so far
}

func newSide(cfg Config) *side { return &side{IPCP: New(cfg)} }

// open starts the layer.
func (s *side) open(now time.Time) {
	s.sig |= s.Open(now, &s.out)
	s.sig |= s.Up(now, &s.out)
}

// take returns the packets sent since the last call.
func (s *side) take() (packets [][]byte) {
	for ; s.done < s.out.Len(); s.done++ {
		packets = append(packets, slices.Clone(s.out.At(s.done).Frame[2:]))
	}
	return packets
}

type flight struct {
	to *side
	b  []byte
	at time.Time
}

// line carries packets between two sides in virtual time.
type line struct {
	sides [2]*side
	now   time.Time
	air   []flight
	sent  int
	lose  func(n int) bool // packet n, counted from zero, does not arrive
}

func newLine(a, b *side) *line { return &line{sides: [2]*side{a, b}, now: start} }

func (l *line) open() {
	for _, s := range l.sides {
		s.open(l.now)
	}
}

// run lets d of virtual time pass, or less if until comes true. It returns how
// much has passed. A packet takes a millisecond.
func (l *line) run(d time.Duration, until func() bool) time.Duration {
	began := l.now
	end := began.Add(d)
	for {
		for i, s := range l.sides {
			for _, b := range s.take() {
				if l.lose == nil || !l.lose(l.sent) {
					l.air = append(l.air, flight{l.sides[1-i], b, l.now.Add(time.Millisecond)})
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

func (l *line) bothFinished() bool {
	return l.sides[0].sig&l.sides[1].sig&ppp.SignalFinished != 0
}

// peer drives an IPCP by hand: the test plays the other side.
type peer struct {
	t *testing.T
	*side
	now time.Time
	id  uint8
}

// newPeer faces an IPCP that is up and has sent its first request.
func newPeer(t *testing.T, cfg Config) *peer {
	p := &peer{t: t, side: newSide(cfg), now: start}
	p.open(p.now)
	return p
}

// say has the IPCP hear a packet and returns what it answers.
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

// heard returns what the IPCP has sent since the last call.
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

// advance lets time pass in steps of the IPCP's deadlines.
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

// ip, and the like below, are options with an address.
func ip(a netip.Addr) ppp.Option { return encodeAddr(optionIPAddress, a) }

func pdns(a netip.Addr) ppp.Option  { return encodeAddr(optionPrimaryDNS, a) }
func sdns(a netip.Addr) ppp.Option  { return encodeAddr(optionSecondaryDNS, a) }
func pnbns(a netip.Addr) ppp.Option { return encodeAddr(optionPrimaryNBNS, a) }
func snbns(a netip.Addr) ppp.Option { return encodeAddr(optionSecondaryNBNS, a) }

// seeded loses a share of the packets, in tenths.
func seeded(seed uint64, tenths int) func(int) bool {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(int) bool { return r.IntN(10) < tenths }
}
