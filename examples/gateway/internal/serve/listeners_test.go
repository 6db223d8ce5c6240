package serve

import (
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
	"github.com/gopptp/gopptp/memory"
)

// acceptor accepts as a server does: each connection is told where it has come in.
func acceptor(l net.Listener) error {
	for {
		nc, err := l.Accept()
		if err != nil {
			return err
		}
		io.WriteString(nc, nc.LocalAddr().String()+"\n")
	}
}

// freePort is one that is free at all addresses of IPv4.
func freePort(t *testing.T) uint16 {
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	require.NoError(t, err)
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String()).Port()
}

// Real sockets are opened and closed as the addresses change, also where one is in the way of
// another, and after a failure they are as they were. Connections that there are stay.
func TestListeners(t *testing.T) {
	port := freePort(t)
	at := func(hosts ...string) (list []netip.AddrPort) {
		for _, host := range hosts {
			list = append(list, netip.AddrPortFrom(netip.MustParseAddr(host), port))
		}
		return list
	}
	connect := func(host string) (net.Conn, error) {
		return net.DialTimeout("tcp4", net.JoinHostPort(host, strconv.Itoa(int(port))), 10*time.Second)
	}
	// open reports which of three addresses answer.
	open := func() (hosts []string) {
		for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"} {
			nc, err := connect(host)
			if err != nil {
				continue
			}
			require.NoError(t, nc.SetDeadline(time.Now().Add(10*time.Second)))
			_, err = nc.Read(make([]byte, 1))
			require.NoError(t, err, "%s is open, and nobody accepts there", host)
			nc.Close()
			hosts = append(hosts, host)
		}
		return hosts
	}
	taken, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.4", strconv.Itoa(int(port))))
	require.NoError(t, err)
	defer taken.Close()

	wrapped := 0
	l, err := listen(at("127.0.0.1", "127.0.0.2"), nil, slog.New(slog.DiscardHandler))
	defer l.close()
	require.NoError(t, err)
	l.wrap(func(inner net.Listener) net.Listener { wrapped++; return inner })
	l.serve(acceptor)
	require.Equal(t, []string{"127.0.0.1", "127.0.0.2"}, open())
	stays, err := connect("127.0.0.1")
	require.NoError(t, err)
	defer stays.Close()
	buf := make([]byte, 64)
	n, err := stays.Read(buf)
	require.NoError(t, err)
	require.Contains(t, string(buf[:n]), "127.0.0.1")

	change := func(want []string, hosts ...string) {
		t.Helper()
		r, err := l.prepare(at(hosts...))
		require.NoError(t, err)
		r.finish()
		require.Equal(t, want, open())
	}
	change([]string{"127.0.0.2", "127.0.0.3"}, "127.0.0.2", "127.0.0.3")
	require.Equal(t, 3, wrapped, "the new one, too")

	_, err = l.prepare(at("127.0.0.1", "127.0.0.4")) // somebody else has that
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.Equal(t, []string{"127.0.0.2", "127.0.0.3"}, open())
	_, err = l.prepare(at("0.0.0.0")) // as does this
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.Equal(t, []string{"127.0.0.2", "127.0.0.3"}, open())

	taken.Close()
	change([]string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}, "0.0.0.0")
	r, err := l.prepare(at("127.0.0.1", "127.0.0.2"))
	require.NoError(t, err)
	r.drop()
	require.Equal(t, []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}, open())
	change([]string{"127.0.0.1"}, "127.0.0.1")
	require.Empty(t, l.failed)

	require.NoError(t, stays.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
	_, err = stays.Read(buf)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout, "the connection has ended")
	require.True(t, timeout.Timeout())
}

// Clients connect where the last configuration says, and whoever is in stays in.
func TestReloadListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig)
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		other := gatewayConfig + "listen: [0.0.0.0:1724]\n"
		w.reloads(other)
		assert.Equal(t, []string{"listen[0]: most clients know no other port than 1723", "listen: [0.0.0.0:1723], now [0.0.0.0:1724]"}, w.changes())
		_, err = w.dial("192.0.2.8", "bob", "battery staple")
		require.Error(t, err)

		// What fails after the new address is open changes nothing.
		held, err := w.gateway.Listen(1725)
		require.NoError(t, err)
		w.reloads(gatewayConfig + "listen: [0.0.0.0:1723, 0.0.0.0:1725]\n")
		require.Len(t, w.log.records("the configuration is not taken, and nothing has changed"), 1)
		_, err = w.dial("192.0.2.8", "bob", "battery staple")
		require.Error(t, err)
		require.NoError(t, held.Close())

		w.reloads(gatewayConfig)
		bob, err := w.dial("192.0.2.8", "bob", "battery staple")
		require.NoError(t, err)
		for _, s := range []*gopptp.Session{alice, bob} {
			assert.Equal(t, gopptp.StateUp, s.State())
		}
		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)
	})
}

// An operator may be quicker than the gateway is ready.
func TestReloadBeforeServing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		host := n.Host(netip.MustParseAddr("192.0.2.1"))
		load := func(text string) (*config.Config, *users.Store) {
			cfg, _ := config.Parse("gw.yaml", []byte(text))
			store, problems := users.Load(cfg)
			require.Empty(t, problems)
			return cfg, store
		}
		cfg, store := load(gatewayConfig)
		signals := make(chan os.Signal)
		g, err := open(Options{
			Config: cfg, Users: store, Log: slog.New(slog.DiscardHandler), Signals: signals, Manager: nobody{},
			OpenDataplane: func() (gopptp.Dataplane, error) { return host.Dataplane(), nil },
			Listen:        func(addr netip.AddrPort) (net.Listener, error) { return host.Listen(addr.Port()) },
			Load: func() (*config.Config, *users.Store, diag.Problems) {
				cfg, store := load(gatewayConfig + "listen: [0.0.0.0:1723, 0.0.0.0:1724]\n")
				return cfg, store, nil
			},
		})
		require.NoError(t, err)
		defer g.close()
		_, err = g.reload()
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- g.run() }()
		client := n.Host(netip.MustParseAddr("192.0.2.7"))
		for _, port := range []string{"1723", "1724"} {
			s, err := gopptp.Dial(t.Context(), "192.0.2.1:"+port, gopptp.ClientConfig{
				Dataplane: client.Dataplane(), DialContext: client.DialContext, User: "alice", Password: "correct horse",
			})
			require.NoError(t, err)
			s.Close()
			<-s.Done()
		}
		signals <- syscall.SIGTERM
		require.NoError(t, <-done)
	})
}
