package mppe

import (
	"bytes"
	stdrc4 "crypto/rc4"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// model is one direction of MPPE as other implementations do it, written down
// slowly from RFC 3078 with the standard library. linux has it change the key at
// every FLUSHED packet, and at no other in stateful mode.
type model struct {
	t         testing.TB
	p         Params
	linux     bool
	start     []byte
	key       []byte
	cipher    *stdrc4.Cipher
	count     int // of the next packet
	flush     bool
	discard   bool
	discarded int
	requested int // Reset-Requests of a decryptor
}

func newModel(t testing.TB, p Params, linux bool) *model {
	m := &model{t: t, p: p, linux: linux, start: p.Key[:p.KeyLength.octets()]}
	m.key = m.reduced(m.hash(m.start))
	m.tables()
	return m
}

func (m *model) hash(key []byte) []byte {
	h := sha1.New()
	h.Write(m.start)
	h.Write(make([]byte, 40))
	h.Write(key)
	for range 40 {
		h.Write([]byte{0xf2})
	}
	return h.Sum(nil)[:len(key)]
}

func (m *model) reduced(key []byte) []byte {
	switch m.p.KeyLength {
	case Key40:
		copy(key, []byte{0xd1, 0x26, 0x9e})
	case Key56:
		key[0] = 0xd1
	}
	return key
}

func (m *model) tables() {
	c, err := stdrc4.NewCipher(m.key)
	require.NoError(m.t, err)
	m.cipher = c
}

func (m *model) change() {
	interim := m.hash(m.key)
	c, err := stdrc4.NewCipher(interim)
	require.NoError(m.t, err)
	m.key = make([]byte, len(interim))
	c.XORKeyStream(m.key, interim)
	m.reduced(m.key)
	m.tables()
}

func (m *model) seal(text []byte) []byte {
	h := 0x1000 | m.count
	flag := m.count&0xff == 0xff
	switch {
	case !m.p.Stateful || flag || m.flush && m.linux:
		h |= 0x8000
		m.change()
	case m.flush:
		h |= 0x8000
		m.tables()
	}
	m.flush = false
	m.count = (m.count + 1) % 4096
	b := binary.BigEndian.AppendUint16(nil, uint16(h))
	b = append(b, text...)
	m.cipher.XORKeyStream(b[2:], b[2:])
	return b
}

// open is for stateful mode. It returns nil for a packet that it drops.
func (m *model) open(b []byte) []byte {
	h := binary.BigEndian.Uint16(b)
	count, flushed := int(h&0xfff), h&0x8000 != 0
	if !m.discard && count != m.count && (m.linux || !flushed) {
		m.discard, m.discarded = true, 0
		m.requested++
		if m.linux {
			m.count = (m.count + 1) % 4096
			return nil
		}
	}
	if m.discard && !flushed {
		if m.discarded++; m.discarded%50 == 0 {
			m.requested++ // again, after some time
		}
		return nil
	}
	if m.linux {
		if m.discard {
			// m.count is that of the packet after the one that was missed first.
			last := (m.count - 1 + 4096) % 4096
			for last&^0xff != count&^0xff {
				m.change()
				last = (last + 256) % 4096
			}
		}
		if flushed {
			m.change()
		}
	} else {
		for m.count != count {
			if m.count&0xff == 0xff {
				m.change()
			}
			m.count = (m.count + 1) % 4096
		}
		switch {
		case count&0xff == 0xff:
			m.change()
		case flushed:
			m.tables()
		}
	}
	m.discard = false
	m.count = (count + 1) % 4096
	out := append([]byte(nil), b[2:]...)
	m.cipher.XORKeyStream(out, out)
	return out
}

// datagram is an IPv4 packet with a number in it, and its protocol field.
func datagram(n int) []byte {
	b := []byte{0, 0x21, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	b = binary.BigEndian.AppendUint64(b, uint64(n))
	binary.BigEndian.PutUint16(b[6:], uint16(n))
	var sum uint32
	for i := 2; i < 22; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[12:], ^uint16(sum>>16+sum))
	return b
}

func paramsOf(l KeyLength, stateful bool) Params {
	return Params{KeyLength: l, Stateful: stateful, Key: testParams.Key}
}

func newPairOf(t testing.TB, p Params) (*Encryptor, *Decryptor) {
	t.Helper()
	e, err := NewEncryptor(p)
	require.NoError(t, err)
	d, err := NewDecryptor(p)
	require.NoError(t, err)
	return e, d
}

// eachParams runs f for every key length and mode.
func eachParams(t *testing.T, f func(t *testing.T, p Params)) {
	for _, l := range []KeyLength{Key40, Key56, Key128} {
		for _, stateful := range []bool{false, true} {
			p := paramsOf(l, stateful)
			t.Run(Agreed{KeyLength: l, Stateful: stateful}.String(), func(t *testing.T) { f(t, p) })
		}
	}
}

// Without losses everyone agrees, Linux too.
func TestSealMatchesOthers(t *testing.T) {
	eachParams(t, func(t *testing.T, p Params) {
		e, d := newPairOf(t, p)
		rfc, linux := newModel(t, p, false), newModel(t, p, true)
		for i := range 4500 {
			text := datagram(i)
			got := seal(e, string(text))
			require.True(t, bytes.Equal(rfc.seal(text), got))
			if p.Stateful {
				require.True(t, bytes.Equal(linux.seal(text), got))
			}
			got, err := d.Open(got, 0)
			require.NoError(t, err)
			require.True(t, bytes.Equal(text, got))
		}
	})
}

// line carries packets from an encryptor to a decryptor, and Reset-Requests back.
type line struct {
	seal  func(text []byte) []byte
	flush func()
	d     *Decryptor

	sent    int
	missing uint32
	reset   int // packets until the Reset-Request arrives; zero: there is none
	rand    *rand.Rand
	delay   int
	lose    float64 // Reset-Requests

	delivered, resets int
}

// send sends the next packet, which arrives unless lost.
func (l *line) send(t testing.TB, lost bool) (delivered bool) {
	t.Helper()
	b := l.seal(datagram(l.sent))
	l.sent++
	if l.reset > 0 {
		if l.reset--; l.reset == 0 {
			l.flush()
		}
	}
	if lost {
		l.missing++
		return false
	}
	return l.arrive(t, b, l.sent-1)
}

func (l *line) arrive(t testing.TB, b []byte, n int) bool {
	t.Helper()
	was := append([]byte(nil), b...)
	got, err := l.d.Open(b, l.missing)
	if err != nil {
		require.ErrorIs(t, err, ErrReset)
		require.True(t, bytes.Equal(was, b), "a packet that is refused is left as it was")
		l.missing++
		if l.reset == 0 {
			l.resets++
			if l.rand.Float64() >= l.lose {
				l.reset = 1 + l.delay
			}
		}
		return false
	}
	if !bytes.Equal(datagram(n), got) {
		require.Equal(t, datagram(n), got, "packet %d", n)
	}
	l.missing = 0
	l.delivered++
	return true
}

func newLine(t testing.TB, p Params, peer string, seed uint64) *line {
	l := &line{rand: rand.New(rand.NewPCG(seed, 7))}
	var e *Encryptor
	e, l.d = newPairOf(t, p)
	switch peer {
	case "ours":
		l.seal = func(text []byte) []byte { return seal(e, string(text)) }
		l.flush = e.Flush
	default:
		m := newModel(t, p, peer == "linux")
		l.seal, l.flush = m.seal, func() { m.flush = true }
	}
	return l
}

var peers = []string{"ours", "rfc", "linux"}

// Whatever is lost, what is delivered is intact, and the direction recovers.
func TestLoss(t *testing.T) {
	eachParams(t, func(t *testing.T, p Params) {
		for _, peer := range peers {
			if !p.Stateful && peer == "linux" {
				continue // it is no different there
			}
			for _, loss := range []float64{0.001, 0.01, 0.1} {
				if p.KeyLength != Key128 && loss != 0.01 {
					continue
				}
				t.Run(fmt.Sprint(peer, loss), func(t *testing.T) {
					l := newLine(t, p, peer, 1)
					l.delay, l.lose = 3, loss
					const packets = 10_500
					lost, streak := 0, 0
					for range packets {
						drop := l.rand.Float64() < loss
						if drop {
							lost++
						}
						if l.send(t, drop) {
							streak = 0
						} else {
							streak++
							require.Less(t, streak, 300)
						}
					}
					if !p.Stateful {
						require.Equal(t, packets-lost, l.delivered)
						require.Zero(t, l.resets)
						return
					}
					require.LessOrEqual(t, l.resets, packets-l.delivered)
					// Each loss costs what the reset takes, and at times another.
					require.Greater(t, l.delivered, packets-lost*12)
				})
			}
		}
	})
}

// No loss makes a direction deaf, however long. As soon as a Reset-Request has
// reached the peer, the next packet can be decrypted.
func TestLongLoss(t *testing.T) {
	for _, peer := range peers {
		for _, lost := range []int{1, 200, 256, 2047, 2048, 4095, 4096, 4097, 8192, 20_000} {
			for _, others := range []uint32{0, 5000} {
				t.Run(fmt.Sprint(peer, " ", lost, "+", others), func(t *testing.T) {
					l := newLine(t, paramsOf(Key128, true), peer, 1)
					rounds := 3 // from several counts
					if lost > 5000 {
						rounds = 1
					}
					for range rounds {
						for range 100 {
							require.True(t, l.send(t, false))
						}
						for range lost {
							l.send(t, true)
						}
						l.missing += others
						for i := 0; !l.send(t, false); i++ {
							require.Less(t, i, 3)
						}
					}
				})
			}
		}
	}
}

// Answers to Reset-Requests get lost as well. A peer of Linux's kind has gone on
// to another key with each.
func TestLostAnswers(t *testing.T) {
	for _, peer := range peers {
		for answers := range maxFlushes {
			l := newLine(t, paramsOf(Key128, true), peer, 1)
			l.lose = 1
			for range 20 {
				require.True(t, l.send(t, false))
			}
			l.send(t, true)
			for range answers {
				require.False(t, l.send(t, false))
				l.flush()
				l.send(t, true)
			}
			l.flush()
			require.True(t, l.send(t, false), "%s, %d answers lost", peer, answers)
		}
	}
}

// A peer that does not heed Reset-Requests is understood from its next flag
// packet on.
func TestFlagPacketEndsALoss(t *testing.T) {
	for _, peer := range peers {
		l := newLine(t, paramsOf(Key56, true), peer, 1)
		l.lose = 1
		for range 300 {
			require.True(t, l.send(t, false))
		}
		l.send(t, true)
		for n := 301; n < 511; n++ {
			require.False(t, l.send(t, false))
		}
		for range 5000 {
			require.True(t, l.send(t, false))
		}
	}
}

// Packets that come late, twice or damaged are not delivered and do no lasting
// harm.
func TestReorderedAndDamaged(t *testing.T) {
	for _, peer := range peers {
		t.Run(peer, func(t *testing.T) {
			l := newLine(t, paramsOf(Key128, true), peer, 3)
			var old [][]byte
			for range 15_000 {
				switch r := l.rand.IntN(1000); {
				case r < 5: // two change places
					n := l.sent
					a, b := l.seal(datagram(n)), l.seal(datagram(n+1))
					l.sent += 2
					l.missing++
					l.arrive(t, b, n+1)
					// The first of a new key may be of use still.
					if got, err := l.d.Open(a, l.missing); err == nil {
						require.Equal(t, datagram(n), got)
						l.missing = 1
					}
				case r < 10 && len(old) > 0:
					_, err := l.d.Open(append([]byte(nil), old[l.rand.IntN(len(old))]...), l.missing)
					require.Error(t, err)
				case r < 13: // anything, with a header that might be right
					b := make([]byte, 60)
					for i := range b {
						b[i] = byte(l.rand.Uint32())
					}
					h := uint16(bitEncrypted) | uint16(l.rand.IntN(2))<<15 | l.d.count
					if l.rand.IntN(2) == 0 {
						h = h&^countMask | uint16(l.rand.IntN(4096))
					}
					binary.BigEndian.PutUint16(b, h)
					was := l.d.count
					if _, err := l.d.Open(b, l.missing); err == nil {
						// The check of a packet in sequence is weak. It is
						// made up for by the next ones.
						require.Equal(t, (was+1)&countMask, l.d.count)
						l.arriveAfterForgery(t)
					}
				default:
					b := l.seal(datagram(l.sent))
					l.sent++
					if len(old) < 100 {
						old = append(old, append([]byte(nil), b...))
					}
					l.arrive(t, b, l.sent-1)
					if l.reset > 0 {
						l.reset = 0
						l.flush()
					}
				}
			}
			require.Greater(t, l.delivered, 13_000)
		})
	}
}

// arriveAfterForgery goes on after a forged packet was taken for a good one, from
// where all that is delivered is not to be trusted until it is noticed.
func (l *line) arriveAfterForgery(t testing.TB) {
	for range 300 {
		b := l.seal(datagram(l.sent))
		l.sent++
		if _, err := l.d.Open(b, l.missing); err != nil {
			l.missing++
			l.flush()
			b := l.seal(datagram(l.sent))
			l.sent++
			got, err := l.d.Open(b, l.missing)
			require.NoError(t, err)
			require.Equal(t, datagram(l.sent-1), got)
			l.missing = 0
			return
		}
		l.missing = 0
	}
	t.Fatal("a wrong key is not noticed")
}

// What we do for a Reset-Request suits those who read RFC 3078 as Linux does, and
// those who take it by the word.
func TestFlushSuitsEveryPeer(t *testing.T) {
	for _, l := range []KeyLength{Key40, Key56, Key128} {
		for _, linux := range []bool{true, false} {
			for _, loss := range []float64{0.001, 0.02} {
				if l != Key128 && loss != 0.02 {
					continue
				}
				t.Run(fmt.Sprint(l, " linux ", linux, loss), func(t *testing.T) {
					r := rand.New(rand.NewPCG(9, 9))
					p := paramsOf(l, true)
					e, _ := newPairOf(t, p)
					m := newModel(t, p, linux)
					delivered, lost, wait := 0, 0, 0
					for n := range 12_000 {
						b := seal(e, string(datagram(n)))
						if wait > 0 {
							if wait--; wait == 0 {
								e.Flush()
							}
						}
						if r.Float64() < loss {
							lost++
							continue
						}
						was := m.requested
						if got := m.open(b); got != nil {
							require.True(t, bytes.Equal(datagram(n), got))
							delivered++
						}
						if m.requested > was && wait == 0 {
							wait = 3
						}
					}
					require.Greater(t, delivered, 12_000-lost*12)
				})
			}
		}
	}
}

// No two packets have the same key stream, unlike in RFC 3078 §9.
func TestFlushRepeatsNoKeyStream(t *testing.T) {
	e, _ := newPairOf(t, paramsOf(Key128, true))
	seen := map[string]bool{}
	for i := range 2000 {
		if i%3 == 0 {
			e.Flush()
		}
		b := seal(e, string(make([]byte, 16)))
		require.False(t, seen[string(b[HeaderLen:])])
		seen[string(b[HeaderLen:])] = true
	}
}

func TestFlushWithoutStateIsNothing(t *testing.T) {
	a, _ := newPair(t)
	b, _ := newPair(t)
	a.Flush()
	require.Equal(t, seal(b, "x"), seal(a, "x"))
}

// A gap with more keys than are worth computing is not gone into.
func TestStatefulGapIsBounded(t *testing.T) {
	_, d := newPairOf(t, paramsOf(Key128, true))
	for range 100 {
		_, err := d.Open(append([]byte{0x90, 0xff}, datagram(1)...), 1<<32-1)
		require.ErrorIs(t, err, ErrGap)
	}
}

func TestNothingIsAllocatedForAnyParams(t *testing.T) {
	eachParams(t, func(t *testing.T, p Params) {
		e, d := newPairOf(t, p)
		text := datagram(1)
		b := make([]byte, HeaderLen+len(text))
		n := 0
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			n++
			copy(b[HeaderLen:], text)
			e.Seal(b)
			if n%10 == 0 {
				e.Flush()
				return // lost
			}
			d.Open(b, 1)
		}))
	})
}

