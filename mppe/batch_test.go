package mppe

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

var allParams = func() (all []Params) {
	for _, k := range []KeyLength{Key40, Key56, Key128} {
		for _, stateful := range []bool{false, true} {
			all = append(all, Params{KeyLength: k, Stateful: stateful, Key: testParams.Key})
		}
	}
	return all
}()

func name(p Params) string { return Agreed{p.KeyLength, p.Stateful}.String() }

// randomPacket has room for the header, and a protocol field that a Decryptor in
// stateful mode believes.
func randomPacket(r *rand.Rand) []byte {
	n := HeaderLen + 2 + r.IntN(2000)
	if r.IntN(3) == 0 {
		n = HeaderLen + 2 + r.IntN(80)
	}
	b := make([]byte, n)
	for i := range b[HeaderLen:] {
		b[HeaderLen+i] = byte(r.Uint32())
	}
	b[HeaderLen], b[HeaderLen+1] = 0, 0x21
	return b
}

func clones(packets [][]byte) (c [][]byte) {
	for _, p := range packets {
		c = append(c, bytes.Clone(p))
	}
	return c
}

// TestSealBatchIsSeal: batches of all sizes, and packets between them.
func TestSealBatchIsSeal(t *testing.T) {
	implementations(t, func(t *testing.T) {
		for _, p := range allParams {
			t.Run(name(p), func(t *testing.T) {
				r := rand.New(rand.NewPCG(3, 4))
				one, err := NewEncryptor(p)
				require.NoError(t, err)
				many, err := NewEncryptor(p)
				require.NoError(t, err)
				for n := range 40 {
					var want [][]byte
					for range n {
						want = append(want, randomPacket(r))
					}
					got := clones(want)
					for _, b := range want {
						one.Seal(b)
					}
					many.SealBatch(got)
					require.Equal(t, want, got)
					if n%3 == 0 {
						a, b := seal(one, "between"), seal(many, "between")
						require.Equal(t, a, b)
					}
				}
			})
		}
	})
}

// TestOpenBatchIsOpen: with losses, duplicates and nonsense.
func TestOpenBatchIsOpen(t *testing.T) {
	implementations(t, func(t *testing.T) {
		for _, p := range allParams {
			t.Run(name(p), func(t *testing.T) {
				r := rand.New(rand.NewPCG(5, 6))
				e, err := NewEncryptor(p)
				require.NoError(t, err)
				one, err := NewDecryptor(p)
				require.NoError(t, err)
				many, err := NewDecryptor(p)
				require.NoError(t, err)
				var missingOne, missingMany uint32
				for n := range 40 {
					var packets []Received
					var lost uint32
					for range n {
						b := randomPacket(r)
						e.Seal(b)
						switch r.IntN(12) {
						case 0:
							lost++
							continue
						case 1:
							packets = append(packets, Received{Data: bytes.Clone(b), Missing: lost})
							lost = 0 // and once more
						case 2:
							b = b[:r.IntN(HeaderLen+1)]
						case 3:
							b[0] &^= 0x10 // in clear
						}
						packets = append(packets, Received{Data: b, Missing: lost})
						lost = 0
					}
					var want []Received
					for _, p := range packets {
						missingOne += p.Missing
						b := bytes.Clone(p.Data)
						inner, err := one.Open(b, missingOne)
						if err != nil {
							missingOne++
							inner = b
						} else {
							missingOne = 0
						}
						want = append(want, Received{Data: inner, Missing: p.Missing, Err: err})
					}
					if n > 0 && len(packets) > 0 {
						packets[0].Missing += missingMany
						missingMany = many.OpenBatch(packets)
						packets[0].Missing = want[0].Missing
					}
					require.Equal(t, want, packets)
					require.Equal(t, missingOne, missingMany)
					missingOne += lost
					missingMany += lost
				}
			})
		}
	})
}

// TestBatchOfSessions: sessions of all kinds take turns in one Batch, and end
// while their packets are in it.
func TestBatchOfSessions(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(7, 8))
		var b Batch
		for range 50 {
			var one, many []*Encryptor
			var decs []*Decryptor
			for i := range 1 + r.IntN(10) {
				p := allParams[r.IntN(len(allParams))]
				p.Key[0] = byte(i)
				x, err := NewEncryptor(p)
				require.NoError(t, err)
				y, _ := NewEncryptor(p)
				d, _ := NewDecryptor(p)
				one, many, decs = append(one, x), append(many, y), append(decs, d)
			}
			var plain, want, got, inner [][]byte
			var owner []int
			for range r.IntN(60) {
				i := r.IntN(len(one))
				w := randomPacket(r)
				g := bytes.Clone(w)
				plain = append(plain, bytes.Clone(w[HeaderLen:]))
				one[i].Seal(w)
				b.Seal(many[i], g)
				want, got, owner = append(want, w), append(got, g), append(owner, i)
			}
			for _, e := range many {
				e.Wipe()
			}
			b.Flush()
			require.Equal(t, want, got)
			require.Equal(t, Batch{}, b, "something remains after Flush")

			for k, g := range got {
				in, err := b.Open(decs[owner[k]], g, 0)
				require.NoError(t, err)
				inner = append(inner, in)
			}
			for _, d := range decs {
				d.Wipe()
			}
			b.Flush()
			require.Equal(t, plain, inner)
			require.Equal(t, Batch{}, b, "something remains after Flush")
		}
	})
}

