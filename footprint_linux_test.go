package gopptp_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/memory"
)

// TestIdleSessionFootprint bounds the memory of a server's session that is up and
// idle: its TCP connection, its control connection, its link with MPPE, and its call
// in package memory, with the stacks of goroutines. By then the clients are gone, and
// their ends of the TCP connections are what is left of them.
func TestIdleSessionFootprint(t *testing.T) {
	const sessions = 1000
	network := memory.NewNetwork()
	defer network.Close()
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.10.0.0/16"))})
	require.NoError(t, err)
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: network.Host(here).Dataplane(),
		Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password)}, nil
		}),
		Pool:         pool,
		LocalAddress: tunnelServer,
		Limits:       gopptp.Limits{MaxPerSource: sessions + 1, MaxHalfOpen: sessions + 1},
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp4", netip.AddrPortFrom(here, 0).String())
	require.NoError(t, err)
	go server.Serve(context.Background(), l)
	defer server.Close()
	client := network.Host(there)
	dialer := gopptp.NewDialer(gopptp.DialerConfig{})
	defer dialer.Close()
	conns := make([]*leftConn, 0, sessions)
	dial := func() {
		d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(there, 0))}
		nc, err := d.Dial("tcp4", l.Addr().String())
		require.NoError(t, err)
		conns = append(conns, &leftConn{nc.(*net.TCPConn)})
		_, err = dialer.Start(conns[len(conns)-1], gopptp.ClientConfig{
			Dataplane: client.Dataplane(), User: "alice", Password: password, EchoInterval: time.Hour,
		})
		require.NoError(t, err)
	}
	up := func() {
		require.Eventually(t, func() bool { return server.Stats().Up == len(conns) }, 20*time.Second, 10*time.Millisecond)
	}
	dial()
	up()
	before := footprint()
	for len(conns) < sessions+1 {
		dial()
	}
	up()
	network.Cut(true)
	for _, c := range conns {
		c.leave()
		defer c.TCPConn.Close()
	}
	require.Eventually(t, func() bool { return dialer.Sessions() == 0 }, 20*time.Second, 10*time.Millisecond)
	require.Equal(t, sessions+1, server.Stats().Up, "they do not know")
	after := footprint()
	heap, stacks := (after.heap-before.heap)/sessions, (after.stacks-before.stacks)/sessions
	t.Logf("a session has %d octets in %d objects, and %d of stacks", heap, (after.objects-before.objects)/sessions, stacks)
	require.Less(t, heap, int64(10<<10))
	require.Less(t, stacks, int64(2<<10)) // for all goroutines of the process
}

// leftConn is a connection whose owner can be made to leave while it stays open.
type leftConn struct{ *net.TCPConn }

func (c *leftConn) leave() { c.TCPConn.SetReadDeadline(time.Unix(1, 0)) }

func (c *leftConn) Close() error { return errors.ErrUnsupported }

type memoryUse struct{ heap, stacks, objects int64 }

// footprint is the memory in use once it shrinks no more.
func footprint() (use memoryUse) {
	var m runtime.MemStats
	for quiet := 0; quiet < 3; quiet++ {
		time.Sleep(50 * time.Millisecond)
		runtime.GC()
		runtime.ReadMemStats(&m)
		if heap := int64(m.HeapAlloc); use.heap == 0 || heap < use.heap-use.heap/100 {
			quiet = 0
		}
		use = memoryUse{int64(m.HeapAlloc), int64(m.StackInuse), int64(m.HeapObjects)}
	}
	return use
}

// A session of the function Dial takes one descriptor, that of its control connection.
func TestDialDescriptors(t *testing.T) {
	const sessions = 8
	network := memory.NewNetwork()
	defer network.Close()
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.10.0.0/24"))})
	require.NoError(t, err)
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: network.Host(here).Dataplane(),
		Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password)}, nil
		}),
		Pool:         pool,
		LocalAddress: tunnelServer,
		Loops:        1,
	})
	require.NoError(t, err)
	l, err := net.Listen("tcp4", netip.AddrPortFrom(here, 0).String())
	require.NoError(t, err)
	go server.Serve(context.Background(), l)
	defer server.Close()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(there, 0))}
	client := network.Host(there).Dataplane()
	dial := func() {
		s, err := gopptp.Dial(context.Background(), l.Addr().String(), gopptp.ClientConfig{
			Dataplane: client, DialContext: dialer.DialContext, User: "alice", Password: password,
		})
		require.NoError(t, err)
		t.Cleanup(func() { s.Close(); <-s.Done() })
	}
	dial() // with what all have in common
	before := nstest.Descriptors(t)
	for range sessions {
		dial()
	}
	require.Equal(t, 2*sessions, nstest.Descriptors(t)-before, "both ends are in this process")
}
