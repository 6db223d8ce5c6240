package driver

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/nstest"
)

func TestActions(t *testing.T) {
	for name, c := range map[string]struct {
		rate          Rate
		octets, burst uint32
	}{
		"usual":              {Rate{8e6, 250_000}, 1e6, 250_000},
		"a burst too small":  {Rate{8e6, 1500}, 1e6, largest},
		"a burst too long":   {Rate{80_000, 1 << 30}, 10_000, 10_000 * longestBurst},
		"very slow":          {Rate{1000, 1500}, 125, 125 * longestBurst},
		"less than an octet": {Rate{7, 1500}, 1, longestBurst},
		"beyond measure":     {Rate{1 << 60, 1<<31 - 1}, 1<<32 - 1, 1<<31 - 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.rate.actions()[0].(*netlink.PoliceAction)
			require.Equal(t, c.octets, p.Rate)
			require.Equal(t, c.burst, p.Burst)
		})
	}
}

// What a device has of qdiscs and filters.
func (h *half) filters(t *testing.T) (list []string) {
	t.Helper()
	link, err := h.ns.NL.LinkByName(h.unit.Name())
	require.NoError(t, err)
	qdiscs, err := h.ns.NL.QdiscList(link)
	require.NoError(t, err)
	for _, q := range qdiscs {
		if q.Type() == "clsact" {
			list = append(list, "clsact")
		}
	}
	for name, parent := range map[string]uint32{"ingress": netlink.HANDLE_MIN_INGRESS, "egress": netlink.HANDLE_MIN_EGRESS} {
		filters, err := h.ns.NL.FilterList(link, parent)
		require.NoError(t, err)
		for _, f := range filters {
			p := f.(*netlink.MatchAll).Actions[0].(*netlink.PoliceAction)
			list = append(list, fmt.Sprint(name, " ", p.Rate))
		}
	}
	return list
}

func TestRates(t *testing.T) {
	a, b := connected(t)
	a.newUnit(t)
	b.newUnit(t)
	attach(t, a, b)
	at, to := a.udp(t, innerA), b.udp(t, innerB)
	for _, fd := range []int{at, to} {
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20))
		require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20))
	}
	stats := func() Stats {
		s, err := a.unit.Stats()
		require.NoError(t, err)
		return s
	}
	const count, size = 150, 1000 + 28 // packets, octets of each
	// flood sends packets both ways as fast as it can, and returns how many of those came
	// that a sent, and that b did, and what a has counted.
	flood := func() (sent, received int, counted Stats) {
		t.Helper()
		before := stats()
		for range count {
			require.NoError(t, unix.Sendto(at, make([]byte, 1000), 0, &unix.SockaddrInet4{Addr: innerB.As4(), Port: 9}))
			require.NoError(t, unix.Sendto(to, make([]byte, 1000), 0, &unix.SockaddrInet4{Addr: innerA.As4(), Port: 9}))
		}
		sent, received = drain(t, to), drain(t, at)
		after := stats()
		return sent, received, Stats{
			ReceivedPackets: after.ReceivedPackets - before.ReceivedPackets,
			ReceivedOctets:  after.ReceivedOctets - before.ReceivedOctets,
			SentPackets:     after.SentPackets - before.SentPackets,
			SentOctets:      after.SentOctets - before.SentOctets,
			DroppedRate:     after.DroppedRate - before.DroppedRate,
		}
	}
	// expect has a flood in which each direction is limited, or not.
	expect := func(fromPeer, toPeer bool) {
		t.Helper()
		sent, received, counted := flood()
		require.Equal(t, Stats{
			ReceivedPackets: uint64(received), ReceivedOctets: uint64(received * size),
			SentPackets: uint64(sent), SentOctets: uint64(sent * size),
			DroppedRate: uint64(2*count - sent - received),
		}, counted)
		for _, d := range []struct {
			limited bool
			got     int
		}{{toPeer, sent}, {fromPeer, received}} {
			if !d.limited {
				require.Equal(t, count, d.got)
				continue
			}
			// A burst of 64 packets, and what passes meanwhile at one in two seconds.
			require.GreaterOrEqual(t, d.got, 63)
			require.Less(t, d.got, 80)
		}
	}
	slow := Rate{BitsPerSecond: 4000, Burst: 1}
	require.Empty(t, a.filters(t))
	expect(false, false)
	require.NoError(t, a.unit.SetRates(slow, Rate{}))
	require.ElementsMatch(t, []string{"clsact", "ingress 500"}, a.filters(t))
	expect(true, false)
	require.NoError(t, a.unit.SetRates(slow, Rate{BitsPerSecond: 4008, Burst: 1}))
	require.ElementsMatch(t, []string{"clsact", "ingress 500", "egress 501"}, a.filters(t))
	expect(true, true)
	for i := range 5 { // one replaces the other
		r := Rate{BitsPerSecond: 4800 + uint64(8*i), Burst: 1}
		before := stats()
		require.NoError(t, a.unit.SetRates(r, r))
		require.ElementsMatch(t, []string{
			"clsact", fmt.Sprint("ingress ", r.BitsPerSecond/8), fmt.Sprint("egress ", r.BitsPerSecond/8),
		}, a.filters(t))
		require.Equal(t, before, stats(), "what was counted stays")
	}
	expect(true, true)
	require.NoError(t, a.unit.SetRates(Rate{}, Rate{}))
	require.Empty(t, a.filters(t))
	expect(false, false)
	require.NoError(t, a.unit.SetRates(Rate{}, slow))
	require.NoError(t, a.unit.SetUp(false))
	require.NoError(t, a.unit.SetUp(true))
	require.ElementsMatch(t, []string{"clsact", "egress 500"}, a.filters(t))
}

// drain reads a socket until nothing comes any more, and returns how many packets it had.
func drain(t *testing.T, fd int) (n int) {
	t.Helper()
	buf := make([]byte, 2048)
	for quiet := time.Now().Add(300 * time.Millisecond); time.Now().Before(quiet); {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if ready, _ := unix.Poll(poll, 50); ready == 0 {
			continue
		}
		if _, err := unix.Read(fd, buf); err == nil {
			n++
			quiet = time.Now().Add(300 * time.Millisecond)
		}
	}
	return n
}

// The limits go with the device.
func TestRatesGo(t *testing.T) {
	a, _ := connected(t)
	a.newUnit(t)
	require.NoError(t, a.unit.SetRates(Rate{BitsPerSecond: 1e6}, Rate{BitsPerSecond: 1e6}))
	require.NotEmpty(t, a.filters(t))
	require.NoError(t, a.unit.Close())
	a.unit = nil
	nstest.Eventually(t, "no device", func() bool {
		links, err := a.ns.NL.LinkList()
		return err == nil && len(links) == 2 // lo and outer
	})
	qdiscs, err := a.ns.NL.QdiscList(nil)
	require.NoError(t, err)
	for _, q := range qdiscs {
		require.NotEqual(t, "clsact", q.Type())
	}
}
