package gre

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Errors of [Demux].
var (
	// ErrInUse reports that the peer has a call with this ID.
	ErrInUse = errors.New("gre: call ID in use")
	// ErrNoCallID reports that the peer has 65,535 calls.
	ErrNoCallID = errors.New("gre: no call ID is free")
)

// Demux finds a call by our call ID and the peer's address. The address belongs
// to the key since a call ID by itself has room for 65,535 calls only, and the
// peer's call ID does not, since peers behind one address may have the same.
//
// The zero Demux is empty and ready. All methods may be called from any
// goroutine. A lookup takes no lock and allocates nothing; changes wait for
// each other. A Demux must not be copied.
type Demux[T any] struct {
	// One list for each call ID, of the peers that have it. Lists are replaced,
	// never changed, so that lookups need no lock. They are short: a hundred
	// thousand calls make one or two a list. The first
	// level keeps the table of a client, with its one call, small.
	pages [256]atomic.Pointer[page[T]]

	mu    sync.Mutex         // held to change anything
	calls map[netip.Addr]int // of each peer; call ID 0 is not for Allocate and not counted
	len   int
}

type page[T any] [256]atomic.Pointer[entry[T]]

// entry is immutable but for next, and that is changed only before the entry
// can be found.
type entry[T any] struct {
	peer  netip.Addr
	value T
	next  *entry[T]
}

// Lookup returns the value of the call with our call ID id towards peer. An
// IPv4 address may be in either of its forms.
func (d *Demux[T]) Lookup(peer netip.Addr, id uint16) (value T, ok bool) {
	if p := d.pages[id>>8].Load(); p != nil {
		peer = peer.Unmap()
		for e := p[id&0xff].Load(); e != nil; e = e.next {
			if e.peer == peer {
				return e.value, true
			}
		}
	}
	return value, false
}

// Insert adds a call. It returns [ErrInUse] if there is one by this key.
func (d *Demux[T]) Insert(peer netip.Addr, id uint16, value T) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.insert(peer.Unmap(), id, value)
}

// Allocate adds a call under a free call ID, and returns that. It is never 0,
// which some peers take for none, and cannot be guessed by who does not see the
// call. It returns [ErrNoCallID] if all are in use with this peer.
func (d *Demux[T]) Allocate(peer netip.Addr, value T) (id uint16, err error) {
	return d.AllocateWithin(peer, 1, 1<<16-1, value)
}

// AllocateWithin is Allocate of a call ID from first to last, where other IDs are
// given out by somebody else.
func (d *Demux[T]) AllocateWithin(peer netip.Addr, first, last uint16, value T) (id uint16, err error) {
	peer = peer.Unmap()
	size := int(last) - int(first) + 1
	if size <= 0 {
		return 0, ErrNoCallID
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.calls[peer] >= 1<<16-1 {
		return 0, ErrNoCallID
	}
	// A few random tries find a free ID unless nearly all are taken; then the
	// next free one after the last try has to do. The first tries are for one that
	// no other peer has either: where lists differ in length, a processor does not
	// know how they go on, and waits for each.
	var random [64]byte
	rand.Read(random[:])
	offset := 0
	for i := 0; i < len(random); i += 2 {
		offset = int(binary.BigEndian.Uint16(random[i:])) % size
		id = first + uint16(offset)
		if i < len(random)/2 && d.has(id) {
			continue
		}
		if id != 0 && d.insert(peer, id, value) == nil {
			return id, nil
		}
	}
	for range size {
		offset = (offset + 1) % size
		id = first + uint16(offset)
		if id != 0 && d.insert(peer, id, value) == nil {
			return id, nil
		}
	}
	return 0, ErrNoCallID
}

// has reports whether any peer has a call with this ID.
func (d *Demux[T]) has(id uint16) bool {
	p := d.pages[id>>8].Load()
	return p != nil && p[id&0xff].Load() != nil
}

func (d *Demux[T]) insert(peer netip.Addr, id uint16, value T) error {
	p := d.pages[id>>8].Load()
	if p == nil {
		p = new(page[T])
		d.pages[id>>8].Store(p)
	}
	head := p[id&0xff].Load()
	for e := head; e != nil; e = e.next {
		if e.peer == peer {
			return ErrInUse
		}
	}
	p[id&0xff].Store(&entry[T]{peer, value, head})
	if d.calls == nil {
		d.calls = make(map[netip.Addr]int)
	}
	if id != 0 {
		d.calls[peer]++
	}
	d.len++
	return nil
}

// Remove removes a call and returns its value. A lookup that runs at the same
// time may still find it.
func (d *Demux[T]) Remove(peer netip.Addr, id uint16) (value T, ok bool) {
	peer = peer.Unmap()
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pages[id>>8].Load()
	if p == nil {
		return value, false
	}
	var kept *entry[T]
	for e := p[id&0xff].Load(); e != nil; e = e.next {
		if e.peer == peer {
			value, ok = e.value, true
		} else {
			kept = &entry[T]{e.peer, e.value, kept}
		}
	}
	if !ok {
		return value, false
	}
	p[id&0xff].Store(kept)
	if id != 0 {
		d.calls[peer]--
	}
	if d.calls[peer] == 0 {
		delete(d.calls, peer)
	}
	d.len--
	return value, true
}

// Len returns the number of calls.
func (d *Demux[T]) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.len
}
