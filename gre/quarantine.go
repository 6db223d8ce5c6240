package gre

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// idSet is a set of call IDs. It is small where it has few members, and nothing
// takes longer where it has many.
type idSet struct {
	n    int
	few  []uint16 // until there are maxFew
	many *idBits  // from then on
}

// idBits has a bit for each ID, and a bit for each word of these that has no room.
type idBits struct {
	words [1 << 16 / 64]uint64
	full  [1 << 16 / 64 / 64]uint64
}

const maxFew = 32

func (s *idSet) has(id uint16) bool {
	if s.many != nil {
		return s.many.words[id/64]>>(id%64)&1 != 0
	}
	return slices.Contains(s.few, id)
}

// add adds id, unless it is there already.
func (s *idSet) add(id uint16) {
	switch {
	case s.has(id):
		return
	case s.many != nil:
		s.many.set(id)
	case len(s.few) < maxFew:
		s.few = append(s.few, id)
	default:
		s.many = new(idBits)
		for _, other := range s.few {
			s.many.set(other)
		}
		s.many.set(id)
		s.few = nil
	}
	s.n++
}

// remove removes id, which is there.
func (s *idSet) remove(id uint16) {
	s.n--
	if s.many != nil {
		s.many.words[id/64] &^= 1 << (id % 64)
		s.many.full[id/64/64] &^= 1 << (id / 64 % 64)
		return
	}
	i := slices.Index(s.few, id)
	last := len(s.few) - 1
	s.few[i] = s.few[last]
	s.few = s.few[:last]
}

// next returns the first ID from at on that is not in the set, or else one from
// first on, and none beyond last.
func (s *idSet) next(at, first, last uint16) (id uint16, ok bool) {
	if s.many == nil {
		for range len(s.few) + 1 {
			if !s.has(at) {
				return at, true
			}
			if at++; at == 0 || at > last {
				at = first
			}
		}
		return 0, false
	}
	if id, ok = s.many.clear(at); !ok || id > last {
		id, ok = s.many.clear(first)
	}
	return id, ok && id <= last
}

func (b *idBits) set(id uint16) {
	w := &b.words[id/64]
	*w |= 1 << (id % 64)
	if *w == math.MaxUint64 {
		b.full[id/64/64] |= 1 << (id / 64 % 64)
	}
}

// clear returns the first ID from at on whose bit is clear.
func (b *idBits) clear(at uint16) (id uint16, ok bool) {
	if rest := ^b.words[at/64] >> (at % 64); rest != 0 {
		return at + uint16(bits.TrailingZeros64(rest)), true
	}
	word := int(at/64) + 1
	for word < len(b.words) {
		if rest := ^b.full[word/64] >> (word % 64); rest != 0 {
			word += bits.TrailingZeros64(rest)
			return uint16(word*64 + bits.TrailingZeros64(^b.words[word])), true
		}
		word = (word/64 + 1) * 64
	}
	return 0, false
}

// quarantine is a queue of IDs that have been given back.
type quarantine struct {
	list []resting // the oldest first; before head they are gone
	head int
	// again has how many of the list are void, the oldest: those IDs are in use
	// again, or have been since.
	again map[callKey]int
}

type callKey struct {
	ends ends
	id   uint16
}

type resting struct {
	callKey
	until time.Time
}

const (
	// restStep is how many IDs a change frees, twice of what it can add and more, so
	// that none has to free all at once.
	restStep = 4
	// maxResting bounds the memory of the quarantine. It is shorter where more calls
	// end within that time, 17,000 a second.
	maxResting = 1 << 20
)

func (q *quarantine) add(key ends, id uint16, now time.Time) {
	q.list = append(q.list, resting{callKey{key, id}, now.Add(Quarantine)})
}

// over takes the oldest ID out of the queue, if its time is over.
func (q *quarantine) over(now time.Time) (key ends, id uint16, ok bool) {
	for q.head < len(q.list) {
		r := q.list[q.head]
		void := q.again[r.callKey]
		if void == 0 && now.Before(r.until) && len(q.list)-q.head <= maxResting {
			return 0, 0, false
		}
		q.head++
		switch rest := q.list[q.head:]; {
		case len(rest) == 0:
			q.list, q.head = nil, 0
		case q.head > len(q.list)/2 && q.head >= 64:
			// Into new memory, or that of a storm would stay.
			q.list, q.head = slices.Clone(rest), 0
		}
		switch void {
		case 0:
			return r.ends, r.id, true
		case 1:
			delete(q.again, r.callKey)
		default:
			q.again[r.callKey]--
		}
	}
	return 0, 0, false
}

// cancel ends the quarantine of an ID that somebody else has chosen.
func (q *quarantine) cancel(key ends, id uint16) {
	if q.again == nil {
		q.again = make(map[callKey]int)
	}
	q.again[callKey{key, id}]++
}
