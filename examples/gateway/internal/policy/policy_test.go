package policy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/addresses"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/login"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/memory"
)

// world is a server whose users a policy admits.
type world struct {
	t      *testing.T
	net    *memory.Network
	server *gopptp.Server
	live   *sessions.Registry
	pools  *addresses.Pools
	policy *Policy
	mu     sync.Mutex
	users  map[string]gopptp.AuthResult // others have no grant; all have the password "right"
	ends   map[string]int               // by cause
}

func start(t *testing.T, text string) *world {
	w := &world{t: t, net: memory.NewNetwork(), live: sessions.New(), users: make(map[string]gopptp.AuthResult), ends: make(map[string]int)}
	cfg, problems := config.Parse("gw.yaml", []byte(text))
	require.Empty(t, problems)
	var err error
	w.pools, err = addresses.New(addresses.FromConfig(cfg, nil), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	w.policy = New(cfg, w.live, w.pools, slog.New(slog.DiscardHandler))
	w.live.Watch(func(e sessions.Event) {
		if e.Kind == sessions.Down || e.Kind == sessions.Failed {
			w.ends[e.Cause.String()]++
		}
	})
	host := w.net.Host(netip.MustParseAddr("192.0.2.1"))
	w.server, err = gopptp.NewServer(gopptp.ServerConfig{
		Dataplane:    host.Dataplane(),
		LocalAddress: cfg.LocalAddress,
		Pool:         w.pools,
		Observer:     w.live,
		Authenticator: login.New(login.Config{
			Local: []login.Lookup{func(_ context.Context, name string) (*gopptp.LocalUser, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("right"), Result: w.users[name]}, nil
			}},
			Admit: w.policy.Admit,
		}),
	})
	require.NoError(t, err)
	w.policy.Attach(w.server.Session)
	l, err := host.Listen(gopptp.DefaultPort)
	require.NoError(t, err)
	go w.server.Serve(t.Context(), l)
	t.Cleanup(w.end)
	return w
}

// end sees to it that nothing is left of the sessions.
func (w *world) end() {
	w.server.Close()
	synctest.Wait()
	assert.Empty(w.t, w.policy.places.bySession)
	assert.Empty(w.t, w.policy.places.byUser)
	assert.Empty(w.t, w.policy.places.bySource)
	for _, s := range w.pools.Stats() {
		assert.Zero(w.t, s.Used, s.Name)
	}
	w.net.Close()
}

// pass has time pass, and all happen that is to happen by then.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) dial(from, user string) (*gopptp.Session, error) {
	host := w.net.Host(netip.MustParseAddr(from))
	s, err := gopptp.Dial(w.t.Context(), "192.0.2.1", gopptp.ClientConfig{
		Dataplane: host.Dataplane(), DialContext: host.DialContext, User: user, Password: "right",
	})
	synctest.Wait()
	return s, err
}

// up is who is up, and at which address.
func (w *world) up() map[string]string {
	list := make(map[string]string)
	for _, s := range w.live.All() {
		list[s.RemoteAddr().Addr().String()] = s.User() + " " + s.Peer().String()
	}
	return list
}

// requireCode wants a client to be told a code of MS-CHAP.
func requireCode(t *testing.T, err error, code int) {
	t.Helper()
	require.ErrorContains(t, err, fmt.Sprint(code))
}

func TestRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, "policy: {max_sessions: 2, max_sessions_per_source: 3}")
		first, err := w.dial("192.0.2.2", "alice")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.3", "alice")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.4", "alice")
		requireCode(t, err, 649)
		for _, user := range []string{"bob", "carol"} {
			_, err = w.dial("192.0.2.2", user)
			require.NoError(t, err)
		}
		_, err = w.dial("192.0.2.2", "dave")
		requireCode(t, err, 649)
		pass(time.Minute)
		assert.Equal(t, Stats{Places: 4, Refused: map[string]uint64{
			"source": 0, "hours": 0, "user-sessions": 1, "source-sessions": 1, "address": 0,
		}}, w.policy.Stats())

		first.Close()
		pass(time.Minute)
		_, err = w.dial("192.0.2.4", "alice")
		require.NoError(t, err, "there is a place again")
		_, err = w.dial("192.0.2.2", "dave")
		require.NoError(t, err)
	})
}

