package metrics

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/memory"
)

// What passes in a session is in the sum once, while it lives and afterwards.
func TestTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memory.NewNetwork()
		defer network.Close()
		gateway, home := network.Host(netip.MustParseAddr("192.0.2.1")), network.Host(netip.MustParseAddr("198.51.100.1"))
		pool, err := gopptp.NewPool([]gopptp.PoolRange{{First: netip.MustParseAddr("10.9.1.1"), Last: netip.MustParseAddr("10.9.1.9")}})
		require.NoError(t, err)
		server, err := gopptp.NewServer(gopptp.ServerConfig{
			Dataplane: gateway.Dataplane(), Pool: pool, LocalAddress: netip.MustParseAddr("10.9.0.1"),
			Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
				return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("right")}, nil
			}),
		})
		require.NoError(t, err)
		l, err := gateway.Listen(gopptp.DefaultPort)
		require.NoError(t, err)
		go server.Serve(context.Background(), l)
		defer server.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
			Dataplane: home.Dataplane(), DialContext: home.DialContext, User: "alice", Password: "right",
		})
		require.NoError(t, err)
		synctest.Wait()
		theirs := server.Sessions()[0]

		sum := traffic{live: make(map[*gopptp.Session]struct{})}
		sum.begin(theirs)
		packet := make([]byte, 500)
		packet[0], packet[2], packet[3], packet[8], packet[9] = 0x45, 500>>8, 500&0xff, 64, 17
		copy(packet[12:], s.Local().AsSlice())
		copy(packet[16:], s.Peer().AsSlice())
		home.Send(packet)
		synctest.Wait()
		assert.EqualValues(t, 500, sum.sum().ReceivedOctets)
		s.Close()
		<-theirs.Done()
		assert.EqualValues(t, 500, sum.sum().ReceivedOctets, "before its end is told")
		sum.end(theirs)
		assert.EqualValues(t, 500, sum.sum().ReceivedOctets)
		assert.Empty(t, sum.live)
	})
}
