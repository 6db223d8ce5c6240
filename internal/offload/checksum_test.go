package offload

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSum(t *testing.T) {
	// RFC 1071 §3.
	require.Equal(t, uint16(0xDDF2), Sum([]byte{0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7}, 0))
	require.Equal(t, uint16(0), Sum(nil, 0))
	require.Equal(t, uint16(0x0100), Sum([]byte{1}, 0))
	require.Equal(t, uint16(2), Sum([]byte{0, 1}, 0xFFFF)+1, "the carry comes around")

	bothWays(t, testSums)
}

// bothWays tests with the assembly, where there is some, and without.
func bothWays(t *testing.T, f func(t *testing.T)) {
	t.Run("Go", func(t *testing.T) {
		defer func(was bool) { assembly = was }(assembly)
		assembly = false
		f(t)
	})
	if assembly {
		t.Run("assembly", f)
	}
}

func testSums(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	memory := make([]byte, 512)
	for _, kind := range []string{"random", "ones", "zeros", "carry"} {
		for i := range memory {
			switch kind {
			case "random":
				memory[i] = byte(rnd.Uint32())
			case "ones":
				memory[i] = 0xFF
			case "zeros":
				memory[i] = 0
			case "carry":
				memory[i] = 0xFF
				if i%64 == 0 {
					memory[i] = 1
				}
			}
		}
		for from := range 9 {
			for n := range 400 {
				b := memory[from : from+n]
				require.Equal(t, naive(b), Sum(b, 0), "%s from %d, %d octets", kind, from, n)
				if n == headerLen4 {
					require.Equal(t, naive(b), SumIPv4(b), "%s from %d", kind, from)
				}
			}
		}
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint16(4))
	f.Fuzz(func(t *testing.T, b []byte, initial uint16) {
		want := uint32(naive(b)) + uint32(initial)
		require.Equal(t, uint16(want+want>>16), Sum(b, initial))
		require.Equal(t, fold(sumGeneric(b, 0)), fold(sum(b)), "with assembly and without")
		Prefetch(b)
		if len(b) >= headerLen4 {
			require.Equal(t, naive(b[:headerLen4]), SumIPv4(b))
		}
	})
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{40, 576, 1400} {
		memory, dst := octets(n), make([]byte, n)
		for _, way := range []struct {
			name string
			f    func() uint16
		}{
			{"sum", func() uint16 { return Sum(memory, 0) }},
			{"naive", func() uint16 { return naive(memory) }},
			{"copy", func() uint16 { return uint16(copy(dst, memory)) }},
			{"both", func() uint16 { copy(dst, memory); return Sum(memory, 0) }},
		} {
			b.Run(fmt.Sprintf("%s/%d", way.name, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					way.f()
				}
			})
		}
	}
}
