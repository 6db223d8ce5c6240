package loop

import (
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tcpPair returns the two ends of a connection.
func tcpPair(t *testing.T) (a, b *net.TCPConn) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	dialed, err := net.Dial("tcp4", l.Addr().String())
	require.NoError(t, err)
	accepted, err := l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		dialed.Close()
		accepted.Close()
	})
	return dialed.(*net.TCPConn), accepted.(*net.TCPConn)
}

// watched reads a connection on a loop, a little at a time, until it ends.
func watched(t *testing.T, l *Loop, nc net.Conn, chunk int) (text func() (string, error)) {
	var all strings.Builder
	end := make(chan error, 1)
	var w *Watch
	ready := make(chan struct{})
	buf := make([]byte, chunk)
	w, ok := l.Watch(nc, func() {
		<-ready
		n, err := w.Read(buf)
		all.Write(buf[:n])
		if err != nil {
			w.Stop()
			end <- err
		}
	})
	require.True(t, ok)
	close(ready)
	return func() (string, error) {
		select {
		case err := <-end:
			return all.String(), err
		case <-time.After(10 * time.Second):
			t.Error("the end is not seen")
			return all.String(), nil
		}
	}
}

func TestWatchReads(t *testing.T) {
	l := New()
	for _, chunk := range []int{1, 3, 4, 5, 512} {
		// Some of it, and even the end, may be there before it is looked for.
		for _, begun := range []bool{false, true} {
			a, b := tcpPair(t)
			write := func() {
				for _, s := range []string{"abcd", "", "efgh"} {
					_, err := a.Write([]byte(s))
					require.NoError(t, err)
				}
				require.NoError(t, a.Close())
			}
			var text func() (string, error)
			if begun {
				text = watched(t, l, b, chunk)
				write()
			} else {
				write()
				text = watched(t, l, b, chunk)
			}
			got, err := text()
			require.Equal(t, "abcdefgh", got)
			require.ErrorIs(t, err, io.EOF)
		}
	}
	l.Close()
	<-l.Done()
}

func TestWatchReset(t *testing.T) {
	l := New()
	a, b := tcpPair(t)
	text := watched(t, l, b, 10)
	require.NoError(t, a.SetLinger(0))
	require.NoError(t, a.Close())
	_, err := text()
	require.True(t, errors.Is(err, syscall.ECONNRESET), "%v", err)
	l.Close()
	<-l.Done()
}

// What a connection does not take at once is left to the caller.
func TestWatchWrite(t *testing.T) {
	l := New()
	a, b := tcpPair(t)
	w, ok := l.Watch(a, func() {})
	require.True(t, ok)
	n, err := w.Write([]byte("hello"))
	require.NoError(t, err)
	require.Equal(t, 5, n)
	got := make([]byte, 5)
	_, err = io.ReadFull(b, got)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	big := make([]byte, 1<<20)
	for i := 0; ; i++ {
		n, err = w.Write(big)
		require.NoError(t, err)
		if n < len(big) {
			break
		}
		require.Less(t, i, 1000)
	}
	w.Stop()
	a.Close()
	_, err = w.Write(big)
	require.ErrorIs(t, err, net.ErrClosed)
	l.Close()
	<-l.Done()
}

// Connections come and go, and places in the poller are used again.
func TestWatchManyInTurn(t *testing.T) {
	l := New()
	for range 20 {
		var texts []func() (string, error)
		var peers []net.Conn
		for range 10 {
			a, b := tcpPair(t)
			texts = append(texts, watched(t, l, b, 8))
			peers = append(peers, a)
		}
		for i, a := range peers {
			_, err := a.Write([]byte{byte('a' + i)})
			require.NoError(t, err)
			require.NoError(t, a.Close())
		}
		for i, text := range texts {
			got, err := text()
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, string(rune('a'+i)), got)
		}
	}
	require.LessOrEqual(t, len(l.poller.watches), 10)
	l.Close()
	<-l.Done()
}

// Other connections have a reader of their own.
func TestWatchOnlyTCP(t *testing.T) {
	l := New()
	a, b := net.Pipe()
	_, ok := l.Watch(a, func() {})
	require.False(t, ok)
	a.Close()
	b.Close()
	l.Close()
	<-l.Done()
	c, _ := tcpPair(t)
	_, ok = l.Watch(c, func() {})
	require.False(t, ok, "nobody would close its poller")
}

type wrapped struct{ net.Conn }

type wrappedPlainly struct{ *net.TCPConn }

func (w wrappedPlainly) PlainTCP() *net.TCPConn { return w.TCPConn }

// A connection that wraps another may do more in its Read, unless it says that it does not.
func TestWatchWrapped(t *testing.T) {
	l := New()
	c, _ := tcpPair(t)
	_, ok := l.Watch(wrapped{c}, func() {})
	require.False(t, ok)
	w, ok := l.Watch(wrappedPlainly{c}, func() {})
	require.True(t, ok)
	w.Stop()
	l.Close()
	<-l.Done()
}
