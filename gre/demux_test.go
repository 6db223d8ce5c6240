package gre

import (
	"fmt"
	"math/bits"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	peerA = netip.MustParseAddr("192.0.2.1")
	peerB = netip.MustParseAddr("192.0.2.2")
	peer6 = netip.MustParseAddr("2001:db8::1")
)

func TestDemux(t *testing.T) {
	var d Demux[string]
	_, ok := d.Lookup(peerA, 7)
	require.False(t, ok)
	_, ok = d.Remove(peerA, 7)
	require.False(t, ok)

	// Two peers may have the same ID, and one peer many.
	require.NoError(t, d.Insert(peerA, 7, "A7"))
	require.NoError(t, d.Insert(peerB, 7, "B7"))
	require.NoError(t, d.Insert(peer6, 7, "67"))
	require.NoError(t, d.Insert(peerA, 8, "A8"))
	require.NoError(t, d.Insert(peerA, 0x0807, "A0807"))
	require.ErrorIs(t, d.Insert(peerA, 7, "again"), ErrInUse)
	require.Equal(t, 5, d.Len())
	for _, c := range []struct {
		peer netip.Addr
		id   uint16
		want string
	}{{peerA, 7, "A7"}, {peerB, 7, "B7"}, {peer6, 7, "67"}, {peerA, 8, "A8"}, {peerA, 0x0807, "A0807"}} {
		got, ok := d.Lookup(c.peer, c.id)
		require.True(t, ok)
		require.Equal(t, c.want, got)
	}
	_, ok = d.Lookup(peerB, 8)
	require.False(t, ok)

	got, ok := d.Remove(peerB, 7)
	require.True(t, ok)
	require.Equal(t, "B7", got)
	_, ok = d.Remove(peerB, 7)
	require.False(t, ok)
	for _, peer := range []netip.Addr{peerA, peer6} {
		_, ok = d.Lookup(peer, 7)
		require.True(t, ok, "the others of the list stay")
	}
	require.Equal(t, 4, d.Len())
	require.NoError(t, d.Insert(peerB, 7, "new"))
}

// An address that a socket of IPv6 has given is the same peer.
func TestDemuxMappedAddresses(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	var d Demux[int]
	require.NoError(t, d.Insert(mapped, 7, 1))
	require.ErrorIs(t, d.Insert(peerA, 7, 2), ErrInUse)
	for _, peer := range []netip.Addr{peerA, mapped} {
		_, ok := d.Lookup(peer, 7)
		require.True(t, ok)
	}
	_, ok := d.Remove(peerA, 7)
	require.True(t, ok)
	id, err := d.Allocate(peerA, 3)
	require.NoError(t, err)
	_, ok = d.Remove(mapped, id)
	require.True(t, ok)
	require.Empty(t, d.calls)
}

// Call ID 0 is legal for who insists on it.
func TestDemuxZeroIsLegal(t *testing.T) {
	var d Demux[int]
	require.NoError(t, d.Insert(peerA, 0, 5))
	got, ok := d.Lookup(peerA, 0)
	require.True(t, ok)
	require.Equal(t, 5, got)
	require.Empty(t, d.calls)
	_, ok = d.Remove(peerA, 0)
	require.True(t, ok)
	require.Zero(t, d.Len())
	require.Empty(t, d.calls)
}

// IDs are spread over the whole range and do not follow each other: who does
// not see a call should have to try them all.
func TestDemuxAllocateUnpredictable(t *testing.T) {
	var d Demux[int]
	const n = 2000
	var ones, changed [16]int
	last := uint16(0)
	for range n {
		id, err := d.Allocate(peerA, 0)
		require.NoError(t, err)
		require.NotZero(t, id)
		for i := range 16 {
			ones[i] += int(id >> i & 1)
			changed[i] += int((id ^ last) >> i & 1)
		}
		require.NotZero(t, bits.OnesCount16(id^last), "never twice")
		last = id
	}
	for i := range 16 { // a fair coin stays within these with odds of 10^-18
		require.InDelta(t, n/2, ones[i], n/10, "bit %d", i)
		require.InDelta(t, n/2, changed[i], n/10, "bit %d", i)
	}
	require.Equal(t, n, d.Len())
}