func TestReplace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, "policy: {max_sessions: 2, on_excess: replace, max_sessions_per_source: 2}")
		oldest, err := w.dial("192.0.2.2", "alice")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.2", "alice")
		require.NoError(t, err)
		begin := time.Now()
		_, err = w.dial("192.0.2.2", "alice")
		require.NoError(t, err, "the one that goes does not count for the source")
		assert.Less(t, time.Since(begin), time.Second)
		<-oldest.Done()
		pass(10 * time.Second)
		assert.Equal(t, 2, w.live.Len())
		assert.Equal(t, map[string]int{"replaced": 1}, w.ends)
		_, err = w.dial("192.0.2.2", "bob")
		requireCode(t, err, 649)
		assert.Equal(t, uint64(1), w.policy.Stats().Replaced)
	})
}

// Nobody answers for a session whose client is gone. It is replaced all the same.
func TestReplaceTheDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, "policy: {max_sessions: 1, on_excess: replace}")
		w.users["alice"] = gopptp.AuthResult{Address: netip.MustParseAddr("10.8.7.7")}
		_, err := w.dial("192.0.2.2", "alice")
		require.NoError(t, err)
		dead := netip.MustParseAddr("192.0.2.2")
		w.net.Filter(func(p memory.Packet) bool { return p.From != dead && p.To != dead })
		_, err = w.dial("192.0.2.3", "alice")
		require.NoError(t, err)
		pass(time.Minute)
		assert.Equal(t, map[string]string{"192.0.2.3": "alice 10.8.7.7"}, w.up())
	})
}

// A newcomer waits for the one it replaces, and not for ever.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name, address string
		crowd         int
		took          time.Duration
		in            bool
	}{
		{"address of a pool", "", 0, patience, true},
		{"many wait", "", maxWaiting, 0, true},
		{"address of its own", "10.8.7.7", maxWaiting, addressPatience, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, "policy: {max_sessions: 1, on_excess: replace}")
				ghost := &place{session: "ghost", user: "alice", gone: make(chan struct{})}
				if c.address != "" {
					ghost.address = netip.MustParseAddr(c.address)
					w.users["alice"] = gopptp.AuthResult{Address: ghost.address}
					require.NoError(t, w.pools.Claim(ghost.address, "alice", ghost.session))
				}
				w.policy.reserve(ghost, limits{})
				ghost.claimed = c.address != ""
				for range c.crowd {
					w.policy.waiting <- struct{}{}
				}
				begin := time.Now()
				_, err := w.dial("192.0.2.3", "alice")
				took := time.Since(begin)
				assert.GreaterOrEqual(t, took, c.took)
				assert.Less(t, took, c.took+time.Second)
				if c.in {
					require.NoError(t, err)
				} else {
					requireCode(t, err, 649)
				}
				w.policy.leave("ghost")
			})
		})
	}
}

// Of those who come at once no more get in than may.
func TestRaces(t *testing.T) {
	for _, way := range []string{"refuse", "replace"} {
		t.Run(way, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := start(t, "policy: {max_sessions: 1, on_excess: "+way+"}")
				var wg sync.WaitGroup
				for i := range 8 {
					wg.Go(func() {
						host := w.net.Host(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}))
						gopptp.Dial(t.Context(), "192.0.2.1", gopptp.ClientConfig{
							Dataplane: host.Dataplane(), DialContext: host.DialContext, User: "alice", Password: "right",
						})
					})
				}
				wg.Wait()
				pass(time.Minute)
				assert.Equal(t, 1, w.live.Len())
				s := w.policy.Stats()
				assert.Equal(t, 1, s.Places)
				assert.Equal(t, uint64(7), s.Refused["user-sessions"]+s.Replaced)
			})
		})
	}
}

// When a network in between has failed, everybody comes again at once, and nobody answers
// for the sessions that were.
func TestEverybodyComesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const users = 100
		w := start(t, "policy: {max_sessions: 1, on_excess: replace}\npools: [10.8.0.0/23]")
		everybody := func(network byte) (took time.Duration) {
			begin := time.Now()
			var wg sync.WaitGroup
			for i := range users {
				wg.Go(func() {
					host := w.net.Host(netip.AddrFrom4([4]byte{198, 51, network, byte(i)}))
					_, err := gopptp.Dial(t.Context(), "192.0.2.1", gopptp.ClientConfig{
						Dataplane: host.Dataplane(), DialContext: host.DialContext, User: fmt.Sprint("user", i), Password: "right",
					})
					assert.NoError(t, err)
				})
			}
			wg.Wait()
			took = time.Since(begin)
			pass(time.Minute)
			return took
		}
		everybody(100)
		before := make(map[string]netip.Addr)
		for _, s := range w.live.All() {
			before[s.User()] = s.Peer()
		}
		dead := netip.MustParsePrefix("198.51.100.0/24")
		w.net.Filter(func(p memory.Packet) bool { return !dead.Contains(p.From) && !dead.Contains(p.To) })
		assert.LessOrEqual(t, everybody(101), 2*patience)
		require.Equal(t, users, w.live.Len())
		same := 0
		for _, s := range w.live.All() {
			assert.Equal(t, byte(101), s.RemoteAddr().Addr().As4()[2])
			if s.Peer() == before[s.User()] {
				same++
			}
		}
		assert.GreaterOrEqual(t, same, maxWaiting, "those who wait get what they had")
		assert.Equal(t, uint64(users), w.policy.Stats().Replaced)
	})
}

