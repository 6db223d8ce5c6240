package userspace

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// oneWay returns a function that sends n packets of size octets from the client
// to the server, some at a time, and receives them.
func oneWay(t testing.TB, encrypted bool) func(n, size int) {
	a, b := newPair(t)
	tun := newTunnel(t, a, b, outerB)
	if encrypted {
		tun.encrypt(t)
	}
	tun.attach(t, 1456)
	c, s := a.listenUDP(t, "10.99.0.2:0"), b.listenUDP(t, "10.99.0.1:0")
	require.NoError(t, s.SetReadBuffer(1<<20))
	to := s.LocalAddr().(*net.UDPAddr).AddrPort()
	buf := make([]byte, 1500)
	const headers, window = 20 + 8, 64
	return func(n, size int) {
		if err := s.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for sent, got := 0, 0; got < n; {
			for ; sent < n && sent < got+window; sent++ {
				if _, err := c.WriteToUDPAddrPort(buf[:size-headers], to); err != nil {
					t.Fatal(err)
				}
			}
			for ; got < sent && (got < sent-window/2 || sent == n); got++ {
				if _, _, err := s.ReadFromUDPAddrPort(buf); err != nil {
					t.Fatal(err, tun.client.Stats(), tun.server.Stats(), tun.serverCall.Counters())
				}
			}
		}
	}
}

// The whole way of a packet, through both planes and the kernel, allocates
// nothing.
func TestPlanesAllocateNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		send := oneWay(t, encrypted)
		send(1000, 1400) // everything grows to its size
		time.Sleep(100 * time.Millisecond)
		send(1000, 1400) // by AF_XDP
		const packets = 20000
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		send(packets, 1400)
		runtime.ReadMemStats(&after)
		// A few are the runtime's, the test's, and for news of routes.
		require.Less(t, after.Mallocs-before.Mallocs, uint64(packets/100))
	})
}

func BenchmarkPlanes(b *testing.B) {
	for name, encrypted := range map[string]bool{"clear": false, "MPPE": true} {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				send := oneWay(b, encrypted)
				send(1000, size)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				send(b.N, size)
			})
		}
	}
}
