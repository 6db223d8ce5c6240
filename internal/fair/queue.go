package fair

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// Queue is a fair queue of packets, each a small value of type T such as the index
// of a buffer. One goroutine at a time may use it.
type Queue[T any] struct {
	limit   int // packets
	count   int
	quantum int
	key     [3]uint64 // secret

	packets []packet[T] // one more than limit: a push comes before its drop
	free    int32       // list by next

	flows  []flow // a power of two
	fresh  round  // had nothing waiting when they came
	others round

	// Lists of flows by class, which is what they have waiting in units of about
	// a quantum. No list above top has any.
	classes []int32
	shift   uint
	top     int32
}

type packet[T any] struct {
	value      T
	size       int
	prev, next int32 // in its flow, towards older and newer
}

type flow struct {
	oldest, newest int32 // packets
	waiting        int   // sum of their sizes
	deficit        int   // what it may send in this round
	active         bool  // is in a round, maybe with nothing waiting
	next           int32 // in the round
	class          int32 // none if nothing waits
	prevInClass    int32
	nextInClass    int32
}

// round is a list of flows in the order of service.
type round struct{ first, last int32 }

const none = -1

// New makes a queue of at most packets, for flows in so many buckets (rounded up to
// a power of two), which take turns of quantum. A quantum should be no less than a
// large packet.
func New[T any](packets, buckets, quantum int) *Queue[T] {
	packets, buckets, quantum = max(packets, 1), max(buckets, 1), max(quantum, 1)
	q := &Queue[T]{
		limit:   packets,
		quantum: quantum,
		packets: make([]packet[T], packets+1),
		flows:   make([]flow, 1<<bits.Len(uint(buckets-1))),
		fresh:   round{none, none},
		others:  round{none, none},
		shift:   uint(bits.Len(uint(quantum)) - 1),
		// Enough for one flow that has all places with packets of a quantum. With
		// more, it is in the highest class all the same.
		classes: make([]int32, 2*packets+2),
	}
	for i := range q.packets {
		q.packets[i].next = int32(i) + 1
	}
	q.packets[packets].next = none
	for i := range q.flows {
		q.flows[i] = flow{oldest: none, newest: none, class: none}
	}
	for i := range q.classes {
		q.classes[i] = none
	}
	var seed [8 * len(q.key)]byte
	_, _ = rand.Read(seed[:]) // never fails
	for i := range q.key {
		q.key[i] = binary.NativeEndian.Uint64(seed[8*i:])
	}
	return q
}

// Len returns how many packets wait.
func (q *Queue[T]) Len() int { return q.count }

// bucket returns that of a flow. One multiplication is not enough: whole rows of
// numbers would meet, with each key again.
func (q *Queue[T]) bucket(number uint32) int32 {
	n := uint64(number)
	return int32(mix(mix(n^q.key[0], n^q.key[1]), q.key[2]) & uint64(len(q.flows)-1))
}

// mix folds a product, each bit of which depends on many of a and b.
func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

// Push adds a packet of a flow. If the queue was full, it drops one, which may be
// the same.
func (q *Queue[T]) Push(number uint32, size int, value T) (dropped T, was bool) {
	i := q.bucket(number)
	f := &q.flows[i]
	size = max(size, 1)

	slot := q.free
	p := &q.packets[slot]
	q.free = p.next
	*p = packet[T]{value: value, size: size, prev: f.newest, next: none}
	if f.newest == none {
		f.oldest = slot
	} else {
		q.packets[f.newest].next = slot
	}
	f.newest = slot
	q.count++
	q.resize(i, size)

	if !f.active {
		f.active = true
		f.deficit = q.quantum
		q.append(&q.fresh, i)
	}
	if q.count <= q.limit {
		return dropped, false
	}
	longest := q.longest()
	return q.take(longest, q.flows[longest].newest), true
}

// Pop returns the packet whose turn it is.
func (q *Queue[T]) Pop() (value T, ok bool) {
	if q.count == 0 {
		return value, false
	}
	for {
		r := &q.fresh
		if r.first == none {
			r = &q.others
		}
		i := r.first
		f := &q.flows[i]
		switch {
		case f.deficit <= 0:
			f.deficit += q.quantum
			q.removeFirst(r)
			q.append(&q.others, i)
		case f.oldest != none:
			slot := f.oldest
			f.deficit -= q.packets[slot].size
			value = q.take(i, slot)
			if q.count == 0 {
				q.beginAnew()
			}
			return value, true
		case r == &q.fresh:
			// It stays for a round, or it could be first again and again.
			q.removeFirst(r)
			q.append(&q.others, i)
		default:
			q.removeFirst(r)
			f.active = false
		}
	}
}

// PopBatch fills values as far as packets wait and returns their number.
func (q *Queue[T]) PopBatch(values []T) int {
	n := min(len(values), q.count)
	for i := range n {
		values[i], _ = q.Pop()
	}
	return n
}

// take removes the oldest or the newest packet of flow i.
func (q *Queue[T]) take(i, slot int32) T {
	f, p := &q.flows[i], &q.packets[slot]
	if p.prev == none {
		f.oldest = p.next
	} else {
		q.packets[p.prev].next = p.next
	}
	if p.next == none {
		f.newest = p.prev
	} else {
		q.packets[p.next].prev = p.prev
	}
	value, size := p.value, p.size
	*p = packet[T]{next: q.free}
	q.free = slot
	q.count--
	q.resize(i, -size)
	return value
}

// beginAnew forgets who was served when nobody waits. Each flow in a round came
// there by a Push, which paid for this.
func (q *Queue[T]) beginAnew() {
	for _, r := range []*round{&q.fresh, &q.others} {
		for r.first != none {
			q.flows[r.first].active = false
			q.removeFirst(r)
		}
	}
	q.key[0] += 0x9e3779b97f4a7c15 // any odd number: all keys come before one does again
}

func (q *Queue[T]) append(r *round, i int32) {
	q.flows[i].next = none
	if r.first == none {
		r.first = i
	} else {
		q.flows[r.last].next = i
	}
	r.last = i
}

func (q *Queue[T]) removeFirst(r *round) { r.first = q.flows[r.first].next }

// resize changes what flow i has waiting, and its class if that is another.
func (q *Queue[T]) resize(i int32, by int) {
	f := &q.flows[i]
	f.waiting += by
	class := int32(none)
	if f.waiting > 0 {
		class = int32(min(f.waiting>>q.shift, len(q.classes)-1))
	}
	if class == f.class {
		return
	}
	if f.class != none {
		if f.prevInClass == none {
			q.classes[f.class] = f.nextInClass
		} else {
			q.flows[f.prevInClass].nextInClass = f.nextInClass
		}
		if f.nextInClass != none {
			q.flows[f.nextInClass].prevInClass = f.prevInClass
		}
	}
	if f.class = class; class == none {
		return
	}
	f.prevInClass, f.nextInClass = none, q.classes[class]
	if f.nextInClass != none {
		q.flows[f.nextInClass].prevInClass = i
	}
	q.classes[class] = i
	q.top = max(q.top, class)
}

// longest returns the flow that has most waiting, exact to a class. Something waits.
func (q *Queue[T]) longest() int32 {
	for q.classes[q.top] == none {
		q.top--
	}
	return q.classes[q.top]
}
