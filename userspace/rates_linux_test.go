package userspace

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/stretchr/testify/require"
)

// newFarPair is newPair with a round trip time.
func newFarPair(t testing.TB, rtt time.Duration) (a, b *namespace) {
	t.Helper()
	a, b = newNamespace(t), newNamespace(t)
	near, far := a.newTAP(t, "eth0", 1, false), b.newTAP(t, "eth0", 1, false)
	a.address(t, near.index, outerA.String()+"/24")
	b.address(t, far.index, outerB.String()+"/24")
	a.neighbour(t, near.index, outerB.String(), far.mac)
	b.neighbour(t, far.index, outerA.String(), near.mac)
	var lines sync.WaitGroup
	for _, ends := range [][2]*tap{{near, far}, {far, near}} {
		line := make(chan delayed, 1<<14)
		lines.Go(func() {
			for d := range line {
				time.Sleep(time.Until(d.at))
				_, _ = ends[1].queues[0].Write(d.frame)
			}
		})
		ends[0].each(func(_ int, frame []byte) {
			line <- delayed{time.Now().Add(rtt / 2), append([]byte(nil), frame...)}
		})
		t.Cleanup(func() { close(line) }) // after the taps: cleanups are last in, first out
	}
	return a, b
}

type delayed struct {
	at    time.Time
	frame []byte
}

// listenTCP listens in the namespace until the end of the test.
func (ns *namespace) listenTCP(t testing.TB, addr netip.Addr) net.Listener {
	t.Helper()
	var l net.Listener
	var err error
	ns.Do(func() { l, err = net.Listen("tcp4", netip.AddrPortFrom(addr, 0).String()) })
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

// dialTCP connects to what is listened to elsewhere.
func (ns *namespace) dialTCP(t testing.TB, addr net.Addr) net.Conn {
	t.Helper()
	var c net.Conn
	var err error
	ns.Do(func() { c, err = net.DialTimeout("tcp4", addr.String(), 10*time.Second) })
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// ratedConn has a TCP connection through a tunnel with limits, which sends without end.
// It returns the end that receives, and the server's call.
func ratedConn(t testing.TB, a, b *namespace, toPeer bool, rate gopptp.BitRate) (net.Conn, gopptp.Call) {
	t.Helper()
	tun := newTunnelWith(t, a, b, outerB, Options{XDP: XDPOff})
	rates := gopptp.Rates{FromPeer: rate}
	from, to, at := a, b, innerServer
	if toPeer {
		rates = gopptp.Rates{ToPeer: rate}
		from, to, at = b, a, innerClient
	}
	require.NoError(t, tun.clientCall.Attach(gopptp.Network{Local: innerClient, Peer: innerServer, MTU: ratedMTU}))
	require.NoError(t, tun.serverCall.Attach(gopptp.Network{Local: innerServer, Peer: innerClient, MTU: ratedMTU, Rates: rates}))
	require.NoError(t, <-tun.atClient.attached)
	require.NoError(t, <-tun.atServer.attached)
	l := to.listenTCP(t, at)
	conn := from.dialTCP(t, l.Addr())
	other, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { other.Close() })
	go func() {
		buf := make([]byte, 128<<10)
		for {
			if _, err := conn.Write(buf); err != nil {
				return
			}
		}
	}()
	return other, tun.serverCall
}

// ratedMTU is that of the tunnel, and ratedMSS what of a packet is the connection's.
const ratedMTU, ratedMSS = 1400, 1400 - 20 - 32

// Segmentation offload takes nothing through that is above the rate.
func TestTCPAtRate(t *testing.T) {
	for name, toPeer := range map[string]bool{"to the peer": true, "from the peer": false} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t)
			rate := gopptp.BitRate{BitsPerSecond: 8e6}
			conn, call := ratedConn(t, a, b, toPeer, rate)
			began := time.Now()
			require.NoError(t, conn.SetReadDeadline(began.Add(30*time.Second)))
			const octets = 1 << 20
			_, err := io.CopyN(io.Discard, conn, octets)
			require.NoError(t, err)
			// Nothing comes sooner than it may, however slow the machine is. The first
			// burst, some of it before the clock ran, comes at once.
			left := float64(octets)/ratedMSS*ratedMTU - 2*float64(rate.BurstOctets())
			require.GreaterOrEqual(t, time.Since(began).Seconds(), left*8/float64(rate.BitsPerSecond))
			require.NotZero(t, call.Counters().DroppedRate)
		})
	}
}

// BenchmarkTCPAtRate reports how much of the rate of a session a TCP connection gets. A
// round of it is eight seconds: -benchtime 1x.
func BenchmarkTCPAtRate(b *testing.B) {
	for _, toPeer := range []bool{true, false} {
		for _, rtt := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond} {
			for _, mbit := range []uint64{1, 5, 20, 100} {
				b.Run(fmt.Sprintf("toPeer=%v/rtt=%v/%dMbit", toPeer, rtt, mbit), func(b *testing.B) {
					peer, here := newFarPair(b, rtt)
					rate := gopptp.BitRate{BitsPerSecond: mbit * 1e6}
					conn, call := ratedConn(b, peer, here, toPeer, rate)
					// A burst is more than the rate.
					_, err := io.CopyN(io.Discard, conn, int64(rate.BurstOctets()))
					require.NoError(b, err)
					b.ResetTimer()
					began, octets := time.Now(), int64(0)
					for range b.N {
						require.NoError(b, conn.SetReadDeadline(time.Now().Add(8*time.Second)))
						n, _ := io.Copy(io.Discard, conn)
						octets += n
					}
					seconds := time.Since(began).Seconds()
					b.ReportMetric(100*float64(octets)*8/ratedMSS*ratedMTU/seconds/float64(rate.BitsPerSecond), "%")
					b.ReportMetric(float64(call.Counters().DroppedRate)/seconds, "dropped/s")
				})
			}
		}
	}
}
