package pptp

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipeListener is a net.Listener that a test connects to by hand.
type pipeListener struct {
	conns  chan any // net.Conn or error
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan any), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, net.ErrClosed
	case c := <-l.conns:
		if nc, ok := c.(net.Conn); ok {
			return nc, nil
		}
		return nil, c.(error)
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects to the listener.
func (l *pipeListener) dial() net.Conn {
	a, b := net.Pipe()
	l.conns <- b
	return a
}

// serving is a Serve under test.
type serving struct {
	*pipeListener
	stop  context.CancelFunc
	ended chan error
	mu    sync.Mutex
	all   []*recorder
}

func serve(cfg ConnConfig, refuse func(net.Conn) bool) *serving {
	ctx, cancel := context.WithCancel(context.Background())
	s := &serving{pipeListener: newPipeListener(), stop: cancel, ended: make(chan error, 1)}
	go func() {
		s.ended <- Serve(ctx, s, cfg, func(nc net.Conn) Handler {
			if refuse != nil && refuse(nc) {
				return nil
			}
			r := &recorder{on: accept}
			s.mu.Lock()
			s.all = append(s.all, r)
			s.mu.Unlock()
			return r
		})
	}()
	return s
}

// client starts a PNS on a new connection.
func (s *serving) client() (*Conn, *recorder) {
	r := &recorder{}
	c := NewConn(s.dial(), ConnConfig{Config: Config{Role: RolePNS, Originator: true}}, r)
	c.Start()
	synctest.Wait()
	return c, r
}

func TestServe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ConnConfig{Config: Config{Role: RolePAC, Originator: true}}, nil) // an Originator it is not
		a, ar := s.client()
		b, br := s.client()
		for _, c := range []*Conn{a, b} {
			do(t, c, func() { require.NoError(t, c.PlaceCall(OutgoingCallRequest{CallID: 7})) })
		}
		for _, r := range []*recorder{ar, br} {
			events := r.take()
			require.Len(t, events, 2)
			require.IsType(t, Started{}, events[0])
			require.IsType(t, CallEstablished{}, events[1])
		}
		b.Close()
		synctest.Wait()
		require.ErrorIs(t, s.all[1].err, ErrLost)

		// The end of the context stops what is left in an orderly way.
		s.stop()
		require.NoError(t, <-s.ended)
		<-a.Done()
		require.Equal(t, []Event{
			CallCleared{CallID: 7, PeerCallID: 1007, Remote: true, Err: ErrStopped},
			Stopped{Remote: true, Reason: StopLocalShutdown},
		}, ar.take())
		for _, r := range s.all {
			require.Equal(t, 1, r.closed)
		}
		require.NoError(t, s.all[0].err)
	})
}

// A peer that does not answer the stop, or never began, holds Serve up no
// longer than it is allowed to.
func TestServeEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ConnConfig{}, nil)
		silent, stuck := s.dial(), s.dial()
		handshake(t, stuck)
		start := time.Now()
		s.stop()
		_, err := silent.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF, "at once")
		require.Equal(t, start, time.Now())
		require.NoError(t, <-s.ended)
		require.LessOrEqual(t, time.Since(start), DefaultStopTimeout+DefaultFlushTimeout)
	})
}

// Strangers do not keep a connection beyond the time for the handshake.
func TestServeHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ConnConfig{}, nil)
		start := time.Now()
		var peers []net.Conn
		for range 50 {
			peers = append(peers, s.dial())
		}
		for _, nc := range peers {
			_, err := nc.Read(make([]byte, 1))
			require.ErrorIs(t, err, io.EOF)
		}
		require.Equal(t, DefaultHandshakeTimeout, time.Since(start))
		s.stop()
		require.NoError(t, <-s.ended)
		for _, r := range s.all {
			require.ErrorIs(t, r.err, ErrHandshakeTimeout)
		}
	})
}

func TestServeRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		s := serve(ConnConfig{}, func(net.Conn) bool { n++; return n == 1 })
		_, err := s.dial().Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		c, r := s.client()
		require.IsType(t, Started{}, r.take()[0])
		c.Close()
		s.stop()
		require.NoError(t, <-s.ended)
	})
}

// An error of Accept that passes, such as a lack of descriptors, is sat out.
func TestServeAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ConnConfig{}, nil)
		start := time.Now()
		for range 3 {
			s.conns <- errors.New("too many open files")
		}
		c, r := s.client()
		require.Equal(t, 3*acceptPause, time.Since(start))
		require.IsType(t, Started{}, r.take()[0])

		// The end does not wait for the pause.
		s.conns <- errors.New("too many open files")
		start = time.Now()
		s.stop()
		require.NoError(t, <-s.ended)
		require.Equal(t, start, time.Now())
		<-c.Done()
	})
}

// Somebody else closes the listener: all is stopped too, and Serve says so.
func TestServeListenerClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(ConnConfig{}, nil)
		c, r := s.client()
		s.Close()
		require.ErrorIs(t, <-s.ended, net.ErrClosed)
		<-c.Done()
		require.NoError(t, r.err)
		s.stop()
	})
}

func TestServeBadConfig(t *testing.T) {
	ln := newPipeListener()
	err := Serve(context.Background(), ln, ConnConfig{WriteTimeout: -1}, nil)
	require.ErrorIs(t, err, ErrConfig)
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
}

// Over TCP, as it is meant to be.
func TestDialAndServeTCP(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("no TCP on the loopback interface: ", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, ln, ConnConfig{}, func(net.Conn) Handler { return &recorder{on: accept} })
	}()

	_, err = Dial(ctx, ln.Addr().String(), ConnConfig{Config: Config{Role: 9}}, nil)
	require.ErrorIs(t, err, ErrConfig)
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = Dial(canceled, ln.Addr().String(), ConnConfig{}, nil)
	require.ErrorIs(t, err, context.Canceled)

	r := &recorder{}
	r.on = func(c *Conn, ev Event) {
		switch ev := ev.(type) {
		case Started:
			require.NoError(t, c.PlaceCall(OutgoingCallRequest{CallID: 7}))
		case CallEstablished:
			require.NoError(t, c.ClearCall(CallDisconnectNotify{CallID: ev.CallID}))
		case CallCleared:
			c.Stop(StopNone)
		}
	}
	c, err := Dial(ctx, ln.Addr().String(), ConnConfig{Config: Config{Role: RolePNS}}, r)
	require.NoError(t, err)
	require.Equal(t, ln.Addr().String(), c.RemoteAddr().String())
	require.NotEqual(t, c.RemoteAddr(), c.LocalAddr())
	<-c.Done()
	require.NoError(t, r.err)
	require.Len(t, r.events, 4)
	stop()
	require.NoError(t, <-served)
}
