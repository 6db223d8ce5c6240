// Package bans keeps those out who have failed to log in too often. It is the login.Guard of
// the gateway, and its list of bans.
//
// A user is judged by the source it comes from: a wrong password too many bans the two
// together, so that nobody can lock out a user from elsewhere. A source is judged as a whole
// besides, mostly by how many names fail there: to try many is what attackers do, to try one
// is what clients with an old password do. As a whole office may come from one address, a
// source with sessions, or with log-ins of late, is judged far more patiently.
//
// Bans end by themselves, and are longer each time. What is remembered is bounded, whatever
// comes: those who have not been seen for the longest time are forgotten.
package bans

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/login"
	"github.com/gopptp/gopptp/examples/gateway/internal/statefile"
)

// Rules say who is banned, and for how long.
type Rules struct {
	// Automatic bans those who fail too often. Without it there are the bans of operators
	// only.
	Automatic bool
	// Failures of a user at a source within Window ban it there.
	Failures int
	// SourceFailures ban the source; a failure with a name that is new there counts as
	// nameWeight of them. They are Patience times as many where users are in or were of late.
	SourceFailures int
	Patience       int
	Window         time.Duration
	// Duration is the length of the first ban. Each one after it is twice as long as the one
	// before, up to MaxDuration; after as long without a ban, that is forgotten.
	Duration, MaxDuration time.Duration
	// Allow is never banned.
	Allow []netip.Prefix
}

// Settings are what can change while the gateway runs.
type Settings struct {
	Rules
	// Size is how many sources, users at sources, and automatic bans are remembered, each.
	Size int
	// File keeps the bans over a restart. Empty: nothing does.
	File string
}

// Config is what Bans needs.
type Config struct {
	Settings
	// HasSessions reports whether sessions are up from an address. Nil: none are.
	HasSessions func(netip.Addr) bool
	// Changed is told of each ban of a whole source, with the time of its end, and of an end
	// before that, with the zero time. It returns promptly, and calls nobody here. Nil:
	// nobody is told.
	Changed func(source netip.Prefix, until time.Time)
	// Banned is told of each automatic ban, on the same terms.
	Banned func(admin.Ban)
	Log    *slog.Logger
}

const (
	// nameWeight is what a failure counts to its source whose name is new there.
	nameWeight = 4
	// lately is for how long a log-in has its source judged patiently.
	lately = 24 * time.Hour
	// maxName is how many octets of a name matter. RADIUS has no more (RFC 2865 §5.1).
	maxName = 253
	// maxManual bounds the bans of operators.
	maxManual = 10_000
)

// errBanned is at 649, no dial-in permission, as at 691 a client would ask its user for
// another password.
var errBanned = &gopptp.AuthError{Code: 649, Message: "Too many failures; try again later"}

// Bans is safe for concurrent use.
type Bans struct {
	cfg Config // its Settings are of mu
	log *slog.Logger

	mu      sync.Mutex
	table   table
	sources *simplelru.LRU[netip.Prefix, *source]
	pairs   *simplelru.LRU[key, *tally]
	history *simplelru.LRU[key, record]
	stats   Stats

	file *statefile.File // nil: there is none
}

var (
	_ login.Guard = (*Bans)(nil)
	_ admin.Bans  = (*Bans)(nil)
)

// key is whom a ban is of: a user, or a source, or with both the user at that source.
type key struct {
	user   string       // as foldName has it; empty: all
	source netip.Prefix // not valid: everywhere
}

// tally counts failures within a window that begins with the first.
type tally struct {
	points int
	since  time.Time
}

func (t *tally) add(points int, window time.Duration, now time.Time) {
	if now.Sub(t.since) >= window || now.Before(t.since) {
		*t = tally{since: now}
	}
	t.points += points
}

// source is what is remembered of one.
type source struct {
	tally
	success time.Time // the last log-in
}

// record is how often somebody was banned in a row, and when that was over.
type record struct {
	times int
	until time.Time
}

// New returns the bans of a configuration, and those of its file. A file that cannot be read
// is said in the log, and costs what was in it.
func New(cfg Config) (*Bans, error) {
	b := &Bans{cfg: cfg, log: cfg.Log, table: newTable(cfg.Size)}
	var err error
	if b.sources, err = simplelru.NewLRU[netip.Prefix, *source](cfg.Size, nil); err != nil {
		return nil, fmt.Errorf("bans: %w", err)
	}
	if b.pairs, err = simplelru.NewLRU[key, *tally](cfg.Size, nil); err != nil {
		return nil, fmt.Errorf("bans: %w", err)
	}
	if b.history, err = simplelru.NewLRU[key, record](cfg.Size, nil); err != nil {
		return nil, fmt.Errorf("bans: %w", err)
	}
	b.keep(cfg.File)
	return b, nil
}

// Close writes the file, if there is one.
func (b *Bans) Close() {
	b.file.Close()
}

