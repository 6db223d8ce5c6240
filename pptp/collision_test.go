package pptp

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The example of RFC 2637 section 3.1.3.
func TestCollisionWinner(t *testing.T) {
	low, high := netip.MustParseAddr("192.33.45.17"), netip.MustParseAddr("192.33.45.89")
	require.True(t, CollisionWinner(high, low))
	require.False(t, CollisionWinner(low, high))
	require.False(t, CollisionWinner(low, low))
	require.True(t, CollisionWinner(netip.MustParseAddr("200.0.0.1"), netip.MustParseAddr("::ffff:100.0.0.1")), "unsigned")
	require.True(t, CollisionWinner(netip.MustParseAddr("2.0.0.1"), netip.MustParseAddr("1.255.255.255")), "network number first")
}

func asked(t *testing.T) *end {
	e := &end{Control: NewControl(Config{ConfirmStart: true})}
	require.ErrorIs(t, e.AcceptStart(epoch, &e.out), ErrState)
	require.ErrorIs(t, e.RefuseStart(0, 0, &e.out), ErrState)
	require.ErrorIs(t, e.IgnoreStart(), ErrState)
	e.Start(epoch, &e.out)
	e.receiveAll(epoch, &StartControlConnectionRequest{ProtocolVersion: ProtocolVersion, HostName: "peer"})
	require.Equal(t, []Event{StartRequested{Peer: PeerInfo{ProtocolVersion: ProtocolVersion, HostName: "peer"}}}, e.take())
	require.Empty(t, e.sent)
	require.Equal(t, Idle, e.State())
	return e
}

func TestConfirmStart(t *testing.T) {
	t.Run("accept", func(t *testing.T) {
		e := asked(t)
		e.receiveAll(epoch, &StartControlConnectionRequest{ProtocolVersion: ProtocolVersion})
		require.Equal(t, []Event{Unexpected{TypeStartControlConnectionRequest}}, e.take(), "once is enough")
		require.NoError(t, e.AcceptStart(epoch, &e.out))
		require.ErrorIs(t, e.AcceptStart(epoch, &e.out), ErrState)
		e.collect()
		require.Equal(t, StartSuccessful, e.messages(t)[0].(*StartControlConnectionReply).ResultCode)
		require.Equal(t, []Event{Started{Peer: PeerInfo{ProtocolVersion: ProtocolVersion, HostName: "peer"}}}, e.take())
		require.Equal(t, Established, e.State())
	})
	t.Run("refuse", func(t *testing.T) {
		for result, want := range map[StartResult]StartResult{
			0: StartNotAuthorized, StartChannelExists: StartChannelExists, StartGeneralError: StartGeneralError,
		} {
			e := asked(t)
			require.NoError(t, e.RefuseStart(result, ErrorNoResource, &e.out))
			e.collect()
			reply := e.messages(t)[0].(*StartControlConnectionReply)
			require.Equal(t, want, reply.ResultCode)
			require.Equal(t, ErrorNoResource, reply.ErrorCode)
			err := e.take()[0].(Stopped).Err
			require.ErrorIs(t, err, ErrStartRefused)
			var pe *ProtocolError
			require.ErrorAs(t, err, &pe)
			require.False(t, pe.Remote)
			require.Equal(t, uint8(want), pe.Result)
			require.Equal(t, Closed, e.State())
		}
	})
	t.Run("no answer", func(t *testing.T) {
		e := asked(t)
		e.tick(epoch.Add(DefaultHandshakeTimeout))
		require.ErrorIs(t, e.err, ErrHandshakeTimeout)
		require.ErrorIs(t, e.AcceptStart(epoch, &e.out), ErrState)
	})
}

