package pptp

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/loop"
)

// recorder is a Handler that keeps what it is told. Read it after
// synctest.Wait.
type recorder struct {
	events   []Event
	closed   int
	err      error
	closedAt time.Time
	on       func(c *Conn, ev Event)
	onClose  func(c *Conn)
}

func (r *recorder) HandleEvent(c *Conn, ev Event) {
	if r.closed > 0 {
		panic("event after HandleClose")
	}
	r.events = append(r.events, ev)
	if r.on != nil {
		r.on(c, ev)
	}
}

func (r *recorder) HandleClose(c *Conn, err error) {
	r.closed++
	r.err = err
	r.closedAt = time.Now()
	if r.onClose != nil {
		r.onClose(c)
	}
}

func (r *recorder) take() []Event {
	events := r.events
	r.events = nil
	return events
}

// accept answers every call with the ID of the peer plus 1000.
func accept(c *Conn, ev Event) {
	if e, ok := ev.(CallRequested); ok {
		if err := c.AcceptCall(OutgoingCallReply{CallID: e.Request.CallID + 1000, PeerCallID: e.Request.CallID}); err != nil {
			panic(err)
		}
	}
}

// do runs f on the Conn's loop and waits until all is quiet.
func do(t *testing.T, c *Conn, f func()) {
	t.Helper()
	require.True(t, c.Do(f))
	synctest.Wait()
}

// isDone reports whether Done is closed.
func isDone(c *Conn) bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// connPair returns a started client and server over a net.Pipe. A synctest
// bubble does not end while one of their goroutines is left.
func connPair(change func(client, server *ConnConfig)) (client, server *Conn, cr, sr *recorder) {
	ccfg := ConnConfig{Config: Config{Role: RolePNS, Originator: true, HostName: "client"}}
	scfg := ConnConfig{Config: Config{Role: RolePAC, HostName: "server"}}
	if change != nil {
		change(&ccfg, &scfg)
	}
	a, b := net.Pipe()
	cr, sr = &recorder{}, &recorder{on: accept}
	client, server = NewConn(a, ccfg, cr), NewConn(b, scfg, sr)
	server.Start()
	client.Start()
	synctest.Wait()
	return client, server, cr, sr
}

// rawPeer returns a server Conn and the other end of its pipe.
func rawPeer(change func(cfg *ConnConfig)) (peer net.Conn, c *Conn, r *recorder) {
	var cfg ConnConfig
	if change != nil {
		change(&cfg)
	}
	peer, b := net.Pipe()
	r = &recorder{}
	c = NewConn(b, cfg, r)
	c.Start()
	synctest.Wait()
	return peer, c, r
}

// handshake starts the control connection from a raw peer.
func handshake(t *testing.T, peer net.Conn) {
	t.Helper()
	_, err := peer.Write((&StartControlConnectionRequest{ProtocolVersion: ProtocolVersion}).Append(nil))
	require.NoError(t, err)
	require.IsType(t, &StartControlConnectionReply{}, readMessage(t, peer))
	synctest.Wait()
}

func readMessage(t *testing.T, nc net.Conn) Message {
	t.Helper()
	b := make([]byte, 2, MaxMessageLen)
	_, err := io.ReadFull(nc, b)
	require.NoError(t, err)
	b = b[:be16(b)]
	_, err = io.ReadFull(nc, b[2:])
	require.NoError(t, err)
	m, _, err := DecodeMessage(b)
	require.NoError(t, err)
	return m
}

func TestConnLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, cr, sr := connPair(nil)
		require.Equal(t, "server", cr.take()[0].(Started).Peer.HostName)
		require.Equal(t, "client", sr.take()[0].(Started).Peer.HostName)

		do(t, client, func() { require.NoError(t, client.PlaceCall(OutgoingCallRequest{CallID: 7})) })
		require.Equal(t, uint16(1007), cr.take()[0].(CallEstablished).PeerCallID)
		events := sr.take()
		require.IsType(t, CallRequested{}, events[0])
		require.Equal(t, uint16(7), events[1].(CallEstablished).PeerCallID)

		do(t, client, func() { require.NoError(t, client.SetLinkInfo(7, 1, 2)) })
		require.Equal(t, []Event{LinkInfo{CallID: 1007, SendACCM: 1, ReceiveACCM: 2}}, sr.take())

		time.Sleep(24 * time.Hour) // kept alive by echoes
		require.Empty(t, cr.take())
		require.Empty(t, sr.take())

		do(t, client, func() { require.NoError(t, client.ClearCall(CallDisconnectNotify{CallID: 7})) })
		require.Equal(t, []Event{CallCleared{CallID: 7, PeerCallID: 1007, ResultCode: DisconnectRequest}}, cr.take())
		require.Equal(t, []Event{CallCleared{CallID: 1007, PeerCallID: 7, Remote: true, ResultCode: DisconnectRequest}}, sr.take())

		do(t, server, func() {
			require.Equal(t, Established, server.State())
			require.NotZero(t, server.Counters().Received)
			server.Stop(StopLocalShutdown)
		})
		require.Equal(t, []Event{Stopped{Remote: true, Reason: StopLocalShutdown}}, cr.take())
		require.Equal(t, []Event{Stopped{Reason: StopLocalShutdown}}, sr.take())
		<-client.Done()
		<-server.Done()
		for _, r := range []*recorder{cr, sr} {
			require.Equal(t, 1, r.closed)
			require.NoError(t, r.err)
		}
		require.False(t, client.Do(func() { t.Error("ran after the end") }))
	})
}

func TestConnHandshakeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		peer, c, r := rawPeer(nil)
		<-c.Done()
		require.Equal(t, DefaultHandshakeTimeout, time.Since(start))
		require.Equal(t, []Event{Stopped{Err: ErrHandshakeTimeout}}, r.take())
		require.ErrorIs(t, r.err, ErrHandshakeTimeout)
		require.Equal(t, 1, r.closed)
		_, err := peer.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
	})
}

// A peer that sends an octet now and then does not put off the deadline.
func TestConnHandshakeTimeoutTrickle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		peer, c, r := rawPeer(func(cfg *ConnConfig) { cfg.HandshakeTimeout = 5 * time.Second })
		for _, b := range (&StartControlConnectionRequest{}).Append(nil) {
			if _, err := peer.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		<-c.Done()
		synctest.Wait()
		require.Equal(t, start.Add(5*time.Second), r.closedAt)
		require.ErrorIs(t, r.err, ErrHandshakeTimeout)
	})
}

func TestConnEchoTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		peer, c, r := rawPeer(nil)
		handshake(t, peer)
		require.Equal(t, &EchoRequest{Identifier: 1}, readMessage(t, peer))
		require.Equal(t, 60*time.Second, time.Since(start))
		<-c.Done()
		require.Equal(t, 120*time.Second, time.Since(start))
		require.ErrorIs(t, r.err, ErrEchoTimeout)
		require.Equal(t, 1, r.closed)
	})
}

// A peer that asks and asks and reads no answer is cut off, with no more held
// for it than MaxPending.
func TestConnWriteOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(func(cfg *ConnConfig) { cfg.MaxPending = 1024 })
		handshake(t, peer)
		r.take()
		start := time.Now()
		written := 0
		for {
			if _, err := peer.Write((&EchoRequest{}).Append(nil)); err != nil {
				break
			}
			written++
			synctest.Wait()
			c.mu.Lock()
			require.LessOrEqual(t, len(c.pending)+c.writing, 1024)
			c.mu.Unlock()
			if written > 1000 {
				t.Fatal("not cut off")
			}
			if r.closed > 0 {
				break
			}
		}
		require.Equal(t, 1024/20+1, written)
		require.Equal(t, []Event{Stopped{Err: ErrWriteOverflow}}, r.take())
		require.ErrorIs(t, r.err, ErrWriteOverflow)
		<-c.Done()
		require.Equal(t, DefaultFlushTimeout, time.Since(start))
		require.Equal(t, 1, r.closed)
	})
}

func TestConnWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(nil)
		handshake(t, peer)
		start := time.Now()
		_, err := peer.Write((&EchoRequest{}).Append(nil))
		require.NoError(t, err)
		<-c.Done()
		require.Equal(t, DefaultWriteTimeout, time.Since(start))
		require.ErrorIs(t, r.err, ErrLost)
		require.ErrorIs(t, r.err, os.ErrDeadlineExceeded)
		require.Equal(t, 1, r.closed)
	})
}

// HandleClose does not wait for the peer; the last reply is written before the
// connection is closed if the peer reads within FlushTimeout.
func TestConnFlushOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(nil)
		handshake(t, peer)
		start := time.Now()
		_, err := peer.Write((&StopControlConnectionRequest{Reason: StopNone}).Append(nil))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, 1, r.closed)
		require.NoError(t, r.err)
		require.False(t, isDone(c))

		time.Sleep(DefaultFlushTimeout - time.Millisecond)
		require.Equal(t, &StopControlConnectionReply{ResultCode: StopOK}, readMessage(t, peer))
		_, err = peer.Read(make([]byte, 1))
		require.ErrorIs(t, err, io.EOF)
		<-c.Done()
		require.Equal(t, DefaultFlushTimeout-time.Millisecond, time.Since(start))
	})
}

func TestConnFlushTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(func(cfg *ConnConfig) { cfg.FlushTimeout = 3 * time.Second })
		handshake(t, peer)
		start := time.Now()
		_, err := peer.Write((&EchoRequest{}).Append(nil)) // its reply is under way when we close
		require.NoError(t, err)
		synctest.Wait()
		_, err = peer.Write((&StopControlConnectionRequest{Reason: StopNone}).Append(nil))
		require.NoError(t, err)
		<-c.Done()
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, start, r.closedAt)
		require.Equal(t, 1, r.closed)
	})
}

func TestConnLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, cr, sr := connPair(nil)
		do(t, client, func() { require.NoError(t, client.PlaceCall(OutgoingCallRequest{CallID: 7})) })
		sr.take()
		cr.take()
		client.Close()
		synctest.Wait()
		require.True(t, isDone(client))
		require.True(t, isDone(server))
		require.ErrorIs(t, cr.err, net.ErrClosed)
		require.ErrorIs(t, sr.err, ErrLost)
		require.ErrorIs(t, sr.err, io.EOF)
		require.Equal(t, []Event{
			CallCleared{CallID: 1007, PeerCallID: 7, Err: sr.err},
			Stopped{Err: sr.err},
		}, sr.take())
	})
}

// The peer that closes TCP instead of answering our stop has understood it.
func TestConnStopAnsweredByEOF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(nil)
		handshake(t, peer)
		do(t, c, func() { c.Stop(StopNone) })
		require.Equal(t, &StopControlConnectionRequest{Reason: StopNone}, readMessage(t, peer))
		require.NoError(t, peer.Close())
		<-c.Done()
		require.NoError(t, r.err)
		require.Equal(t, 1, r.closed)
	})
}

func TestConnStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(nil)
		handshake(t, peer)
		start := time.Now()
		do(t, c, func() { c.Stop(StopNone) })
		readMessage(t, peer)
		<-c.Done()
		require.Equal(t, DefaultStopTimeout, time.Since(start))
		require.ErrorIs(t, r.err, ErrStopTimeout)
	})
}

func TestConnGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(nil)
		start := time.Now()
		_, _ = peer.Write([]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"))
		<-c.Done()
		require.Equal(t, start, time.Now())
		var fe *FramingError
		require.ErrorAs(t, r.err, &fe)
		require.Equal(t, 1, r.closed)
	})
}

// Close may come from any goroutine, before the start, and again.
func TestConnClose(t *testing.T) {
	for name, f := range map[string]func(c *Conn){
		"before start":      func(c *Conn) { c.Close(); c.Start() },
		"at once":           func(c *Conn) { c.Start(); c.Close() },
		"running":           func(c *Conn) { c.Start(); synctest.Wait(); c.Close() },
		"twice":             func(c *Conn) { c.Start(); synctest.Wait(); c.Close(); c.Close() },
		"started twice":     func(c *Conn) { c.Start(); c.Start(); synctest.Wait(); c.Close() },
		"by its handler":    func(c *Conn) { c.h.(*recorder).onClose = (*Conn).Close; c.Start(); c.Close() },
		"stop then close":   func(c *Conn) { c.Start(); c.Do(func() { c.Stop(StopNone) }); c.Close() },
		"from many at once": func(c *Conn) { c.Start(); go c.Close(); go c.Close(); go c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				peer, b := net.Pipe()
				r := &recorder{}
				c := NewConn(b, ConnConfig{}, r)
				start := time.Now()
				f(c)
				<-c.Done()
				require.Equal(t, start, time.Now())
				require.Equal(t, 1, r.closed)
				require.Len(t, r.events, 1)
				require.IsType(t, Stopped{}, r.events[0])
				_, err := peer.Read(make([]byte, 1))
				require.ErrorIs(t, err, io.EOF)
			})
		})
	}
}

