package userspace

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
)

// controlFrame is one of LCP that asks for nothing.
var controlFrame = []byte{0xc0, 0x21, 9, 1, 0, 4}

// warm sends control frames until AF_XDP is open at both ends, and carries all.
func (n *tunnel) warm(t testing.TB) {
	t.Helper()
	for range wantAfter {
		require.NoError(t, n.clientCall.WriteControl(controlFrame))
		require.NoError(t, n.serverCall.WriteControl(controlFrame))
	}
	raw := func(p *Plane) uint64 {
		s := p.Stats().GRE
		return s.Received - s.ReceivedXDP + s.Sent - s.SentXDP
	}
	eventually(t, "AF_XDP at both ends", func() bool {
		before := raw(n.client) + raw(n.server)
		came := n.client.Stats().GRE.ReceivedXDP
		require.NoError(t, n.clientCall.WriteControl(controlFrame))
		require.NoError(t, n.serverCall.WriteControl(controlFrame))
		eventually(t, "what was sent", func() bool {
			c, s := n.client.Stats().GRE, n.server.Stats().GRE
			return c.Received == s.Sent && s.Received == c.Sent
		})
		return raw(n.client)+raw(n.server) == before && n.client.Stats().GRE.ReceivedXDP > came
	})
}

// attach6 attaches the tunnel for IPv4 and IPv6.
func (n *tunnel) attach6(t testing.TB, mtu int) {
	t.Helper()
	atClient := gopptp.Network{Local: innerClient, Peer: innerServer, MTU: mtu, IPv6: &gopptp.IPv6Network{
		Local: netip.MustParseAddr("fe80::2:2"), Peer: netip.MustParseAddr("fe80::1:1"),
		Prefix: netip.MustParsePrefix("2001:db8:1:7::/64"), Routes: []netip.Prefix{prefix6},
	}}
	atServer := gopptp.Network{Local: innerServer, Peer: innerClient, MTU: mtu, IPv6: &gopptp.IPv6Network{
		Local: netip.MustParseAddr("fe80::1:1"), Peer: netip.MustParseAddr("fe80::2:2"),
		Router: true, Prefix: netip.MustParsePrefix("2001:db8:1:7::/64"),
	}}
	require.NoError(t, n.serverCall.Attach(atServer))
	require.NoError(t, n.clientCall.Attach(atClient))
	for _, o := range []*owner{n.atClient, n.atServer} {
		select {
		case err := <-o.attached:
			require.NoError(t, err)
		case <-time.After(5 * time.Second):
			t.Fatal("not attached")
		}
	}
}

// TestPaths has users' packets go through planes by every path there is, with
// batches of every size and any number of workers: all of them by that path, and
// none is lost.
func TestPaths(t *testing.T) {
	ciphers := []struct {
		name   string
		params *mppe.Params
	}{
		{"clear", nil},
		{"stateless", &mppe.Params{KeyLength: mppe.Key128}},
		{"stateful", &mppe.Params{KeyLength: mppe.Key128, Stateful: true}},
	}
	n := 0
	for _, mode := range []XDPMode{XDPOff, XDPAuto} {
		for _, noOffload := range []bool{false, true} {
			for _, workers := range []int{1, 2, 4} {
				// Half of all combinations, with every pair of values among them.
				for _, batch := range [][]int{{1, 64}, {8, 256}}[n/2%2] {
					opts := Options{XDP: mode, NoOffload: noOffload, Workers: workers, Batch: batch}
					cipher := ciphers[(n+n/6)%len(ciphers)]
					n++
					path := "raw"
					if mode != XDPOff {
						path = "XDP"
					}
					if !noOffload {
						path += " with offload"
					}
					t.Run(fmt.Sprintf("%s, %d workers, batch %d, %s", path, workers, batch, cipher.name), func(t *testing.T) {
						t.Parallel()
						testPath(t, opts, cipher.params)
					})
				}
			}
		}
	}
}

func testPath(t *testing.T, opts Options, cipher *mppe.Params) {
	a, b := newPair(t)
	b.address(t, 1, inner6.String()+"/128") // of lo
	n := newTunnelWith(t, a, b, outerB, opts)
	if cipher != nil {
		n.encryptWith(t, *cipher)
	}
	if opts.XDP != XDPOff {
		n.warm(t)
	}
	before := map[*Plane]GREStats{n.client: n.client.Stats().GRE, n.server: n.server.Stats().GRE}
	n.attach6(t, 1456)
	testUDP(t, a, b)
	testTCP(t, a, b)
	testTCPAt(t, b, a, "[2001:db8:1:7::2:2]:0")

	for _, c := range []gopptp.Call{n.clientCall, n.serverCall} {
		k := c.Counters()
		require.Zero(t, k.Lost+k.Duplicates+k.DroppedSource+k.DroppedClear+k.DroppedEncrypted+
			k.DroppedMalformed+k.DroppedQueue+k.DroppedNetwork+k.DroppedLink, "%+v", k)
	}
	for p, old := range before {
		s := p.Stats()
		received, sent := s.GRE.Received-old.Received, s.GRE.Sent-old.Sent
		require.Greater(t, received, uint64(1000))
		require.Greater(t, sent, uint64(1000))
		if opts.XDP == XDPOff {
			received, sent = 0, 0
		}
		require.Equal(t, received, s.GRE.ReceivedXDP-old.ReceivedXDP, "by AF_XDP: %+v", s.GRE)
		require.Equal(t, sent, s.GRE.SentXDP-old.SentXDP, "by AF_XDP: %+v", s.GRE)
		s.GRE.Received, s.GRE.Sent, s.TUN.Received, s.TUN.Sent = 0, 0, 0, 0
		s.GRE.ReceivedXDP, s.GRE.SentXDP, s.TUN.Link = 0, 0, 0
		require.Equal(t, Stats{Calls: 1}, s, "nothing was dropped")
	}
}