// Every ID but 0 can be had, then there is none, and a free one is found again.
func TestDemuxExhaustion(t *testing.T) {
	for _, zero := range []bool{false, true} {
		var d Demux[uint16]
		if zero { // has no part in it
			require.NoError(t, d.Insert(peerA, 0, 0))
		}
		seen := make(map[uint16]bool)
		for range 1<<16 - 1 {
			id, err := d.Allocate(peerA, 0)
			if err != nil || id == 0 || seen[id] {
				t.Fatalf("%d after %d: %v", id, len(seen), err)
			}
			seen[id] = true
		}
		_, err := d.Allocate(peerA, 0)
		require.ErrorIs(t, err, ErrNoCallID)
		_, err = d.Allocate(peerB, 0)
		require.NoError(t, err, "another peer has IDs of its own")
		for _, id := range []uint16{1, 0x1234, 0xffff} {
			_, ok := d.Remove(peerA, id)
			require.True(t, ok)
			got, err := d.Allocate(peerA, 0)
			require.NoError(t, err)
			require.Equal(t, id, got, "the only one")
		}
	}
}

// All IDs of a range can be had, and no other, whoever else has some.
func TestDemuxAllocateWithin(t *testing.T) {
	for _, r := range []struct{ first, last uint16 }{{1, 1}, {100, 163}, {49152, 49161}, {65530, 65535}, {0, 20}} {
		var d Demux[int]
		require.NoError(t, d.Insert(peerA, r.first, 0))
		require.NoError(t, d.Insert(peerA, r.last+1, 0)) // or 0
		seen := map[uint16]bool{0: true, r.first: true}
		for id := int(r.first); id <= int(r.last); id++ {
			if seen[uint16(id)] {
				continue
			}
			got, err := d.AllocateWithin(peerA, r.first, r.last, 0)
			require.NoError(t, err)
			require.True(t, r.first <= got && got <= r.last, "%d is not in %v", got, r)
		}
		_, err := d.AllocateWithin(peerA, r.first, r.last, 0)
		require.ErrorIs(t, err, ErrNoCallID)
		_, err = d.AllocateWithin(peerB, r.first, r.last, 0)
		require.NoError(t, err)
		_, err = d.Allocate(peerA, 0)
		require.NoError(t, err, "beyond the range there are some")
	}
	var d Demux[int]
	_, err := d.AllocateWithin(peerA, 2, 1, 0)
	require.ErrorIs(t, err, ErrNoCallID)
}

// Lookups need no lock: they find what is there while all around it changes.
func TestDemuxConcurrent(t *testing.T) {
	var d Demux[uint16]
	require.NoError(t, d.Insert(peer6, 300, 300))
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for id := uint16(0); ; id++ {
				select {
				case <-stop:
					return
				default:
				}
				if v, ok := d.Lookup(peer6, 300); !ok || v != 300 {
					t.Error("lost")
					return
				}
				if v, ok := d.Lookup(peerA, id); ok && v != 1 {
					t.Error("wrong call")
					return
				}
				if v, ok := d.Lookup(peerB, 290+id%20); ok && v != 290+id%20 {
					t.Error("wrong call")
					return
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 2000 {
				id, err := d.Allocate(peerA, 1)
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok := d.Remove(peerA, id); !ok {
					t.Error("its own call is gone")
				}
				crowded := uint16(290 + (i+w)%20)
				if d.Insert(peerB, crowded, crowded) == nil {
					d.Remove(peerB, crowded)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	require.Equal(t, 1, d.Len())
	require.Len(t, d.calls, 1)
}

func TestDemuxLookupDoesNotAllocate(t *testing.T) {
	var d Demux[int]
	mapped := netip.AddrFrom16(peerA.As16())
	require.NoError(t, d.Insert(peerA, 7, 1))
	require.NoError(t, d.Insert(peerB, 7, 2))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if v, ok := d.Lookup(peerA, 7); !ok || v != 1 {
			t.Fatal("not found")
		}
		if v, ok := d.Lookup(mapped, 7); !ok || v != 1 {
			t.Fatal("not found")
		}
		if _, ok := d.Lookup(peerA, 8); ok {
			t.Fatal("found")
		}
	}))
}

func BenchmarkDemuxLookup(b *testing.B) {
	for _, calls := range []int{1, 10_000, 100_000} {
		b.Run(fmt.Sprint(calls), func(b *testing.B) {
			var d Demux[int]
			ids := make([]uint16, calls)
			peer := func(i int) netip.Addr {
				return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			}
			for i := range ids {
				ids[i], _ = d.Allocate(peer(i), i)
			}
			b.ReportAllocs()
			for i := range b.N {
				i = i * 7919 % calls
				if v, ok := d.Lookup(peer(i), ids[i]); !ok || v != i {
					b.Fatal("not found")
				}
			}
		})
	}
}
