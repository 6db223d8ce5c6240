package kernel

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/nstest"
)

// download is a TCP connection that the server fills, through the session.
func (s *sessions) download(t *testing.T, session *gopptp.Session) net.Conn {
	t.Helper()
	var l net.Listener
	var err error
	s.server.Do(func() { l, err = net.Listen("tcp4", innerServer.String()+":0") })
	require.NoError(t, err)
	defer l.Close()
	var conn net.Conn
	s.client.Do(func() { conn, err = net.DialTimeout("tcp4", l.Addr().String(), 10*time.Second) })
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(32<<10)) // so that little waits there, to be taken at once
	other, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { other.Close() })
	go func() {
		buf := make([]byte, 64<<10)
		for {
			if _, err := other.Write(buf); err != nil {
				return
			}
		}
	}()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(60*time.Second)))
	return conn
}

// The limits of a log-in are the device's, and follow SetRates while a connection goes
// on.
func TestSessionRates(t *testing.T) {
	client, server := machines(t)
	rate := gopptp.BitRate{BitsPerSecond: 8e6}
	s := serve(t, client, server, client.open(t, Options{}), server.open(t, Options{}), func(c *gopptp.ServerConfig) {
		inner := c.Authenticator
		c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
			r, err := inner.Authenticate(ctx, req)
			if r != nil {
				r.Rates = gopptp.Rates{ToPeer: rate}
			}
			return r, err
		})
	})
	session := s.dial(t)
	defer session.Close()
	theirs := s.pptp.Sessions()[0]
	nstest.Eventually(t, "the server to be up", func() bool { return theirs.State() == gopptp.StateUp })
	conn := s.download(t, session)
	take := func(octets int64) time.Duration {
		began := time.Now()
		_, err := io.CopyN(io.Discard, conn, octets)
		require.NoError(t, err)
		return time.Since(began)
	}
	const octets = 2 << 20
	limited := func() {
		t.Helper()
		before := theirs.Counters().DroppedRate
		for theirs.Counters().DroppedRate == before { // the limit is not there yet
			take(int64(rate.BurstOctets()))
		}
		take(2 * int64(rate.BurstOctets())) // what is on its way, and the burst
		took := take(octets)
		t.Logf("%.0f %% of the rate", 100*octets*8/took.Seconds()/float64(rate.BitsPerSecond))
		// Nothing comes sooner than it may, however slow the machine is.
		require.GreaterOrEqual(t, took.Seconds(), (octets-float64(rate.BurstOctets()))*8/float64(rate.BitsPerSecond))
		require.Greater(t, theirs.Counters().DroppedRate, before)
	}
	limited()

	require.NoError(t, theirs.SetRates(gopptp.Rates{}))
	nstest.Eventually(t, "no limit", func() bool {
		before := theirs.Counters().DroppedRate
		take(4 * int64(rate.BurstOctets()))
		return theirs.Counters().DroppedRate == before
	})
	require.NoError(t, theirs.SetRates(gopptp.Rates{ToPeer: rate}))
	limited()
}
