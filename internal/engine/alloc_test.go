package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
)

// sink is a wire and a host that take anything and keep nothing.
type sink struct{}

func (sink) Send([]Datagram)             {}
func (sink) Deliver([][]byte)            {}
func (sink) Attach(gopptp.Network) error { return nil }
func (sink) Detach(gopptp.Network)       {}

// flow is a stream of packets from a peer, which costs nothing to make.
type flow struct {
	batch     []Datagram
	fresh     [][]byte // the packets before the engine changed them
	sequence  uint32
	encryptor *mppe.Encryptor
}

func newFlow(t testing.TB, id uint16, size, batch int, encrypted bool) *flow {
	f := new(flow)
	for range batch {
		frame := ipFrame(ipv4Packet(tunnelPeer, tunnelLocal, 17, make([]byte, size-ipv4HeaderLen)))
		if encrypted {
			frame = append([]byte{0xff, 0x03, 0x00, 0xfd, 0, 0}, frame[2:]...)
		}
		h := gre.Header{CallID: id, HasSequence: true, PayloadLength: uint16(len(frame))}
		packet := append(h.Append(nil), frame...)
		f.fresh = append(f.fresh, packet)
		f.batch = append(f.batch, Datagram{Local: localAddr, Peer: peerAddr, Data: append([]byte(nil), packet...)})
	}
	if encrypted {
		var err error
		f.encryptor, err = mppe.NewEncryptor(testParams)
		require.NoError(t, err)
	}
	return f
}

// next makes the next packets.
func (f *flow) next() []Datagram {
	for i := range f.batch {
		data := f.batch[i].Data
		copy(data, f.fresh[i])
		data[8], data[9], data[10], data[11] = byte(f.sequence>>24), byte(f.sequence>>16), byte(f.sequence>>8), byte(f.sequence)
		f.sequence++
		if f.encryptor != nil {
			f.encryptor.Seal(data[16:])
		}
	}
	return f.batch
}

// hostFlow is a stream of packets from the host.
type hostFlow struct{ packets, fresh [][]byte }

func newHostFlow(size, batch int) *hostFlow {
	f := new(hostFlow)
	for range batch {
		p := append(make([]byte, Headroom), ipv4Packet(tunnelLocal, tunnelPeer, 17, make([]byte, size-ipv4HeaderLen))...)
		f.fresh = append(f.fresh, p)
		f.packets = append(f.packets, append([]byte(nil), p...))
	}
	return f
}

func (f *hostFlow) next() [][]byte {
	for i, p := range f.packets {
		copy(p[Headroom:], f.fresh[i][Headroom:])
	}
	return f.packets
}

// newSinkCall returns a call that carries packets to nowhere.
func newSinkCall(t testing.TB, encrypted bool) (*Engine, gopptp.Call) {
	e := New(Config{Wire: sink{}, Host: sink{}})
	t.Cleanup(func() { e.Close() })
	h := new(fakeHandler)
	c, err := e.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr, RequireEncryption: encrypted}, h)
	require.NoError(t, err)
	require.NoError(t, c.Connect(gopptp.PeerCall{ID: peerCallID}))
	if encrypted {
		require.NoError(t, c.SetEncryption(gopptp.Encryption{Send: &testParams, Receive: &testParams}))
	}
	require.NoError(t, c.Attach(testNetwork()))
	require.Eventually(t, func() bool { return len(h.attaches()) > 0 }, 5*time.Second, time.Millisecond)
	settle(c)
	return e, c
}

// A packet allocates nothing, either way, encrypted or not.
func TestNoAllocations(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		e, c := newSinkCall(t, encrypted)
		in := newFlow(t, c.ID(), 100, 8, encrypted)
		out := newHostFlow(100, 8)
		e.Inbound(in.next())
		e.Outbound(out.next())
		require.Zero(t, testing.AllocsPerRun(200, func() {
			e.Inbound(in.next())
			e.Outbound(out.next())
		}))
		require.Zero(t, testing.AllocsPerRun(200, func() { e.Inbound(in.next()) }), "acknowledgements of their own too")
		require.EqualValues(t, in.sequence, c.Counters().ReceivedPackets)
		require.NotZero(t, c.(*call).num.receiver.Counters().Acks)

		frame := []byte{0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0}
		require.Zero(t, testing.AllocsPerRun(200, func() { _ = c.WriteControl(frame) }))
	}
}

func BenchmarkInbound(b *testing.B) {
	for _, encrypted := range []bool{false, true} {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("encrypted=%v/%d", encrypted, size), func(b *testing.B) {
				e, c := newSinkCall(b, encrypted)
				const batch = 32
				in := newFlow(b, c.ID(), size, batch, false)
				if encrypted {
					in = newFlow(b, c.ID(), size, batch, true)
				}
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += batch {
					if encrypted {
						b.StopTimer()
					}
					packets := in.next()
					if encrypted {
						b.StartTimer()
					}
					e.Inbound(packets)
				}
			})
		}
	}
}

func BenchmarkOutbound(b *testing.B) {
	for _, encrypted := range []bool{false, true} {
		for _, size := range []int{64, 1400} {
			b.Run(fmt.Sprintf("encrypted=%v/%d", encrypted, size), func(b *testing.B) {
				e, _ := newSinkCall(b, encrypted)
				const batch = 32
				out := newHostFlow(size, batch)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += batch {
					e.Outbound(out.next())
				}
			})
		}
	}
}
