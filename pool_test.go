package gopptp

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRangeOf(t *testing.T) {
	for _, c := range []struct{ prefix, first, last string }{
		{"10.0.0.0/24", "10.0.0.1", "10.0.0.254"},
		{"10.0.0.77/24", "10.0.0.1", "10.0.0.254"},
		{"10.0.0.0/30", "10.0.0.1", "10.0.0.2"},
		{"10.0.0.0/31", "10.0.0.0", "10.0.0.1"},
		{"10.0.0.7/32", "10.0.0.7", "10.0.0.7"},
		{"0.0.0.0/0", "0.0.0.1", "255.255.255.254"},
	} {
		r := RangeOf(netip.MustParsePrefix(c.prefix))
		require.Equal(t, c.first, r.First.String(), c.prefix)
		require.Equal(t, c.last, r.Last.String(), c.prefix)
	}
}

func TestPoolGivesEachAddressOnce(t *testing.T) {
	for _, prefix := range []string{"10.1.0.0/32", "10.1.0.0/31", "10.1.0.0/29", "10.1.0.0/26", "10.1.0.0/25", "10.1.0.0/20"} {
		r := RangeOf(netip.MustParsePrefix(prefix))
		p, err := NewPool([]PoolRange{r})
		require.NoError(t, err)
		want := p.Free()
		require.Equal(t, int(v4(r.Last)-v4(r.First))+1, want)
		for range 3 {
			got := drain(t, p)
			require.Len(t, got, want, prefix)
			require.Zero(t, p.Free())
			for a := range got {
				require.False(t, a.Less(r.First) || r.Last.Less(a), "%v of %v", a, prefix)
				p.Release(a)
			}
			require.Equal(t, want, p.Free())
		}
	}
}

// What is reserved is given out to nobody, whoever has given it back.
func TestPoolKeepsReserved(t *testing.T) {
	own, r := netip.MustParseAddr("10.1.0.1"), RangeOf(netip.MustParsePrefix("10.1.0.0/29"))
	p, err := NewPool([]PoolRange{r}, own, own, netip.MustParseAddr("192.0.2.1"))
	require.NoError(t, err)
	require.Equal(t, 5, p.Size())
	p.Release(own)
	require.False(t, p.Take(own))
	got := drain(t, p)
	require.Len(t, got, 5)
	require.NotContains(t, got, own)
}

// drain takes all that is left.
func drain(t testing.TB, p *Pool) map[netip.Addr]bool {
	t.Helper()
	got := map[netip.Addr]bool{}
	for {
		a, err := p.Acquire(context.Background(), PoolRequest{})
		if err != nil {
			require.ErrorIs(t, err, ErrPoolExhausted)
			return got
		}
		require.False(t, got[a], "%v twice", a)
		got[a] = true
	}
}

func TestPoolRestsReleasedAddresses(t *testing.T) {
	p, err := NewPool([]PoolRange{RangeOf(netip.MustParsePrefix("10.0.0.0/24"))})
	require.NoError(t, err)
	first, err := p.Acquire(context.Background(), PoolRequest{})
	require.NoError(t, err)
	p.Release(first)
	for range 253 {
		a, err := p.Acquire(context.Background(), PoolRequest{})
		require.NoError(t, err)
		require.NotEqual(t, first, a, "given again before all others")
	}
	a, err := p.Acquire(context.Background(), PoolRequest{})
	require.NoError(t, err)
	require.Equal(t, first, a)
}

func TestPoolReserved(t *testing.T) {
	p, err := NewPool([]PoolRange{RangeOf(netip.MustParsePrefix("10.0.0.0/29"))},
		netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.5"),
		netip.MustParseAddr("192.0.2.1"))
	require.NoError(t, err)
	require.Equal(t, 4, p.Free())
	got := drain(t, p)
	require.NotContains(t, got, netip.MustParseAddr("10.0.0.1"))
	require.NotContains(t, got, netip.MustParseAddr("10.0.0.5"))
}

func TestPoolTake(t *testing.T) {
	a, out := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.8")
	p, err := NewPool([]PoolRange{
		RangeOf(netip.MustParsePrefix("10.0.1.0/30")), RangeOf(netip.MustParsePrefix("10.0.0.0/29")),
	}, netip.MustParseAddr("10.0.0.1"))
	require.NoError(t, err)
	require.Equal(t, 7, p.Size())
	require.True(t, p.Take(a))
	require.False(t, p.Take(a), "taken")
	require.False(t, p.Take(netip.MustParseAddr("10.0.0.1")), "reserved")
	require.False(t, p.Take(out))
	require.False(t, p.Take(netip.MustParseAddr("2001:db8::1")))
	require.True(t, p.Contains(a))
	require.False(t, p.Contains(out))
	require.False(t, p.Contains(netip.MustParseAddr("9.255.255.255")))
	require.Equal(t, 6, p.Free())
	require.NotContains(t, drain(t, p), a)
	p.Release(a)
	require.Equal(t, 1, p.Free())
	require.Contains(t, drain(t, p), a)
	require.Equal(t, 7, p.Size())
}

