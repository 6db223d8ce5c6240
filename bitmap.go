package gopptp

import "math/bits"

// bitmap gives out the numbers from 0 to size-1, a bit each, and a second one for each
// word of these: so the search for a free one is short even where next to none is free.
// It goes round and round, so that what is given back rests as long as possible.
type bitmap struct {
	size  int
	free  int
	taken []uint64 // a bit a number
	full  []uint64 // a bit a word of taken
	next  int      // where the search goes on
}

func newBitmap(size int) bitmap {
	words := (size + 63) / 64
	b := bitmap{size: size, free: size, taken: make([]uint64, words), full: make([]uint64, (words+63)/64)}
	// What is beyond the end is never free.
	if size%64 != 0 {
		b.taken[words-1] = ^uint64(0) << (size % 64)
	}
	if words%64 != 0 {
		b.full[len(b.full)-1] = ^uint64(0) << (words % 64)
	}
	return b
}

// acquire takes the first number that is free from next on.
func (b *bitmap) acquire() (n int, ok bool) {
	if b.free == 0 {
		return 0, false
	}
	w := b.next / 64
	free := ^b.taken[w] &^ (1<<(b.next%64) - 1)
	if free == 0 {
		w = b.wordAfter(w)
		free = ^b.taken[w]
	}
	n = w*64 + bits.TrailingZeros64(free)
	b.take(n)
	b.next = (n + 1) % b.size
	return n, true
}

// wordAfter finds the first word after w that has a free number, round to w itself.
// There is one.
func (b *bitmap) wordAfter(w int) int {
	i := w / 64
	free := ^b.full[i] &^ (1<<(w%64)<<1 - 1)
	for free == 0 {
		i = (i + 1) % len(b.full)
		free = ^b.full[i]
	}
	return i*64 + bits.TrailingZeros64(free)
}

func (b *bitmap) isTaken(n int) bool { return b.taken[n/64]>>(n%64)&1 != 0 }

// take reports whether n was free.
func (b *bitmap) take(n int) bool {
	if b.isTaken(n) {
		return false
	}
	w := n / 64
	b.taken[w] |= 1 << (n % 64)
	if b.taken[w] == ^uint64(0) {
		b.full[w/64] |= 1 << (w % 64)
	}
	b.free--
	return true
}

// release reports whether n was taken.
func (b *bitmap) release(n int) bool {
	if !b.isTaken(n) {
		return false
	}
	w := n / 64
	b.taken[w] &^= 1 << (n % 64)
	b.full[w/64] &^= 1 << (w % 64)
	b.free++
	return true
}
