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

var testParams = Params{KeyLength: Key128, Key: Key{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}

func newPair(t testing.TB) (*Encryptor, *Decryptor) {
	t.Helper()
	e, err := NewEncryptor(testParams)
	require.NoError(t, err)
	d, err := NewDecryptor(testParams)
	require.NoError(t, err)
	return e, d
}

// seal returns a new packet that holds text.
func seal(e *Encryptor, text string) []byte {
	b := append(make([]byte, HeaderLen), text...)
	e.Seal(b)
	return b
}

// reference is stateless MPPE written down from RFC 3078 §7 with the standard
// library, slowly.
type reference struct{ start, key []byte }

func newReference(start Key) *reference {
	r := &reference{start: start[:], key: start[:]}
	r.key = r.hash()
	return r
}

func (r *reference) hash() []byte {
	h := sha1.New()
	h.Write(r.start)
	h.Write(make([]byte, 40))
	h.Write(r.key)
	for range 40 {
		h.Write([]byte{0xf2})
	}
	return h.Sum(nil)[:16]
}

func (r *reference) seal(dst, src []byte) {
	interim := r.hash()
	c, _ := stdrc4.NewCipher(interim)
	r.key = make([]byte, 16)
	c.XORKeyStream(r.key, interim)
	c, _ = stdrc4.NewCipher(r.key)
	c.XORKeyStream(dst, src)
}

func TestSealMatchesTheReference(t *testing.T) {
	e, _ := newPair(t)
	ref := newReference(testParams.Key)
	for i := range 5000 {
		text := fmt.Sprintf("packet %d", i)
		want := make([]byte, len(text))
		ref.seal(want, []byte(text))
		got := seal(e, text)
		require.EqualValues(t, 0x9000|i%4096, binary.BigEndian.Uint16(got), "flags and coherency count")
		require.Equal(t, want, got[HeaderLen:])
	}
}

func TestOpenInOrder(t *testing.T) {
	e, d := newPair(t)
	for i := range 10_000 {
		text := fmt.Sprint("packet ", i)
		got, err := d.Open(seal(e, text), 0)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
}

// Losses of every size are stepped over, with what GRE knows of them: exactly,
// or too much because it counts control frames too.
func TestOpenAfterLoss(t *testing.T) {
	for _, lost := range []int{1, 2, 100, 2047, 2048, 4000, 4095, 4096, 4097, 8191, 8192, 65_000} {
		rounds, others := 3, []int{0, 1, 50, 300} // from several counts
		if lost > 5000 {
			rounds = 1
		}
		if lost > 10_000 {
			others = others[3:] // it takes its time
		}
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			e, d := newPair(t)
			receivers := make([]Decryptor, len(others)) // of the same packets
			for i := range receivers {
				receivers[i] = *d
			}
			packet := make([]byte, HeaderLen+4)
			for range rounds {
				before := seal(e, "before")
				for range lost {
					e.Seal(packet)
				}
				after := seal(e, "after")
				for i := range receivers {
					_, err := receivers[i].Open(bytes.Clone(before), 0)
					require.NoError(t, err)
					got, err := receivers[i].Open(bytes.Clone(after), uint32(lost+others[i]))
					require.NoError(t, err, "and %d others", others[i])
					require.Equal(t, "after", string(got), "and %d others", others[i])
				}
			}
		})
	}
}

// Without word from GRE small gaps are believed, for the peer itself may drop
// what it has encrypted.
func TestOpenAfterSilentLoss(t *testing.T) {
	e, d := newPair(t)
	for range 2000 {
		seal(e, "lost")
	}
	got, err := d.Open(seal(e, "after"), 0)
	require.NoError(t, err)
	require.Equal(t, "after", string(got))
}

func TestOpenRefusesThePast(t *testing.T) {
	e, d := newPair(t)
	var old [][]byte
	for i := range 100 {
		b := seal(e, fmt.Sprint(i))
		old = append(old, append([]byte(nil), b...))
		_, err := d.Open(b, 0)
		require.NoError(t, err)
	}
	for _, b := range old {
		_, err := d.Open(append([]byte(nil), b...), 0)
		require.ErrorIs(t, err, ErrOld)
	}
	got, err := d.Open(seal(e, "next"), 0)
	require.NoError(t, err)
	require.Equal(t, "next", string(got), "the state is as it was")
}

