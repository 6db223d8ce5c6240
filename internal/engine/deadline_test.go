package engine

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
)

func TestAlarmsInOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var a alarms
	var want []alarm
	for range 20_000 {
		if len(want) == 0 || random.IntN(5) < 3 {
			n := alarm{at: time.Duration(random.IntN(1000)), call: new(call)}
			first := len(want) == 0 || n.at < want[0].at
			require.Equal(t, first, a.add(n))
			i, _ := slices.BinarySearchFunc(want, n, func(x, y alarm) int { return cmp.Compare(x.at, y.at) })
			want = slices.Insert(want, i, n)
			continue
		}
		require.Equal(t, want[0].at, a.pop().at)
		want = want[1:]
		require.Len(t, a.heap, len(want))
	}
	for range want {
		a.pop()
	}
	require.Empty(t, a.heap)
	for _, n := range a.heap[:cap(a.heap)] {
		require.Nil(t, n.call, "nothing keeps a call")
	}
}

// Acknowledgements of a crowd that fall due together leave together, each in time,
// and one only; a call that has ended has none.
func TestAcknowledgementsOfACrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 300
		var wire fakeWire
		e := New(Config{Wire: &wire, Host: sink{}})
		defer e.Close()
		var all []gopptp.Call
		for i := range calls {
			c, err := e.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr}, new(fakeHandler))
			require.NoError(t, err)
			require.NoError(t, c.Connect(gopptp.PeerCall{ID: uint16(i)}))
			all = append(all, c)
		}
		for _, c := range all {
			h := gre.Header{CallID: c.ID(), HasSequence: true}
			e.Inbound([]Datagram{{Local: localAddr, Peer: peerAddr, Data: h.Append(nil)}})
		}
		require.NoError(t, all[0].Close())
		time.Sleep(gre.DefaultAckDelay - 1)
		synctest.Wait()
		require.Empty(t, wire.take())
		time.Sleep(1 + 4*crowdPause)
		synctest.Wait()
		got := make(map[uint16]int)
		for _, d := range wire.take() {
			var h gre.Header
			_, err := h.Decode(d.Data)
			require.NoError(t, err)
			require.True(t, h.HasAck)
			got[h.CallID]++
		}
		require.Len(t, got, calls-1)
		for id, n := range got {
			require.Equal(t, 1, n, "call %d", id)
		}
		require.Empty(t, e.alarms.heap)
	})
}
