package memory_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/memory"
)

var (
	clientIP = netip.MustParseAddr("198.51.100.1")
	serverIP = netip.MustParseAddr("192.0.2.1")
)

const serverPort = "192.0.2.1:1723"

// tcp is a connection between two hosts.
type tcp struct {
	network        *memory.Network
	client, server net.Conn
}

// withTCP runs f in virtual time.
func withTCP(t *testing.T, f func(t *testing.T, c tcp)) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		l, err := n.Host(serverIP).Listen(1723)
		require.NoError(t, err)
		client, err := n.Host(clientIP).DialContext(t.Context(), "tcp4", serverPort)
		require.NoError(t, err)
		server, err := l.Accept()
		require.NoError(t, err)
		f(t, tcp{n, client, server})
	})
}

func read(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	b := make([]byte, n)
	_, err := io.ReadFull(c, b)
	require.NoError(t, err)
	return string(b)
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	n, err := c.Write([]byte(s))
	require.NoError(t, err)
	require.Equal(t, len(s), n)
}

func TestConn(t *testing.T) {
	withTCP(t, func(t *testing.T, c tcp) {
		write(t, c.client, "hello")
		require.Equal(t, "he", read(t, c.server, 2))
		write(t, c.client, " you")
		require.Equal(t, "llo you", read(t, c.server, 7))
		write(t, c.server, "yes")
		require.Equal(t, "yes", read(t, c.client, 3))

		// Addresses are those of TCP.
		remote := c.server.RemoteAddr().(*net.TCPAddr).AddrPort()
		require.Equal(t, clientIP, remote.Addr())
		require.NotZero(t, remote.Port())
		require.Equal(t, serverPort, c.server.LocalAddr().String())
		require.Equal(t, serverPort, c.client.RemoteAddr().String())
		require.Equal(t, c.client.LocalAddr(), c.server.RemoteAddr())

		n, err := c.client.Read(nil)
		require.Zero(t, n)
		require.NoError(t, err)
	})
}

func TestConnClose(t *testing.T) {
	withTCP(t, func(t *testing.T, c tcp) {
		write(t, c.client, "bye")
		require.NoError(t, c.client.Close())
		require.ErrorIs(t, c.client.Close(), net.ErrClosed)
		_, err := c.client.Read(make([]byte, 1))
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = c.client.Write([]byte{1})
		require.ErrorIs(t, err, net.ErrClosed)
		require.ErrorIs(t, c.client.SetDeadline(time.Now()), net.ErrClosed)

		require.Equal(t, "bye", read(t, c.server, 3), "what was sent before arrives")
		_, err = c.server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		write(t, c.server, "too late") // nobody can know yet
		_, err = c.server.Write([]byte{1})
		require.ErrorIs(t, err, syscall.EPIPE)
		require.NoError(t, c.server.Close())
	})
}

// Close wakes those who read and write at either end.
func TestConnCloseWakes(t *testing.T) {
	withTCP(t, func(t *testing.T, c tcp) {
		var wg sync.WaitGroup
		var clientRead, clientWrite, serverRead error
		wg.Go(func() { _, clientRead = c.client.Read(make([]byte, 1)) })
		wg.Go(func() { _, clientWrite = c.client.Write(make([]byte, 1<<20)) })
		synctest.Wait()
		require.NoError(t, c.client.Close())
		wg.Wait()
		require.ErrorIs(t, clientRead, net.ErrClosed)
		require.ErrorIs(t, clientWrite, net.ErrClosed)
		_, serverRead = io.Copy(io.Discard, c.server)
		require.NoError(t, serverRead)
	})
	withTCP(t, func(t *testing.T, c tcp) { // the writer's peer closes
		var wg sync.WaitGroup
		var n int
		wg.Go(func() { n, _ = c.client.Write(make([]byte, 1<<20)) })
		synctest.Wait()
		require.NoError(t, c.server.Close())
		wg.Wait()
		require.LessOrEqual(t, n, 1<<20)
	})
}

// A Write does not wait for the reader until there is much that is not read, and
// then not beyond its deadline.
func TestConnBuffer(t *testing.T) {
	withTCP(t, func(t *testing.T, c tcp) {
		const size = 64 << 10
		write(t, c.client, string(make([]byte, size)))
		require.NoError(t, c.client.SetWriteDeadline(time.Now().Add(time.Minute)))
		began := time.Now()
		n, err := c.client.Write([]byte{1})
		require.Zero(t, n)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute, time.Since(began))
		_, err = c.client.Write([]byte{1})
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "until it is moved")

		require.NoError(t, c.client.SetWriteDeadline(time.Time{}))
		sent := bytes.Repeat([]byte("0123456789"), 50_000)
		go func() {
			if _, err := c.client.Write(sent); err != nil {
				t.Error(err)
			}
			c.client.Close()
		}()
		got, err := io.ReadAll(c.server)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got[size:]))
	})
}

