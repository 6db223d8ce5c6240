package gre

import (
	"fmt"
	"math/bits"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	peerA = netip.MustParseAddr("192.0.2.1")
	peerB = netip.MustParseAddr("192.0.2.2")
	peerC = netip.MustParseAddr("192.0.2.3")
	local = netip.MustParseAddr("192.0.2.100")
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

func TestDemux(t *testing.T) {
	var d Demux[string]
	_, ok := d.Lookup(local, peerA, 7)
	require.False(t, ok)
	_, ok = d.Remove(local, peerA, 7, start)
	require.False(t, ok)

	// Two peers may have the same ID, and one peer many.
	require.NoError(t, d.Insert(local, peerA, 7, "A7"))
	require.NoError(t, d.Insert(local, peerB, 7, "B7"))
	require.NoError(t, d.Insert(local, peerC, 7, "C7"))
	require.NoError(t, d.Insert(local, peerA, 8, "A8"))
	require.NoError(t, d.Insert(local, peerA, 0x0807, "A0807"))
	require.ErrorIs(t, d.Insert(local, peerA, 7, "again"), ErrInUse)
	require.Equal(t, 5, d.Len())
	for _, c := range []struct {
		peer netip.Addr
		id   uint16
		want string
	}{{peerA, 7, "A7"}, {peerB, 7, "B7"}, {peerC, 7, "C7"}, {peerA, 8, "A8"}, {peerA, 0x0807, "A0807"}} {
		got, ok := d.Lookup(local, c.peer, c.id)
		require.True(t, ok)
		require.Equal(t, c.want, got)
	}
	_, ok = d.Lookup(local, peerB, 8)
	require.False(t, ok)

	got, ok := d.Remove(local, peerB, 7, start)
	require.True(t, ok)
	require.Equal(t, "B7", got)
	_, ok = d.Remove(local, peerB, 7, start)
	require.False(t, ok)
	for _, peer := range []netip.Addr{peerA, peerC} {
		_, ok = d.Lookup(local, peer, 7)
		require.True(t, ok, "the others of the list stay")
	}
	require.Equal(t, 4, d.Len())
	require.NoError(t, d.Insert(local, peerB, 7, "new"))
}

// An address that a socket of IPv6 has given is the same peer.
func TestDemuxMappedAddresses(t *testing.T) {
	mapped := netip.MustParseAddr("::ffff:192.0.2.1")
	var d Demux[int]
	require.NoError(t, d.Insert(local, mapped, 7, 1))
	require.ErrorIs(t, d.Insert(local, peerA, 7, 2), ErrInUse)
	for _, peer := range []netip.Addr{peerA, mapped} {
		_, ok := d.Lookup(local, peer, 7)
		require.True(t, ok)
	}
	_, ok := d.Remove(local, peerA, 7, start)
	require.True(t, ok)
	id, err := d.Allocate(local, peerA, 3, start)
	require.NoError(t, err)
	_, ok = d.Remove(local, mapped, id, start)
	require.True(t, ok)
	require.Zero(t, d.Len())
}

// Call ID 0 is legal for who insists on it.
func TestDemuxZeroIsLegal(t *testing.T) {
	var d Demux[int]
	require.NoError(t, d.Insert(local, peerA, 0, 5))
	got, ok := d.Lookup(local, peerA, 0)
	require.True(t, ok)
	require.Equal(t, 5, got)
	_, ok = d.Remove(local, peerA, 0, start)
	require.True(t, ok)
	require.Zero(t, d.Len())
}

// IDs are spread over the whole range and do not follow each other: who does
// not see a call should have to try them all.
func TestDemuxAllocateUnpredictable(t *testing.T) {
	var d Demux[int]
	const n = 2000
	var ones, changed [16]int
	last := uint16(0)
	for range n {
		id, err := d.Allocate(local, peerA, 0, start)
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
			require.NoError(t, d.Insert(local, peerA, 0, 0))
		}
		seen := make(map[uint16]bool)
		for range 1<<16 - 1 {
			id, err := d.Allocate(local, peerA, 0, start)
			if err != nil || id == 0 || seen[id] {
				t.Fatalf("%d after %d: %v", id, len(seen), err)
			}
			seen[id] = true
		}
		_, err := d.Allocate(local, peerA, 0, start)
		require.ErrorIs(t, err, ErrNoCallID)
		_, err = d.Allocate(local, peerB, 0, start)
		require.NoError(t, err, "another peer has IDs of its own")
		_, err = d.Allocate(peerB, peerA, 0, start)
		require.NoError(t, err, "and so has another address of ours")
		now := start
		for _, id := range []uint16{1, 0x1234, 0xffff} {
			_, ok := d.Remove(local, peerA, id, now)
			require.True(t, ok)
			now = now.Add(Quarantine - 1)
			_, err = d.Allocate(local, peerA, 0, now)
			require.ErrorIs(t, err, ErrNoCallID, "packets may be on their way")
			now = now.Add(1)
			got, err := d.Allocate(local, peerA, 0, now)
			require.NoError(t, err)
			require.Equal(t, id, got, "the only one")
		}
	}
}

