package admin

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
)

// fake is a session that only lists look at.
type fake struct {
	id     gopptp.SessionID
	user   string
	remote netip.AddrPort
	peer   netip.Addr
	up     time.Time
	grant  *grant.Grant
}

func (f *fake) ID() gopptp.SessionID       { return f.id }
func (f *fake) User() string               { return f.user }
func (f *fake) RemoteAddr() netip.AddrPort { return f.remote }
func (f *fake) Peer() netip.Addr           { return f.peer }
func (f *fake) UpAt() time.Time            { return f.up }
func (f *fake) Attributes() any            { return f.grant }

// crowd is n sessions: many users have several, and many share a source.
func crowd(n int) []*fake {
	random := rand.New(rand.NewPCG(1, 2))
	list := make([]*fake, n)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range list {
		list[i] = &fake{
			id:     gopptp.SessionID(fmt.Sprintf("%016x", random.Uint64())),
			user:   fmt.Sprintf("user%d", random.IntN(n/2+1)),
			remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, byte(i >> 12), byte(i >> 4)}), uint16(random.Uint32())),
			peer:   netip.AddrFrom4([4]byte{10, 8, byte(i >> 8), byte(i)}),
			up:     begin.Add(time.Duration(random.IntN(1000)) * time.Second),
			grant:  &grant.Grant{Group: []string{"", "staff", "guests"}[i%3]},
		}
	}
	return list
}

func parse(t *testing.T, query string) *listQuery {
	t.Helper()
	q, err := parseList(httptest.NewRequest("GET", "/x?"+query, nil))
	require.NoError(t, err, query)
	return q
}

// walk reads all pages; between lets the sessions change from one to the next.
func walk(t *testing.T, query string, all []*fake, traffic map[gopptp.SessionID]Traffic, between func([]*fake) []*fake) (list []*fake) {
	t.Helper()
	cursor := ""
	for {
		q := parse(t, query+"&cursor="+cursor)
		one, next, _ := page(q, all, traffic)
		require.LessOrEqual(t, len(one), q.limit)
		list = append(list, one...)
		if next == nil {
			return list
		}
		require.Len(t, one, q.limit)
		cursor = url.QueryEscape(next.String())
		all = between(all)
	}
}

func same(all []*fake) []*fake { return all }

// All pages together are all sessions, once each, in order, in every order.
func TestPages(t *testing.T) {
	all, very := crowd(1_000), crowd(10_000)
	traffic := make(map[gopptp.SessionID]Traffic)
	for i, s := range very {
		traffic[s.id] = Traffic{FromPeer: uint64(i % 977), ToPeer: uint64(i % 10)}
	}
	inOrder := func(all []*fake, sort string, limit int) {
		t.Helper()
		got := walk(t, fmt.Sprintf("limit=%d&sort=%s", limit, sort), all, traffic, same)
		q := parse(t, "sort="+sort)
		want := slices.SortedFunc(slices.Values(all), func(a, b *fake) int {
			return q.compare(q.key(a, traffic), string(a.id), q.key(b, traffic), string(b.id))
		})
		require.True(t, slices.Equal(want, got), sort)
	}
	for _, sort := range orderNames() {
		inOrder(all, sort, 97)
		inOrder(all, "-"+sort, 97)
	}
	inOrder(very, "-rate", 1000)
	by := func(sort string) []*fake { return walk(t, "limit=1000&sort="+sort, all, traffic, same) }
	assert.True(t, slices.IsSortedFunc(by("user"), func(a, b *fake) int { return strings.Compare(a.user, b.user) }))
	assert.True(t, slices.IsSortedFunc(by("source"), func(a, b *fake) int { return a.remote.Addr().Compare(b.remote.Addr()) }))
	assert.True(t, slices.IsSortedFunc(by("address"), func(a, b *fake) int { return a.peer.Compare(b.peer) }))
	assert.True(t, slices.IsSortedFunc(by("up_at"), func(a, b *fake) int { return a.up.Compare(b.up) }))
	assert.Len(t, by("id"), len(all))
}

// Sessions that come and go between two pages do not make others come twice, or not at all.
func TestPagesWhileSessionsComeAndGo(t *testing.T) {
	all := crowd(5_000)
	stay := make(map[gopptp.SessionID]bool)
	for i, s := range all {
		stay[s.id] = i%2 == 0
	}
	random := rand.New(rand.NewPCG(3, 4))
	got := walk(t, "limit=50&sort=user", slices.Clone(all), nil, func(now []*fake) []*fake {
		now = slices.DeleteFunc(now, func(s *fake) bool { return !stay[s.id] && random.IntN(4) == 0 })
		for range 50 {
			now = append(now, &fake{id: gopptp.SessionID(fmt.Sprintf("n%015x", random.Uint64())), user: fmt.Sprintf("user%d", random.IntN(2500))})
		}
		return now
	})
	seen := make(map[gopptp.SessionID]int)
	for _, s := range got {
		seen[s.id]++
	}
	for id, n := range seen {
		assert.Equal(t, 1, n, id)
	}
	for id, stays := range stay {
		if stays {
			require.Equal(t, 1, seen[id], id)
		}
	}
}

