package mppe

import (
	"bytes"
	stdrc4 "crypto/rc4"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// implementations runs f with the assembly, where there is one, and without it.
func implementations(t *testing.T, f func(t *testing.T)) {
	was := assembly
	t.Cleanup(func() { assembly = was })
	if was {
		t.Run("assembly", f)
	}
	assembly = false
	t.Run("generic", f)
}

// TestLaneLayout: it is what lanes_amd64.s has been generated for.
func TestLaneLayout(t *testing.T) {
	var l [width]lane
	require.EqualValues(t, 8, width)
	require.EqualValues(t, 16, blockLen)
	require.EqualValues(t, 0, unsafe.Offsetof(l[0].s))
	require.EqualValues(t, 257, unsafe.Offsetof(l[0].j))
	require.EqualValues(t, 272, unsafe.Offsetof(l[0].keys))
	require.EqualValues(t, 576, unsafe.Sizeof(l[0]))
	require.NotZero(t, unsafe.Sizeof(l[0])%256, "elements of two lanes would have the same low bits")
}

// poolKey is a key of its own for each i.
func poolKey(seed uint64, i int) (key [16]byte) {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	for k := range key {
		key[k] = byte(r.Uint32())
	}
	return key
}

// checkPool encrypts data of these lengths side by side, as Batch does: each key
// is followed by one that is used otherwise.
func checkPool(t testing.TB, seed uint64, lengths []int) {
	var (
		p     pool
		chain rc4
		texts [][]byte
		want  [][]byte
	)
	for i, n := range lengths {
		key, interim := poolKey(seed, 2*i), poolKey(seed, 2*i+1)
		text := make([]byte, n+1)
		for k := range text {
			text[k] = byte(k * (i + 1))
		}
		c, err := stdrc4.NewCipher(key[:])
		require.NoError(t, err)
		sealed := bytes.Clone(text)
		c.XORKeyStream(sealed[:n], sealed[:n])
		texts, want = append(texts, text), append(want, sealed)

		p.reset(&chain, &interim)
		c, _ = stdrc4.NewCipher(interim[:])
		encrypted := interim
		c.XORKeyStream(encrypted[:], encrypted[:])
		chain.xor(interim[:], interim[:])
		require.Equal(t, encrypted, interim, "key %d of the chain", i)
		p.add(&key, text[:n])
	}
	p.flush()
	for i := range texts {
		if !bytes.Equal(want[i], texts[i]) {
			t.Fatalf("packet %d of lengths %v", i, lengths)
		}
	}
	require.Equal(t, pool{}, p, "something remains")
}

// TestPoolLengths: each length, and each number of lanes.
func TestPoolLengths(t *testing.T) {
	implementations(t, func(t *testing.T) {
		for n := 0; n <= 2000; n += width {
			lengths := make([]int, width)
			for i := range lengths {
				lengths[i] = n + i
			}
			checkPool(t, uint64(n), lengths)
		}
		for lanes := 1; lanes <= 2*width+1; lanes++ {
			for _, n := range []int{1, 15, 16, 17, 255, 256, 257, 512, 1400} {
				lengths := make([]int, lanes)
				for i := range lengths {
					lengths[i] = n
				}
				checkPool(t, uint64(lanes), lengths)
			}
		}
	})
}

// TestPoolUnequal: lanes that end at different times, and begin anew.
func TestPoolUnequal(t *testing.T) {
	implementations(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 200 {
			lengths := make([]int, 1+r.IntN(4*width))
			for k := range lengths {
				lengths[k] = r.IntN(2001)
				if r.IntN(3) == 0 {
					lengths[k] = r.IntN(80)
				}
			}
			checkPool(t, uint64(i), lengths)
		}
	})
}

// FuzzPool has two octets for each length.
func FuzzPool(f *testing.F) {
	f.Add(uint64(1), []byte{0, 64, 0, 0, 5, 120})
	f.Add(uint64(2), bytes.Repeat([]byte{5, 120, 0, 1}, 9))
	f.Add(uint64(3), bytes.Repeat([]byte{1, 0}, 8))
	f.Fuzz(func(t *testing.T, seed uint64, b []byte) {
		var lengths []int
		for ; len(b) >= 2 && len(lengths) < 40; b = b[2:] {
			lengths = append(lengths, (int(b[0])<<8|int(b[1]))%2001)
		}
		was := assembly
		defer func() { assembly = was }()
		checkPool(t, seed, lengths)
		assembly = false
		checkPool(t, seed, lengths)
	})
}

// TestGenerators compares every way to make key streams, octet by octet of the
// state that remains.
func TestGenerators(t *testing.T) {
	if !assembly {
		t.Skip("no assembly for this processor")
	}
	t.Cleanup(func() { assembly = true })
	for n := 0; n < width; n += 2 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			var a, b [width]lane
			for k := 0; k < width; k += 2 {
				x, y := poolKey(uint64(n), k), poolKey(uint64(n), k+1)
				assembly = true
				resetPair(&a[k].rc4, &a[k+1].rc4, &x, &y)
				assembly = false
				resetPair(&b[k].rc4, &b[k+1].rc4, &x, &y)
				var c rc4
				c.reset(&y)
				require.Equal(t, a[k], b[k])
				require.Equal(t, a[k+1], b[k+1])
				require.Equal(t, c, a[k+1].rc4)
			}
			for size := blockLen; size <= roundLen; size += blockLen {
				for range 2 {
					assembly = true
					generate(&a, width, size)
					assembly = false
					generate(&b, width, size)
					require.Equal(t, a, b, "%d octets", size)
				}
			}
		})
	}
}
