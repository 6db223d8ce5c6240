package gopptp_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
)

// What accounting is told is what the users' packets have, to the octet, whatever is
// negotiated meanwhile, and stands when the session is closed.
func TestCountersForAccounting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		type seen struct {
			state gopptp.State
			again bool
		}
		var events []seen
		var final gopptp.Counters
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Encryption, c.IPv6 = gopptp.EncryptionPrefer, &gopptp.IPv6Config{}
			c.Observer = gopptp.ObserverFunc(func(e gopptp.SessionEvent) {
				if e.State >= gopptp.StateUp {
					events = append(events, seen{e.State, e.Again})
				}
				if e.State == gopptp.StateClosed {
					final = e.Session.Counters()
				}
			})
		})
		s := w.dial(func(c *gopptp.ClientConfig) { c.Encryption, c.IPv6 = gopptp.EncryptionPrefer, true })
		theirs := w.session(server)
		client := w.host(clientAddr)

		var want gopptp.Counters
		exchange := func() {
			t.Helper()
			for range 10 {
				up, down := w.packet(s.Local(), tunnelServer, s.MTU()), w.packet(tunnelServer, s.Local(), s.MTU())
				w.carry(client, w.server, up)
				w.carry(w.server, client, down)
				want.ReceivedPackets, want.ReceivedOctets = want.ReceivedPackets+1, want.ReceivedOctets+uint64(len(up))
				want.SentPackets, want.SentOctets = want.SentPackets+1, want.SentOctets+uint64(len(down))
			}
			got := theirs.Counters()
			require.Equal(t, want, gopptp.Counters{
				ReceivedPackets: got.ReceivedPackets, ReceivedOctets: got.ReceivedOctets,
				SentPackets: got.SentPackets, SentOctets: got.SentOctets,
			})
		}
		exchange()
		for _, p := range []ppp.Protocol{ppp.ProtocolIPCP, ppp.ProtocolCCP} {
			theirs.CloseNetwork(p)
			time.Sleep(10 * time.Second)
			theirs.OpenNetwork(p)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			require.Equal(t, gopptp.StateUp, theirs.State())
			exchange()
		}
		last := theirs.Counters()
		theirs.End(gopptp.CauseAdmin, nil)
		<-theirs.Done()
		synctest.Wait()
		require.Equal(t, last, final)
		require.Equal(t, last, theirs.Counters())
		require.Equal(t, seen{gopptp.StateUp, false}, events[0])
		for _, e := range events[1 : len(events)-2] {
			require.Equal(t, seen{gopptp.StateUp, true}, e)
		}
		require.Equal(t, []seen{{gopptp.StateTerminate, false}, {gopptp.StateClosed, false}}, events[len(events)-2:])
	})
}
