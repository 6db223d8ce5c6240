package firewall

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/memory"
)

// A connection is delivered once its source is in the table, and counts until it is closed.
func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		gateway, home := n.Host(netip.MustParseAddr("192.0.2.1")), n.Host(here)
		inner, err := gateway.Listen(1723)
		require.NoError(t, err)
		w := newWanted()
		l := newListener(inner, w)
		var accepted []net.Conn
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					assert.ErrorIs(t, err, net.ErrClosed)
					return
				}
				accepted = append(accepted, nc)
			}
		}()
		for range 2 {
			_, err := home.DialContext(t.Context(), "tcp", "192.0.2.1:1723")
			require.NoError(t, err)
		}
		synctest.Wait()
		assert.Empty(t, accepted)
		w.settle(w.take())
		synctest.Wait()
		require.Len(t, accepted, 2)
		for _, nc := range accepted {
			nc.Close()
			nc.Close()
		}
		time.Sleep(linger)
		w.sweep(time.Now())
		c := w.take()
		assert.Equal(t, []netip.Addr{here}, c.removePeers)

		_, err = home.DialContext(t.Context(), "tcp", "192.0.2.1:1723")
		require.NoError(t, err)
		synctest.Wait()
		l.Close()
		l.Close()
		synctest.Wait()
		_, err = l.Accept()
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

// errorListener fails a few times, and then closes.
type errorListener struct {
	net.Listener
	errs []error
}

func (l *errorListener) Accept() (net.Conn, error) {
	err := l.errs[0]
	l.errs = l.errs[1:]
	return nil, err
}

// Errors come one for one: whoever accepts waits as it likes between them.
func TestListenerErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("too many open files")
		inner := &errorListener{errs: []error{full, full, net.ErrClosed}}
		l := newListener(inner, newWanted())
		synctest.Wait()
		assert.Len(t, inner.errs, 2)
		for _, want := range []error{full, full, net.ErrClosed, net.ErrClosed} {
			_, err := l.Accept()
			assert.Equal(t, want, err)
		}
	})
}