// The winner says not a word on the loser's connection, whatever comes there.
func TestIgnoreStart(t *testing.T) {
	for _, v := range vectors {
		e := asked(t)
		require.NoError(t, e.IgnoreStart())
		e.receiveAll(epoch, v.msg)
		e.input(octets("0010 0001 1a2b3c4d 0063 0000 00000000"), epoch)
		require.Empty(t, e.sent)
		require.Equal(t, []Event{Unexpected{v.msg.Type()}, Unexpected{99}}, e.take())
		require.ErrorIs(t, e.AcceptStart(epoch, &e.out), ErrState)
		require.ErrorIs(t, e.RefuseStart(0, 0, &e.out), ErrState)
		e.Abort(ErrLost, &e.out) // the loser has closed it
		e.collect()
		require.Equal(t, []Event{Stopped{Err: ErrCollision}}, e.take())
	}
}

// tcpPipe is an end of a net.Pipe with the addresses of a TCP connection.
type tcpPipe struct {
	net.Conn
	local, remote net.Addr
}

func (c tcpPipe) LocalAddr() net.Addr  { return c.local }
func (c tcpPipe) RemoteAddr() net.Addr { return c.remote }

func newTCPPipe(from, to string) (a, b net.Conn) {
	x, y := net.Pipe()
	f, g := &net.TCPAddr{IP: net.ParseIP(from), Port: 40000}, &net.TCPAddr{IP: net.ParseIP(to), Port: Port}
	return tcpPipe{x, f, g}, tcpPipe{y, g, f}
}

// Two hosts dial each other at the same time: the connection of the one with the
// higher address is kept, at both, whoever sees first what has happened.
func TestConnCollision(t *testing.T) {
	t.Run("high is first", func(t *testing.T) { testConnCollision(t, true) })
	t.Run("low is first", func(t *testing.T) { testConnCollision(t, false) })
}

func testConnCollision(t *testing.T, highFirst bool) {
	const low, high = "192.33.45.17", "192.33.45.89"
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var lowSide, highSide Collisions
		conn := func(nc net.Conn, role Role, originator bool, s *Collisions) (*Conn, *recorder) {
			r := &recorder{}
			return NewConn(nc, ConnConfig{Config: Config{Role: role, Originator: originator}, Collisions: s}, r), r
		}
		a, b := newTCPPipe(low, high)
		byLow, rByLow := conn(a, RolePNS, true, &lowSide)
		atHigh, rAtHigh := conn(b, RolePAC, false, &highSide)
		a, b = newTCPPipe(high, low)
		byHigh, rByHigh := conn(a, RolePAC, true, &highSide)
		atLow, rAtLow := conn(b, RolePNS, false, &lowSide)

		byLow.Start()
		byHigh.Start()
		synctest.Wait() // both requests are on their way
		if highFirst {
			atHigh.Start()
			synctest.Wait()
			require.Empty(t, rAtHigh.events, "StartRequested is not for the Handler")
			atLow.Start()
		} else {
			atLow.Start()
			synctest.Wait()
			require.IsType(t, Started{}, rByHigh.events[0])
			atHigh.Start() // the request comes after the answer to ours
		}
		synctest.Wait()
		require.ErrorIs(t, rAtHigh.err, ErrCollision)
		require.Len(t, rAtHigh.events, 1)
		require.IsType(t, Stopped{}, rAtHigh.events[0])
		require.ErrorIs(t, rByLow.err, ErrCollision)
		require.IsType(t, Started{}, rByHigh.events[0])
		require.IsType(t, Started{}, rAtLow.events[0])
		require.Equal(t, start, time.Now())

		// With nothing in its way, another one comes up as ever.
		time.Sleep(DefaultHandshakeTimeout)
		a, b = newTCPPipe(low, high)
		third, r3 := conn(a, RolePNS, true, &lowSide)
		fourth, r4 := conn(b, RolePAC, false, &highSide)
		third.Start()
		fourth.Start()
		synctest.Wait()
		require.IsType(t, Started{}, r3.events[0])
		require.IsType(t, Started{}, r4.events[0])
		for _, c := range []*Conn{byLow, atHigh, byHigh, atLow, third, fourth} {
			c.Close()
			<-c.Done()
		}
		require.Empty(t, lowSide.opened)
		require.Empty(t, highSide.opened)
	})
}