func TestOpenRefusesWhatItCannotBe(t *testing.T) {
	e, d := newPair(t)
	for _, c := range []struct {
		b       []byte
		missing uint32
		err     error
	}{
		{nil, 0, ErrShort},
		{[]byte{0x90}, 0, ErrShort},
		{[]byte{0x90, 0}, 0, ErrShort},
		{[]byte{0x80, 0, 1}, 0, ErrNotEncrypted},
		{[]byte{0x10, 0, 1}, 0, ErrNotFlushed},
		{[]byte{0x9f, 0xff, 1}, 0, ErrOld},
		{[]byte{0x90, 0, 1}, 1 << 31, ErrGap},
		{[]byte{0x90, 0, 1}, 1<<32 - 1, ErrGap},
	} {
		_, err := d.Open(c.b, c.missing)
		require.ErrorIs(t, err, c.err, "% x", c.b)
	}
	got, err := d.Open(seal(e, "first"), 0)
	require.NoError(t, err)
	require.Equal(t, "first", string(got))
}

func TestUnsupportedParams(t *testing.T) {
	for _, p := range []Params{{}, {KeyLength: 64}, {KeyLength: 128 + 1, Stateful: true}} {
		_, err := NewEncryptor(p)
		require.ErrorIs(t, err, ErrNotSupported)
		_, err = NewDecryptor(p)
		require.ErrorIs(t, err, ErrNotSupported)
	}
}

func TestWipe(t *testing.T) {
	e, d := newPair(t)
	seal(e, "x")
	e.Wipe()
	d.Wipe()
	require.Equal(t, Encryptor{}, *e)
	require.Equal(t, Decryptor{}, *d)
}

func TestEncrypts(t *testing.T) {
	for p, want := range map[uint16]bool{0x0001: false, 0x0020: false, 0x0021: true, 0x0057: true, 0x00fa: true, 0x00fb: false, 0x00fd: false, 0x8021: false, 0xc021: false} {
		require.Equal(t, want, Encrypts(p), "%#04x", p)
	}
}

func TestRC4MatchesTheStandardLibrary(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var c rc4
	for range 200 {
		var key [16]byte
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		std, err := stdrc4.NewCipher(key[:])
		require.NoError(t, err)
		c.reset(&key)
		for range 3 {
			src := make([]byte, r.IntN(600))
			for i := range src {
				src[i] = byte(r.Uint32())
			}
			want, got := make([]byte, len(src)), make([]byte, len(src))
			std.XORKeyStream(want, src)
			c.xor(got, src)
			require.Equal(t, want, got)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	e, d := newPair(t)
	b := make([]byte, 1400)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		e.Seal(b)
		if _, err := d.Open(b, 0); err != nil {
			t.Fatal(err)
		}
	}))
}

func FuzzRC4(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte("some text"))
	f.Fuzz(func(t *testing.T, key, src []byte) {
		if len(key) < 16 {
			t.Skip("no key")
		}
		std, err := stdrc4.NewCipher(key[:16])
		require.NoError(t, err)
		var c rc4
		c.reset((*[16]byte)(key))
		want, got := make([]byte, len(src)), make([]byte, len(src))
		std.XORKeyStream(want, src)
		c.xor(got, src)
		require.Equal(t, want, got)
	})
}

// FuzzDecryptor gives a Decryptor anything, between good packets: those must
// still come through, unless a forged one has taken their place.
func FuzzDecryptor(f *testing.F) {
	e, _ := newPair(f)
	f.Add(seal(e, "first"), uint32(0))
	f.Add([]byte{0x90, 0xff, 1, 2, 3}, uint32(5000))
	f.Add([]byte{0x80}, uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, missing uint32) {
		e, d := newPair(t)
		for range 3 {
			got, err := d.Open(seal(e, "good"), 0)
			require.NoError(t, err)
			require.Equal(t, "good", string(got))
		}
		before, was := d.state, append([]byte(nil), b...)
		if out, err := d.Open(b, missing); err == nil {
			require.Len(t, out, len(b)-HeaderLen)
			return
		}
		require.True(t, before == d.state, "a packet that is refused leaves the state")
		require.True(t, bytes.Equal(was, b), "and is left as it is")
		got, err := d.Open(seal(e, "good"), 0)
		require.NoError(t, err)
		require.Equal(t, "good", string(got))
	})
}
