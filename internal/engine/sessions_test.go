package engine

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
)

// crowd is an Engine with many calls, each from an address of its own. Traffic
// takes them in a random order, so that a call has long been forgotten by the
// processor's caches when its next packet comes.
type crowd struct {
	*Engine
	port     *Port
	sessions []*crowdSession
	size     int
	at       int // the session whose turn it is

	in  []Datagram
	out [][]byte
}

type crowdSession struct {
	call      *call
	peer      netip.Addr // of the tunnel
	sequence  uint32
	encryptor *mppe.Encryptor // of the peer
}

// crowdBatch is the batch that most systems give to an Engine.
const crowdBatch = 64

func newCrowd(t testing.TB, calls, size int, encrypted bool) *crowd {
	e := New(Config{Wire: sink{}, Host: sink{}})
	t.Cleanup(func() { require.NoError(t, e.Close()) })
	w := &crowd{Engine: e, port: e.NewPort(sink{}, sink{}), size: size}
	h := new(countingHandler)
	for i := range calls {
		s := &crowdSession{peer: netip.AddrFrom4([4]byte{10, 1 + byte(i>>16), byte(i >> 8), byte(i)})}
		outer := netip.AddrFrom4([4]byte{198, 18 + byte(i>>16), byte(i >> 8), byte(i)})
		c, err := e.Open(gopptp.CallConfig{Local: localAddr, Peer: outer, RequireEncryption: encrypted}, h)
		require.NoError(t, err)
		require.NoError(t, c.Connect(gopptp.PeerCall{ID: uint16(i)}))
		s.call = c.(*call)
		if encrypted {
			p := testParams
			p.Key[0], p.Key[1], p.Key[2] = byte(i>>16), byte(i>>8), byte(i)
			require.NoError(t, c.SetEncryption(gopptp.Encryption{Send: &p, Receive: &p}))
			s.encryptor, err = mppe.NewEncryptor(p)
			require.NoError(t, err)
		}
		require.NoError(t, c.Attach(gopptp.Network{Local: tunnelLocal, Peer: s.peer, MTU: 1456}))
		w.sessions = append(w.sessions, s)
	}
	require.Eventually(t, func() bool { return h.attached.Load() == int64(calls) }, time.Minute, time.Millisecond)
	for _, s := range w.sessions {
		settle(s.call)
	}
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(calls, func(i, k int) { w.sessions[i], w.sessions[k] = w.sessions[k], w.sessions[i] })
	return w
}

func (w *crowd) next() *crowdSession {
	s := w.sessions[w.at]
	if w.at++; w.at == len(w.sessions) {
		w.at = 0
	}
	return s
}

// inbound makes n packets of peers, in memory that is used again.
func (w *crowd) inbound(n int) []Datagram {
	for len(w.in) < n {
		w.in = append(w.in, Datagram{Local: localAddr, Data: make([]byte, 2048)})
	}
	for i := range n {
		s, d := w.next(), &w.in[i]
		_, d.Peer = s.call.ends()
		d.Data = d.Data[:0]
		frame := ipv4Packet(s.peer, tunnelLocal, 17, make([]byte, w.size-ipv4HeaderLen))
		header := []byte{0xff, 0x03, 0x00, 0x21}
		if s.encryptor != nil {
			header = []byte{0xff, 0x03, 0x00, 0xfd, 0, 0, 0x00, 0x21}
		}
		h := gre.Header{CallID: s.call.id, HasSequence: true, Sequence: s.sequence, PayloadLength: uint16(len(header) + len(frame))}
		s.sequence++
		d.Data = append(append(h.Append(d.Data), header...), frame...)
		if s.encryptor != nil {
			s.encryptor.Seal(d.Data[gre.MinHeaderLen+4+4:])
		}
	}
	return w.in[:n]
}

// outbound makes n packets of the host.
func (w *crowd) outbound(n int) [][]byte {
	for len(w.out) < n {
		w.out = append(w.out, make([]byte, 2048))
	}
	for i := range n {
		p := ipv4Packet(tunnelLocal, w.next().peer, 17, make([]byte, w.size-ipv4HeaderLen))
		w.out[i] = append(append(w.out[i][:0], make([]byte, Headroom)...), p...)
	}
	return w.out[:n]
}

// batches gives packets to f, a batch at a time.
func batches[T any](packets []T, f func([]T)) {
	for ; len(packets) > 0; packets = packets[min(len(packets), crowdBatch):] {
		f(packets[:min(len(packets), crowdBatch)])
	}
}

// Packets of many calls allocate no more than those of one.
func TestNoAllocationsOfACrowd(t *testing.T) {
	const calls = 200
	w := newCrowd(t, calls, 100, false)
	in, out := w.inbound(calls), w.outbound(calls)
	sequence := uint32(0)
	f := func() {
		for _, d := range in {
			binary.BigEndian.PutUint32(d.Data[gre.MinHeaderLen:], sequence)
		}
		sequence++
		w.port.Inbound(in)
		w.port.Outbound(out)
	}
	f()
	require.Zero(t, testing.AllocsPerRun(200, f))
	for _, s := range w.sessions {
		c := s.call.Counters()
		require.EqualValues(t, sequence, c.ReceivedPackets)
		require.EqualValues(t, sequence, c.SentPackets)
	}
}

// BenchmarkSessions is the cost of a packet among those of many calls. It is
// the processor's time that counts, that of other goroutines included, and none
// that it takes to make packets: ns/packet is what to look at, and not ns/op.
func BenchmarkSessions(b *testing.B) {
	for _, encrypted := range []bool{false, true} {
		for _, size := range []int{64, 1400} {
			for _, calls := range []int{1, 100, 10_000, 50_000} {
				name := fmt.Sprintf("encrypted=%v/size=%d/calls=%d", encrypted, size, calls)
				b.Run("in/"+name, func(b *testing.B) {
					w := newCrowd(b, calls, size, encrypted)
					w.bench(b, func(n int) time.Duration {
						packets := w.inbound(n)
						start := cpuTime()
						batches(packets, w.port.Inbound)
						return cpuTime() - start
					})
				})
				b.Run("out/"+name, func(b *testing.B) {
					w := newCrowd(b, calls, size, encrypted)
					w.bench(b, func(n int) time.Duration {
						packets := w.outbound(n)
						start := cpuTime()
						batches(packets, w.port.Outbound)
						return cpuTime() - start
					})
				})
			}
		}
	}
}

func (w *crowd) bench(b *testing.B, f func(n int) time.Duration) {
	const turn = 8 * crowdBatch
	for range len(w.sessions)/turn + 1 { // the first packet of a call is another matter
		f(turn)
	}
	runtime.GC()
	b.ResetTimer()
	var total time.Duration
	for n := b.N; n > 0; n -= turn {
		total += f(min(n, turn))
	}
	b.ReportMetric(float64(total.Nanoseconds())/float64(b.N), "ns/packet")
}

// countingHandler is the handler of all calls of a crowd.
type countingHandler struct{ attached atomic.Int64 }

func (h *countingHandler) ControlFrame([]byte) {}
func (h *countingHandler) Attached(err error) {
	if err == nil {
		h.attached.Add(1)
	}
}
func (h *countingHandler) ResetNeeded() {}
func (h *countingHandler) Failed(error) {}
