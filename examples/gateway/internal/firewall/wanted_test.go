package firewall

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	here  = netip.MustParseAddr("192.0.2.7")
	there = netip.MustParseAddr("203.0.113.9")
)

// Each address is one element however many connections it has, and lingers.
func TestPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWanted()
		first := w.join(here)
		require.NotNil(t, first)
		assert.Equal(t, first, w.join(here), "not in the table yet")
		c := w.take()
		assert.Equal(t, []netip.Addr{here}, c.addPeers)
		assert.Equal(t, first, w.join(here), "on its way")
		other := w.join(there)
		assert.NotEqual(t, first, other)
		w.settle(c)
		<-first
		assert.Nil(t, w.join(here), "is in the table")
		w.settle(w.take())
		<-other

		for range 4 {
			w.leave(here)
		}
		w.sweep(time.Now())
		assert.Empty(t, w.changedPeers)
		time.Sleep(linger)
		again := w.join(here)
		assert.Nil(t, again)
		w.leave(here)
		w.sweep(time.Now())
		c = w.take()
		assert.True(t, c.empty())
		time.Sleep(linger)
		w.sweep(time.Now())
		c = w.take()
		assert.Equal(t, []netip.Addr{here}, c.removePeers)
		peers, _ := w.figures()
		assert.Equal(t, 1, peers)
	})
}

func TestBans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWanted()
		until := time.Now().Add(time.Minute)
		for _, text := range []string{"192.0.2.7/32", "198.51.100.0/24", "198.51.100.128/25", "198.51.0.0/16", "10.0.0.0/8", "2001:db8::/48"} {
			w.ban(netip.MustParsePrefix(text), until)
		}
		c := w.take()
		assert.Equal(t, map[netip.Addr]time.Time{here: until}, c.addBans)
		assert.Equal(t, []netip.Addr{here}, c.removeBans, "it may have another end so far")
		assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("198.51.0.0/16")}, c.networksNow)
		w.ban(netip.MustParsePrefix("198.51.0.0/16"), time.Time{})
		c = w.take()
		assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("198.51.100.0/24")}, c.networksNow)
		assert.Empty(t, c.addBans)
		time.Sleep(time.Minute)
		w.sweep(time.Now())
		c = w.take()
		assert.Equal(t, []netip.Addr{here}, c.removeBans)
		assert.True(t, c.networks)
		assert.Empty(t, c.networksNow)
		_, bans := w.figures()
		assert.Zero(t, bans)
	})
}