// TestBatchRefuses: a packet that is refused is left as it was, and so is the
// state.
func TestBatchRefuses(t *testing.T) {
	e, d := newPair(t)
	old := seal(e, "old")
	first := seal(e, "first")
	var b Batch
	_, err := b.Open(d, first, 1)
	require.NoError(t, err)
	b.Flush()

	before := *d
	clear := seal(e, "clear")
	clear[0] &^= 0x10
	kept := seal(e, "kept")
	kept[0] &^= 0x80
	for _, c := range []struct {
		packet  []byte
		missing uint32
		err     error
	}{
		{nil, 0, ErrShort},
		{old[:HeaderLen], 0, ErrShort},
		{old, 0, ErrOld},
		{clear, 0, ErrNotEncrypted},
		{kept, 0, ErrNotFlushed},
		{seal(e, "far"), maxSteps + countModulus, ErrGap},
	} {
		was := bytes.Clone(c.packet)
		_, err := b.Open(d, c.packet, c.missing)
		require.ErrorIs(t, err, c.err)
		b.Flush()
		require.Equal(t, was, c.packet)
		require.Equal(t, before, *d)
	}
}

func TestBatchWipe(t *testing.T) {
	e, _ := newPair(t)
	var b Batch
	for range 3 {
		b.Seal(e, make([]byte, 100))
	}
	require.NotEqual(t, Batch{}, b)
	b.Wipe()
	require.Equal(t, Batch{}, b)
}

func TestBatchAllocatesNothing(t *testing.T) {
	e, d := newPair(t)
	packets := make([][]byte, 20)
	received := make([]Received, len(packets))
	buf := make([]byte, len(packets)*600)
	var b Batch
	run := func(seal func(), open func()) float64 {
		return testing.AllocsPerRun(200, func() {
			for i := range packets {
				packets[i] = buf[i*600:][:600]
			}
			seal()
			open()
		})
	}
	require.Zero(t, run(func() {
		for _, p := range packets {
			b.Seal(e, p)
		}
		b.Flush()
	}, func() {
		for _, p := range packets {
			if _, err := b.Open(d, p, 0); err != nil {
				t.Fatal(err)
			}
		}
		b.Flush()
	}), "Batch")
	require.Zero(t, run(func() {
		e.SealBatch(packets)
	}, func() {
		for i, p := range packets {
			received[i] = Received{Data: p}
		}
		if missing := d.OpenBatch(received); missing != 0 {
			t.Fatal(missing)
		}
	}), "SealBatch and OpenBatch")
}

func TestOpenBatchSaturates(t *testing.T) {
	_, d := newPair(t)
	require.Equal(t, uint32(1<<32-1), d.OpenBatch([]Received{{Missing: 1<<32 - 2}, {}, {Missing: 7}}))
}

// FuzzBatch compares a Batch with Seal and Open: two octets for each packet, of
// one of four sessions.
func FuzzBatch(f *testing.F) {
	f.Add([]byte{0, 64, 0x15, 120, 0x25, 120, 0, 64})
	f.Add(bytes.Repeat([]byte{5, 120, 0x10, 1}, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		var one, many [4]*Encryptor
		var decs [4]*Decryptor
		for i := range one {
			p := allParams[(i*2+i/3)%len(allParams)] // the last one is stateful
			p.Key[1] = byte(i)
			one[i], _ = NewEncryptor(p)
			many[i], _ = NewEncryptor(p)
			decs[i], _ = NewDecryptor(p)
		}
		var batch Batch
		var want, got, inner [][]byte
		var owner []int
		for ; len(b) >= 2 && len(want) < 40; b = b[2:] {
			i := int(b[0]>>4) % len(one)
			w := make([]byte, HeaderLen+2+(int(b[0]&15)<<8|int(b[1]))%2001)
			w[HeaderLen+1] = 0x21
			g := bytes.Clone(w)
			one[i].Seal(w)
			batch.Seal(many[i], g)
			want, got, owner = append(want, w), append(got, g), append(owner, i)
		}
		batch.Flush()
		require.Equal(t, want, got)
		for k, g := range got {
			in, err := batch.Open(decs[owner[k]], g, 0)
			require.NoError(t, err)
			inner = append(inner, in)
		}
		batch.Flush()
		for k, in := range inner {
			require.Equal(t, append([]byte{0, 0x21}, make([]byte, len(want[k])-HeaderLen-2)...), in, fmt.Sprint(k))
		}
		require.Equal(t, Batch{}, batch)
	})
}

// TestSessionSize: a gateway has two or three of these for each of its sessions.
func TestSessionSize(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Encryptor{}), uintptr(64))
	require.LessOrEqual(t, unsafe.Sizeof(Decryptor{}), uintptr(64))
	e, err := NewEncryptor(Params{KeyLength: Key128})
	require.NoError(t, err)
	require.Nil(t, e.cipher, "stateless mode needs no more")
}
