package engine

import (
	"testing"

	"github.com/gopptp/gopptp"
)

// fuzzEnd is an end that is ready for anything: the router of its link where it
// encrypts, and otherwise a host on it.
func fuzzEnd(f *testing.F, encrypted bool) (*Engine, gopptp.Call) {
	e, c := newSinkCall(f, false)
	network := clientNetwork()
	if encrypted {
		network = routerNetwork()
	}
	if err := c.Attach(network); err != nil {
		f.Fatal(err)
	}
	if encrypted {
		if err := c.SetEncryption(gopptp.Encryption{Send: &testParams, Receive: &testParams}); err != nil {
			f.Fatal(err)
		}
	}
	return e, c
}

// FuzzInbound gives the engine packets of the wire, some of which have the right
// call ID, since that is found by chance too rarely.
func FuzzInbound(f *testing.F) {
	clear, clearCall := fuzzEnd(f, false)
	encrypted, encryptedCall := fuzzEnd(f, true)
	for _, frame := range [][]byte{
		nil,
		ipFrame(inPacket(1)),
		ipFrame(tcpPacket(tunnelPeer, tunnelLocal, tcpSYN, 1, 2, 4, 5, 0xb4)),
		ip6Frame(udp6(host6, peer6, 1)),
		ip6Frame(advert(prefixOption(64, 0x40, 2, 1)...)),
		ip6Frame(message6(linkPeer, linkLocal, 64, icmpv6EchoRequest, 0, 0, 0, 0, 1, 0, 1)),
		ip6Frame(solicitation(linkPeer, linkLocal, linkLocal, 255)),
		{0xff, 0x03, 0xc0, 0x21, 1, 1, 0, 4}, {0x57, 1}, {0xfd, 0x90, 0, 1, 2, 3},
	} {
		n := newFlow(f, 0, 100, 1, false)
		b := append(n.fresh[0][:12:12], frame...)
		b[4], b[5] = byte(len(frame)>>8), byte(len(frame))
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, b []byte, right bool) {
		for _, c := range []struct {
			e *Engine
			gopptp.Call
		}{{clear, clearCall}, {encrypted, encryptedCall}} {
			p := append([]byte(nil), b...)
			if right && len(p) >= 8 {
				p[6], p[7] = byte(c.ID()>>8), byte(c.ID())
			}
			c.e.Inbound([]Datagram{{Local: localAddr, Peer: peerAddr, Data: p}})
		}
	})
}

// FuzzOutbound gives the engine packets of the host, some of which have the
// right destination.
func FuzzOutbound(f *testing.F) {
	clear, _ := fuzzEnd(f, false)
	encrypted, _ := fuzzEnd(f, true)
	f.Add(outPacket(1), true)
	f.Add(outPacket(1), false)
	f.Add(tcpPacket(tunnelLocal, tunnelPeer, tcpSYN, 1, 2, 4, 5, 0xb4), true)
	f.Add(ipv4Packet(tunnelLocal, tunnelPeer, 17, make([]byte, 2000)), true)
	f.Add(tcp6(host6, peer6, protocolTCP), false)
	f.Add(packet6(host6, behind6, 17, 64, make([]byte, 2000)), false)
	f.Fuzz(func(t *testing.T, b []byte, right bool) {
		for _, e := range []*Engine{clear, encrypted} {
			p := append(make([]byte, Headroom), b...)
			if right && len(b) >= ipv4HeaderLen {
				dst := tunnelPeer.As4()
				copy(p[Headroom+16:], dst[:])
			}
			e.Outbound([][]byte{p})
			e.Outbound([][]byte{append([]byte(nil), b...)})
		}
	})
}
