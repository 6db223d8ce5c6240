package xdp

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

// One goroutine sends over a veth pair and receives at the other end: what a frame
// costs, both ends together.
func BenchmarkFrame(b *testing.B) {
	for _, size := range []int{64, 1400} {
		for _, mode := range []Mode{Native, Generic} {
			for _, ring := range []int{256, 2048} {
				b.Run(fmt.Sprintf("size=%d/%v/ring=%d", size, mode, ring), func(b *testing.B) {
					benchmarkFrame(b, size, Options{Mode: mode, RxRing: ring, TxRing: ring})
				})
			}
		}
	}
}

func benchmarkFrame(b *testing.B, size int, o Options) {
	const burst = 64
	c := newChannel(b, o)
	template := appendFrame(nil, c.a, c.b, make([]byte, size-minFrame))
	frames := make([][]byte, burst)
	sent, got, pending := 0, 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	for got < b.N {
		for range burst {
			f := c.sa.Frame()
			if f == nil {
				break
			}
			c.sa.Submit(f[:copy(f, template)])
			sent++
		}
		if c.sa.Flush() != nil {
			pending++
		}
		for n := -1; n != 0; {
			n = c.sb.Receive(frames)
			for _, f := range frames[:n] {
				c.sb.Free(f)
			}
			got += n
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(sent-c.sa.Pending()-got)/float64(sent)*100, "%lost")
	b.ReportMetric(float64(pending)/float64(b.N)*100, "%pending")
}

// What the program costs TCP of the network stack, which it leaves alone.
func BenchmarkTCP(b *testing.B) {
	const size = 1 << 20
	const none = Auto
	for _, mode := range []Mode{none, Native, Generic} {
		name := mode.String()
		if mode == none {
			name = "none"
		}
		b.Run(name, func(b *testing.B) {
			from, to := newPair(b)
			if mode != none {
				f := newFilter(b)
				from.open(b, f, Options{Mode: mode})
				to.open(b, f, Options{Mode: mode})
			}
			b.SetBytes(size)
			require.EqualValues(b, b.N*size, transfer(b, from, to, b.N*size))
		})
	}
}