// With Collisions, ConfirmStart still asks the Handler; without, nobody is asked.
func TestConnConfirmStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, collisions := range []*Collisions{nil, {}} {
			peer, c, r := rawPeer(func(cfg *ConnConfig) { cfg.ConfirmStart, cfg.Collisions = true, collisions })
			r.on = func(c *Conn, ev Event) {
				if _, ok := ev.(StartRequested); ok {
					require.NoError(t, c.AcceptStart())
				}
			}
			handshake(t, peer)
			require.IsType(t, StartRequested{}, r.events[0])
			require.IsType(t, Started{}, r.events[1])
			c.Close()
			<-c.Done()

			peer, c, r = rawPeer(func(cfg *ConnConfig) { cfg.ConfirmStart, cfg.Collisions = true, collisions })
			r.on = func(c *Conn, ev Event) {
				if _, ok := ev.(StartRequested); ok {
					require.NoError(t, c.RefuseStart(StartNotAuthorized, ErrorNone))
				}
			}
			_, err := peer.Write((&StartControlConnectionRequest{ProtocolVersion: ProtocolVersion}).Append(nil))
			require.NoError(t, err)
			require.Equal(t, StartNotAuthorized, readMessage(t, peer).(*StartControlConnectionReply).ResultCode)
			<-c.Done()
			require.ErrorIs(t, r.err, ErrStartRefused)

			peer, c, r = rawPeer(func(cfg *ConnConfig) { cfg.ConfirmStart, cfg.Collisions = true, collisions })
			_, err = peer.Write((&StartControlConnectionRequest{ProtocolVersion: ProtocolVersion}).Append(nil))
			require.NoError(t, err)
			synctest.Wait()
			do(t, c, func() { require.NoError(t, c.IgnoreStart()) })
			require.NoError(t, peer.Close())
			<-c.Done()
			require.ErrorIs(t, r.err, ErrCollision)
		}
	})
}

// An incoming call over Conns, with a report of its line.
func TestConnIncomingCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server, cr, sr := connPair(func(client, server *ConnConfig) { client.IncomingCalls = true })
		cr.on = func(c *Conn, ev Event) {
			if ev, ok := ev.(IncomingCallRequested); ok {
				if ev.Request.CallID == 9 {
					require.NoError(t, c.RejectIncomingCall(9, IncomingDoNotAccept, ErrorNone))
					return
				}
				require.NoError(t, c.AcceptIncomingCall(IncomingCallReply{CallID: 70, PeerCallID: ev.Request.CallID}))
			}
		}
		sr.on = func(c *Conn, ev Event) {
			if ev, ok := ev.(IncomingCallAccepted); ok {
				require.NoError(t, c.ConnectIncomingCall(ev.CallID, IncomingCallConnected{}))
			}
		}
		do(t, server, func() {
			require.NoError(t, server.PlaceIncomingCall(IncomingCallRequest{CallID: 7}))
			require.NoError(t, server.PlaceIncomingCall(IncomingCallRequest{CallID: 9}))
		})
		do(t, server, func() { require.NoError(t, server.ReportWANErrors(7, WANErrorNotify{CRCErrors: 3})) })
		cr.take()
		var kinds []Event
		for _, ev := range sr.take() {
			switch ev.(type) {
			case CallEstablished, IncomingCallRefused:
				kinds = append(kinds, ev)
			}
		}
		require.Len(t, kinds, 2)
		time.Sleep(time.Minute)
		do(t, server, func() { require.NoError(t, server.ReportWANErrors(7, WANErrorNotify{CRCErrors: 4})) })
		require.Equal(t, []Event{WANErrors{CallID: 70, Report: WANErrorNotify{PeerCallID: 70, CRCErrors: 4}}}, cr.take())
		client.Close()
		<-client.Done()
		<-server.Done()
	})
}
