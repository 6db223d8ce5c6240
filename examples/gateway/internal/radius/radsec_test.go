package radius

import (
	"context"
	"crypto/tls"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"

	"github.com/gopptp/gopptp/examples/internal/radiustest"
	"github.com/gopptp/gopptp/ppp"
)

// over is the configuration of one server behind TLS.
func over(r *radiustest.RadSec, c *tls.Config) ClientConfig {
	return ClientConfig{Servers: []ServerConfig{{Address: r.Addr.String(), TLS: c}}}
}

// Users come in over TLS, many requests share a connection, and one that is gone is made
// anew.
func TestRadSec(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{
		UnsignedReplies: true, // TLS vouches for them
		Users:           []radiustest.User{{Name: "alice", Password: "secret"}},
	})
	r := radiustest.StartRadSec(t, s)
	g := startGateway(t, over(r, r.Client()), nil)
	here, client, _, err := g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
	g.passes(here, client)
	_, _, _, err = g.dial("alice", "wrong", ppp.AuthMSCHAPv2, nil)
	require.Error(t, err)

	accounting := &radius.Packet{}
	require.NoError(t, rfc2865.UserName_SetString(accounting, "alice"))
	require.NoError(t, rfc2866.AcctStatusType_Set(accounting, rfc2866.AcctStatusType_Value_Start))
	require.NoError(t, rfc2866.AcctSessionID_SetString(accounting, "one"))
	var asking sync.WaitGroup
	const many = 100
	for range many {
		asking.Go(func() {
			reply, err := g.client.Exchange(context.Background(), &Request{Code: radius.CodeAccountingRequest, Attributes: accounting.Attributes})
			if assert.NoError(t, err) {
				assert.Equal(t, radius.CodeAccountingResponse, reply.Code)
			}
		})
	}
	asking.Wait()
	st := g.client.Stats().Servers[0]
	assert.EqualValues(t, many, st.AccountingReplies)
	assert.Equal(t, 1, st.Links)
	assert.Zero(t, st.LinkFailures)

	r.Stop()
	require.Eventually(t, func() bool { return g.client.Stats().Servers[0].LinkFailures > 0 }, 10*time.Second, time.Millisecond)
	r.Restart()
	_, _, _, err = g.dial("alice", "secret", ppp.AuthMSCHAPv2, nil)
	require.NoError(t, err)
}

// Neither end talks to one whose certificate nobody vouches for.
func TestRadSecCertificates(t *testing.T) {
	t.Parallel()
	s := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "alice", Password: "secret"}}})
	r := radiustest.StartRadSec(t, s)
	good := r.Client()
	stranger, nobody, elsewhere := good.Clone(), good.Clone(), good.Clone()
	stranger.Certificates = nil
	nobody.RootCAs = nil
	elsewhere.ServerName = "radius.example.net"
	for name, c := range map[string]*tls.Config{"no certificate": stranger, "another authority": nobody, "another name": elsewhere} {
		client, err := NewClient(over(r, c))
		require.NoError(t, err)
		failed := make(chan error, 1)
		go func() {
			_, err := client.Exchange(context.Background(), &Request{Code: radius.CodeAccessRequest, Password: []byte("secret")})
			failed <- err
		}()
		// At the second one the client knows why the first has failed.
		assert.Eventually(t, func() bool { return client.Stats().Servers[0].LinkFailures > 1 }, 20*time.Second, time.Millisecond, name)
		client.Close()
		err = <-failed
		require.ErrorIs(t, err, ErrNoAnswer, name)
		if c != stranger { // the proxy's alert may be lost, as it closes the connection at once
			assert.ErrorContains(t, err, "tls: ", name)
		}
	}
	assert.Empty(t, s.Requests())
}
