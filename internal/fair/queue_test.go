package fair

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tagged is a packet of the tests: the n-th of its flow.
type tagged struct {
	flow uint32
	n    int
	size int
}

func push(q *Queue[tagged], flow uint32, n, size int) (tagged, bool) {
	return q.Push(flow, size, tagged{flow, n, size})
}

// check verifies all that must hold between operations.
func (q *Queue[T]) check(t testing.TB) {
	t.Helper()
	count, longest := 0, 0
	for i := range q.flows {
		f := &q.flows[i]
		sum, last := 0, int32(none)
		for s := f.oldest; s != none; s = q.packets[s].next {
			require.Equal(t, last, q.packets[s].prev)
			sum += q.packets[s].size
			count++
			last = s
		}
		require.Equal(t, last, f.newest)
		require.Equal(t, sum, f.waiting)
		require.Equal(t, sum == 0, f.class == none)
		require.True(t, f.active || sum == 0)
		longest = max(longest, sum)
	}
	require.Equal(t, count, q.count)
	require.LessOrEqual(t, count, q.limit)
	free := 0
	for s := q.free; s != none; s = q.packets[s].next {
		free++
	}
	require.Equal(t, len(q.packets), count+free)
	active := map[int32]bool{}
	for _, r := range []round{q.fresh, q.others} {
		for i := r.first; i != none; i = q.flows[i].next {
			require.True(t, q.flows[i].active)
			require.False(t, active[i], "a flow in two places")
			active[i] = true
		}
	}
	if count > 0 {
		found := q.flows[q.longest()].waiting
		if longest>>q.shift < len(q.classes) {
			require.Greater(t, found+q.quantum, longest)
		}
		require.Positive(t, found)
	}
}

func TestOrderOfOneFlow(t *testing.T) {
	q := New[tagged](10, 4, 1500)
	for i := range 10 {
		_, was := push(q, 1, i, 1000)
		require.False(t, was)
	}
	for n := 10; n < 13; n++ {
		dropped, was := push(q, 1, n, 1000)
		require.True(t, was)
		require.Equal(t, n, dropped.n, "the newest")
	}
	for i := range 10 {
		p, ok := q.Pop()
		require.True(t, ok)
		require.Equal(t, i, p.n)
	}
	_, ok := q.Pop()
	assert.False(t, ok)
	assert.Zero(t, q.Len())
}

// distinct returns flows in buckets of their own.
func distinct[T any](q *Queue[T], n int) []uint32 {
	var flows []uint32
	taken := map[int32]bool{}
	for f := uint32(1); len(flows) < n; f++ {
		if b := q.bucket(f); !taken[b] {
			taken[b] = true
			flows = append(flows, f)
		}
	}
	return flows
}

func TestFreshFlowIsFirst(t *testing.T) {
	q := New[tagged](100, 64, 1500)
	f := distinct(q, 3)
	for i := range 40 {
		push(q, f[0], i, 1500)
		push(q, f[1], i, 1500)
	}
	for range 10 {
		q.Pop()
	}
	push(q, f[2], 0, 100)
	p, _ := q.Pop()
	assert.Equal(t, f[2], p.flow)
	// Not again before the others had their turn.
	push(q, f[2], 1, 100)
	first, _ := q.Pop()
	second, _ := q.Pop()
	third, _ := q.Pop()
	assert.ElementsMatch(t, f, []uint32{first.flow, second.flow, third.flow})
}

