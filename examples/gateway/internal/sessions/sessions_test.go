package sessions

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/ppp"
)

// world is a server whose sessions a registry follows.
type world struct {
	t      *testing.T
	net    *memory.Network
	server *gopptp.Server
	live   *Registry
	events []Event
	rename map[string]string // users whom the authenticator knows under other names
}

func start(t *testing.T) *world {
	w := &world{t: t, net: memory.NewNetwork(), live: New()}
	w.live.Watch(func(e Event) { w.events = append(w.events, e) })
	host := w.net.Host(netip.MustParseAddr("192.0.2.1"))
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.0.0.0/24"))})
	require.NoError(t, err)
	w.server, err = gopptp.NewServer(gopptp.ServerConfig{
		Dataplane:    host.Dataplane(),
		LocalAddress: netip.MustParseAddr("10.0.1.1"),
		Pool:         pool,
		Observer:     w.live,
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, user string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("right"), Result: gopptp.AuthResult{User: w.rename[user]}}, nil
		}),
	})
	require.NoError(t, err)
	l, err := host.Listen(gopptp.DefaultPort)
	require.NoError(t, err)
	go w.server.Serve(t.Context(), l)
	t.Cleanup(func() {
		w.server.Close()
		w.net.Close()
	})
	return w
}

func (w *world) dial(from, user, password string) (*gopptp.Session, error) {
	return w.dialBy(w.net.Host(netip.MustParseAddr(from)).Dataplane(), from, user, password)
}

func (w *world) dialBy(plane gopptp.Dataplane, from, user, password string) (*gopptp.Session, error) {
	host := w.net.Host(netip.MustParseAddr(from))
	s, err := gopptp.Dial(w.t.Context(), "192.0.2.1", gopptp.ClientConfig{
		Dataplane: plane, DialContext: host.DialContext, User: user, Password: password,
	})
	synctest.Wait()
	return s, err
}

func (w *world) kinds() (list []Kind) {
	for _, e := range w.events {
		list = append(list, e.Kind)
	}
	return list
}

func TestRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		alice, err := w.dial("192.0.2.2", "alice", "right")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.3", "alice", "right")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.2", "bob", "right")
		require.NoError(t, err)
		assert.Equal(t, []Kind{Up, Up, Up}, w.kinds())
		assert.Equal(t, 3, w.live.Len())
		assert.Len(t, w.live.All(), 3)
		assert.Len(t, w.live.ByUser("alice"), 2)
		assert.Len(t, w.live.BySource(netip.MustParseAddr("192.0.2.2")), 2)
		first := w.live.ByAddress(alice.Local())
		require.NotNil(t, first)
		assert.Equal(t, "alice", first.User())
		assert.Same(t, first, w.live.Get(first.ID()))

		alice.Close()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.Equal(t, []Kind{Up, Up, Up, Down}, w.kinds())
		assert.Equal(t, gopptp.CausePeer, w.events[3].Cause)
		assert.Len(t, w.live.ByUser("alice"), 1)
		assert.Len(t, w.live.BySource(netip.MustParseAddr("192.0.2.2")), 1)
		assert.Nil(t, w.live.Get(first.ID()))
		assert.Nil(t, w.live.ByAddress(first.Peer()))

		w.server.Close()
		synctest.Wait()
		assert.Equal(t, []Kind{Up, Up, Up, Down, Down, Down}, w.kinds())
		assert.Zero(t, w.live.Len())
		assert.Empty(t, w.live.byUser)
		assert.Empty(t, w.live.bySource)
		assert.Empty(t, w.live.byAddr)
	})
}

// meddler is a client's data plane by which the test sends frames of its own.
type meddler struct {
	gopptp.Dataplane
	call gopptp.Call
}

func (m *meddler) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	call, err := m.Dataplane.Open(cfg, h)
	m.call = call
	return call, err
}

// A client may negotiate its link anew and prove itself as another user then. It is not
// let in, and leaves nothing behind under either name.
func TestAnotherUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		m := &meddler{Dataplane: w.net.Host(netip.MustParseAddr("192.0.2.2")).Dataplane()}
		_, err := w.dialBy(m, "192.0.2.2", "alice", "right")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.3", "bob", "right")
		require.NoError(t, err)

		again := func(id uint8) {
			request := ppp.Packet{Code: ppp.ConfigureRequest, ID: id}
			frame := request.Append(binary.BigEndian.AppendUint16(nil, uint16(ppp.ProtocolLCP)))
			require.NoError(t, m.call.WriteControl(frame))
			time.Sleep(10 * time.Second)
			synctest.Wait()
		}
		again(200)
		assert.Equal(t, []Kind{Up, Up, Changed}, w.kinds(), "as the same user")
		require.Len(t, w.live.ByUser("alice"), 1)

		w.rename = map[string]string{"alice": "bob"}
		again(201)
		assert.Equal(t, []Kind{Up, Up, Changed, Down}, w.kinds())
		down := w.events[3]
		assert.Equal(t, gopptp.CauseAuthentication, down.Cause)
		assert.ErrorIs(t, down.Err, gopptp.ErrUserChanged)
		assert.Empty(t, w.live.ByUser("alice"))
		assert.Len(t, w.live.ByUser("bob"), 1)

		w.server.Close()
		synctest.Wait()
		assert.Zero(t, w.live.Len())
		assert.Empty(t, w.live.byUser)
		assert.Empty(t, w.live.bySource)
		assert.Empty(t, w.live.byAddr)
	})
}

func TestFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		_, err := w.dial("192.0.2.2", "alice", "wrong")
		require.Error(t, err)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, []Kind{Failed}, w.kinds())
		e := w.events[0]
		assert.Equal(t, gopptp.CauseAuthentication, e.Cause)
		assert.Equal(t, gopptp.StateAuthenticate, e.Stage)
		var refusal *gopptp.AuthError
		assert.True(t, errors.As(e.Err, &refusal))
		assert.Zero(t, w.live.Len())
	})
}
