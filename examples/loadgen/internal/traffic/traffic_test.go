package traffic

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	local = netip.MustParseAddrPort("10.9.0.7:49500")
	peer  = netip.MustParseAddrPort("10.9.0.1:7")
)

// reply is what a host answers.
func reply(p []byte) []byte {
	for i := range 4 {
		p[12+i], p[16+i] = p[16+i], p[12+i]
	}
	if p[9] == protocolICMP {
		p[20] = echoReply
	} else {
		p[20], p[21], p[22], p[23] = p[22], p[23], p[20], p[21]
	}
	return p
}

func TestPackets(t *testing.T) {
	m := mark{flow: 70_000, epoch: 9, seq: 1 << 31, sent: time.Hour}
	for _, via := range []Via{ICMP, UDP} {
		for _, size := range []int{MinSize, MinSize + 1, 577, maxSize} {
			b := make([]byte, size)
			build(b, way{via, local, peer}, m)
			require.EqualValues(t, 0xffff, ones(b[:ipLen]), "checksum of IPv4")
			if via == ICMP {
				require.EqualValues(t, 0xffff, ones(b[ipLen:]), "checksum of ICMP")
			}
			_, _, err := parse(b)
			require.ErrorIs(t, err, errForeign, "our own request is no answer")
			got, to, err := parse(reply(b))
			require.NoError(t, err)
			require.Equal(t, m, got)
			require.Equal(t, local.Addr(), to)

			// A bit that is wrong in the payload is always found.
			for range 50 {
				bit := rand.IntN((size - markAt) * 8)
				b[markAt+bit/8] ^= 1 << (bit % 8)
				_, _, err := parse(b)
				require.ErrorIs(t, err, errDamaged)
				b[markAt+bit/8] ^= 1 << (bit % 8)
			}
			for n := range size {
				_, _, err := parse(b[:n])
				require.Error(t, err)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, via := range []Via{ICMP, UDP} {
		b := make([]byte, 100)
		build(b, way{via, local, peer}, mark{1, 2, 3, 4})
		f.Add(reply(b))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, to, err := parse(b)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, len(b), MinSize)
		require.True(t, to.Is4())
		traffic := New(Mix{}, 1)
		traffic.Up(0, m.epoch, to, peer.Addr(), 1400)
		traffic.Deliver([][]byte{b})
		_, odd := traffic.Sum()
		require.EqualValues(t, 1, odd.Misdelivered, "nothing was sent")
	})
}

func TestTracker(t *testing.T) {
	for name, c := range map[string]struct {
		come                            []uint32
		received, duplicates, reordered uint32
		between, after                  uint32
	}{
		"in order":          {[]uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, 10, 0, 0, 0, 0},
		"none":              {nil, 0, 0, 0, 0, 10},
		"a gap":             {[]uint32{0, 1, 4, 5}, 4, 0, 0, 2, 4},
		"overtaken":         {[]uint32{0, 2, 1, 3}, 4, 0, 1, 0, 6},
		"doubled":           {[]uint32{0, 1, 1, 0, 2}, 3, 2, 0, 0, 7},
		"doubled and late":  {[]uint32{0, 3, 1, 1, 2, 3}, 4, 2, 2, 0, 6},
		"the last one only": {[]uint32{9}, 1, 0, 0, 9, 0},
	} {
		tr := tracker{sent: 10}
		for _, seq := range c.come {
			require.True(t, tr.note(seq), name)
		}
		require.False(t, tr.note(10), "was never sent")
		between, after := tr.missing()
		require.Equal(t, []uint32{c.received, c.duplicates, c.reordered, c.between, c.after},
			[]uint32{tr.received, tr.duplicates, tr.reordered, between, after}, name)
	}
}

// The tracker agrees with one that remembers everything, as long as nothing comes later
// than its window.
func TestTrackerAgainstMemory(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		tr := tracker{sent: 20_000}
		seen := make(map[uint32]bool)
		highest, duplicates, reordered := -1, uint32(0), uint32(0)
		for at := 0; at < 19_000; at += random.IntN(3) {
			if random.IntN(100) == 0 {
				at = min(at+random.IntN(3*window), 19_999) // an outage
			}
			seq := uint32(max(at-random.IntN(window/4), 0))
			require.True(t, tr.note(seq))
			switch {
			case seen[seq]:
				duplicates++
			case int(seq) < highest:
				reordered++
			}
			seen[seq] = true
			highest = max(highest, int(seq))
		}
		require.EqualValues(t, len(seen), tr.received)
		require.Equal(t, duplicates, tr.duplicates)
		require.Equal(t, reordered, tr.reordered)
	}
}

func TestShares(t *testing.T) {
	shares, err := ParseShares("idle=70, ping=20,small=5,large=4,bulk=1")
	require.NoError(t, err)
	m := Mix{Share: shares}
	require.Equal(t, 100, m.Total())
	var got [Kinds]int
	const n = 1000
	for i := range n {
		got[m.KindOf(i)]++
	}
	for k, share := range shares {
		require.InDelta(t, share*n/100, got[k], 5, "%v", Kind(k))
	}
	got = [Kinds]int{}
	for i := range 100 { // and so it is among the first
		got[m.KindOf(i)]++
	}
	require.InDelta(t, 20, got[Ping], 2)
	require.Equal(t, Idle, (&Mix{}).KindOf(3))
}

// wire collects what is sent.
type wire struct{ sent [][]byte }

func (w *wire) Send(packets [][]byte) {
	for _, p := range packets {
		w.sent = append(w.sent, append([]byte(nil), p[Headroom:]...))
	}
}

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := Mix{SmallRate: 20, LargeRate: 5, BulkRate: 1e6}
		for kind, want := range map[Kind]struct{ size, packets int }{
			Ping: {84, 10}, Small: {100, 200}, Large: {1400, 50}, Bulk: {1400, 893},
		} {
			m.Share = [Kinds]int{}
			m.Share[kind] = 1
			tr, w := New(m, 1), new(wire)
			tr.Start(w)
			tr.Up(0, 1, local.Addr(), peer.Addr(), 1400)
			time.Sleep(10*time.Second + time.Millisecond)
			tr.Quiet()
			time.Sleep(time.Second)
			tr.Close()
			require.InDelta(t, want.packets, len(w.sent), 1+float64(want.packets)/500, kind)
			for i, p := range w.sent {
				require.Len(t, p, want.size)
				got, _, err := parse(reply(p))
				require.NoError(t, err)
				require.EqualValues(t, i, got.seq)
			}
			require.LessOrEqual(t, tr.Slipped(), 2*pause)
		}
	})
}

// What comes for a session that has taken the place of another is not taken for its own.
func TestEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, w := New(Mix{Share: [Kinds]int{Ping: 1}}, 2), new(wire)
		tr.Start(w)
		tr.Up(0, 1, local.Addr(), peer.Addr(), 1400)
		time.Sleep(1100 * time.Millisecond)
		tr.Down(0)
		tr.Up(0, 2, local.Addr(), peer.Addr(), 1400)
		tr.Up(1, 3, local.Addr().Next(), peer.Addr(), 1400)
		require.NotEmpty(t, w.sent)
		for _, p := range w.sent {
			tr.Deliver([][]byte{reply(p)})
		}
		kinds, odd := tr.Sum()
		require.Zero(t, kinds[Ping].Received, "they are of the old session")
		require.EqualValues(t, len(w.sent), kinds[Ping].InFlight, "which was hung up")
		require.Zero(t, odd)
		tr.Close()
	})
}