// Flows that all wait get the same, but for a quantum and a packet at any time.
func TestEqualShares(t *testing.T) {
	const flows, quantum, largest, packets = 20, 1500, 1500, 200
	r := rand.New(rand.NewPCG(1, 2))
	q := New[tagged](flows*packets, 1024, quantum)
	numbers := distinct(q, flows)
	sizes := make([]int, flows) // each flow has a way of its own
	for i := range sizes {
		sizes[i] = 1 + r.IntN(largest)
	}
	waiting := map[uint32]int{}
	for n := range packets {
		for i, f := range numbers {
			size := sizes[i]
			if i%3 == 0 {
				size = 1 + r.IntN(largest)
			}
			_, was := push(q, f, n, size)
			require.False(t, was)
			waiting[f]++
		}
	}
	sent := map[uint32]int{}
	for {
		p, ok := q.Pop()
		require.True(t, ok)
		sent[p.flow] += p.size
		if waiting[p.flow]--; waiting[p.flow] == 0 {
			break // from here on not all wait
		}
		least, most := sent[numbers[0]], 0
		for _, f := range numbers {
			least, most = min(least, sent[f]), max(most, sent[f])
		}
		require.LessOrEqual(t, most-least, quantum+largest)
	}
}

// A light flow next to a flood loses nothing and does not wait.
func TestFlood(t *testing.T) {
	for _, flooders := range []int{1, 10} {
		q := New[tagged](256, 1024, 1500)
		f := distinct(q, 1+flooders)
		light, next, served := f[0], 0, 0
		for range 500 {
			push(q, light, next, 1000)
			next++
			for range 100 {
				for _, flooder := range f[1:] {
					if dropped, _ := push(q, flooder, 0, 1400); dropped.flow == light {
						t.Fatal("the light flow lost a packet")
					}
				}
			}
			// The line takes two packets a flow, of which the light one needs one.
			for range 2 * len(f) {
				p, ok := q.Pop()
				require.True(t, ok)
				if p.flow == light {
					require.Equal(t, served, p.n)
					served++
				}
			}
		}
		assert.Equal(t, next, served)
		assert.Equal(t, 256-2*len(f), q.Len())
	}
}

// Those who flood alike lose alike.
func TestFloodersShareTheQueue(t *testing.T) {
	q := New[tagged](400, 1024, 1500)
	f := distinct(q, 4)
	for n := range 1000 {
		for _, flow := range f {
			push(q, flow, n, 1500)
		}
	}
	q.check(t)
	for _, flow := range f {
		assert.InDelta(t, 100*1500, q.flows[q.bucket(flow)].waiting, 2*1500)
	}
}

// Nothing is lost, doubled or out of order, and the bound holds, whatever comes.
func TestAnything(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		q := New[tagged](1+r.IntN(50), 1<<r.IntN(6), 1+r.IntN(2000))
		program := make([]byte, 2000)
		for i := range program {
			program[i] = byte(r.Uint32())
		}
		operate(t, q, program)
	}
}

// operate runs operations that octets stand for, against a plain account of them.
func operate(t testing.TB, q *Queue[tagged], program []byte) {
	next := map[uint32]int{}
	in := map[tagged]bool{}
	last := map[uint32]int{} // popped
	gone := func(p tagged) {
		require.True(t, in[p], "%v is not there", p)
		delete(in, p)
	}
	popped := func(p tagged) {
		gone(p)
		require.Less(t, last[p.flow], p.n)
		last[p.flow] = p.n
	}
	batch := make([]tagged, 5)
	for i, op := range program {
		switch {
		case op < 60:
			p, ok := q.Pop()
			require.Equal(t, len(in) > 0, ok)
			if ok {
				popped(p)
			}
		case op < 64:
			for _, p := range batch[:q.PopBatch(batch)] {
				popped(p)
			}
		default:
			f, size := uint32(op%7), (int(op)*i)%3000
			next[f]++
			p := tagged{f, next[f], size}
			in[p] = true
			if dropped, was := q.Push(f, size, p); was {
				gone(dropped)
			}
		}
		require.Equal(t, len(in), q.Len())
		if i%32 == 0 {
			q.check(t)
		}
	}
	for range len(in) {
		p, ok := q.Pop()
		require.True(t, ok)
		popped(p)
	}
	require.Zero(t, q.Len())
	q.check(t)
	require.Equal(t, round{none, none}, round{q.fresh.first, q.others.first})
}