func TestJudgeHead(t *testing.T) {
	v4 := datagram(1)
	broken := append([]byte(nil), v4...)
	broken[12]++
	v6 := append([]byte{0, 0x57, 0x60}, make([]byte, 39)...)
	for name, c := range map[string]struct {
		b    []byte
		want verdict
	}{
		"IPv4":                           {v4, headCertain},
		"IPv4, compressed field":         {v4[1:], headCertain},
		"IPv4, padded":                   {append(append([]byte(nil), v4...), 0, 0), headCertain},
		"IPv4, cut":                      {v4[:len(v4)-1], headPossible},
		"IPv4, broken":                   {broken, headPossible},
		"IPv4, broken, compressed field": {broken[1:], headWrong},
		"IPv6":                           {v6, headCertain},
		"IPX":                            {[]byte{0, 0x2b, 1, 2}, headPossible},
		"LCP":                            {[]byte{0xc0, 0x21, 1, 2}, headWrong},
		"an even protocol":               {[]byte{0, 0x22, 1, 2}, headWrong},
		"compressed again":               {[]byte{0, 0xfd, 1, 2}, headWrong},
		"one octet":                      {[]byte{0}, headWrong},
		"nothing":                        {nil, headWrong},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, judgeHead(c.b[:min(len(c.b), maxHead)], len(c.b)))
		})
	}
}

