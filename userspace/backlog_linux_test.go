package userspace

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/engine"
)

// A worker that cannot keep up drops packets of the session that has too many, and
// none of another, which come after all of these.
func TestBacklogIsFair(t *testing.T) {
	for name, mode := range map[string]XDPMode{"raw": XDPOff, "XDP": XDPOn} {
		t.Run(name, func(t *testing.T) {
			a, b := newPair(t)
			p := b.open(t, Options{XDP: mode, Workers: 1, Batch: 8, Ring: 8192, Prefixes: []netip.Prefix{pool}})

			sender := a.openSocket(t)
			busy, light := newFlood(t, p, 2), newFlood(t, p, 3)
			sender.Send(light.packets(1)) // finds the neighbour
			eventually(t, "a packet", func() bool { return light.call.Counters().ReceivedPackets == 1 })
			if mode == XDPOn {
				// The plane opens the interface when it has sent some.
				for range wantAfter {
					require.NoError(t, light.call.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}))
				}
				eventually(t, "AF_XDP", func() bool {
					sender.Send(light.packets(1))
					return p.Stats().GRE.ReceivedXDP > 0
				})
			}

			w := p.workers[0]
			w.tun.out.mu.Lock() // the host is slow
			const flood = 4000
			for range flood / 50 {
				sender.Send(busy.packets(50))
			}
			sender.Send(light.packets(10))
			time.Sleep(20 * time.Millisecond)
			w.tun.out.mu.Unlock()

			eventually(t, "the light session's packets", func() bool {
				return light.call.Counters().ReceivedPackets == uint64(light.sequence)
			})
			eventually(t, "the end of the flood", func() bool {
				k := busy.call.Counters()
				return k.ReceivedPackets+k.DroppedQueue == flood
			})
			require.NotZero(t, busy.call.Counters().DroppedQueue)
			require.Zero(t, light.call.Counters().DroppedQueue)
			require.Zero(t, p.Stats().GRE.ReceiveQueueFull)
		})
	}
}

// flood is a call at a plane, and what its peer sends.
type flood struct {
	call     gopptp.Call
	sequence uint32
	packet   []byte // of IP
}

// newFlood opens a call whose peer is 10.99.0.x.
func newFlood(t *testing.T, p *Plane, x byte) *flood {
	t.Helper()
	o := newOwner()
	c, err := p.Open(gopptp.CallConfig{Local: outerB, Peer: outerA}, o)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	require.NoError(t, c.Connect(gopptp.PeerCall{ID: uint16(x)}))
	peer := innerServer.As4()
	peer[3] = x
	require.NoError(t, c.Attach(gopptp.Network{Local: innerServer, Peer: netip.AddrFrom4(peer), MTU: 1400}))
	require.NoError(t, <-o.attached)
	packet := ipPacket(20, 0, 9, 0, 7, 0, 8, 0, 0)
	copy(packet[12:], peer[:])
	copy(packet[16:], innerServer.AsSlice())
	packet[3], packet[9] = byte(len(packet)), 17
	return &flood{call: c, packet: packet}
}

func (f *flood) packets(n int) []engine.Datagram {
	var list []engine.Datagram
	for range n {
		f.sequence++
		h := gre.Header{CallID: f.call.ID(), HasSequence: true, Sequence: f.sequence, PayloadLength: uint16(4 + len(f.packet))}
		data := append(h.Append(nil), 0xff, 0x03, 0x00, 0x21)
		list = append(list, engine.Datagram{Local: outerA, Peer: outerB, Data: append(data, f.packet...)})
	}
	return list
}
