// Package mutate makes bad input of good, for tests of decoders: what is nearly
// right goes further than what is random.
package mutate

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// Of returns mutants of a message. Each field of one, two and four octets that
// there may be, which length fields are among, is in turn 0, 1, all ones, and one
// more and one less than it was; each bit is the other; and the message ends after
// each of its octets, or goes on for some. Each has a name that says so, and no room behind it, so
// that to read past its end is to panic.
func Of(message []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for n := range message {
			if !yield(fmt.Sprintf("cut to %d octets", n), tight(message[:n])) {
				return
			}
		}
		for _, n := range []int{1, 2, 3, 300} {
			if !yield(fmt.Sprintf("%d octets more", n), tight(message, make([]byte, n))) {
				return
			}
		}
		for i := range 8 * len(message) {
			m := tight(message)
			m[i/8] ^= 0x80 >> (i % 8)
			if !yield(fmt.Sprintf("bit %d is other", i), m) {
				return
			}
		}
		for _, size := range []int{1, 2, 4} {
			for at := 0; at+size <= len(message); at++ {
				was := get(message[at:], size)
				most := uint32(1)<<(8*size-1)<<1 - 1
				seen := map[uint32]bool{was: true}
				for _, v := range []uint32{0, 1, most, was - 1, was + 1} {
					v &= most
					if seen[v] {
						continue
					}
					seen[v] = true
					m := tight(message)
					put(m[at:], size, v)
					if !yield(fmt.Sprintf("%d octets at %d are %d, not %d", size, at, v, was), m) {
						return
					}
				}
			}
		}
	}
}

// maxOption is the most data that an option can have.
const maxOption = 253

// Options returns mutants of a list of PPP's options, each of a type, a length that
// counts all three, and data. The lists are well-formed; it is options that are
// wrong: with data of any length, of other types, missing, twice, and out of order.
func Options(list []byte) iter.Seq2[string, []byte] {
	var options [][]byte
	for b := list; len(b) > 0; b = b[b[1]:] {
		options = append(options, b[:b[1]])
	}
	// with returns the list with others in place of option i.
	with := func(i int, others ...[]byte) []byte {
		parts := append([][]byte{}, options[:i]...)
		parts = append(parts, others...)
		return tight(append(parts, options[i+1:]...)...)
	}
	return func(yield func(string, []byte) bool) {
		for i, o := range options {
			name := func(what string) string { return fmt.Sprintf("option %d (type %d) %s", i, o[0], what) }
			for n := range maxOption + 1 {
				if n == len(o)-2 || n > 20 && n < maxOption-1 {
					continue
				}
				resized := make([]byte, 2+n)
				copy(resized, o)
				resized[1] = byte(2 + n)
				if !yield(name(fmt.Sprintf("with %d octets", n)), with(i, resized)) {
					return
				}
			}
			for _, m := range []struct {
				what string
				list []byte
			}{
				{"missing", with(i)},
				{"twice", with(i, o, o)},
				{"alone", tight(o)},
				{"first", tight(o, with(i))},
				{"last", tight(with(i), o)},
			} {
				if !yield(name(m.what), m.list) {
					return
				}
			}
			for typ := range 256 {
				other := tight(o)
				other[0] = byte(typ)
				if typ != int(o[0]) && !yield(name(fmt.Sprintf("as type %d", typ)), with(i, other)) {
					return
				}
			}
			for at := 2; at < len(o); at++ {
				for _, v := range []byte{0, 1, 255, o[at] - 1, o[at] + 1} {
					other := tight(o)
					other[at] = v
					if v != o[at] && !yield(name(fmt.Sprintf("with %d at %d", v, at)), with(i, other)) {
						return
					}
				}
			}
		}
	}
}

// tight joins parts in memory of exactly their size.
func tight(parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	b := make([]byte, 0, n)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b[:n:n]
}

func get(b []byte, size int) uint32 {
	switch size {
	case 1:
		return uint32(b[0])
	case 2:
		return uint32(binary.BigEndian.Uint16(b))
	}
	return binary.BigEndian.Uint32(b)
}

func put(b []byte, size int, v uint32) {
	switch size {
	case 1:
		b[0] = byte(v)
	case 2:
		binary.BigEndian.PutUint16(b, uint16(v))
	default:
		binary.BigEndian.PutUint32(b, v)
	}
}
