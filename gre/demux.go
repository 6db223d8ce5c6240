package gre

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Errors of [Demux].
var (
	// ErrInUse reports that there is a call with this ID.
	ErrInUse = errors.New("gre: call ID in use")
	// ErrNoCallID reports that all call IDs are in use, or were until a moment ago.
	ErrNoCallID = errors.New("gre: no call ID is free")
	// ErrAddress reports an address that is not IPv4, which PPTP does not know.
	ErrAddress = errors.New("gre: addresses of a call are not IPv4")
)

// Quarantine is how long the ID of a call that has ended is not given out again
// between the same two addresses. Packets that are on their way, or that a peer
// sends which has not heard of the end, must not get into another call: nothing in
// them tells one from the other.
const Quarantine = time.Minute

// Demux finds a call by our call ID and the addresses of the two ends. The addresses
// belong to the key since a call ID by itself has room for 65,535 calls only, and the
// peer's call ID does not, since peers behind one address may have the same.
//
// The zero Demux is empty and ready. All methods may be called from any
// goroutine. A lookup takes no lock and allocates nothing; changes wait for
// each other, and cost the same however many calls there are. Addresses may be in
// either form that IPv4 has, and times must not go back. A Demux must not be copied.
type Demux[T any] struct {
	// One list for each call ID, of the ends that have it. Lists are replaced,
	// never changed, so that lookups need no lock. They are short: a hundred
	// thousand calls make one or two a list. The first
	// level keeps the table of a client, with its one call, small.
	pages [256]atomic.Pointer[page[T]]

	mu      sync.Mutex // held to change anything
	taken   map[ends]*idSet
	resting quarantine
	len     int
}

type page[T any] [256]atomic.Pointer[entry[T]]

// entry is immutable but for next, and that is changed only before the entry
// can be found.
type entry[T any] struct {
	ends  ends
	value T
	next  *entry[T]
}

// ends are our address and the peer's.
type ends uint64

func endsOf(local, peer netip.Addr) (e ends, ok bool) {
	local, peer = local.Unmap(), peer.Unmap()
	if !local.Is4() || !peer.Is4() {
		return 0, false
	}
	l, p := local.As4(), peer.As4()
	return ends(binary.BigEndian.Uint32(l[:]))<<32 | ends(binary.BigEndian.Uint32(p[:])), true
}

// Lookup returns the value of the call with our call ID id between local, our
// address, and peer.
func (d *Demux[T]) Lookup(local, peer netip.Addr, id uint16) (value T, ok bool) {
	p := d.pages[id>>8].Load()
	if p == nil {
		return value, false
	}
	key, ok := endsOf(local, peer)
	if !ok {
		return value, false
	}
	for e := p[id&0xff].Load(); e != nil; e = e.next {
		if e.ends == key {
			return e.value, true
		}
	}
	return value, false
}

// Insert adds a call whose ID somebody else has chosen, be it in quarantine or not.
// It returns [ErrInUse] if there is one by this key.
func (d *Demux[T]) Insert(local, peer netip.Addr, id uint16, value T) error {
	key, ok := endsOf(local, peer)
	if !ok {
		return ErrAddress
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.find(key, id) {
		return ErrInUse
	}
	set := d.set(key)
	if set.has(id) {
		d.resting.cancel(key, id)
	}
	set.add(id)
	d.insert(key, id, value)
	return nil
}

// Allocate adds a call under a free call ID, and returns that. It is never 0,
// which some peers take for none, and cannot be guessed by who does not see the
// call. It returns [ErrNoCallID] if all are in use or in [Quarantine] between these
// ends: a late packet in the wrong call is worse than a call that has to wait.
func (d *Demux[T]) Allocate(local, peer netip.Addr, value T, now time.Time) (id uint16, err error) {
	return d.AllocateWithin(local, peer, 1, 1<<16-1, value, now)
}

// AllocateWithin is Allocate of a call ID from first to last, where other IDs are
// given out by somebody else.
func (d *Demux[T]) AllocateWithin(local, peer netip.Addr, first, last uint16, value T, now time.Time) (id uint16, err error) {
	key, ok := endsOf(local, peer)
	if !ok {
		return 0, ErrAddress
	}
	first = max(first, 1)
	if first > last {
		return 0, ErrNoCallID
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.free(now, restStep)
	set := d.set(key)
	id, ok = d.choose(set, first, last)
	if !ok {
		d.free(now, len(d.resting.list)) // which may have been the last of set
		set = d.set(key)
		if id, ok = set.next(first, first, last); !ok {
			return 0, ErrNoCallID
		}
	}
	set.add(id)
	d.insert(key, id, value)
	return id, nil
}

// choose returns an ID that is not in set. A few random tries find one unless most
// are taken; then the next free one after the last try has to do.
func (d *Demux[T]) choose(set *idSet, first, last uint16) (id uint16, ok bool) {
	size := uint32(last-first) + 1
	var random [64]byte
	rand.Read(random[:])
	for i := 0; i < len(random); i += 4 {
		id = first + uint16(binary.BigEndian.Uint32(random[i:])%size)
		// The first tries are for one that no others have either: where lists differ
		// in length, a processor does not know how they go on, and waits for each.
		if !set.has(id) && (i >= len(random)/2 || !d.crowded(id)) {
			return id, true
		}
	}
	return set.next(id, first, last)
}

// crowded reports whether there is a call with this ID between any ends.
func (d *Demux[T]) crowded(id uint16) bool {
	p := d.pages[id>>8].Load()
	return p != nil && p[id&0xff].Load() != nil
}

func (d *Demux[T]) find(key ends, id uint16) bool {
	if p := d.pages[id>>8].Load(); p != nil {
		for e := p[id&0xff].Load(); e != nil; e = e.next {
			if e.ends == key {
				return true
			}
		}
	}
	return false
}

func (d *Demux[T]) insert(key ends, id uint16, value T) {
	p := d.pages[id>>8].Load()
	if p == nil {
		p = new(page[T])
		d.pages[id>>8].Store(p)
	}
	p[id&0xff].Store(&entry[T]{key, value, p[id&0xff].Load()})
	d.len++
}

// Remove removes a call and returns its value; its ID goes into [Quarantine]. A
// lookup that runs at the same time may still find it.
func (d *Demux[T]) Remove(local, peer netip.Addr, id uint16, now time.Time) (value T, ok bool) {
	key, ok := endsOf(local, peer)
	if !ok {
		return value, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pages[id>>8].Load()
	if p == nil {
		return value, false
	}
	ok = false
	var kept *entry[T]
	for e := p[id&0xff].Load(); e != nil; e = e.next {
		if e.ends == key {
			value, ok = e.value, true
		} else {
			kept = &entry[T]{e.ends, e.value, kept}
		}
	}
	if !ok {
		return value, false
	}
	p[id&0xff].Store(kept)
	d.len--
	d.free(now, restStep)
	d.resting.add(key, id, now)
	return value, true
}

// Len returns the number of calls.
func (d *Demux[T]) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.len
}

// set returns the IDs that are taken between two ends.
func (d *Demux[T]) set(key ends) *idSet {
	set := d.taken[key]
	if set == nil {
		if d.taken == nil {
			d.taken = make(map[ends]*idSet)
		}
		set = new(idSet)
		d.taken[key] = set
	}
	return set
}

// free gives IDs free whose quarantine is over, most of them at most.
func (d *Demux[T]) free(now time.Time, most int) {
	for range most {
		key, id, ok := d.resting.over(now)
		if !ok {
			return
		}
		set := d.taken[key]
		if set.remove(id); set.n == 0 {
			delete(d.taken, key)
		}
	}
}
