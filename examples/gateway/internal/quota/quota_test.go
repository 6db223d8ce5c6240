package quota

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/memory"
)

const quota = 100_000

// A session ends soon after the packet that uses its quota up, whichever way it went, and
// one without a quota does not.
func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		guard := New(slog.New(slog.DiscardHandler))
		go guard.Run(t.Context())
		live := sessions.New()
		live.Watch(guard.Observe)
		var ends []sessions.Event
		live.Watch(func(e sessions.Event) {
			if e.Kind == sessions.Down {
				ends = append(ends, e)
			}
		})
		network := memory.NewNetwork()
		host := network.Host(netip.MustParseAddr("192.0.2.1"))
		pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.0.0.0/24"))})
		require.NoError(t, err)
		local := gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("right")}, nil
		})
		server, err := gopptp.NewServer(gopptp.ServerConfig{
			Dataplane: host.Dataplane(), LocalAddress: netip.MustParseAddr("10.0.1.1"), Pool: pool, Observer: live,
			Authenticator: gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				r, err := local.Authenticate(ctx, req)
				if err == nil && req.Name == "limited" {
					r.Attributes = &grant.Grant{Quota: quota}
				}
				return r, err
			}),
		})
		require.NoError(t, err)
		l, err := host.Listen(gopptp.DefaultPort)
		require.NoError(t, err)
		go server.Serve(t.Context(), l)
		dial := func(from, user string) (*gopptp.Session, *memory.Host) {
			h := network.Host(netip.MustParseAddr(from))
			s, err := gopptp.Dial(t.Context(), "192.0.2.1", gopptp.ClientConfig{
				Dataplane: h.Dataplane(), DialContext: h.DialContext, User: user, Password: "right",
			})
			require.NoError(t, err)
			synctest.Wait()
			return s, h
		}
		limited, from := dial("192.0.2.7", "limited")
		free, _ := dial("192.0.2.8", "free")
		packet := func(from, to netip.Addr) []byte {
			b := make([]byte, 1000)
			b[0], b[2], b[3], b[8], b[9] = 0x45, 1000>>8, 1000&0xff, 64, 17
			copy(b[12:], from.AsSlice())
			copy(b[16:], to.AsSlice())
			return b
		}
		for range quota/1000/2 - 1 {
			host.Send(packet(limited.Peer(), limited.Local()))
			from.Send(packet(limited.Local(), limited.Peer()))
			for range 2 {
				host.Send(packet(free.Peer(), free.Local()))
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Empty(t, ends)

		begin := time.Now()
		host.Send(packet(limited.Peer(), limited.Local()))
		from.Send(packet(limited.Local(), limited.Peer()))
		<-limited.Done()
		assert.LessOrEqual(t, time.Since(begin), 2*time.Second)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		require.Len(t, ends, 1)
		assert.Equal(t, gopptp.CauseQuota, ends[0].Cause)
		host.Send(packet(free.Peer(), free.Local()))
		time.Sleep(2 * maxWait)
		synctest.Wait()
		assert.Len(t, ends, 1)
		assert.Zero(t, guard.agenda.Len())
		assert.Empty(t, guard.live)
		server.Close()
		network.Close()
	})
}

// The nearer the end and the faster the way there, the sooner the next look.
func TestWait(t *testing.T) {
	for _, c := range []struct {
		rest  uint64
		speed float64
		want  time.Duration
	}{
		{1 << 40, 0, maxWait},
		{3750e6, 0, 30 * time.Second},
		{3750e6, 50e6, 30 * time.Second},
		{3750e6, 625e6, 3 * time.Second},
		{300e6, 1e9, minWait},
		{1, 0, minWait},
		{1<<64 - 1, 1e30, minWait},
	} {
		a := account{quota: c.rest}
		assert.Equal(t, c.want, a.wait(c.speed), "%+v", c)
	}
}
