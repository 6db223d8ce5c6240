package userspace

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
)

// Everything at once: a server and a client with all their protocols, and the
// kernel between them.
func TestSession(t *testing.T) {
	bothWays(t, func(t *testing.T, encrypted bool) {
		a, b := newPair(t)
		client := a.open(t, Options{})
		server := b.open(t, Options{Addresses: []netip.Addr{innerServer}, Prefixes: []netip.Prefix{pool}})
		session := serveAndDial(t, a, b, server, client, encrypted, nil, nil)
		require.Equal(t, innerClient, session.Local())
		require.Equal(t, innerServer, session.Peer())
		testUDP(t, a, b)
		testTCP(t, a, b)

		session.Close()
		<-session.Done()
		eventually(t, "no call left", func() bool { return client.Stats().Calls+server.Stats().Calls == 0 })
		require.Len(t, b.addresses(t, server.DeviceName()), 1, "the server keeps its own")
		eventually(t, "no address left", func() bool {
			return len(a.addresses(t, client.DeviceName())) == 0
		})
	})
}

// serveAndDial starts a server in b and dials it from a, with or without MPPE. The
// configurations are changed by what is not nil.
func serveAndDial(t *testing.T, a, b *namespace, server, client *Plane, encrypted bool,
	changeServer func(*gopptp.ServerConfig), changeClient func(*gopptp.ClientConfig),
) *gopptp.Session {
	t.Helper()
	policy := gopptp.EncryptionDeny
	if encrypted {
		policy = gopptp.EncryptionRequire
	}
	addresses, err := gopptp.NewPool([]gopptp.PoolRange{{First: innerClient, Last: innerClient}})
	require.NoError(t, err)
	serverConfig := gopptp.ServerConfig{
		Dataplane: server,
		Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("correct horse")}, nil
		}),
		Pool:         addresses,
		LocalAddress: innerServer,
		Encryption:   policy,
	}
	if changeServer != nil {
		changeServer(&serverConfig)
	}
	s, err := gopptp.NewServer(serverConfig)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	var listener net.Listener
	b.Do(func() { listener, err = net.Listen("tcp4", secondB.String()+":0") })
	require.NoError(t, err)
	go s.Serve(context.Background(), listener)

	clientConfig := gopptp.ClientConfig{
		Dataplane:  client,
		User:       "alice",
		Password:   "correct horse",
		Encryption: policy,
		DialContext: func(_ context.Context, network, address string) (c net.Conn, err error) {
			a.Do(func() { c, err = net.DialTimeout(network, address, 5*time.Second) })
			return c, err
		},
	}
	if changeClient != nil {
		changeClient(&clientConfig)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	session, err := gopptp.Dial(ctx, listener.Addr().String(), clientConfig)
	require.NoError(t, err)
	return session
}
