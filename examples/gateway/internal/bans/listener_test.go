package bans

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

// Connections of banned sources are reset before anybody sees them.
func TestListener(t *testing.T) {
	inner, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	b := newBans(t)
	l := b.Listener(inner)
	defer l.Close()
	loopback := netip.MustParsePrefix("127.0.0.1/32")
	require.NoError(t, b.Add(admin.Ban{Source: loopback, Until: time.Now().Add(time.Hour)}))
	accepted := make(chan net.Conn)
	go func() {
		nc, err := l.Accept()
		if assert.NoError(t, err) {
			accepted <- nc
		}
	}()
	for range 3 {
		nc, err := net.Dial("tcp4", inner.Addr().String())
		if err == nil { // the reset may come as soon as that
			require.NoError(t, nc.SetReadDeadline(time.Now().Add(time.Minute)))
			_, err = nc.Read(make([]byte, 1))
			nc.Close()
		}
		require.ErrorIs(t, err, syscall.ECONNRESET)
	}
	require.Eventually(t, func() bool { return b.Stats().RefusedConnections == 3 }, time.Minute, time.Millisecond)
	b.Remove("", loopback)
	nc, err := net.Dial("tcp4", inner.Addr().String())
	require.NoError(t, err)
	defer nc.Close()
	in := <-accepted
	assert.Equal(t, nc.LocalAddr(), in.RemoteAddr())
	assert.IsType(t, new(net.TCPConn), in, "which the library reads without a goroutine")
	in.Close()
}