// A session that never comes up gives its place back.
func TestFailedSetUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, "policy: {max_sessions: 1}\npools: [10.8.0.2-2]")
		_, err := w.dial("192.0.2.2", "alice")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.3", "bob")
		require.Error(t, err, "there is no address")
		pass(time.Minute)
		assert.Equal(t, 1, w.policy.Stats().Places)
	})
}

func TestFixedAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, "policy: {on_excess: refuse}\npools: [10.8.0.2-9]")
		fixed := gopptp.AuthResult{Address: netip.MustParseAddr("10.8.0.2")}
		w.users["alice"], w.users["bob"] = fixed, fixed
		w.users["carol"] = gopptp.AuthResult{Address: netip.MustParseAddr("10.8.0.1")} // the gateway's
		alice, err := w.dial("192.0.2.2", "alice")
		require.NoError(t, err)
		_, err = w.dial("192.0.2.3", "alice")
		requireCode(t, err, 649)
		_, err = w.dial("192.0.2.3", "bob")
		requireCode(t, err, 649)
		_, err = w.dial("192.0.2.3", "carol")
		requireCode(t, err, 649)
		_, err = w.dial("192.0.2.4", "dave")
		require.NoError(t, err)
		assert.Equal(t, map[string]string{"192.0.2.2": "alice 10.8.0.2", "192.0.2.4": "dave 10.8.0.3"}, w.up())
		s := w.policy.Stats()
		assert.Equal(t, uint64(1), s.Refused["user-sessions"], "an address is of one session")
		assert.Equal(t, uint64(2), s.Refused["address"])

		alice.Close()
		pass(time.Minute)
		_, err = w.dial("192.0.2.3", "bob")
		require.NoError(t, err)
	})
}

// A session ends when its hours are over.
func TestHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // begins on Saturday, 2000-01-01, at midnight UTC
		w := start(t, "policy: {hours: ['Sat,Sun 01:00-03:00'], time_zone: Europe/Berlin}\ngroups: [{name: night, hours: ['23:00-04:00']}]")
		w.users["nina"] = gopptp.AuthResult{Attributes: &grant.Grant{Group: "night"}}
		w.users["sam"] = gopptp.AuthResult{SessionTimeout: time.Hour}
		for _, user := range []string{"alice", "nina", "sam"} {
			_, err := w.dial("192.0.2.2", user)
			require.NoError(t, err)
		}
		pass(time.Hour + time.Minute)
		assert.Len(t, w.live.All(), 2)
		pass(time.Hour)
		require.Len(t, w.live.All(), 1)
		assert.Equal(t, "nina", w.live.All()[0].User())
		_, err := w.dial("192.0.2.2", "alice")
		requireCode(t, err, 646)
		pass(time.Hour)
		assert.Empty(t, w.live.All())
		assert.Equal(t, map[string]int{"session-timeout": 3, "authentication": 1}, w.ends)
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, "policy: {max_sessions: 1}")
		_, err := w.dial("192.0.2.2", "alice")
		require.NoError(t, err)
		cfg, _ := config.Parse("gw.yaml", []byte("policy: {max_sessions: 2, denied_sources: [192.0.2.2/32]}"))
		w.policy.Reload(cfg)
		_, err = w.dial("192.0.2.3", "alice")
		require.NoError(t, err)
		assert.Equal(t, 2, w.live.Len(), "who is in stays")
		_, err = w.dial("192.0.2.2", "bob")
		requireCode(t, err, 649)
	})
}