// A Handler may call any method; the events that follow come after it has
// returned, and what was sent before an event has left before it is handled.
func TestConnHandlerCallsMethods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		depth := 0
		peer, c, r := rawPeer(func(cfg *ConnConfig) {
			cfg.Trace = func(_ *Conn, d Direction, msg []byte) {
				order = append(order, d.String()+" "+messageType(msg).String())
			}
		})
		r.on = func(c *Conn, ev Event) {
			depth++
			require.Equal(t, 1, depth)
			switch ev := ev.(type) {
			case CallRequested:
				order = append(order, "requested")
				require.NoError(t, c.AcceptCall(OutgoingCallReply{CallID: 9, PeerCallID: ev.Request.CallID}))
				order = append(order, "accepted")
			case CallEstablished:
				order = append(order, "established")
				require.NoError(t, c.ClearCall(CallDisconnectNotify{CallID: 9}))
				c.Stop(StopNone)
			case CallCleared:
				order = append(order, "cleared")
				require.ErrorIs(t, c.RejectCall(1, OutgoingBusy, 0), ErrUnknownCall)
				require.ErrorIs(t, c.PlaceCall(OutgoingCallRequest{}), ErrRole)
			}
			depth--
		}
		handshake(t, peer)
		_, err := peer.Write((&OutgoingCallRequest{CallID: 1}).Append(nil))
		require.NoError(t, err)
		require.IsType(t, &OutgoingCallReply{}, readMessage(t, peer))
		require.IsType(t, &CallDisconnectNotify{}, readMessage(t, peer))
		require.IsType(t, &StopControlConnectionRequest{}, readMessage(t, peer))
		_, err = peer.Write((&StopControlConnectionReply{ResultCode: StopOK}).Append(nil))
		require.NoError(t, err)
		<-c.Done()
		require.NoError(t, r.err)
		require.Equal(t, []string{
			"received Start-Control-Connection-Request",
			"sent Start-Control-Connection-Reply",
			"received Outgoing-Call-Request",
			"requested",
			"accepted",
			"sent Outgoing-Call-Reply",
			"established",
			"sent Call-Disconnect-Notify",
			"sent Stop-Control-Connection-Request",
			"cleared",
			"received Stop-Control-Connection-Reply",
		}, order)
	})
}

// A peer that talks much has one chunk on its way, however busy the loop is.
func TestConnBackPressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(nil)
		go func() { _, _ = io.Copy(io.Discard, peer) }()
		busy := make(chan struct{})
		c.Do(func() { <-busy })
		in := (&StartControlConnectionRequest{ProtocolVersion: ProtocolVersion}).Append(nil)
		for range 100 {
			in = (&SetLinkInfo{}).Append(in)
		}
		written := make(chan struct{})
		n := 0
		go func() {
			for len(in) > 0 {
				m, err := peer.Write(in[:4])
				if err != nil {
					break
				}
				n += m
				in = in[m:]
			}
			close(written)
		}()
		synctest.Wait()
		require.Equal(t, 4, n)
		close(busy)
		<-written
		synctest.Wait()
		require.Len(t, r.events, 101)
		c.Close()
		<-c.Done()
		peer.Close()
	})
}

// Many Conns share a loop, which outlives them.
func TestConnSharedLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := loop.New()
		var conns []*Conn
		var recorders []*recorder
		for range 20 {
			client, server, cr, sr := connPair(func(client, server *ConnConfig) { client.Loop, server.Loop = l, l })
			conns = append(conns, client, server)
			recorders = append(recorders, cr, sr)
		}
		for i := 0; i < len(conns); i += 2 {
			do(t, conns[i], func() { require.NoError(t, conns[i].PlaceCall(OutgoingCallRequest{CallID: uint16(i)})) })
		}
		time.Sleep(time.Hour)
		for i := 1; i < len(conns); i += 2 {
			do(t, conns[i], func() { conns[i].Stop(StopLocalShutdown) })
		}
		for i, c := range conns {
			<-c.Done()
			require.NoError(t, recorders[i].err)
			require.Equal(t, 1, recorders[i].closed)
		}
		require.True(t, conns[0].Do(func() {}), "the loop is not theirs to close")
		l.Close()
		<-l.Done()
	})
}

// A net.Conn whose reads fail reports that error.
type brokenConn struct {
	net.Conn
	err error
}

func (c brokenConn) Read([]byte) (int, error) { return 0, c.err }

func TestConnReadError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b := net.Pipe()
		r := &recorder{}
		broken := errors.New("connection reset")
		c := NewConn(brokenConn{b, broken}, ConnConfig{}, r)
		c.Start()
		<-c.Done()
		require.ErrorIs(t, r.err, broken)
		require.ErrorIs(t, r.err, ErrLost)
		require.Equal(t, 1, r.closed)
	})
}
