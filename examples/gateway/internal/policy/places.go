package policy

import (
	"container/list"
	"net/netip"

	"github.com/gopptp/gopptp"
)

// place is what a session has as soon as its user is admitted, long before it is up: so
// two who come at once count for two.
type place struct {
	session gopptp.SessionID
	user    string
	source  netip.Addr
	address netip.Addr    // fixed to the user; the zero value if none is
	claimed bool          // the address
	leaving bool          // is being replaced, and does not count any more
	gone    chan struct{} // closed when the session has ended; nil unless somebody waits for that
	ofUser  *list.Element // in places.byUser
}

// places are those of all sessions.
type places struct {
	bySession map[gopptp.SessionID]*place
	byUser    map[string]*list.List // of *place, the oldest first
	bySource  map[netip.Addr]int    // without those who are leaving
	replaced  uint64
}

func newPlaces() places {
	return places{
		bySession: make(map[gopptp.SessionID]*place),
		byUser:    make(map[string]*list.List),
		bySource:  make(map[netip.Addr]int),
	}
}

// limits of places; zero is none.
type limits struct {
	perUser, perSource int
	replace            bool // of a user's places the oldest, rather than refuse
}

// take adds a place, unless a limit is against it. An address is of one session at a
// time, whatever the limit of its user.
func (p *places) take(newcomer *place, l limits) (victims []*place, why Reason) {
	var others []*place
	mates := p.byUser[newcomer.user]
	if mates == nil {
		mates = list.New()
	}
	first := mates.Front()
	if l.perUser == 0 && !newcomer.address.IsValid() {
		first = nil // nobody of them is in the way, however many there are
	}
	for e := first; e != nil; e = e.Next() {
		switch pl := e.Value.(*place); {
		case pl.leaving:
			// Who is on the way out may have the address still.
			if pl.address.IsValid() && pl.address == newcomer.address {
				victims = append(victims, pl)
			}
		case pl.address.IsValid() && pl.address == newcomer.address:
			victims = append(victims, pl)
		default:
			others = append(others, pl)
		}
	}
	if over := len(others) + 1 - l.perUser; l.perUser > 0 && over > 0 {
		victims = append(victims, others[:min(over, len(others))]...)
	}
	staying := p.bySource[newcomer.source]
	for _, v := range victims {
		switch {
		case v.leaving:
		case !l.replace:
			return nil, TooManyOfUser
		case v.source == newcomer.source:
			staying--
		}
	}
	if l.perSource > 0 && staying >= l.perSource {
		return nil, TooManyOfSource
	}
	for _, v := range victims {
		if !v.leaving {
			v.leaving = true
			p.replaced++
			p.uncount(v.source)
		}
	}
	p.bySession[newcomer.session] = newcomer
	p.byUser[newcomer.user] = mates
	newcomer.ofUser = mates.PushBack(newcomer)
	p.bySource[newcomer.source]++
	return victims, none
}

func (p *places) remove(pl *place) {
	delete(p.bySession, pl.session)
	mates := p.byUser[pl.user]
	if mates.Remove(pl.ofUser); mates.Len() == 0 {
		delete(p.byUser, pl.user)
	}
	if !pl.leaving {
		p.uncount(pl.source)
	}
}

func (p *places) uncount(source netip.Addr) {
	if p.bySource[source]--; p.bySource[source] == 0 {
		delete(p.bySource, source)
	}
}