// FuzzPool compares a pool with a set of addresses.
func FuzzPool(f *testing.F) {
	f.Add(uint16(1), []byte{0, 1, 2})
	f.Add(uint16(4097), []byte{0, 0, 0, 1, 4, 7, 1, 1, 2, 9})
	f.Add(uint16(64), bytes.Repeat([]byte{0}, 65))
	f.Fuzz(func(t *testing.T, size uint16, ops []byte) {
		first := v4(netip.MustParseAddr("10.0.0.0"))
		n := uint32(size) + 1
		p, err := NewPool([]PoolRange{{fromV4(first), fromV4(first + n - 1)}})
		if err != nil {
			t.Fatal(err)
		}
		taken := map[netip.Addr]bool{}
		for i, op := range ops {
			addr := fromV4(first + uint32(op)*2654435761>>8%(n+1)) // one may be beyond
			switch {
			case op%3 == 0:
				a, err := p.Acquire(context.Background(), PoolRequest{})
				if (err != nil) != (len(taken) == int(n)) {
					t.Fatalf("%d: %d of %d are taken: %v", i, len(taken), n, err)
				}
				if err == nil {
					if taken[a] || !p.Contains(a) {
						t.Fatalf("%d: %v", i, a)
					}
					taken[a] = true
				}
			case op%3 == 1:
				p.Release(addr)
				delete(taken, addr)
			default:
				if want := !taken[addr] && v4(addr)-first < n; p.Take(addr) != want {
					t.Fatalf("%d: take %v: not %v", i, addr, want)
				} else if want {
					taken[addr] = true
				}
			}
			if p.Free() != int(n)-len(taken) {
				t.Fatalf("%d: %d are free of %d, %d taken", i, p.Free(), n, len(taken))
			}
		}
	})
}

func TestPoolRangesInOrder(t *testing.T) {
	p, err := NewPool([]PoolRange{
		RangeOf(netip.MustParsePrefix("10.0.0.9/32")),
		{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")},
	})
	require.NoError(t, err)
	var got []string
	for range 3 {
		a, err := p.Acquire(context.Background(), PoolRequest{})
		require.NoError(t, err)
		got = append(got, a.String())
	}
	require.Equal(t, []string{"10.0.0.9", "10.0.0.1", "10.0.0.2"}, got)
}

func TestPoolIgnoresForeignReleases(t *testing.T) {
	p, err := NewPool([]PoolRange{RangeOf(netip.MustParsePrefix("10.0.0.0/30"))})
	require.NoError(t, err)
	for _, a := range []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("2001:db8::1")} {
		p.Release(a)
	}
	require.Equal(t, 2, p.Free())
}

func TestPoolRefusesBadRanges(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.9")
	for _, ranges := range [][]PoolRange{
		{{b, a}},
		{{}},
		{{a, netip.MustParseAddr("2001:db8::1")}},
		{{a, b}, {b, b}},
		{RangeOf(netip.MustParsePrefix("8.0.0.0/7"))},
	} {
		_, err := NewPool(ranges)
		var bad *ConfigError
		require.ErrorAs(t, err, &bad, "%v", ranges)
	}
}

func TestPoolConcurrently(t *testing.T) {
	p, err := NewPool([]PoolRange{RangeOf(netip.MustParsePrefix("10.0.0.0/26"))})
	require.NoError(t, err)
	var mu sync.Mutex
	held := map[netip.Addr]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				a, err := p.Acquire(context.Background(), PoolRequest{})
				if err != nil {
					continue
				}
				mu.Lock()
				twice := held[a]
				held[a] = true
				mu.Unlock()
				if twice {
					t.Errorf("%v given twice", a)
				}
				mu.Lock()
				delete(held, a)
				mu.Unlock()
				p.Release(a)
			}
		})
	}
	wg.Wait()
	require.Equal(t, 62, p.Free())
}

// A /16 costs the same whether it is empty or as good as full.
func BenchmarkPool(b *testing.B) {
	for _, used := range []float64{1, 50, 99.9} {
		b.Run(fmt.Sprintf("used=%v%%", used), func(b *testing.B) {
			p, err := NewPool([]PoolRange{RangeOf(netip.MustParsePrefix("10.0.0.0/16"))})
			require.NoError(b, err)
			all := slices.Collect(maps.Keys(drain(b, p))) // in no order
			for _, a := range all[int(used/100*float64(len(all))):] {
				p.Release(a)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				a, _ := p.Acquire(context.Background(), PoolRequest{})
				p.Release(a)
			}
		})
	}
}
