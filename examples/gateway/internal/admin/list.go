package admin

import (
	"cmp"
	"container/heap"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
)

// subject is what a list looks at in a session, so that tests can have very many.
type subject interface {
	ID() gopptp.SessionID
	User() string
	RemoteAddr() netip.AddrPort
	Peer() netip.Addr
	UpAt() time.Time
	Attributes() any
}

// The limits of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

// listQuery says which sessions are wanted, and in which order.
type listQuery struct {
	user, group, search string
	source, address     netip.Prefix
	sort                string // a name of orders
	descending          bool
	limit               int
	after               *place // nil: from the beginning
	rates               bool
}

// place is where a page ended: a session's key and ID. The next page begins behind it,
// whether the session is still there or not; so no session is listed twice or passed over
// by others' coming and going. (By rate or traffic, one may move over the border.)
type place struct {
	Sort string `json:"s"`
	Key  key    `json:"k"`
	ID   string `json:"i"`
}

// key is by what a session is sorted: by Text, High, Low, in this order.
type key struct {
	Text string `json:"t,omitempty"`
	High uint64 `json:"h,omitempty"`
	Low  uint64 `json:"l,omitempty"`
}

func (k key) compare(o key) int {
	return cmp.Or(strings.Compare(k.Text, o.Text), cmp.Compare(k.High, o.High), cmp.Compare(k.Low, o.Low))
}

// orders are what sessions can be sorted by, but for those by traffic, which need a sampler.
var orders = map[string]func(s subject) key{
	"id":      func(subject) key { return key{} }, // comes last in every order
	"user":    func(s subject) key { return key{Text: s.User()} },
	"source":  func(s subject) key { return keyOf(s.RemoteAddr().Addr()) },
	"address": func(s subject) key { return keyOf(s.Peer()) },
	"up_at":   func(s subject) key { return key{Low: uint64(s.UpAt().UnixNano())} },
}

// byTraffic are those that need one.
var byTraffic = map[string]func(t Traffic) uint64{
	"rate":      func(t Traffic) uint64 { return t.FromPeer + t.ToPeer },
	"rate_from": func(t Traffic) uint64 { return t.FromPeer },
	"rate_to":   func(t Traffic) uint64 { return t.ToPeer },
}

func keyOf(a netip.Addr) key {
	b := a.As16()
	return key{High: binary.BigEndian.Uint64(b[:8]), Low: binary.BigEndian.Uint64(b[8:])}
}

func orderNames() []string {
	return slices.Concat(slices.Sorted(maps.Keys(orders)), slices.Sorted(maps.Keys(byTraffic)))
}

func parseList(r *http.Request) (*listQuery, error) {
	p := paramsOf(r)
	q := &listQuery{
		user: p.text("user"), group: p.text("group"), search: strings.ToLower(p.text("search")),
		source: p.network("source"), address: p.network("address"),
		limit: p.number("limit", defaultPage, 1, maxPage),
		rates: p.boolean("rates"),
	}
	q.sort, q.descending = strings.CutPrefix(cmp.Or(p.text("sort"), "id"), "-")
	_, known := orders[q.sort]
	_, traffic := byTraffic[q.sort]
	if !known && !traffic {
		p.fail("sort: %q is none of %s, with - before it for the other way round", q.sort, strings.Join(orderNames(), ", "))
	}
	q.rates = q.rates || traffic
	if cursor := p.text("cursor"); cursor != "" {
		at := new(place)
		text, err := base64.RawURLEncoding.DecodeString(cursor)
		if err != nil || json.Unmarshal(text, at) != nil {
			p.fail("cursor is not one of this gateway's")
		} else if at.Sort != q.sort {
			p.fail("cursor is of a list that is sorted by %s", at.Sort)
		}
		q.after = at
	}
	return q, p.end()
}

func (p *place) String() string {
	text, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(text)
}

func (q *listQuery) matches(s subject) bool {
	switch {
	case q.user != "" && s.User() != q.user,
		q.group != "" && grant.From(s.Attributes()).Group != q.group,
		q.source.IsValid() && !q.source.Contains(s.RemoteAddr().Addr()),
		q.address.IsValid() && !q.address.Contains(s.Peer()):
		return false
	}
	return q.search == "" ||
		strings.Contains(strings.ToLower(s.User()), q.search) ||
		strings.Contains(s.RemoteAddr().Addr().String(), q.search) ||
		strings.Contains(s.Peer().String(), q.search) ||
		strings.Contains(string(s.ID()), q.search)
}

// key returns by what a session is sorted. traffic may be nil.
func (q *listQuery) key(s subject, traffic map[gopptp.SessionID]Traffic) key {
	if of := byTraffic[q.sort]; of != nil {
		return key{Low: of(traffic[s.ID()])}
	}
	return orders[q.sort](s)
}

// candidate is a session that may be on the page.
type candidate[S subject] struct {
	session S
	key     key
}

func (q *listQuery) compare(a key, aID string, b key, bID string) int {
	n := cmp.Or(a.compare(b), strings.Compare(aID, bID))
	if q.descending {
		return -n
	}
	return n
}

// page picks the sessions of one page out of all, in order. It looks at each once, and
// keeps no more than a page of them. next is where the next page begins; nil if this is
// the last. total is how many match, on all pages.
func page[S subject](q *listQuery, all []S, traffic map[gopptp.SessionID]Traffic) (list []S, next *place, total int) {
	best := &worstFirst[S]{q: q}
	for _, s := range all {
		if !q.matches(s) {
			continue
		}
		total++
		c := candidate[S]{s, q.key(s, traffic)}
		switch {
		case q.after != nil && q.compare(c.key, string(s.ID()), q.after.Key, q.after.ID) <= 0: // on a page before
		case len(best.list) <= q.limit: // one more than fits says that there is a next page
			heap.Push(best, c)
		case best.before(c, best.list[0]):
			best.list[0] = c
			heap.Fix(best, 0)
		}
	}
	slices.SortFunc(best.list, best.compare)
	if len(best.list) > q.limit {
		best.list = best.list[:q.limit]
		last := best.list[q.limit-1]
		next = &place{Sort: q.sort, Key: last.key, ID: string(last.session.ID())}
	}
	for _, c := range best.list {
		list = append(list, c.session)
	}
	return list, next, total
}

// worstFirst is a heap with the candidate on top that comes last.
type worstFirst[S subject] struct {
	q    *listQuery
	list []candidate[S]
}

func (h *worstFirst[S]) compare(a, b candidate[S]) int {
	return h.q.compare(a.key, string(a.session.ID()), b.key, string(b.session.ID()))
}

func (h *worstFirst[S]) before(a, b candidate[S]) bool { return h.compare(a, b) < 0 }

func (h *worstFirst[S]) Len() int           { return len(h.list) }
func (h *worstFirst[S]) Less(i, j int) bool { return h.before(h.list[j], h.list[i]) }
func (h *worstFirst[S]) Swap(i, j int)      { h.list[i], h.list[j] = h.list[j], h.list[i] }
func (h *worstFirst[S]) Push(c any)         { h.list = append(h.list, c.(candidate[S])) }

// Pop implements heap.Interface, and is never called.
func (h *worstFirst[S]) Pop() any { panic("admin: nothing leaves the heap") }
