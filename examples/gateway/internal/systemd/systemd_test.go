package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/serve"
)

var _ serve.Manager = Manager{}

// systemd is its end of the socket that it is told by.
type systemd struct {
	t *testing.T
	*net.UnixConn
}

func newSystemd(t *testing.T) systemd {
	name := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return systemd{t, c}
}

func (s systemd) hears() string {
	s.t.Helper()
	require.NoError(s.t, s.SetReadDeadline(time.Now().Add(10*time.Second)))
	b := make([]byte, 1024)
	n, err := s.Read(b)
	require.NoError(s.t, err)
	return string(b[:n])
}

func TestManager(t *testing.T) {
	s, m := newSystemd(t), Manager{slog.New(slog.DiscardHandler)}
	m.Ready()
	assert.Equal(t, "READY=1", s.hears())
	m.Reloading()
	assert.Regexp(t, `^RELOADING=1\nMONOTONIC_USEC=\d+\n$`, s.hears())
	m.Stopping(90 * time.Second)
	assert.Equal(t, "STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000", s.hears())

	m.Watch(t.Context(), func() { t.Error("nobody has asked for it") })
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(20_000))
	ctx, cancel := context.WithCancel(t.Context())
	checks, done := 0, make(chan struct{})
	go func() {
		defer close(done)
		m.Watch(ctx, func() { checks++ })
	}()
	for range 3 {
		assert.Equal(t, "WATCHDOG=1", s.hears())
	}
	cancel()
	<-done
	assert.GreaterOrEqual(t, checks, 3)
}

// Without systemd there is nobody to tell.
func TestAlone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("LISTEN_FDS", "")
	m := Manager{slog.New(slog.DiscardHandler)}
	m.Ready()
	m.Reloading()
	m.Stopping(time.Second)
	m.Watch(t.Context(), nil)
	addr := netip.MustParseAddrPort("127.0.0.1:0")
	sockets, err := Passed()
	require.NoError(t, err)
	require.NoError(t, sockets.Check(nil))
	l, err := sockets.Listen(addr)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

// What systemd has open stays one of listen.
func TestSockets(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	addr, _ := local(l.Addr())
	sockets, other := Sockets{addr: l}, netip.MustParseAddrPort("127.0.0.1:0")
	require.NoError(t, sockets.Check([]netip.AddrPort{other, addr}))
	require.ErrorContains(t, sockets.Check([]netip.AddrPort{other}), fmt.Sprintf("systemd passes a socket of %v, which is not one of listen", addr))
	same, err := sockets.Listen(addr)
	require.NoError(t, err)
	assert.Same(t, l, same)
}

func TestLocal(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0:1723": "0.0.0.0:1723", "192.0.2.1:1723": "192.0.2.1:1723", "[::]:1723": "0.0.0.0:1723", "[::ffff:192.0.2.1]:1723": "192.0.2.1:1723",
	} {
		got, ok := local(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)))
		assert.True(t, ok)
		assert.Equal(t, want, got.String())
	}
	_, ok := local(&net.UnixAddr{Name: "/run/x", Net: "unix"})
	assert.False(t, ok)
}
