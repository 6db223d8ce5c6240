package kernel

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/mppe"
)

// Everything at once: a server and a client with all their protocols, and the kernel's
// driver at both ends.
func TestSession(t *testing.T) {
	for _, test := range []struct {
		name    string
		policy  gopptp.EncryptionPolicy
		lengths mppe.KeyLengths
		modes   mppe.Modes
	}{
		{"clear", gopptp.EncryptionDeny, 0, 0},
		{"128 stateless", gopptp.EncryptionRequire, 0, 0},
		{"128 stateful", gopptp.EncryptionRequire, 0, mppe.AllowStateful},
		{"40 stateless", gopptp.EncryptionRequire, mppe.AllowKey40, 0},
		{"prefer", gopptp.EncryptionPrefer, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, server := machines(t)
			clientPlane, serverPlane := client.open(t, Options{}), server.open(t, Options{})
			s := serve(t, client, server, clientPlane, serverPlane, func(c *gopptp.ServerConfig) {
				c.Encryption, c.KeyLengths, c.EncryptionModes = test.policy, test.lengths, test.modes
			})
			s.config.KeyLengths, s.config.EncryptionModes = test.lengths, test.modes
			session := s.dial(t)
			nstest.Eventually(t, "the other end, which may be some milliseconds behind", func() bool {
				return s.pptp.Sessions()[0].State() == gopptp.StateUp
			})
			for range 50 {
				require.True(t, s.echo(t, session))
			}
			c := session.Counters()
			require.Equal(t, uint64(50), c.ReceivedPackets)
			require.Equal(t, uint64(50), c.SentPackets)
			require.Equal(t, uint64(50*(20+8+5)), c.SentOctets)
			require.Equal(t, 1, client.devices(t))
			require.Equal(t, 1, server.devices(t))

			session.Close()
			<-session.Done()
			require.Equal(t, c, session.Counters())
			nstest.Eventually(t, "no call left", func() bool {
				return clientPlane.Stats().Calls+serverPlane.Stats().Calls == 0
			})
			nstest.Eventually(t, "no device left", func() bool { return client.devices(t)+server.devices(t) == 0 })
		})
	}
}

// A session is never up and deaf, whatever the order in which the last packets of CCP
// came. One packet may be lost: the other end may be some milliseconds behind.
func TestNeverDeaf(t *testing.T) {
	const total, atOnce = 500, 20
	client, server := machines(t)
	s := serve(t, client, server, client.open(t, Options{}), server.open(t, Options{}), nil)
	deaf := 0
	for range total / atOnce {
		var wg sync.WaitGroup
		up := make([]*gopptp.Session, atOnce)
		for i := range up {
			wg.Go(func() { up[i] = s.dial(t) })
		}
		wg.Wait()
		for _, session := range up {
			heard := false
			for try := 0; try < 2 && !heard; try++ {
				heard = s.echo(t, session)
			}
			if !heard {
				deaf++
			}
			session.Close()
		}
		for _, session := range up {
			<-session.Done()
		}
	}
	require.Zero(t, deaf, fmt.Sprintf("of %d sessions", total))
}
