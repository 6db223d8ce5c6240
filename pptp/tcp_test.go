package pptp

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/loop"
)

// tcpConn returns a Conn on a real TCP connection and a shared loop, which may watch
// it, and the other end.
func tcpConn(t *testing.T, r *recorder, change func(*ConnConfig)) (peer net.Conn, c *Conn) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	peer, err = net.Dial("tcp4", ln.Addr().String())
	require.NoError(t, err)
	nc, err := ln.Accept()
	require.NoError(t, err)
	l := loop.New()
	cfg := ConnConfig{Loop: l}
	if change != nil {
		change(&cfg)
	}
	c = NewConn(nc, cfg, r)
	c.Start()
	t.Cleanup(func() {
		peer.Close()
		c.Close()
		waitDone(t, c)
		l.Close()
		<-l.Done()
	})
	return peer, c
}

func waitDone(t *testing.T, c *Conn) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the connection does not end")
	}
}

// Messages come in any pieces, several at once, and with the end right behind them.
func TestConnOverTCP(t *testing.T) {
	for _, piece := range []int{1, 7, 1000, 100_000} {
		r := &recorder{}
		peer, c := tcpConn(t, r, nil)
		in := (&StartControlConnectionRequest{ProtocolVersion: ProtocolVersion, HostName: "peer"}).Append(nil)
		for i := range uint32(20) {
			in = (&EchoRequest{Identifier: i}).Append(in)
		}
		in = (&StopControlConnectionRequest{Reason: StopNone}).Append(in)
		for len(in) > 0 {
			n := min(piece, len(in))
			_, err := peer.Write(in[:n])
			require.NoError(t, err)
			in = in[n:]
		}
		answers, err := io.ReadAll(peer)
		require.NoError(t, err)
		require.Len(t, answers, 156+20*echoReplyLen+stopLen)
		waitDone(t, c)
		require.NoError(t, r.err)
		require.Equal(t, 1, r.closed)
		require.IsType(t, Started{}, r.events[0])
		require.Equal(t, Stopped{Remote: true, Reason: StopNone}, r.events[1])
	}
}

func TestConnOverTCPIsLost(t *testing.T) {
	r := &recorder{}
	peer, c := tcpConn(t, r, nil)
	in := (&StartControlConnectionRequest{ProtocolVersion: ProtocolVersion}).Append(nil)
	_, err := peer.Write(in)
	require.NoError(t, err)
	require.NoError(t, peer.Close())
	waitDone(t, c)
	require.ErrorIs(t, r.err, ErrLost)
}

// What the connection does not take waits, and only so much of it.
func TestConnOverTCPNotRead(t *testing.T) {
	r := &recorder{}
	peer, c := tcpConn(t, r, func(cfg *ConnConfig) { cfg.MessageBurst = 1 << 30 })
	_, err := peer.Write((&StartControlConnectionRequest{ProtocolVersion: ProtocolVersion}).Append(nil))
	require.NoError(t, err)
	var requests []byte
	for range 1000 {
		requests = (&EchoRequest{}).Append(requests)
	}
	for err == nil {
		_, err = peer.Write(requests)
	}
	waitDone(t, c)
	require.ErrorIs(t, r.err, ErrWriteOverflow)
}