// FuzzStatefulDecryptor gives a Decryptor anything at any point. Afterwards a
// reset must bring it back, unless the keys of a forged flag packet were taken.
func FuzzStatefulDecryptor(f *testing.F) {
	e, _ := newPairOf(f, paramsOf(Key128, true))
	f.Add(seal(e, string(datagram(0))), uint32(0), uint16(3))
	f.Add([]byte{0x10, 0xff, 1, 2, 3}, uint32(5000), uint16(255))
	f.Add([]byte{0x90, 0xff, 1, 2, 3}, uint32(5000), uint16(255))
	f.Add([]byte{0x90, 0x07, 1}, uint32(1<<32-1), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, missing uint32, good uint16) {
		missing %= 1 << 20 // it takes its time
		l := newLine(t, paramsOf(Key128, true), "ours", 1)
		for range good % 600 {
			require.True(t, l.send(t, false))
		}
		was := append([]byte(nil), b...)
		if out, err := l.d.Open(b, missing); err == nil {
			require.Len(t, out, len(b)-HeaderLen)
			return
		}
		require.True(t, bytes.Equal(was, b), "a packet that is refused is left as it was")
		l.missing++
		l.flush()
		require.True(t, l.send(t, false))
		require.True(t, l.send(t, false))
	})
}

