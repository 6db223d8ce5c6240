package userspace

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
)

// Two sessions of a process whose packets pass no TUN device: each carries what comes
// from its own address, and nothing of the host is changed for them.
func TestDevice(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		a, b := newPair(t)
		inner, server := make(packetsDevice, 16), make(packetsDevice, 16)
		client := a.open(t, Options{Device: inner})
		gateway := b.open(t, Options{Device: server, Workers: 2})
		require.Empty(t, client.DeviceName())
		devices := func() []string {
			links, err := a.NL.LinkList()
			require.NoError(t, err)
			var names []string
			for _, l := range links {
				names = append(names, l.Attrs().Name)
			}
			return names
		}
		before := devices()

		policy := gopptp.EncryptionDeny
		if encrypted {
			policy = gopptp.EncryptionRequire
		}
		addresses, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(pool)}, innerServer)
		require.NoError(t, err)
		hash := chap.NTPasswordHash("correct horse")
		s, err := gopptp.NewServer(gopptp.ServerConfig{
			Dataplane: gateway, Pool: addresses, LocalAddress: innerServer, Encryption: policy,
			Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
				return &gopptp.LocalUser{NTHash: hash}, nil
			}),
		})
		require.NoError(t, err)
		var listener net.Listener
		b.Do(func() { listener, err = net.Listen("tcp4", netip.AddrPortFrom(outerB, gopptp.DefaultPort).String()) })
		require.NoError(t, err)
		go s.Serve(t.Context(), listener)
		t.Cleanup(func() { s.Close() })

		d := gopptp.NewDialer(gopptp.DialerConfig{})
		t.Cleanup(func() { d.Close() })
		var sessions []*gopptp.Session
		for range 2 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			session, err := d.Dial(ctx, outerB.String(), gopptp.ClientConfig{
				Dataplane: client, User: "alice", NTHash: &hash, Encryption: policy,
				DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
					a.Do(func() { c, err = net.Dial(network, address) })
					return c, err
				},
			})
			require.NoError(t, err)
			sessions = append(sessions, session)
		}
		require.Equal(t, before, devices())

		send := func(p *Plane, from, to netip.Addr, mark byte) []byte {
			packet := (&builder{src: from, dst: to}).ip4(253, 0, nil, bytes.Repeat([]byte{mark}, 500))
			p.Send([][]byte{append(make([]byte, Headroom), packet...)})
			return packet
		}
		receive := func(d packetsDevice) []byte {
			select {
			case p := <-d:
				return p
			case <-time.After(5 * time.Second):
				require.FailNow(t, "a packet does not arrive")
				return nil
			}
		}
		for i, session := range sessions {
			out := send(client, session.Local(), innerServer, byte(i))
			require.Equal(t, out, receive(server))
			require.EqualValues(t, 1, session.Counters().SentPackets, "by the session that has its source")
			back := send(gateway, innerServer, session.Local(), byte(i+10))
			require.Equal(t, back, receive(inner))
		}
		send(gateway, innerServer, netip.MustParseAddr("203.0.113.1"), 0)
		require.EqualValues(t, 1, gateway.Stats().TUN.NoCall)
		require.Zero(t, client.Stats().TUN.Sent)
	})
}

func TestDeviceLeavesNothing(t *testing.T) {
	a := newNamespace(t)
	a.open(t, Options{Device: make(packetsDevice)}).Close()
	before := descriptors(t)
	for range 3 {
		p := a.open(t, Options{Device: make(packetsDevice), Workers: 2})
		require.NoError(t, p.Close())
	}
	require.Equal(t, before, descriptors(t))
}
