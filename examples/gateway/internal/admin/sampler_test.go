package admin

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// ipv4 is a UDP packet of a length.
func ipv4(from, to netip.Addr, length int) []byte {
	b := make([]byte, length)
	b[0], b[8], b[9] = 0x45, 64, 17
	b[2], b[3] = byte(length>>8), byte(length)
	copy(b[12:16], from.AsSlice())
	copy(b[16:20], to.AsSlice())
	return b
}

func TestSampler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		alice := w.dial("192.0.2.2", "alice")
		host := w.net.Host(netip.MustParseAddr("192.0.2.2"))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := &sampler{ctx: ctx, live: w.gateway.Live}
		id := w.gateway.Live.ByAddress(alice.Local()).ID()

		traffic := make(chan map[gopptp.SessionID]Traffic, 1)
		begin := time.Now()
		go func() {
			all, err := s.traffic(t.Context())
			assert.NoError(t, err)
			traffic <- all
		}()
		synctest.Wait() // the first sample is taken
		for range 10 {
			host.Send(ipv4(alice.Local(), alice.Peer(), 1000))
		}
		all := <-traffic
		assert.Equal(t, firstInterval, time.Since(begin))
		assert.Equal(t, Traffic{FromPeer: 10 * 1000 * 8}, all[id])

		// Then it is there at once, and follows.
		all, err := s.traffic(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Traffic{FromPeer: 80_000}, all[id])
		time.Sleep(sampleInterval)
		synctest.Wait()
		all, err = s.traffic(t.Context())
		require.NoError(t, err)
		assert.Equal(t, Traffic{}, all[id])

		// It ends when nobody asks any more, and begins again.
		time.Sleep(sampleFor + 2*sampleInterval)
		synctest.Wait()
		assert.Nil(t, s.ready)
		begin = time.Now()
		_, err = s.traffic(t.Context())
		require.NoError(t, err)
		assert.Equal(t, firstInterval, time.Since(begin))

		// Those who do not wait get an error, and no wrong figures.
		time.Sleep(sampleFor + 2*sampleInterval)
		short, stop := context.WithTimeout(t.Context(), time.Millisecond)
		defer stop()
		_, err = s.traffic(short)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
		synctest.Wait()
		w.gateway.Server.Close()
		w.net.Close()
	})
}

func TestPerSecond(t *testing.T) {
	assert.EqualValues(t, 8000, perSecond(0, 2000, 2*time.Second))
	assert.Zero(t, perSecond(2000, 0, time.Second))
	assert.Zero(t, perSecond(0, 2000, 0))
}
