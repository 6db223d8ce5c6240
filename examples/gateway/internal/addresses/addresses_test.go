package addresses

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func span(first, last string) gopptp.PoolRange {
	return gopptp.PoolRange{First: addr(first), Last: addr(last)}
}

func network(text string) gopptp.PoolRange { return gopptp.RangeOf(netip.MustParsePrefix(text)) }

// world is pools with their log.
type world struct {
	*Pools
	t   testing.TB
	log *bytes.Buffer
}

func start(t testing.TB, cfg Config) *world {
	log := new(bytes.Buffer)
	p, err := New(cfg, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	require.NoError(t, err)
	return &world{p, t, log}
}

// get acquires an address and returns it, or the error, as text.
func (w *world) get(user, pool string) string {
	req := gopptp.PoolRequest{User: user}
	if pool != "" {
		req.Attributes = &grant.Grant{Pool: pool}
	}
	a, err := w.Acquire(context.Background(), req)
	if err != nil {
		require.ErrorIs(w.t, err, gopptp.ErrPoolExhausted)
		return err.Error()
	}
	return a.String()
}

func (w *world) free(text string) { w.Release(addr(text)) }

func (w *world) told() string {
	text := w.log.String()
	w.log.Reset()
	return strings.TrimSpace(text)
}

func TestChains(t *testing.T) {
	w := start(t, Config{
		Own:   addr("10.0.0.1"),
		Fixed: []netip.Addr{addr("10.0.0.3"), addr("192.0.2.1")},
		Pools: []Pool{
			{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.3"), span("10.0.0.9", "10.0.0.9")}, Next: "more"},
			{Name: "more", Ranges: []gopptp.PoolRange{span("10.1.0.1", "10.1.0.1")}},
			{Name: "staff", Ranges: []gopptp.PoolRange{span("10.2.0.1", "10.2.0.1")}, Next: "more"},
		},
	})
	assert.Equal(t, "10.0.0.2", w.get("a", ""))
	assert.Equal(t, "10.0.0.9", w.get("b", ""))
	assert.Equal(t, "10.1.0.1", w.get("c", "default"))
	assert.Equal(t, "10.2.0.1", w.get("d", "staff"))
	assert.Equal(t, "gopptp: address pool exhausted: staff", w.get("e", "staff"))
	assert.Equal(t, "gopptp: address pool exhausted: default", w.get("e", ""))
	assert.Equal(t, `there is no address pool "stuff"`, w.get("e", "stuff"))
	w.free("10.1.0.1")
	w.free("10.1.0.1") // no more than once
	w.free("10.0.0.1")
	w.free("192.0.2.7")
	assert.Equal(t, "10.1.0.1", w.get("e", "staff"))
	assert.Equal(t, []Stats{
		{Name: "default", Next: "more", Size: 2, Used: 2, Refused: 1},
		{Name: "more", Size: 1, Used: 1},
		{Name: "staff", Next: "more", Size: 1, Used: 1, Refused: 1},
	}, w.Stats())
}

func TestNoPools(t *testing.T) {
	w := start(t, Config{})
	assert.Equal(t, "gopptp: address pool exhausted", w.get("a", ""))
	assert.Empty(t, w.Stats())
}

func TestSticky(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, Config{Pools: []Pool{
			{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.4")}, Sticky: time.Hour, Next: "more"},
			{Name: "more", Ranges: []gopptp.PoolRange{span("10.1.0.1", "10.1.0.1")}, Sticky: time.Hour},
		}})
		for _, user := range []string{"a", "b", "c", "d", "e"} {
			w.get(user, "")
		}
		for _, a := range []string{"10.0.0.2", "10.0.0.3", "10.1.0.1"} { // b, c, e
			w.free(a)
			time.Sleep(time.Minute)
		}
		assert.Equal(t, "10.1.0.1", w.get("e", ""), "although the first pool has room")
		assert.Equal(t, "10.0.0.3", w.get("c", ""))
		assert.Equal(t, "10.0.0.2", w.get("f", ""), "as nothing else is left")
		w.free("10.0.0.2") // f's now
		w.free("10.0.0.3") // c's
		assert.Equal(t, "10.0.0.2", w.get("b", ""), "the one that has rested longer: b is remembered no more")
		w.free("10.0.0.2")
		assert.Equal(t, 2, w.Stats()[0].Remembered)
		time.Sleep(time.Hour)
		assert.Equal(t, Stats{Name: "default", Next: "more", Size: 4, Used: 2}, w.Stats()[0])
		assert.Empty(t, w.pools[0].rest.byUser)
		assert.Empty(t, w.pools[0].rest.byAddr)
	})
}

