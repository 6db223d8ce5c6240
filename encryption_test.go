package gopptp_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
)

// Each strength and mode, as both ends allow it.
func TestKeyLengthsAndModes(t *testing.T) {
	both := mppe.AllowStateless | mppe.AllowStateful
	for _, c := range []struct {
		serverKeys, clientKeys   mppe.KeyLengths
		serverModes, clientModes mppe.Modes
		want                     string // empty: none in common
	}{
		{mppe.AllowKey40, mppe.AllowKey40, mppe.AllowStateless, mppe.AllowStateless, "MPPE 40-bit stateless"},
		{mppe.AllowKey56, mppe.AllowKey56, mppe.AllowStateful, mppe.AllowStateful, "MPPE 56-bit stateful"},
		{mppe.AllowKey128, mppe.AllowKey128, mppe.AllowStateful, mppe.AllowStateful, "MPPE 128-bit stateful"},
		{mppe.AllKeyLengths, mppe.AllKeyLengths, both, both, "MPPE 128-bit stateless"},
		{mppe.AllKeyLengths, mppe.AllowKey40 | mppe.AllowKey56, both, mppe.AllowStateful, "MPPE 56-bit stateful"},
		{mppe.AllowKey40 | mppe.AllowKey128, mppe.AllowKey40 | mppe.AllowKey56, mppe.AllowStateless, both, "MPPE 40-bit stateless"},
		{mppe.AllowKey128, mppe.AllowKey40, both, both, ""},
		{mppe.AllowKey128, mppe.AllowKey128, mppe.AllowStateless, mppe.AllowStateful, ""},
	} {
		t.Run(fmt.Sprintf("%v against %v, modes %d and %d", c.serverKeys, c.clientKeys, c.serverModes, c.clientModes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.serve(func(cfg *gopptp.ServerConfig) { cfg.KeyLengths, cfg.EncryptionModes = c.serverKeys, c.serverModes })
				s, err := w.tryDial(func(cfg *gopptp.ClientConfig) { cfg.KeyLengths, cfg.EncryptionModes = c.clientKeys, c.clientModes })
				if c.want == "" {
					var failure *gopptp.SessionError
					require.ErrorAs(t, err, &failure)
					require.Contains(t, []gopptp.Cause{gopptp.CauseEncryption, gopptp.CausePeer}, failure.Cause)
					return
				}
				require.NoError(t, err)
				require.Equal(t, c.want, s.Encryption())
				w.exchange(s, 300) // across a change of the key in stateful mode
			})
		})
	}
}

// In stateful mode a loss stops a direction until CCP has reset it. It goes on
// by itself, however often that happens.
func TestStatefulEncryptionRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(func(c *gopptp.ServerConfig) { c.EncryptionModes = mppe.AllowStateful })
		s := w.dial(func(c *gopptp.ClientConfig) { c.EncryptionModes = mppe.AllowStateful })
		theirs := w.session(server)
		require.Equal(t, "MPPE 128-bit stateful", s.Encryption())

		w.net.Impair(memory.Impairment{Loss: 0.02, Delay: 2 * time.Millisecond, Seed: 7})
		client := w.host(clientAddr)
		sent := map[string]bool{}
		const n = 3000
		for range n {
			up, down := w.packet(s.Local(), tunnelServer, 600), w.packet(tunnelServer, s.Local(), 600)
			sent[string(up)], sent[string(down)] = true, true
			client.Send(up)
			w.server.Send(down)
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for _, host := range []*memory.Host{client, w.server} {
			arrived := 0
			for len(host.Packets()) > 0 {
				require.True(t, sent[string(<-host.Packets())], "nothing is decrypted with a wrong key")
				arrived++
			}
			require.Greater(t, arrived, n*7/10, "it goes on after each loss")
			require.Less(t, arrived, n)
		}
		w.heal()
		// What was lost last is noticed by the next packet, and mended.
		for range 5 {
			client.Send(w.packet(s.Local(), tunnelServer, 600))
			w.server.Send(w.packet(tunnelServer, s.Local(), 600))
			time.Sleep(time.Second)
		}
		synctest.Wait()
		for _, host := range []*memory.Host{client, w.server} {
			for len(host.Packets()) > 0 {
				<-host.Packets()
			}
		}
		w.exchange(s, 10)
		require.NotZero(t, s.Counters().DroppedEncrypted+theirs.Counters().DroppedEncrypted)
		st := server.Stats()
		require.NotZero(t, st.ResetsSent)
		require.NotZero(t, st.ResetsReceived)
	})
}
