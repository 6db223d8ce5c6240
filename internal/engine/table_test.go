package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// naive is the table as one would write it without a care.
type naive []naiveRoute

type naiveRoute struct {
	prefix netip.Prefix
	local  string
	call   *call
}

func (n naive) lookup(dst netip.Addr, src string) *call {
	bits := -1
	for _, r := range n {
		if r.prefix.Contains(dst) {
			bits = max(bits, r.prefix.Bits())
		}
	}
	var any, own *call
	for _, r := range n {
		if r.prefix.Contains(dst) && r.prefix.Bits() == bits {
			any = r.call
			if r.local == src {
				own = r.call
			}
		}
	}
	if own != nil {
		return own
	}
	return any
}

// locals are local addresses; the table does not care how long they are.
var locals = []string{"0", "1", "2", "3"}

func TestTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, f := range []family{ipv4, ipv6} {
		testTable(t, random, f)
	}
}

func testTable(t *testing.T, random *rand.Rand, f family) {
	var table table
	var want naive
	calls := make([]*call, 20)
	for i := range calls {
		calls[i] = new(call)
	}
	// Few different octets, so that prefixes meet.
	address := func() netip.Addr {
		octet := func() byte { return []byte{0, 1, 2, 127, 128, 255}[random.IntN(6)] }
		if f == ipv6 {
			var a [16]byte
			for i := range a {
				a[i] = octet()
			}
			a[0] = 0x20
			// Most differ where prefixes end.
			for i := 1; i < 6 && random.IntN(8) > 0; i++ {
				a[i] = 1
			}
			return netip.AddrFrom16(a)
		}
		return netip.AddrFrom4([4]byte{octet(), octet(), octet(), octet()})
	}
	for range 3000 {
		if len(want) < 50 && random.IntN(2) == 0 || len(want) == 0 {
			p, err := address().Prefix(random.IntN(address().BitLen() + 1))
			require.NoError(t, err)
			r := naiveRoute{p, locals[random.IntN(3)], calls[random.IntN(len(calls))]}
			table.insert(r.prefix, r.local, r.call)
			want = append(want, r)
		} else {
			i := random.IntN(len(want))
			// Of routes that are alike, any is removed.
			for j := range want[:i] {
				if want[j] == want[i] {
					i = j
					break
				}
			}
			table.remove(want[i].prefix, want[i].local, want[i].call)
			want = append(want[:i], want[i+1:]...)
		}
		for range 20 {
			dst, src := address(), locals[random.IntN(4)]
			got := table.lookup(dst.AsSlice(), []byte(src))
			if expected := want.lookup(dst, src); got != expected {
				t.Fatalf("%v from %q: wrong call", dst, src)
			}
		}
	}
	for _, r := range want {
		table.remove(r.prefix, r.local, r.call)
	}
	table.remove(netip.MustParsePrefix("10.0.0.0/8"), locals[0], calls[0])
	table.remove(netip.MustParsePrefix("10.0.0.1/32"), locals[0], calls[0])
	require.Zero(t, table.root[f].children, "no node is left")
	require.Empty(t, table.root[f].routes)
	for i := range table.root[f].slots {
		require.Nil(t, table.root[f].slots[i].best.Load())
		require.Nil(t, table.root[f].slots[i].child.Load())
	}
}

// Very many sessions to one server, whose address is behind all of them: some of them
// have a local address in common.
func TestTableSharedPrefix(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	prefix := netip.MustParsePrefix("10.0.0.1/32")
	var table table
	var want naive
	most := 0
	for growing := true; ; {
		if growing && len(want) == 2000 {
			growing = false
		}
		if random.IntN(5) > 0 == growing || len(want) == 0 {
			r := naiveRoute{prefix, fmt.Sprint(random.IntN(900)), new(call)}
			table.insert(r.prefix, r.local, r.call)
			want = append(want, r)
		} else {
			i := random.IntN(len(want))
			if random.IntN(4) == 0 {
				i = len(want) - 1 // the newest
			}
			table.remove(prefix, want[i].local, want[i].call)
			want = append(want[:i], want[i+1:]...)
		}
		if !growing && len(want) == 0 {
			break
		}
		most = max(most, len(want))
		for range 3 {
			src := fmt.Sprint(random.IntN(1000))
			if table.lookup([]byte{10, 0, 0, 1}, []byte(src)) != want.lookup(prefix.Addr(), src) {
				t.Fatalf("from %q: wrong call of %d", src, len(want))
			}
		}
	}
	require.Greater(t, most, 4*maxGroup)
	require.Zero(t, table.root[ipv4].children, "no node is left")
}

// Lookups find what stays while all around it changes.
func TestTableConcurrent(t *testing.T) {
	var table table
	stays := new(call)
	table.insert(netip.MustParsePrefix("10.0.0.0/9"), locals[1], stays)
	table.insert(netip.MustParsePrefix("10.0.0.7/32"), locals[1], stays)
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if table.lookup([]byte{10, 0, 0, 7}, []byte("9")) != stays {
					t.Error("lost")
					return
				}
				table.lookup([]byte{10, 0, 1, 8}, []byte("9"))
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			c := new(call)
			for i := range 2000 {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 3), byte(8 + i%5)}), 32)
				table.insert(p, locals[w], c)
				if table.lookup(p.Addr().AsSlice(), []byte(locals[w])) != c {
					t.Error("not found")
				}
				table.remove(p, locals[w], c)
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}

func BenchmarkTableLookup(b *testing.B) {
	for _, calls := range []int{1, 1000, 50_000} {
		b.Run(fmt.Sprint(calls), func(b *testing.B) {
			var t table
			c := new(call)
			for i := range calls {
				t.insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), locals[1], c)
			}
			src, dst := []byte(locals[1]), [4]byte{}
			b.ReportAllocs()
			for i := range b.N {
				n := i * 7919 % calls
				dst = [4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}
				if t.lookup(dst[:], src) != c {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkTableInsertRemove(b *testing.B) {
	var t table
	c := new(call)
	for i := range 50_000 {
		t.insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), locals[1], c)
	}
	p := netip.MustParsePrefix("10.0.200.200/32")
	b.ReportAllocs()
	for range b.N {
		t.insert(p, locals[2], c)
		t.remove(p, locals[2], c)
	}
}

// The sessions of one client, all to the same server.
func BenchmarkTableInsertRemoveShared(b *testing.B) {
	for _, calls := range []int{1, 1000, 50_000} {
		b.Run(fmt.Sprint(calls), func(b *testing.B) {
			var t table
			c := new(call)
			p := netip.MustParsePrefix("10.0.0.1/32")
			local := func(i int) string { return string([]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
			for i := range calls {
				t.insert(p, local(i*2), c)
			}
			b.ResetTimer()
			b.ReportAllocs()
			for i := range b.N {
				l := local(i % calls * 2 * 7919 % (2 * calls))
				t.insert(p, l, c)
				t.remove(p, l, c)
			}
		})
	}
}
