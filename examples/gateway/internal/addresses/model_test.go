package addresses

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gopptp/gopptp"
)

// model is the pools as simple as can be: it knows for each address who has it, or who
// had it last and when. It says which addresses may be given; which of them is Pools' own
// business.
type model struct {
	cfg  Config
	held map[netip.Addr]bool
	last map[netip.Addr]departure
}

type departure struct {
	user string
	time time.Time
	n    int // in which order
}

func (m *model) pool(name string) Pool {
	return m.cfg.Pools[slices.IndexFunc(m.cfg.Pools, func(p Pool) bool { return p.Name == name })]
}

// may returns the addresses that a user may be given.
func (m *model) may(user, pool string, now time.Time) (list []netip.Addr) {
	var mine, ready, last []netip.Addr
	for name := pool; name != ""; name = m.pool(name).Next {
		p := m.pool(name)
		newest := 0
		for _, r := range p.Ranges {
			for a := r.First; !r.Last.Less(a); a = a.Next() {
				if m.held[a] || a == m.cfg.Own || slices.Contains(m.cfg.Fixed, a) {
					continue
				}
				d, gone := m.last[a]
				age := now.Sub(d.time)
				if gone && d.user == user && age < max(p.Sticky, p.Quarantine) && d.n > newest {
					if newest > 0 {
						mine = mine[:len(mine)-1]
					}
					mine, newest = append(mine, a), d.n
				}
				if !gone || age >= p.Quarantine {
					ready = append(ready, a)
				}
				last = append(last, a)
			}
		}
	}
	for _, list := range [][]netip.Addr{mine, ready, last} {
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// restarted is what becomes of pools over a restart.
func restarted(t *testing.T, p *Pools, cfg Config, now time.Time) *Pools {
	text, err := json.Marshal(p.snapshot())
	if err != nil {
		t.Fatal(err)
	}
	var k kept
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	if p, err = New(cfg, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	p.restore(k.Addresses, now)
	return p
}

// FuzzPools has users come and go, time pass, and the configuration change, and compares
// with the model.
func FuzzPools(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 1, 40, 0, 8, 1, 2, 0, 3, 9, 0, 17, 2, 200, 33})
	f.Add([]byte("come and go, and come again, and go once more; nobody has two addresses"))
	first := Config{Own: addr("10.0.0.1"), Fixed: []netip.Addr{addr("10.0.0.4")}, Pools: []Pool{
		{Name: "a", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.6")}, Sticky: 20 * time.Second, Quarantine: 5 * time.Second, Next: "b"},
		{Name: "b", Ranges: []gopptp.PoolRange{span("10.1.0.1", "10.1.0.3")}, Quarantine: 10 * time.Second},
	}}
	second := Config{Own: addr("10.0.0.1"), Fixed: []netip.Addr{addr("10.0.0.3")}, Pools: []Pool{
		{Name: "a", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.3")}, Sticky: 20 * time.Second, Quarantine: 5 * time.Second, Next: "b"},
		{Name: "b", Ranges: []gopptp.PoolRange{span("10.0.0.4", "10.0.0.8"), span("10.1.0.2", "10.1.0.2")}, Sticky: 7 * time.Second},
	}}
	f.Fuzz(func(t *testing.T, ops []byte) {
		p, err := New(first, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		m := model{cfg: first, held: map[netip.Addr]bool{}, last: map[netip.Addr]departure{}}
		var got []netip.Addr // those held, in order
		users := map[netip.Addr]string{}
		now := time.Unix(1e9, 0)
		for i, op := range ops {
			now = now.Add(time.Duration(op>>4) * 500 * time.Millisecond)
			user, pool := fmt.Sprint("user", op>>2%6), []string{"a", "b"}[op>>6%2]
			switch op % 4 {
			case 0, 1:
				want := m.may(user, pool, now)
				a, _, err := p.acquire(pool, gopptp.PoolRequest{User: user}, now)
				if (err == nil) != (len(want) > 0) || err == nil && !slices.Contains(want, a) {
					t.Fatalf("%d: %s of %s got %v, %v; may have %v", i, user, pool, a, err, want)
				}
				if err == nil {
					m.held[a], users[a], got = true, user, append(got, a)
					delete(m.last, a)
				}
			case 2:
				if len(got) == 0 {
					continue
				}
				n := int(op>>2) % len(got)
				a := got[n]
				got = slices.Delete(got, n, n+1)
				p.release(a, func(l lease) bool { return l.user == users[a] }, now)
				delete(m.held, a)
				if p.home(a) == nil {
					continue
				}
				m.last[a] = departure{users[a], now, i*256 + 1}
			case 3:
				switch op >> 2 % 4 {
				case 0:
				case 1: // all leave, and the gateway starts anew
					for n, a := range got {
						p.release(a, func(lease) bool { return true }, now)
						if p.home(a) != nil {
							m.last[a] = departure{users[a], now, i*256 + n + 1}
						}
					}
					got, m.held = nil, map[netip.Addr]bool{}
					p = restarted(t, p, m.cfg, now)
					continue
				default:
					continue
				}
				for a, d := range m.last { // what is over is not brought back by longer times
					if q := p.home(a); now.Sub(d.time) >= max(q.Sticky, q.Quarantine) {
						delete(m.last, a)
					}
				}
				m.cfg = []Config{first, second}[op>>4%2]
				l, err := newLayout(m.cfg)
				if err != nil {
					t.Fatal(err)
				}
				p.reload(l, now)
				for a := range m.last { // what is in no pool is forgotten
					if p.home(a) == nil {
						delete(m.last, a)
					}
				}
			}
			if len(p.held) != len(m.held) {
				t.Fatalf("%d: %d are held, %d ought to be", i, len(p.held), len(m.held))
			}
			for _, q := range p.pools {
				if q.used+q.rest.len()+q.free.Free() != q.free.Size() {
					t.Fatalf("%d: %s: %d used, %d at rest, %d free of %d", i, q.Name, q.used, q.rest.len(), q.free.Free(), q.free.Size())
				}
			}
		}
	})
}
