package addresses

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/statefile"
)

// saveDelay is how long changes are gathered before the file is written: after a crash,
// that much of the memory is missing.
const saveDelay = 30 * time.Second

const fileVersion = 1

// kept is what a file has: who had which address.
type kept struct {
	Version   int       `json:"version"`
	Addresses []keptOne `json:"addresses"`
}

type keptOne struct {
	Address netip.Addr `json:"address"`
	User    string     `json:"user"`
	Since   time.Time  `json:"since,omitzero"` // given back; zero: a session had it
}

// remember takes the memory of the file, and keeps it there from now on.
func (p *Pools) remember(name string) {
	var k kept
	err := statefile.Read(name, &k)
	if err == nil && k.Addresses != nil && k.Version != fileVersion {
		err = fmt.Errorf("%s: version %d is unknown", name, k.Version)
	}
	switch n := 0; {
	case err != nil:
		p.log.Error("who had which address is forgotten, as it cannot be read", "err", err)
	default:
		if n = p.restore(k.Addresses, time.Now()); n > 0 {
			p.log.Info("addresses are kept for those who had them before", "addresses", n)
		}
	}
	p.file = statefile.Open(statefile.Config{
		Name: name, What: "addresses of users", Delay: saveDelay, Snapshot: func() any { return p.snapshot() }, Log: p.log,
	})
}

// restore has addresses rest that have not for long enough, if they are of a pool still.
// Those that sessions had when the gateway crashed rest from now on. It returns how many.
func (p *Pools) restore(list []keptOne, now time.Time) (restored int) {
	for i, k := range list {
		if k.Since.IsZero() || k.Since.After(now) { // the clock may have been set
			list[i].Since = now
		}
	}
	slices.SortStableFunc(list, func(a, b keptOne) int { return a.Since.Compare(b.Since) })
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, k := range list {
		since := now.Add(-now.Sub(k.Since)) // and from here on the clock may be set
		home := p.home(k.Address)
		if home == nil || now.Sub(since) >= home.rests() || !home.free.Take(k.Address) {
			continue
		}
		p.returned++
		home.rest.add(k.Address, k.User, since, p.returned)
		restored++
	}
	return restored
}

// snapshot is what the file is to have.
func (p *Pools) snapshot() kept {
	p.mu.Lock()
	var resting []*record // of which nothing changes that is used here
	for _, q := range p.pools {
		for r := q.rest.oldest; r != nil; r = r.newer {
			resting = append(resting, r)
		}
	}
	k := kept{Version: fileVersion, Addresses: make([]keptOne, len(resting), len(resting)+len(p.held))}
	for addr, l := range p.held {
		if l.home != nil && l.home.rests() > 0 {
			k.Addresses = append(k.Addresses, keptOne{Address: addr, User: l.user})
		}
	}
	p.mu.Unlock()

	slices.SortFunc(resting, inOrder)
	for i, r := range resting {
		k.Addresses[i] = keptOne{r.addr, r.user, r.since.Round(0)}
	}
	return k
}

// Close writes the memory to its file.
func (p *Pools) Close() { p.file.Close() }
