package mppe

import "crypto/subtle"

// RC4 is a chain of loads that depend on each other: one key stream leaves a
// processor idle most of the time. What is here makes several side by side.
// Elements of the state are octets: eight states of wider ones would not leave
// room for packets in the cache.

// width is how many key streams there are to a Batch. amd64 has registers for
// eight; other architectures take them four by four.
const width = 8

// roundLen is how much key stream a lane makes at once, at the most. After 256
// octets the index i of RC4 is where it was, so that a lane may begin anew while
// others go on, with one i for all.
const roundLen = 256

// blockLen divides what is made in a round.
const blockLen = 16

// narrow is how many key streams are not worth it to make side by side.
const narrow = 2

// lane is one key stream. lanes_amd64.s knows the layout. The size is not a
// multiple of 256: processors that tell addresses apart by their low bits would
// take the same element in all lanes for one.
type lane struct {
	rc4
	_    [14]byte
	keys [roundLen]byte // what is made in a round
	_    [48]byte
}

// resetPairGeneric is reset of both, in little more than the time of one.
func resetPairGeneric(a, b *rc4, keyA, keyB *[16]byte) {
	a.s, a.i, a.j = identity, 0, 0
	b.s, b.i, b.j = identity, 0, 0
	s, t := &a.s, &b.s
	var j, k uint8
	x, y := s[0], t[0]
	for i := range s {
		j += x + keyA[i&15]
		k += y + keyB[i&15]
		m := uint8(i + 1)
		nextX, nextY := s[m], t[m]
		if j == m {
			nextX = x
		}
		if k == m {
			nextY = y
		}
		s[i] = s[j]
		s[j] = x
		t[i] = t[k]
		t[k] = y
		x, y = nextX, nextY
	}
}

// generateGeneric puts the next size octets of key stream, roundLen at the most,
// into each of the first n lanes; it may do the same to lanes after them. It
// begins with i at zero, and leaves it there.
func generateGeneric(l *[width]lane, n, size int) {
	for i := 0; i < n; i += 4 {
		generateFour((*[4]lane)(l[i:]), size)
	}
}

// generateFour is generateGeneric of four lanes. Key streams are stored octet by
// octet, and wait for subtle.XORBytes: to put them together in registers, or to
// load what they are for, takes more.
func generateFour(l *[4]lane, size int) {
	j0, j1, j2, j3 := l[0].j, l[1].j, l[2].j, l[3].j
	for k := range size {
		k &= roundLen - 1 // which spares a check of bounds
		i := uint8(k + 1)

		x := l[0].s[i]
		j0 += x
		y := l[0].s[j0]
		l[0].s[i] = y
		l[0].s[j0] = x
		l[0].keys[k] = l[0].s[x+y]

		x = l[1].s[i]
		j1 += x
		y = l[1].s[j1]
		l[1].s[i] = y
		l[1].s[j1] = x
		l[1].keys[k] = l[1].s[x+y]

		x = l[2].s[i]
		j2 += x
		y = l[2].s[j2]
		l[2].s[i] = y
		l[2].s[j2] = x
		l[2].keys[k] = l[2].s[x+y]

		x = l[3].s[i]
		j3 += x
		y = l[3].s[j3]
		l[3].s[i] = y
		l[3].s[j3] = x
		l[3].keys[k] = l[3].s[x+y]
	}
	l[0].j, l[1].j, l[2].j, l[3].j = j0, j1, j2, j3
}

// pool is lanes at work. The first n are in use.
type pool struct {
	lanes [width]lane
	data  [width][]byte // what is left to en- or decrypt, never empty
	n     int

	// The key of the last lane in use is set together with the next one that
	// is needed, if due.
	key [16]byte
	due bool
}

// add puts data to be encrypted with key. It is called with nothing due.
func (p *pool) add(key *[16]byte, data []byte) {
	if len(data) == 0 {
		return
	}
	for p.n == width {
		p.round()
	}
	p.data[p.n] = data
	p.n++
	p.key, p.due = *key, true
}

// reset is c.reset, and that of the lane which is due.
func (p *pool) reset(c *rc4, key *[16]byte) {
	if !p.due {
		c.reset(key)
		return
	}
	resetPair(c, &p.lanes[p.n-1].rc4, key, &p.key)
	p.due = false
}

// flush ends all work. Nothing of keys remains.
func (p *pool) flush() {
	if p.due {
		p.lanes[p.n-1].reset(&p.key)
		p.due = false
	}
	for p.n > narrow {
		p.round()
	}
	for p.n > 0 {
		l, d := &p.lanes[p.n-1], p.data[p.n-1]
		l.xor(d, d)
		p.remove(p.n - 1)
	}
	p.key = [16]byte{}
}

// round goes on by roundLen octets in all lanes, or to the end of the longest.
func (p *pool) round() {
	size := 0
	for _, d := range p.data[:p.n] {
		size = max(size, len(d))
	}
	size = min(size+blockLen-1, roundLen) &^ (blockLen - 1)
	generate(&p.lanes, p.n, size)
	for k := p.n - 1; k >= 0; k-- {
		n := min(len(p.data[k]), size)
		d := p.data[k][:n]
		subtle.XORBytes(d, d, p.lanes[k].keys[:n])
		if p.data[k] = p.data[k][n:]; len(p.data[k]) == 0 {
			p.remove(k)
		}
	}
}

// remove ends the work of a lane, whose place the last one takes.
func (p *pool) remove(k int) {
	p.n--
	if k != p.n {
		p.lanes[k].rc4 = p.lanes[p.n].rc4
		p.data[k] = p.data[p.n]
	}
	p.lanes[p.n] = lane{}
	p.data[p.n] = nil
}
