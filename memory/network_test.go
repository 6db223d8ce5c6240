package memory_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/memory"
)

// frames is a CallHandler that keeps the control frames.
type frames struct{ got chan string }

func (f *frames) ControlFrame(frame []byte) { f.got <- string(frame) }
func (f *frames) Attached(error)            {}
func (f *frames) ResetNeeded()              {}
func (f *frames) Failed(error)              {}

func TestInject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		here, away := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1")
		h := &frames{make(chan string, 10)}
		call, err := n.Host(here).Dataplane().Open(gopptp.CallConfig{Local: here, Peer: away}, h)
		require.NoError(t, err)
		require.NoError(t, call.Connect(gopptp.PeerCall{ID: 1, Window: 64}))
		frame := "\xc0\x21\x09\x01\x00\x08abcd"
		inject := func(seq uint32) {
			head := gre.Header{PayloadLength: uint16(len(frame)), CallID: call.ID(), HasSequence: true, Sequence: seq}
			data := append(head.Append(nil), frame...)
			n.Inject(memory.Packet{From: away, To: here, Data: data})
			clear(data) // it is not kept
			synctest.Wait()
		}

		n.Filter(func(memory.Packet) bool { return false })
		n.Tap(func(memory.Packet) { t.Error("seen by the tap") })
		n.Impair(memory.Impairment{Loss: 1})
		began := time.Now()
		inject(0)
		require.Equal(t, frame, <-h.got)
		require.Zero(t, time.Since(began))

		n.Cut(true)
		inject(1)
		require.Empty(t, h.got)
		require.EqualValues(t, 1, n.Stats().Lost)
		n.Inject(memory.Packet{From: here, To: away, Data: []byte(frame)})
		require.EqualValues(t, 1, n.Stats().NoHost)

		require.NoError(t, call.Close())
	})
}

// A packet that was held up may come when all is over.
func TestInjectAfterClose(t *testing.T) {
	n := memory.NewNetwork()
	addr := netip.MustParseAddr("192.0.2.1")
	n.Host(addr)
	n.Close()
	n.Inject(memory.Packet{From: addr, To: addr, Data: make([]byte, 12)})
	require.EqualValues(t, 1, n.Stats().Lost)
}

// A host's own GRE packets, and what comes past its data plane.
func TestHostWithGREOfItsOwn(t *testing.T) {
	n := memory.NewNetwork()
	a, b := n.Host(netip.MustParseAddr("192.0.2.1")), n.Host(netip.MustParseAddr("192.0.2.2"))
	came := make(chan string, 2)
	b.OnGRE(func(from netip.Addr, packet []byte) { came <- from.String() + " " + string(packet) })
	a.SendGRE(b.Addr(), []byte("hello"))
	require.Equal(t, "192.0.2.1 hello", <-came)
	b.OnGRE(nil)
	a.SendGRE(b.Addr(), []byte("again"))

	packet := []byte("inside")
	b.Receive(packet)
	clear(packet)
	require.Equal(t, "inside", string(<-b.Packets()))
	n.Close()
	b.Receive(packet)
	require.Empty(t, b.Packets())
	require.Empty(t, came)
}
