package kerneltest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
)

// limits has rates with bursts of so many packets of passes and of arrives.
func limits(from, to int) gopptp.Network {
	return with(func(n *gopptp.Network) {
		n.Rates.FromPeer = gopptp.BitRate{BitsPerSecond: 8000, Burst: from * (len(clearFrame()) - 2)}
		n.Rates.ToPeer = gopptp.BitRate{BitsPerSecond: 8000, Burst: to * len(ipPacket(serverInner, plain.Peer, "down"))}
	})
}

// Limits are the device's. They change without anything else, and stay while nothing is
// attached.
func TestRates(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		through := func() (from, to int) {
			for range 20 {
				if w.arrives(clearFrame()) {
					from++
				}
				if passed, _ := w.passes(); passed {
					to++
				}
			}
			return from, to
		}
		expect := func(from, to int) {
			w.Helper()
			gotFrom, gotTo := through()
			require.Equal(w, [2]int{from, to}, [2]int{gotFrom, gotTo})
		}
		w.attach(plain)
		expect(20, 20)
		w.attach(limits(5, 9))
		before := w.Counters()
		expect(5, 9)
		after := w.Counters()
		require.EqualValues(w, 5, after.ReceivedPackets-before.ReceivedPackets)
		require.EqualValues(w, 9, after.SentPackets-before.SentPackets)
		require.EqualValues(w, 40-5-9, after.DroppedRate-before.DroppedRate)

		w.record()
		w.attach(limits(5, 9))
		require.NotContains(w, w.ops, kerneltest.OpSetRates, "what is used up stays so")
		require.NoError(w, w.Detach())
		require.Empty(w, w.told())
		w.attach(limits(5, 9))
		require.NotContains(w, w.ops, kerneltest.OpSetRates)
		w.host.OnOp(nil)

		w.attach(limits(7, 3))
		expect(7, 3)
		w.attach(with(func(n *gopptp.Network) { n.Rates.ToPeer.BitsPerSecond = 1e6 }))
		d := w.host.Devices()[0]
		require.Equal(w, kerneltest.Rate{}, d.FromPeer)
		require.Equal(w, kerneltest.Rate{BitsPerSecond: 1e6, Burst: gopptp.BitRate{BitsPerSecond: 1e6}.BurstOctets()}, d.ToPeer)
		w.attach(plain)
		expect(20, 20)
	})
}

// A session with limits is not carried without them.
func TestNoRates(t *testing.T) {
	inCallWith(t, kerneltest.Options{Rates: kerneltest.Missing}, false, func(w *callWorld) {
		err := w.Attach(limits(1, 1))
		require.ErrorIs(w, err, kernel.ErrNoRates)
		require.ErrorContains(w, err, "rate limits: not supported")
		require.Empty(w, w.told())
		w.attach(plain)
		passed, _ := w.passes()
		require.True(w, passed)
		require.ErrorIs(w, w.Attach(limits(1, 1)), kernel.ErrNoRates)
		require.ErrorIs(w, w.Call.(gopptp.RatesCall).CheckRates(limits(1, 1).Rates), kernel.ErrNoRates)
		require.NoError(w, w.Call.(gopptp.RatesCall).CheckRates(gopptp.Rates{}))
	})
	inCallWith(t, kerneltest.Options{Rates: kerneltest.Unclear}, false, func(w *callWorld) {
		w.attach(limits(2, 2))
		time.Sleep(time.Minute)
		passed, _ := w.passes()
		require.True(w, passed, "it was tried")
	})
}