// What is granted is what the back end says, or else the group, or else the policy.
func TestComplete(t *testing.T) {
	cfg, problems := config.Parse("gw.yaml", []byte(`
pools: [10.8.0.0/24, {name: staff, ranges: [10.9.0.0/24]}]
groups:
  - {name: staff, pool: staff, max_sessions: 2, sources: [192.0.2.0/24], denied_sources: [192.0.2.66/32], idle_timeout: 1m, rate_to_peer: 2M, quota: 2KiB}
policy: {max_sessions: 1, sources: [198.51.100.0/24], denied_sources: [192.0.2.99/32], hours: [Mon], session_timeout: 1h, idle_timeout: 2m, rate_from_peer: 1M, rate_to_peer: 1M, quota: 1KiB}
`))
	require.Empty(t, problems)
	r := newRules(cfg)
	net := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	rates := func(from, to uint64) gopptp.Rates {
		return gopptp.Rates{FromPeer: gopptp.BitRate{BitsPerSecond: from}, ToPeer: gopptp.BitRate{BitsPerSecond: to}}
	}
	monday := cfg.Policy.Hours
	for _, c := range []struct {
		name    string
		said    gopptp.AuthResult
		want    gopptp.AuthResult
		allowed string
		denied  string
	}{
		{"nothing is said", gopptp.AuthResult{},
			gopptp.AuthResult{SessionTimeout: time.Hour, IdleTimeout: 2 * time.Minute, Rates: rates(1e6, 1e6), Attributes: &grant.Grant{
				MaxSessions: 1, Sources: net("198.51.100.0/24"), Hours: monday, Quota: 1 << 10,
			}}, "198.51.100.7", "192.0.2.7 192.0.2.99"},
		{"a group", gopptp.AuthResult{Attributes: &grant.Grant{Backend: "sql", Group: "staff"}},
			gopptp.AuthResult{SessionTimeout: time.Hour, IdleTimeout: time.Minute, Rates: rates(1e6, 2e6), Attributes: &grant.Grant{
				Backend: "sql", Group: "staff", Pool: "staff", MaxSessions: 2, Sources: net("192.0.2.0/24"), Hours: monday, Quota: 2 << 10,
			}}, "192.0.2.7", "198.51.100.7 192.0.2.66 192.0.2.99"},
		{"an unknown group", gopptp.AuthResult{Attributes: &grant.Grant{Group: "stuff"}},
			gopptp.AuthResult{SessionTimeout: time.Hour, IdleTimeout: 2 * time.Minute, Rates: rates(1e6, 1e6), Attributes: &grant.Grant{
				Group: "stuff", MaxSessions: 1, Sources: net("198.51.100.0/24"), Hours: monday, Quota: 1 << 10,
			}}, "198.51.100.7", "192.0.2.7"},
		{"all is said", gopptp.AuthResult{SessionTimeout: 1, IdleTimeout: 2, Rates: rates(3, 4), Attributes: &grant.Grant{
			Group: "staff", Pool: "default", MaxSessions: 5, Sources: net("192.0.2.0/25"), Hours: nil, Quota: 6,
		}}, gopptp.AuthResult{SessionTimeout: 1, IdleTimeout: 2, Rates: rates(3, 4), Attributes: &grant.Grant{
			Group: "staff", Pool: "default", MaxSessions: 5, Sources: net("192.0.2.0/25"), Hours: monday, Quota: 6,
		}}, "192.0.2.7", "192.0.2.200 192.0.2.66 192.0.2.99"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := *grant.From(c.said.Attributes)
			got := c.said
			g := r.complete(&got)
			assert.Equal(t, c.want, got)
			assert.Same(t, g, got.Attributes)
			assert.Equal(t, before, *grant.From(c.said.Attributes), "the back end's own does not change")
			assert.True(t, r.allows(g, netip.MustParseAddr(c.allowed)))
			for _, source := range strings.Fields(c.denied) {
				assert.False(t, r.allows(g, netip.MustParseAddr(source)), source)
			}
		})
	}
}

// Names of RADIUS are the same in any case: one cannot have more sessions by another.
func TestNames(t *testing.T) {
	assert.Equal(t, "alice", nameOf("Alice", &grant.Grant{Backend: "radius"}))
	assert.Equal(t, "Alice", nameOf("Alice", &grant.Grant{Backend: "sql"}))
}

// Who is admitted when its session has ended already leaves nothing.
func TestLateAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t, "policy: {max_sessions: 1}")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := w.policy.Admit(ctx, &gopptp.AuthRequest{Session: "x"}, &gopptp.AuthResult{User: "alice", Address: netip.MustParseAddr("10.8.0.7")})
		assert.ErrorIs(t, err, context.Canceled)
		assert.Zero(t, w.policy.Stats().Places)
	})
}