// keep has the bans in a file from now on, and takes what is in it. Empty: in none.
func (b *Bans) keep(name string) {
	if name == "" {
		return
	}
	b.restore(name)
	file := statefile.Open(statefile.Config{
		Name: name, What: "bans", Delay: writeDelay, Snapshot: func() any { return b.snapshot() }, Log: b.cfg.Log,
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.file = file
	if len(b.table.entries) > 0 {
		file.Changed()
	}
}

// Reload replaces the settings. Bans that are in force go on, but for those of sources that
// are allowed now, and those for which there is no room any more. Another file has them from
// now on, with those that are in it. It is not to be called by several at once.
func (b *Bans) Reload(s Settings) {
	b.mu.Lock()
	other := s.File != b.cfg.File
	b.cfg.Settings = s
	for k := range b.table.entries {
		if b.cfg.allows(k.source) {
			b.end(k)
		}
	}
	b.sources.Resize(s.Size)
	b.pairs.Resize(s.Size)
	b.history.Resize(s.Size)
	for _, gone := range b.table.resize(s.Size) {
		b.tell(gone, time.Time{})
	}
	last := b.file
	if other {
		b.file = nil
	}
	b.mu.Unlock()
	if !other {
		return
	}
	last.Close() // which asks for the bans
	b.keep(s.File)
}

// Check implements login.Guard.
func (b *Bans) Check(user string, source netip.Addr) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.cfg.allows(unit(source)) {
		source = netip.Addr{} // bans of the user hold there, too
	}
	if !b.table.bans(names(user), source, now) {
		return nil
	}
	b.stats.RefusedLogins++
	return errBanned
}

// Refuses reports whether nobody may come in from a source.
func (b *Bans) Refuses(source netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cfg.allows(unit(source)) || !b.table.bans([]string{""}, source, time.Now()) {
		return false
	}
	b.stats.RefusedConnections++
	return true
}

// Failed implements login.Guard.
func (b *Bans) Failed(user string, addr netip.Addr) {
	b.logFailure(user, addr)
	hasSessions := b.cfg.HasSessions != nil && b.cfg.HasSessions(addr)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stats.Failures++
	r, now, from := &b.cfg.Rules, time.Now(), unit(addr)
	if !r.Automatic || r.allows(from) {
		return
	}
	k := key{foldName(user), from}
	pair, known := b.pairs.Get(k)
	if !known {
		pair = new(tally)
		b.pairs.Add(k, pair)
	}
	pair.add(1, r.Window, now)
	s := b.source(from)
	points := 1
	if pair.points == 1 {
		points = nameWeight
	}
	s.add(points, r.Window, now)

	limit := r.SourceFailures
	if hasSessions || now.Sub(s.success) < lately {
		limit *= r.Patience
	}
	if s.points >= limit {
		s.tally = tally{}
		b.ban(key{source: from}, "failures of many names, or very many", now)
	}
	// Without a name, a ban would be of the whole source.
	if pair.points >= r.Failures && k.user != "" {
		b.pairs.Remove(k)
		b.ban(k, "repeated failures", now)
	}
}

// Succeeded implements login.Guard. The user's failures are forgiven, and those of others at
// its source are not, as whoever has an account could have them forgiven.
func (b *Bans) Succeeded(user string, addr netip.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, from := time.Now(), unit(addr)
	s := b.source(from)
	s.success = now
	k := key{foldName(user), from}
	if pair, known := b.pairs.Get(k); known {
		if !pair.since.Before(s.since) {
			s.points = max(0, s.points-(nameWeight+pair.points-1))
		}
		b.pairs.Remove(k)
	}
	b.history.Remove(k)
}

// source finds what is remembered of one. mu is held.
func (b *Bans) source(from netip.Prefix) *source {
	s, known := b.sources.Get(from)
	if !known {
		s = new(source)
		b.sources.Add(from, s)
	}
	return s
}

// ban begins an automatic one. mu is held.
func (b *Bans) ban(k key, reason string, now time.Time) {
	r := &b.cfg.Rules
	if old := b.table.entries[k]; old != nil && old.until.After(now) {
		return // these attempts were under way when it began
	}
	last, _ := b.history.Get(k)
	if now.Sub(last.until) >= r.MaxDuration {
		last.times = 0
	}
	length := r.Duration
	for range last.times {
		if length = min(2*length, r.MaxDuration); length == r.MaxDuration {
			break
		}
	}
	e := entry{until: now.Add(length), reason: reason, times: last.times + 1}
	b.history.Add(k, record{e.times, e.until})
	b.put(k, e)
	b.stats.Banned++
	b.logBan(k, length, reason)
	if b.cfg.Banned != nil {
		b.cfg.Banned(admin.Ban{User: k.user, Source: k.source, Until: e.until, Reason: reason})
	}
}

// put has a ban in the table. mu is held.
func (b *Bans) put(k key, e entry) {
	for _, gone := range b.table.put(k, e, time.Now()) {
		b.tell(gone, time.Time{})
	}
	b.tell(k, e.until)
}

// end takes one out. mu is held.
func (b *Bans) end(k key) {
	b.table.remove(k)
	b.tell(k, time.Time{})
}

func (b *Bans) tell(k key, until time.Time) {
	b.file.Changed()
	if k.user == "" && b.cfg.Changed != nil {
		b.cfg.Changed(k.source, until)
	}
}

// allows reports whether a source, or some of it, is never banned.
func (r *Rules) allows(source netip.Prefix) bool {
	for _, a := range r.Allow {
		if source.IsValid() && a.Overlaps(source) {
			return true
		}
	}
	return false
}

// unit is what counts as one source: an IPv4 address, or a network of the size that IPv6
// gives to one host.
func unit(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // not valid without an address
	return p
}

// foldName is a user's name as it is compared: many stores of users take names in any case.
func foldName(name string) string {
	name = strings.ToLower(strings.ToValidUTF8(cut(name), "\uFFFD"))
	return strings.ToValidUTF8(cut(name), "") // both may have made it longer
}

func cut(name string) string { return name[:min(len(name), maxName)] }

// names are those by which a user may be banned: all, its name, and the name without a
// domain, under which the user may be found.
func names(user string) []string {
	list := []string{"", foldName(user)}
	if domain, bare := chap.SplitDomain(user); domain != "" {
		list = append(list, foldName(bare))
	}
	return list
}
