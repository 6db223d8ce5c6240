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
	local  uint32
	call   *call
}

func (n naive) lookup(dst netip.Addr, src uint32) *call {
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

func TestTable(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var table table
	var want naive
	calls := make([]*call, 20)
	for i := range calls {
		calls[i] = new(call)
	}
	// Few different octets, so that prefixes meet.
	address := func() netip.Addr {
		octet := func() byte { return []byte{0, 1, 2, 127, 128, 255}[random.IntN(6)] }
		return netip.AddrFrom4([4]byte{octet(), octet(), octet(), octet()})
	}
	for range 3000 {
		if len(want) < 50 && random.IntN(2) == 0 || len(want) == 0 {
			p := netip.PrefixFrom(address(), random.IntN(33)).Masked()
			r := naiveRoute{p, uint32(random.IntN(3)), calls[random.IntN(len(calls))]}
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
			dst, src := address(), uint32(random.IntN(4))
			got := table.lookup(be32(dst), src)
			if expected := want.lookup(dst, src); got != expected {
				t.Fatalf("%v from %d: wrong call", dst, src)
			}
		}
	}
	for _, r := range want {
		table.remove(r.prefix, r.local, r.call)
	}
	table.remove(netip.MustParsePrefix("10.0.0.0/8"), 0, calls[0])
	table.remove(netip.MustParsePrefix("10.0.0.1/32"), 0, calls[0])
	require.Zero(t, table.root.children, "no node is left")
	require.Empty(t, table.root.routes)
	for i := range table.root.slots {
		require.Nil(t, table.root.slots[i].best.Load())
		require.Nil(t, table.root.slots[i].child.Load())
	}
}

// Lookups find what stays while all around it changes.
func TestTableConcurrent(t *testing.T) {
	var table table
	stays := new(call)
	table.insert(netip.MustParsePrefix("10.0.0.0/9"), 1, stays)
	table.insert(netip.MustParsePrefix("10.0.0.7/32"), 1, stays)
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
				if table.lookup(0x0a000007, 9) != stays {
					t.Error("lost")
					return
				}
				table.lookup(0x0a000108, 9)
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			c := new(call)
			for i := range 2000 {
				p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i % 3), byte(8 + i%5)}), 32)
				table.insert(p, uint32(w), c)
				if table.lookup(be32(p.Addr()), uint32(w)) != c {
					t.Error("not found")
				}
				table.remove(p, uint32(w), c)
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
				t.insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), 1, c)
			}
			b.ReportAllocs()
			for i := range b.N {
				if t.lookup(0x0a000000|uint32(i*7919%calls), 1) != c {
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
		t.insert(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32), 1, c)
	}
	p := netip.MustParsePrefix("10.0.200.200/32")
	b.ReportAllocs()
	for range b.N {
		t.insert(p, 2, c)
		t.remove(p, 2, c)
	}
}
