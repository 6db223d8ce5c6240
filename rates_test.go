package gopptp_test

import (
	"context"
	"errors"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

func TestBitRate(t *testing.T) {
	for name, c := range map[string]struct {
		rate  gopptp.BitRate
		burst int
		text  string
	}{
		"none":          {gopptp.BitRate{}, 64 << 10, "unlimited"},
		"slow":          {gopptp.BitRate{BitsPerSecond: 1e6}, 64 << 10, "1000000 bit/s, bursts of 65536 octets"},
		"fast":          {gopptp.BitRate{BitsPerSecond: 100e6}, 3_125_000, "100000000 bit/s, bursts of 3125000 octets"},
		"its own burst": {gopptp.BitRate{BitsPerSecond: 100e6, Burst: 1500}, 1500, "100000000 bit/s, bursts of 1500 octets"},
		"out of reach":  {gopptp.BitRate{BitsPerSecond: math.MaxUint64}, math.MaxInt32, "18446744073709551615 bit/s, bursts of 2147483647 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.burst, c.rate.BurstOctets())
			require.Equal(t, c.text, c.rate.String())
			require.Equal(t, c.rate.BitsPerSecond > 0, c.rate.Limited())
		})
	}
	limit := gopptp.BitRate{BitsPerSecond: 1}
	require.False(t, gopptp.Rates{}.Limited())
	require.True(t, gopptp.Rates{FromPeer: limit}.Limited())
	require.True(t, gopptp.Rates{ToPeer: limit}.Limited())
}

// authenticateWith has the server grant what change makes of it.
func authenticateWith(change func(*gopptp.AuthResult)) func(*gopptp.ServerConfig) {
	return func(c *gopptp.ServerConfig) {
		inner := c.Authenticator
		c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
			r, err := inner.Authenticate(ctx, req)
			if r != nil {
				change(r)
			}
			return r, err
		})
	}
}

// Limits come with the log-in, change at any time, and reach the data plane without
// that anything is attached anew.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := gopptp.Rates{FromPeer: gopptp.BitRate{BitsPerSecond: 1e6}, ToPeer: gopptp.BitRate{BitsPerSecond: 2e6, Burst: 9000}}
		server := w.serve(authenticateWith(func(r *gopptp.AuthResult) { r.Rates = first }))
		s := w.dial(nil)
		theirs := w.session(server)
		require.Equal(t, first, theirs.Rates())
		require.Equal(t, first, w.server.Attached()[0].Rates)
		require.Zero(t, s.Rates())

		attaches := 0
		w.server.OnAttach(func(gopptp.Network) error { attaches++; return nil })
		second := gopptp.Rates{ToPeer: gopptp.BitRate{BitsPerSecond: 3e6}}
		for _, r := range []gopptp.Rates{second, {}, first, second} {
			require.NoError(t, theirs.SetRates(r))
			require.Equal(t, r, theirs.Rates())
			synctest.Wait()
			require.Len(t, w.server.Attached(), 1)
			require.Equal(t, r, w.server.Attached()[0].Rates)
		}
		require.Zero(t, attaches)
		require.NoError(t, s.SetRates(first), "a client's session has them too")
		synctest.Wait()
		require.Equal(t, first, w.host(clientAddr).Attached()[0].Rates)

		for field, r := range map[string]gopptp.Rates{
			"Rates.FromPeer.Burst": {FromPeer: gopptp.BitRate{Burst: -1}},
			"Rates.ToPeer.Burst":   {ToPeer: gopptp.BitRate{BitsPerSecond: 1, Burst: -1}},
		} {
			var bad *gopptp.ConfigError
			require.ErrorAs(t, theirs.SetRates(r), &bad)
			require.Equal(t, field, bad.Field)
		}
		require.Equal(t, second, theirs.Rates())

		require.NoError(t, theirs.Close())
		<-theirs.Done()
		require.ErrorIs(t, theirs.SetRates(first), net.ErrClosed)
		require.Equal(t, second, theirs.Rates(), "final figures stay")
	})
}

// SetRates may come at any time, from any goroutine.
func TestSetRatesBeforeUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		early := gopptp.Rates{ToPeer: gopptp.BitRate{BitsPerSecond: 4e6}}
		hold := make(chan struct{})
		w.server.OnAttach(func(gopptp.Network) error { <-hold; return nil })
		go func() {
			time.Sleep(time.Second)
			for _, s := range server.Sessions() {
				_ = s.SetRates(early)
			}
			close(hold)
		}()
		w.dial(nil)
		synctest.Wait()
		require.Equal(t, early, w.session(server).Rates())
		require.Equal(t, early, w.server.Attached()[0].Rates)
	})
}

// What an Authenticator grants must make sense.
func TestBadRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(authenticateWith(func(r *gopptp.AuthResult) { r.Rates.ToPeer.Burst = -1 }))
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseAuthentication, gopptp.StateAuthenticate)
	})
}

// limitless is a data plane that keeps no limits.
type limitless struct{ gopptp.Dataplane }

type limitlessCall struct{ gopptp.Call }

var errLimitless = errors.New("no limits here")

func (p limitless) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	c, err := p.Dataplane.Open(cfg, h)
	return limitlessCall{c}, err
}

func (c limitlessCall) CheckRates(r gopptp.Rates) error {
	if r.Limited() {
		return errLimitless
	}
	return nil
}

// A session that cannot be limited goes on, and who wanted it is told.
func TestSetRatesRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.Dataplane = limitless{c.Dataplane} })
		s := w.dial(nil)
		theirs := w.session(server)
		require.ErrorIs(t, theirs.SetRates(gopptp.Rates{ToPeer: gopptp.BitRate{BitsPerSecond: 1e6}}), errLimitless)
		require.Zero(t, theirs.Rates())
		require.NoError(t, theirs.SetRates(gopptp.Rates{}))
		synctest.Wait()
		w.exchange(s, 3)
	})
}