// A reset, for which counts are left out, may come while so many packets are lost
// that the next one looks like an old one.
func TestResetWithinALongLoss(t *testing.T) {
	for _, lost := range []int{countModulus/2 - flagCount, countModulus/2 - 1, countModulus / 2, countModulus - flagCount - 1} {
		enc, err := NewEncryptor(Params{KeyLength: Key128, Stateful: true})
		require.NoError(t, err)
		dec, err := NewDecryptor(Params{KeyLength: Key128, Stateful: true})
		require.NoError(t, err)
		text := datagram(50)
		packet := func() []byte {
			b := append(make([]byte, HeaderLen), text...)
			enc.Seal(b)
			return b
		}
		for range lost {
			packet()
		}
		enc.Flush()
		got, err := dec.Open(packet(), uint32(lost))
		require.NoError(t, err, "%d lost", lost)
		require.Equal(t, text, got)
	}
}

func TestFits(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		p := paramsOf(Key128, stateful)
		enc, dec := newPairOf(t, p)
		b := append(make([]byte, HeaderLen), datagram(1)...)
		enc.Seal(b)
		packet, before := append([]byte(nil), b...), *dec
		require.True(t, dec.Fits(b, 0))
		require.Equal(t, packet, b)
		require.Equal(t, before, *dec)

		p.Key[0]++
		_, other := newPairOf(t, p)
		require.False(t, other.Fits(b, 0))
		require.False(t, dec.Fits(b[:HeaderLen], 0))
		require.False(t, dec.Fits(nil, 0))
	}
}