func TestConnDeadlines(t *testing.T) {
	withTCP(t, func(t *testing.T, c tcp) {
		buf := make([]byte, 10)
		require.NoError(t, c.server.SetReadDeadline(time.Now().Add(time.Second)))
		began := time.Now()
		_, err := c.server.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Second, time.Since(began))
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout())
		write(t, c.client, "x")
		_, err = c.server.Read(buf)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "over is over")
		require.NoError(t, c.server.SetDeadline(time.Time{}))
		require.Equal(t, "x", read(t, c.server, 1))

		// It may be moved while one waits: later, and into the past.
		require.NoError(t, c.server.SetDeadline(time.Now().Add(time.Second)))
		began = time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { _, err = c.server.Read(buf) })
		time.Sleep(time.Second / 2)
		require.NoError(t, c.server.SetDeadline(time.Now().Add(time.Hour)))
		time.Sleep(time.Minute)
		require.NoError(t, c.server.SetDeadline(time.Unix(1, 0)))
		wg.Wait()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, time.Minute+time.Second/2, time.Since(began))
		write(t, c.client, "x") // the other end has deadlines of its own
	})
}

func TestConnCut(t *testing.T) {
	withTCP(t, func(t *testing.T, c tcp) {
		write(t, c.client, "before")
		c.network.Cut(true)
		c.network.Cut(true)
		require.Equal(t, "before", read(t, c.server, 6), "it had arrived")
		write(t, c.client, "during")
		require.NoError(t, c.client.Close())
		require.NoError(t, c.server.SetReadDeadline(time.Now().Add(time.Hour)))
		_, err := c.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "not even the closing is heard of")
		write(t, c.server, "who is there")

		require.NoError(t, c.server.SetReadDeadline(time.Time{}))
		c.network.Cut(false)
		require.Equal(t, "during", read(t, c.server, 6))
		_, err = c.server.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		_, err = c.server.Write([]byte{1})
		require.ErrorIs(t, err, syscall.EPIPE, "nobody")
	})
}

func TestConnNetworkClose(t *testing.T) {
	withTCP(t, func(t *testing.T, c tcp) {
		write(t, c.client, "last")
		c.network.Cut(true)
		c.network.Close()
		c.network.Close()
		require.Equal(t, "last", read(t, c.server, 4))
		_, err := c.server.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		_, err = c.client.Write([]byte{1})
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.NoError(t, c.client.Close())
		require.NoError(t, c.server.Close())
	})
}

func TestDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		client, server := n.Host(clientIP), n.Host(serverIP)
		dial := func(network, address string) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c, err := client.DialContext(ctx, network, address)
			if err == nil {
				c.Close()
			}
			return err
		}
		require.ErrorIs(t, dial("tcp", serverPort), syscall.ECONNREFUSED)
		require.ErrorIs(t, dial("tcp", "192.0.2.99:1723"), syscall.ECONNREFUSED)
		require.Error(t, dial("udp", serverPort))
		for _, address := range []string{"", "vpn.example.com:1723", "192.0.2.1", "[2001:db8::1]:1723"} {
			require.Error(t, dial("tcp4", address))
		}

		l, err := server.Listen(1723)
		require.NoError(t, err)
		_, err = server.Listen(1723)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.Equal(t, serverPort, l.Addr().String())
		require.NoError(t, dial("tcp", serverPort))
		require.NoError(t, dial("tcp4", "[::ffff:192.0.2.1]:1723"))
		require.ErrorIs(t, dial("tcp", "192.0.2.1:1724"), syscall.ECONNREFUSED)

		any, err := server.Listen(0)
		require.NoError(t, err)
		require.NotEqual(t, l.Addr(), any.Addr())
		require.NoError(t, dial("tcp", any.Addr().String()))

		// A cut network is silent.
		n.Cut(true)
		began := time.Now()
		err = dial("tcp", serverPort)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		var timeout net.Error
		require.True(t, errors.As(err, &timeout) && timeout.Timeout())
		require.Equal(t, time.Minute, time.Since(began))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = client.DialContext(ctx, "tcp", serverPort)
		require.ErrorIs(t, err, context.Canceled)
		go func() {
			time.Sleep(time.Second)
			n.Cut(false)
		}()
		require.NoError(t, dial("tcp", serverPort), "it waits for the end of that")

		// A closed listener refuses, and lets nobody wait.
		waiting, err := client.DialContext(t.Context(), "tcp", serverPort)
		require.NoError(t, err)
		var accepted error
		var wg sync.WaitGroup
		wg.Go(func() {
			for accepted == nil {
				_, accepted = any.Accept()
			}
		})
		synctest.Wait()
		require.NoError(t, any.Close())
		wg.Wait()
		require.ErrorIs(t, accepted, net.ErrClosed)
		require.NoError(t, l.Close())
		require.ErrorIs(t, l.Close(), net.ErrClosed)
		_, err = l.Accept()
		require.ErrorIs(t, err, net.ErrClosed)
		_, err = waiting.Read(make([]byte, 1))
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.ErrorIs(t, dial("tcp", serverPort), syscall.ECONNREFUSED)
		_, err = server.Listen(1723)
		require.NoError(t, err, "the port is free again")

		n.Close()
		require.ErrorIs(t, dial("tcp", serverPort), net.ErrClosed)
		_, err = server.Listen(1723)
		require.ErrorIs(t, err, net.ErrClosed)
		require.Panics(t, func() { n.Host(clientIP) })
	})
}

// A dial that waits for a cut network ends with it.
func TestDialWhileNetworkCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		client := n.Host(clientIP)
		n.Cut(true)
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := client.DialContext(t.Context(), "tcp", serverPort)
			if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
		})
		synctest.Wait()
		n.Close()
		wg.Wait()
	})
}
