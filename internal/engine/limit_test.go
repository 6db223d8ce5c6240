package engine

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

func TestLimit(t *testing.T) {
	const packet = 1000
	for name, c := range map[string]struct {
		rate  gopptp.BitRate
		burst int // packets that pass at once
		pause time.Duration
		then  int // packets that pass after the pause
	}{
		"a burst":            {gopptp.BitRate{BitsPerSecond: 8e6, Burst: 10 * packet}, 10, 2 * time.Millisecond, 2},
		"no more than that":  {gopptp.BitRate{BitsPerSecond: 8e6, Burst: 10 * packet}, 10, time.Hour, 10},
		"the default":        {gopptp.BitRate{BitsPerSecond: 8e6}, 250, 10 * time.Millisecond, 10},
		"the least":          {gopptp.BitRate{BitsPerSecond: 64e3}, 66, time.Second, 8},
		"less than a packet": {gopptp.BitRate{BitsPerSecond: 8e6, Burst: 1}, 1, 5 * time.Millisecond, 1},
		"hardly any":         {gopptp.BitRate{BitsPerSecond: 1, Burst: packet}, 1, 8000 * time.Second, 1},
		"longer than a life": {gopptp.BitRate{BitsPerSecond: 1, Burst: math.MaxInt}, 450, 8000 * time.Second, 1},
		"beyond measure":     {gopptp.BitRate{BitsPerSecond: math.MaxUint64, Burst: 1}, 5000, 0, 5000},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimit(nil, c.rate)
			now := time.Unix(1e9, 0)
			passing := func() (n int) {
				for n < 5000 && l.allow(packet, now) {
					n++
				}
				return n
			}
			require.Equal(t, c.burst, passing())
			now = now.Add(c.pause)
			require.Equal(t, c.then, passing())
		})
	}
}

// In the long run it is the rate that passes, to a burst, however packets come.
func TestLimitIsExact(t *testing.T) {
	for _, rate := range []uint64{64e3, 1e6, 7_654_321, 100e6, 10e9} {
		for _, size := range []int{64, 576, 1400} {
			l := newLimit(nil, gopptp.BitRate{BitsPerSecond: rate, Burst: 3000})
			began := time.Unix(1e9, 0)
			step := max(1, time.Duration(float64(size)*8e9/float64(rate)*0.7)) // faster than it may
			passed, at := 0, began
			for range 20_000 {
				if l.allow(size, at) {
					passed += size
				}
				at = at.Add(step)
			}
			want := float64(rate) / 8 * at.Sub(began).Seconds()
			require.InDelta(t, want, passed, want*0.01+3000+float64(size), "%d bit/s, %d octets", rate, size)
		}
	}
}

// limited has rates attached whose bursts are of so many packets of 100 octets.
func limited(from, to int) func(*gopptp.Network) {
	return func(n *gopptp.Network) {
		n.Rates.FromPeer = gopptp.BitRate{BitsPerSecond: 8e3 * uint64(min(from, 1)), Burst: 100 * from}
		n.Rates.ToPeer = gopptp.BitRate{BitsPerSecond: 8e3 * uint64(min(to, 1)), Burst: 100 * to}
	}
}

var hundred = make([]byte, 100-ipv4HeaderLen-8)

// Each direction is limited by itself, from the moment of the Attach, and no packet
// that passes or does not is counted twice.
func TestRates(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := connected(t, encrypted)
			if encrypted {
				n.encrypt()
			}
			n.attach(nil)
			// both has packets come from both sides, and returns how many got through.
			both := func(count int) (in, out int) {
				before := n.call.Counters()
				for range count {
					if encrypted {
						n.receive(n.sealed(innerFrame(inPacket(hundred...))...))
					} else {
						n.receive(n.packet(ipFrame(inPacket(hundred...))...))
					}
					n.fromHost(outPacket(hundred...))
				}
				in = len(n.host.take())
				for _, d := range n.wire.take() {
					if len(d.Data) > 100 { // no acknowledgement
						out++
					}
				}
				after := n.call.Counters()
				require.EqualValues(t, in, after.ReceivedPackets-before.ReceivedPackets)
				require.EqualValues(t, out, after.SentPackets-before.SentPackets)
				require.EqualValues(t, 100*in, after.ReceivedOctets-before.ReceivedOctets)
				require.EqualValues(t, 100*out, after.SentOctets-before.SentOctets)
				require.EqualValues(t, 2*count-in-out, after.DroppedRate-before.DroppedRate)
				return in, out
			}
			expect := func(in, out int) {
				t.Helper()
				gotIn, gotOut := both(30)
				require.Equal(t, [2]int{in, out}, [2]int{gotIn, gotOut})
			}
			// What has been used up stays so. To attach takes a moment, after which a
			// packet may pass.
			again := func() {
				t.Helper()
				n.attach(limited(5, 8))
				in, out := both(30)
				require.LessOrEqual(t, max(in, out), 1)
			}
			expect(30, 30)
			n.attach(limited(5, 8))
			expect(5, 8)
			time.Sleep(200 * time.Millisecond) // at 10 packets a second
			expect(2, 2)
			again()
			require.NoError(t, n.call.Detach())
			synctest.Wait()
			again()
			n.attach(limited(0, 9))
			expect(30, 9)
			n.attach(limited(5, 0))
			expect(5, 30)
			n.attach(nil)
			expect(30, 30)

			// Nothing else is limited, and nothing has been lost on the way.
			n.attach(limited(1, 1))
			expect(1, 1)
			require.NoError(t, n.call.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}))
			require.Len(t, n.wire.take(), 1)
			require.Zero(t, n.call.Counters().DroppedEncrypted)
			require.NoError(t, n.call.Close())
			require.NotZero(t, n.call.Counters().DroppedRate)
		})
	}
}

// Limits cost no allocation, and their absence nothing.
func TestRatesAllocateNothing(t *testing.T) {
	e, c := newSinkCall(t, false)
	n := testNetwork()
	n.Rates.ToPeer.BitsPerSecond, n.Rates.FromPeer.BitsPerSecond = 1e6, 1e6
	require.NoError(t, c.Attach(n))
	in, out := newFlow(t, c.ID(), 1400, 32, false), newHostFlow(1400, 32)
	e.Inbound(in.next())
	e.Outbound(out.next())
	require.Zero(t, testing.AllocsPerRun(200, func() {
		e.Inbound(in.next())
		e.Outbound(out.next())
	}))
	require.NotZero(t, c.Counters().DroppedRate)
}

// BenchmarkRates compares a session without limits with one whose limits are never
// reached.
func BenchmarkRates(b *testing.B) {
	for _, limit := range []uint64{0, 1e12} {
		for _, direction := range []string{"in", "out"} {
			b.Run(fmt.Sprintf("%s/limited=%v", direction, limit > 0), func(b *testing.B) {
				e, c := newSinkCall(b, false)
				n := testNetwork()
				n.Rates.ToPeer.BitsPerSecond, n.Rates.FromPeer.BitsPerSecond = limit, limit
				require.NoError(b, c.Attach(n))
				const batch = 32
				in, out := newFlow(b, c.ID(), 64, batch, false), newHostFlow(64, batch)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += batch {
					if direction == "in" {
						e.Inbound(in.next())
					} else {
						e.Outbound(out.next())
					}
				}
			})
		}
	}
}