// All IDs of a range can be had, and no other, whoever else has some.
func TestDemuxAllocateWithin(t *testing.T) {
	for _, r := range []struct{ first, last uint16 }{{1, 1}, {100, 163}, {49152, 49161}, {65530, 65535}, {0, 20}} {
		var d Demux[int]
		require.NoError(t, d.Insert(local, peerA, r.first, 0))
		require.NoError(t, d.Insert(local, peerA, r.last+1, 0)) // or 0
		seen := map[uint16]bool{0: true, r.first: true}
		for id := int(r.first); id <= int(r.last); id++ {
			if seen[uint16(id)] {
				continue
			}
			got, err := d.AllocateWithin(local, peerA, r.first, r.last, 0, start)
			require.NoError(t, err)
			require.True(t, r.first <= got && got <= r.last, "%d is not in %v", got, r)
		}
		_, err := d.AllocateWithin(local, peerA, r.first, r.last, 0, start)
		require.ErrorIs(t, err, ErrNoCallID)
		_, err = d.AllocateWithin(local, peerB, r.first, r.last, 0, start)
		require.NoError(t, err)
		_, err = d.Allocate(local, peerA, 0, start)
		require.NoError(t, err, "beyond the range there are some")
	}
	var d Demux[int]
	_, err := d.AllocateWithin(local, peerA, 2, 1, 0, start)
	require.ErrorIs(t, err, ErrNoCallID)
}

// Lookups need no lock: they find what is there while all around it changes.
func TestDemuxConcurrent(t *testing.T) {
	var d Demux[uint16]
	require.NoError(t, d.Insert(local, peerC, 300, 300))
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
				if v, ok := d.Lookup(local, peerC, 300); !ok || v != 300 {
					t.Error("lost")
					return
				}
				if v, ok := d.Lookup(local, peerA, id); ok && v != 1 {
					t.Error("wrong call")
					return
				}
				if v, ok := d.Lookup(local, peerB, 290+id%20); ok && v != 290+id%20 {
					t.Error("wrong call")
					return
				}
			}
		})
	}
	for w := range 4 {
		writers.Go(func() {
			for i := range 2000 {
				id, err := d.Allocate(local, peerA, 1, start)
				if err != nil {
					t.Error(err)
					return
				}
				if _, ok := d.Remove(local, peerA, id, start); !ok {
					t.Error("its own call is gone")
				}
				crowded := uint16(290 + (i+w)%20)
				if d.Insert(local, peerB, crowded, crowded) == nil {
					d.Remove(local, peerB, crowded, start)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
	require.Equal(t, 1, d.Len())
}

// Every one of our addresses has call IDs of its own.
func TestDemuxLocalAddresses(t *testing.T) {
	var d Demux[string]
	require.NoError(t, d.Insert(peerB, peerA, 7, "B"))
	require.NoError(t, d.Insert(peerC, peerA, 7, "C"))
	_, ok := d.Lookup(local, peerA, 7)
	require.False(t, ok)
	got, ok := d.Remove(peerB, peerA, 7, start)
	require.True(t, ok)
	require.Equal(t, "B", got)
	got, ok = d.Lookup(peerC, peerA, 7)
	require.True(t, ok)
	require.Equal(t, "C", got)
}

// Where there is no IPv4, there are no calls.
func TestDemuxIPv6(t *testing.T) {
	var d Demux[int]
	for _, ends := range [][2]netip.Addr{{local, netip.IPv6Loopback()}, {netip.IPv6Loopback(), peerA}, {}} {
		require.ErrorIs(t, d.Insert(ends[0], ends[1], 7, 1), ErrAddress)
		_, err := d.Allocate(ends[0], ends[1], 1, start)
		require.ErrorIs(t, err, ErrAddress)
		require.NoError(t, d.Insert(local, peerA, 7, 1))
		_, ok := d.Lookup(ends[0], ends[1], 7)
		require.False(t, ok)
		_, ok = d.Remove(ends[0], ends[1], 7, start)
		require.False(t, ok)
		_, ok = d.Remove(local, peerA, 7, start)
		require.True(t, ok)
	}
}

func TestDemuxLookupDoesNotAllocate(t *testing.T) {
	var d Demux[int]
	mapped := netip.AddrFrom16(peerA.As16())
	require.NoError(t, d.Insert(local, peerA, 7, 1))
	require.NoError(t, d.Insert(local, peerB, 7, 2))
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if v, ok := d.Lookup(local, peerA, 7); !ok || v != 1 {
			t.Fatal("not found")
		}
		if v, ok := d.Lookup(local, mapped, 7); !ok || v != 1 {
			t.Fatal("not found")
		}
		if _, ok := d.Lookup(local, peerA, 8); ok {
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
				ids[i], _ = d.Allocate(local, peer(i), i, start)
			}
			b.ReportAllocs()
			for i := range b.N {
				i = i * 7919 % calls
				if v, ok := d.Lookup(local, peer(i), ids[i]); !ok || v != i {
					b.Fatal("not found")
				}
			}
		})
	}
}
