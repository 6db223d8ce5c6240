package engine

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// RFC 1661 §6.1: a frame with an information field of 1500 octets is received
// whatever was negotiated, and RFC 2637 §1.4 has GRE carry up to 1532.
func TestFullInformationField(t *testing.T) {
	n := connected(t, false)
	n.attach(func(w *gopptp.Network) { w.MTU = 576 })
	for _, size := range []int{1500, 1528} {
		p := ipv4Packet(tunnelPeer, tunnelLocal, 17, make([]byte, size-ipv4HeaderLen))
		n.receive(n.packet(ipFrame(p)...))
		require.Equal(t, [][]byte{p}, n.host.take())
	}
	n.encrypt()
	p := ipv4Packet(tunnelPeer, tunnelLocal, 17, make([]byte, 1500-ipv4HeaderLen))
	n.receive(n.sealed(innerFrame(p)...))
	require.Equal(t, [][]byte{p}, n.host.take())
}

// RFC 2637 §4: what is in the tunnel is the PPP packet alone, with neither flags,
// escapes nor check sums, behind a header of the form that §4.1 wants.
func TestNothingOfTheMediaIsSent(t *testing.T) {
	n := attached(t)
	packet := outPacket(0x7e, 0x7d, 0x11, 0x13) // what asynchronous framing would escape
	n.fromHost(packet)
	d := n.wire.take()[0]
	require.Equal(t, []byte{0x30, 0x01, 0x88, 0x0b}, d.Data[:4])
	h, payload := headerOf(t, d)
	require.Equal(t, ipFrame(packet), payload)
	require.EqualValues(t, len(payload), h.PayloadLength)
}