func FuzzQueue(f *testing.F) {
	f.Add(uint8(3), uint8(2), uint16(1500), []byte{200, 100, 255, 1, 70, 62, 90, 90, 90, 0})
	f.Add(uint8(1), uint8(1), uint16(1), []byte{200, 100, 200, 255, 1})
	f.Fuzz(func(t *testing.T, packets, buckets uint8, quantum uint16, program []byte) {
		if quantum < 64 { // many rounds a packet, which is slow here
			quantum += 64
		}
		operate(t, New[tagged](int(packets), int(buckets), int(quantum)), program[:min(len(program), 1000)])
	})
}

// Numbers that are alike do not meet more often than others, and not the same ones
// with each key.
func TestBuckets(t *testing.T) {
	const flows, buckets = 1024, 1024
	for name, number := range map[string]func(i uint32) uint32{
		"in sequence": func(i uint32) uint32 { return i },
		"upper half":  func(i uint32) uint32 { return i << 16 },
		"highest":     func(i uint32) uint32 { return i << 22 },
		"strided":     func(i uint32) uint32 { return i * 1024 },
	} {
		q := New[int](1, buckets, 1)
		met := map[[2]uint32]int{}
		empty, tries := 0, 20
		for range tries {
			at := map[int32]uint32{}
			for i := range uint32(flows) {
				b := q.bucket(number(i))
				if other, ok := at[b]; ok {
					met[[2]uint32{other, i}]++
				}
				at[b] = i
			}
			empty += buckets - len(at)
			q.Push(0, 1, 0)
			q.Pop() // empty: a new key
		}
		// By chance, 1/e of the buckets.
		assert.InDelta(t, 0.368, float64(empty)/float64(tries*buckets), 0.02, name)
		for pair, times := range met {
			assert.Less(t, times, 6, "%s: %v", name, pair)
		}
	}
}

func TestBounds(t *testing.T) {
	q := New[int](0, 0, 0)
	_, was := q.Push(1, -5, 1)
	assert.False(t, was)
	dropped, was := q.Push(2, 0, 2)
	assert.True(t, was)
	assert.Equal(t, 2, dropped)
	// More octets than there are classes for.
	q = New[int](4, 4, 100)
	for i := range 20 {
		q.Push(uint32(i), 60_000, i)
		q.check(t)
	}
	assert.Equal(t, 4, q.PopBatch(make([]int, 10)))
}

func TestAllocatesNothing(t *testing.T) {
	q := New[uint32](64, 64, 1500)
	batch := make([]uint32, 8)
	n := uint32(0)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		for range 100 {
			q.Push(n, 1000, n)
			n++
		}
		q.PopBatch(batch)
		for q.Len() > 0 {
			q.Pop()
		}
	}))
}

func BenchmarkPushPop(b *testing.B) {
	for _, flows := range []uint32{1, 64, 1024} {
		b.Run(map[uint32]string{1: "flows=1", 64: "flows=64", 1024: "flows=1024"}[flows], func(b *testing.B) {
			q := New[uint32](4096, 1024, 1514)
			for i := range uint32(2048) {
				q.Push(i%flows, 1400, i)
			}
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				q.Push(i%flows, 1400, i)
				q.Pop()
				i++
			}
		})
	}
}

// BenchmarkFlood is a push into a full queue.
func BenchmarkFlood(b *testing.B) {
	for _, flows := range []uint32{1, 64, 1024} {
		b.Run(map[uint32]string{1: "flows=1", 64: "flows=64", 1024: "flows=1024"}[flows], func(b *testing.B) {
			q := New[uint32](4096, 1024, 1514)
			for i := range uint32(4096) {
				q.Push(i%flows, 1400, i)
			}
			b.ReportAllocs()
			i := uint32(0)
			for b.Loop() {
				q.Push(i%flows, 1400, i)
				i++
			}
		})
	}
}
