package pptp

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// flood writes Echo-Requests as fast as they are taken, for as long as that goes well
// and until a moment, and counts them and their replies.
type flood struct {
	peer          net.Conn
	sent, replies int
	done, heard   chan struct{}
}

func startFlood(peer net.Conn, d time.Duration) *flood {
	f := &flood{peer: peer, done: make(chan struct{}), heard: make(chan struct{})}
	until := time.Now().Add(d)
	go func() {
		defer close(f.done)
		for id := uint32(0); time.Now().Before(until); id++ {
			if _, err := peer.Write((&EchoRequest{Identifier: id}).Append(nil)); err != nil {
				return
			}
			f.sent++
		}
	}()
	go func() {
		defer close(f.heard)
		buf := make([]byte, 4096)
		for {
			n, err := peer.Read(buf)
			if err != nil {
				return
			}
			f.replies += n / 20 // octets of an Echo-Reply
		}
	}()
	return f
}

// A peer that floods is heard as often as it may be, and closed in the end. Nothing of
// this depends on how fast it can send.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(func(cfg *ConnConfig) { cfg.MaxPending = 1 << 20 })
		handshake(t, peer)
		began := time.Now()
		f := startFlood(peer, time.Hour)
		<-c.Done()
		<-f.done
		<-f.heard
		require.ErrorIs(t, r.err, ErrFlood)
		took := time.Since(began)
		require.GreaterOrEqual(t, took, FloodTime)
		require.Less(t, took, FloodTime+15*time.Second)
		most := DefaultMessageBurst + int(took.Seconds()*DefaultMessageRate)
		require.LessOrEqual(t, f.replies, most+1)
		require.Greater(t, f.replies, most/2)
		require.LessOrEqual(t, f.sent, most+readBufferLen/16+1, "the rest waits at the peer")
		peer.Close()
	})
}

// One that stops in time, and then gives its connection a rest, is left alone.
func TestFloodThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		peer, c, r := rawPeer(func(cfg *ConnConfig) { cfg.MaxPending = 1 << 20 })
		handshake(t, peer)
		for range 5 {
			<-startFlood(peer, FloodTime-time.Second).done
			time.Sleep(30 * time.Second)
		}
		require.Zero(t, r.closed, "%v", r.err)
		c.Close()
		<-c.Done()
		peer.Close()
	})
}