func TestFilters(t *testing.T) {
	all := crowd(1000)
	for query, matches := range map[string]func(s *fake) bool{
		"user=user7":                       func(s *fake) bool { return s.user == "user7" },
		"group=staff":                      func(s *fake) bool { return s.grant.Group == "staff" },
		"source=192.0.0.9":                 func(s *fake) bool { return s.remote.Addr() == netip.MustParseAddr("192.0.0.9") },
		"source=192.0.0.0/28":              func(s *fake) bool { return s.remote.Addr().As4()[3] < 16 },
		"address=10.8.3.0/24":              func(s *fake) bool { return s.peer.As4()[2] == 3 },
		"address=10.8.3.1":                 func(s *fake) bool { return s.peer == netip.MustParseAddr("10.8.3.1") },
		"search=USER12":                    func(s *fake) bool { return strings.HasPrefix(s.user, "user12") },
		"search=192.0.0.1":                 func(s *fake) bool { return strings.Contains(s.remote.Addr().String(), "192.0.0.1") },
		"search=" + string(all[5].id):      func(s *fake) bool { return s == all[5] },
		"group=guests&address=10.8.1.0/25": func(s *fake) bool { return s.grant.Group == "guests" && s.peer.As4()[2] == 1 && s.peer.As4()[3] < 128 },
		"search=nobody":                    func(*fake) bool { return false },
	} {
		want := 0
		for _, s := range all {
			if matches(s) {
				want++
			}
		}
		got, _, total := page(parse(t, query+"&limit=1000"), all, nil)
		assert.Equal(t, want, total, query)
		assert.Len(t, got, want, query)
		for _, s := range got {
			assert.True(t, matches(s), "%s: %v", query, s)
		}
		if !strings.Contains(query, "nobody") {
			assert.Positive(t, want, query)
		}
	}
}

func TestBadListQueries(t *testing.T) {
	for query, want := range map[string]string{
		"limit=0":                `limit: "0" is not a number from 1 to 1000`,
		"limit=1001":             `limit: "1001" is not a number from 1 to 1000`,
		"limit=x":                `limit: "x" is not a number from 1 to 1000`,
		"limit=1&limit=2":        "limit is given 2 times",
		"sort=name":              `sort: "name" is none of address, id, source, up_at, user, rate, rate_from, rate_to, with - before it for the other way round`,
		"sort=--user":            `sort: "-user" is none of address, id, source, up_at, user, rate, rate_from, rate_to, with - before it for the other way round`,
		"source=192.0.2":         `source: "192.0.2" is neither an address nor a network, like 192.0.2.0/24`,
		"source=192.0.2.1/24":    `source: "192.0.2.1/24" has bits set behind its prefix: did you mean 192.0.2.0/24?`,
		"address=fe80::1%25eth0": `address: "fe80::1%eth0" is neither an address nor a network, like 192.0.2.0/24`,
		"rates=yes":              `rates: "yes" is neither true nor false`,
		"usr=alice":              `unknown parameter "usr"`,
		"cursor=x":               "cursor is not one of this gateway's",
		"cursor=bm9uZQ":          "cursor is not one of this gateway's",
		"sort=up_at&cursor=" + (&place{Sort: "user", ID: "x"}).String(): "cursor is of a list that is sorted by user",
		"a=%zz": `the query is not well formed: invalid URL escape "%zz"`,
	} {
		r := httptest.NewRequest("GET", "/x", nil)
		r.URL.RawQuery = query
		_, err := parseList(r)
		assert.EqualError(t, err, want, query)
	}
}

// What a page costs grows with the number of sessions, and little.
func BenchmarkPage(b *testing.B) {
	all := crowd(50_000)
	q, _ := parseList(httptest.NewRequest("GET", "/x?sort=user", nil))
	b.ReportAllocs()
	for b.Loop() {
		page(q, all, nil)
	}
}

func FuzzListQuery(f *testing.F) {
	f.Add("user=a&sort=-user&cursor=" + (&place{Sort: "user", ID: "x"}).String())
	f.Add("source=192.0.2.0/24&limit=3&rates=true")
	all := crowd(20)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest("GET", "/x", nil)
		r.URL.RawQuery = query
		q, err := parseList(r)
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		list, _, total := page(q, all, nil)
		assert.LessOrEqual(t, len(list), min(total, q.limit))
	})
}