func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, Config{Pools: []Pool{
			{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.2")}, Quarantine: time.Minute, Next: "more"},
			{Name: "more", Ranges: []gopptp.PoolRange{span("10.1.0.1", "10.1.0.1")}, Quarantine: time.Minute},
		}})
		w.get("a", "")
		w.get("b", "")
		w.free("10.0.0.1")
		time.Sleep(time.Second)
		w.free("10.0.0.2")
		assert.Equal(t, 2, w.Stats()[0].Quarantined)
		assert.Equal(t, "10.0.0.2", w.get("b", ""), "the same user")
		assert.Equal(t, "10.1.0.1", w.get("c", ""), "the rest of the chain comes first")
		assert.Equal(t, "10.0.0.1", w.get("d", ""), "nothing else is left")
		w.free("10.0.0.1")
		w.free("10.1.0.1")
		time.Sleep(59 * time.Second)
		assert.Equal(t, Stats{Name: "default", Next: "more", Size: 2, Used: 1, Quarantined: 1}, w.Stats()[0])
		time.Sleep(time.Second)
		assert.Equal(t, "10.0.0.1", w.get("e", ""), "its time is over")
		assert.Equal(t, Stats{Name: "more", Size: 1}, w.Stats()[1])
	})
}

func TestClaim(t *testing.T) {
	w := start(t, Config{
		Own: addr("10.0.0.1"), Fixed: []netip.Addr{addr("10.0.0.2")},
		Pools: []Pool{{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.4")}, Sticky: time.Hour}},
	})
	one, two := gopptp.SessionID("1"), gopptp.SessionID("2")
	require.NoError(t, w.Claim(addr("10.0.0.3"), "a", one))
	require.NoError(t, w.Claim(addr("10.0.0.3"), "a", one), "again")
	require.NoError(t, w.Claim(addr("10.0.0.2"), "b", two), "fixed beforehand")
	require.NoError(t, w.Claim(addr("192.0.2.7"), "b", two), "in no pool")
	assert.Equal(t, 1, w.Stats()[0].Used, "what is fixed is not of the pool")
	for _, taken := range []string{"10.0.0.3", "10.0.0.2", "192.0.2.7"} {
		var err *TakenError
		require.ErrorAs(t, w.Claim(addr(taken), "c", gopptp.SessionID("3")), &err)
		assert.Equal(t, addr(taken), err.Address)
	}
	assert.EqualError(t, w.Claim(addr("10.0.0.3"), "c", two),
		`10.0.0.3 is the address of "a" now, in session 1`)
	assert.EqualError(t, w.Claim(addr("10.0.0.1"), "c", two), "10.0.0.1 is the gateway's own address")

	assert.Equal(t, "10.0.0.4", w.get("d", ""))
	assert.Contains(t, w.get("e", ""), "exhausted")
	require.Error(t, w.Claim(addr("10.0.0.4"), "d", two), "chosen for another session")
	w.free("10.0.0.3") // was claimed: not the library's to release
	w.Unclaim(addr("10.0.0.3"), two)
	w.Unclaim(addr("10.0.0.4"), two)
	assert.Contains(t, w.get("e", ""), "exhausted")
	w.Unclaim(addr("10.0.0.3"), one)
	require.NoError(t, w.Claim(addr("10.0.0.3"), "c", two), "at rest")
	w.Unclaim(addr("10.0.0.3"), two)
	assert.Equal(t, "10.0.0.3", w.get("e", ""))
	w.Unclaim(addr("10.0.0.2"), two)
	w.Unclaim(addr("192.0.2.7"), two)
	assert.Contains(t, w.get("f", ""), "exhausted", "nobody else gets what is fixed")
	assert.Len(t, w.held, 2)
}

func TestReports(t *testing.T) {
	w := start(t, Config{Pools: []Pool{
		{Name: "a", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.10")}, Next: "b"},
		{Name: "b", Ranges: []gopptp.PoolRange{span("10.1.0.1", "10.1.0.10")}},
	}})
	var got []string
	take := func(n int) (told string) {
		for range n {
			got = append(got, w.get("u", ""))
		}
		return w.told()
	}
	give := func(n int) (told string) {
		for range n {
			w.free(got[len(got)-1])
			got = got[:len(got)-1]
		}
		return w.told()
	}
	assert.Empty(t, take(15), "a is full, and its chain is not")
	assert.Equal(t, `level=WARN msg="address pool fills up" pool=a used=16 size=20 percent=80`, take(1))
	assert.Empty(t, give(1), "79 percent is not yet good")
	assert.Empty(t, take(1), "and not bad again")
	assert.Equal(t, `level=WARN msg="address pool fills up" pool=b used=8 size=10 percent=80`, take(2))
	assert.Equal(t, `level=WARN msg="address pool fills up" pool=a used=19 size=20 percent=95`, take(1))
	assert.Equal(t, `level=WARN msg="address pool fills up" pool=b used=10 size=10 percent=100`, take(1))
	assert.Contains(t, w.get("u", ""), "exhausted")
	assert.Contains(t, w.get("u", ""), "exhausted")
	assert.Equal(t, `level=ERROR msg="address pool is exhausted: users are refused" pool=a used=20 size=20 percent=100`, w.told(), "once")
	assert.Equal(t, `level=INFO msg="address pool has room again" pool=a used=19 size=20 percent=95`, give(1))
	assert.Equal(t, strings.Join([]string{
		`level=INFO msg="address pool has room again" pool=b used=8 size=10 percent=80`,
		`level=INFO msg="address pool has room again" pool=a used=17 size=20 percent=85`,
		`level=INFO msg="address pool has room again" pool=b used=7 size=10 percent=70`,
		`level=INFO msg="address pool has room again" pool=a used=14 size=20 percent=70`,
	}, "\n"), give(5))
	assert.Empty(t, give(14))
	assert.Equal(t, uint64(2), w.Stats()[0].Refused)
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := Config{Pools: []Pool{
			{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.5")}, Sticky: time.Hour},
		}}
		w := start(t, old)
		for _, user := range []string{"a", "b", "c", "d", "e"} {
			w.get(user, "")
		}
		require.NoError(t, w.Claim(addr("10.9.0.1"), "f", gopptp.SessionID("6")))
		w.free("10.0.0.2")
		time.Sleep(time.Second)
		w.free("10.0.0.4")
		// a's is nobody's any more, c's is in another pool, and e's is another's; b
		// would find what it had, and d would not.
		changed := Config{
			Fixed: []netip.Addr{addr("10.0.0.5")},
			Pools: []Pool{
				{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.5", "10.0.0.6")}, Next: "old"},
				{Name: "old", Ranges: []gopptp.PoolRange{span("10.0.0.2", "10.0.0.3"), span("10.9.0.1", "10.9.0.1")}, Sticky: time.Hour},
			},
		}
		for range 2 {
			require.NoError(t, w.Reload(changed))
			assert.Equal(t, []Stats{
				{Name: "default", Next: "old", Size: 1},
				{Name: "old", Size: 3, Used: 2, Remembered: 1},
			}, w.Stats())
		}
		assert.Equal(t, "10.0.0.2", w.get("b", ""))
		assert.Equal(t, "10.0.0.6", w.get("d", ""))
		assert.Contains(t, w.get("g", ""), "exhausted", "all the others are held")
		w.free("10.0.0.1")
		w.free("10.0.0.5")
		assert.Contains(t, w.get("g", ""), "exhausted", "they went to nowhere")
		w.free("10.0.0.3")
		assert.Equal(t, "10.0.0.3", w.get("g", ""))
		w.Unclaim(addr("10.9.0.1"), gopptp.SessionID("6"))
		assert.Equal(t, "10.9.0.1", w.get("h", ""))

		require.NoError(t, w.Reload(Config{}))
		assert.Len(t, w.held, 4)
		assert.Contains(t, w.get("i", ""), "exhausted")
		for _, a := range []string{"10.0.0.2", "10.0.0.3", "10.0.0.6", "10.9.0.1"} {
			w.free(a)
		}
		assert.Empty(t, w.held)
	})
}

func TestBadConfig(t *testing.T) {
	good := Pool{Name: "a", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.2")}}
	w := start(t, Config{Pools: []Pool{good}})
	w.get("u", "")
	for text, pools := range map[string][]Pool{
		`there are two address pools "a"`:                                   {good, good},
		`two address pools have 10.0.0.2`:                                   {good, {Name: "b", Ranges: []gopptp.PoolRange{span("10.0.0.2", "10.0.0.9")}}},
		`address pool "c": there is no pool "b" to go on with`:              {{Name: "c", Next: "b"}},
		`address pool "a" comes after itself`:                               {{Name: "a", Next: "a"}},
		`address pool "b" comes after itself`:                               {{Name: "a", Next: "b"}, {Name: "b", Next: "c"}, {Name: "c", Next: "b"}},
		`address pool "a": gopptp: Pool: ::1-10.0.0.1 is not an IPv4 range`: {{Name: "a", Ranges: []gopptp.PoolRange{span("::1", "10.0.0.1")}}},
	} {
		assert.EqualError(t, w.Reload(Config{Pools: pools}), text)
	}
	assert.Equal(t, []Stats{{Name: "a", Size: 2, Used: 1}}, w.Stats(), "nothing has changed")
}

func TestMemoryIsBounded(t *testing.T) {
	w := start(t, Config{Pools: []Pool{{Name: "a", Ranges: []gopptp.PoolRange{network("10.0.0.0/20")}, Sticky: time.Hour}}})
	most := 1000
	w.pools[0].most = most
	for i := range most + 100 {
		w.free(w.get(fmt.Sprint("user", i), ""))
	}
	assert.LessOrEqual(t, w.pools[0].rest.len(), most+1)
	assert.Len(t, w.pools[0].rest.byUser, w.pools[0].rest.len())
	assert.NotContains(t, w.pools[0].rest.byUser, "user0")
	assert.Equal(t, 1<<12-2, w.pools[0].free.Free()+w.pools[0].rest.len())
}

// A /16 costs kilobytes as long as nobody is in it.
func TestSizeInMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	w := start(t, Config{Pools: []Pool{{Name: "a", Ranges: []gopptp.PoolRange{network("10.0.0.0/16")}, Sticky: time.Hour}}})
	runtime.ReadMemStats(&after)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32<<10))
	runtime.KeepAlive(w)
}

func TestConcurrently(t *testing.T) {
	cfg := Config{Pools: []Pool{
		{Name: "a", Ranges: []gopptp.PoolRange{network("10.0.0.0/27")}, Sticky: time.Hour, Quarantine: time.Nanosecond, Next: "b"},
		{Name: "b", Ranges: []gopptp.PoolRange{network("10.0.1.0/28")}},
	}}
	p, err := New(cfg, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	var mu sync.Mutex
	held := map[netip.Addr]bool{}
	own := func(a netip.Addr, now bool) {
		mu.Lock()
		defer mu.Unlock()
		if held[a] == now {
			t.Errorf("%v: held is %v already", a, now)
		}
		held[a] = now
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			session := gopptp.SessionID(fmt.Sprint(worker))
			for i := range 300 {
				user := fmt.Sprint("user", rand.IntN(60))
				fixed := netip.AddrFrom4([4]byte{10, 0, 0, byte(rand.IntN(32))})
				if a, err := p.Acquire(context.Background(), gopptp.PoolRequest{User: user}); err == nil {
					own(a, true)
					defer func() {
						own(a, false)
						p.Release(a)
					}()
				}
				if p.Claim(fixed, user, session) == nil {
					own(fixed, true)
					own(fixed, false)
					p.Unclaim(fixed, session)
				}
				if i%100 == worker {
					if err := p.Reload(cfg); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	assert.Empty(t, p.held)
	for _, s := range p.Stats() {
		assert.Zero(t, s.Used, s.Name)
	}
}

// Giving out costs the same in a pool that is as good as full.
func BenchmarkPools(b *testing.B) {
	for _, used := range []float64{1, 50, 99.9} {
		for _, sticky := range []time.Duration{0, time.Hour} {
			b.Run(fmt.Sprintf("used=%v%%/sticky=%v", used, sticky), func(b *testing.B) {
				w := start(b, Config{Pools: []Pool{{Name: "a", Ranges: []gopptp.PoolRange{network("10.0.0.0/16")}, Sticky: sticky}}})
				for range int(used / 100 * 65534) {
					w.get("somebody", "")
				}
				req := gopptp.PoolRequest{User: "alice"}
				b.ReportAllocs()
				for b.Loop() {
					a, _ := w.Acquire(context.Background(), req)
					w.Release(a)
				}
			})
		}
	}
}
