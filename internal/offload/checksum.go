package offload

import (
	"encoding/binary"
	"math/bits"
)

// Sum is the Internet checksum of RFC 1071 before it is complemented: the ones'
// complement sum of b's 16-bit words and initial. An odd last octet counts as if
// a zero followed. Of octets with a right checksum among them it is 0xFFFF.
func Sum(b []byte, initial uint16) uint16 {
	return fold(uint64(wireOrder(sum(b))) + uint64(initial))
}

// The sum may be built in any byte order, of words of any size (RFC 1071 §2). The
// functions below take it little-endian in words of 64 bits, whose carries come
// around at the end.

// block is what the loops take at once: the more, the fewer carries are lost
// between instructions.
const block = 64

// sum returns the sum of b, in little-endian order.
func sum(b []byte) uint64 {
	var s, c uint64
	for ; len(b) >= block; b = b[block:] {
		p := (*[block]byte)(b)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[0:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[24:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[32:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[40:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[48:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[56:]), c)
	}
	for ; len(b) >= 8; b = b[8:] {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
	}
	s, c = bits.Add64(s, tail(b), c)
	return s + c // this carries no more, as the tail is short
}

// copySum copies src to dst, which is as long, and returns the sum of it.
func copySum(dst, src []byte) uint64 {
	dst = dst[:len(src)]
	var s, c uint64
	for len(src) >= block && len(dst) >= block {
		p, q := (*[block]byte)(src), (*[block]byte)(dst)
		x0, x1 := binary.LittleEndian.Uint64(p[0:]), binary.LittleEndian.Uint64(p[8:])
		x2, x3 := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		x4, x5 := binary.LittleEndian.Uint64(p[32:]), binary.LittleEndian.Uint64(p[40:])
		x6, x7 := binary.LittleEndian.Uint64(p[48:]), binary.LittleEndian.Uint64(p[56:])
		s, c = bits.Add64(s, x0, c)
		s, c = bits.Add64(s, x1, c)
		s, c = bits.Add64(s, x2, c)
		s, c = bits.Add64(s, x3, c)
		s, c = bits.Add64(s, x4, c)
		s, c = bits.Add64(s, x5, c)
		s, c = bits.Add64(s, x6, c)
		s, c = bits.Add64(s, x7, c)
		binary.LittleEndian.PutUint64(q[0:], x0)
		binary.LittleEndian.PutUint64(q[8:], x1)
		binary.LittleEndian.PutUint64(q[16:], x2)
		binary.LittleEndian.PutUint64(q[24:], x3)
		binary.LittleEndian.PutUint64(q[32:], x4)
		binary.LittleEndian.PutUint64(q[40:], x5)
		binary.LittleEndian.PutUint64(q[48:], x6)
		binary.LittleEndian.PutUint64(q[56:], x7)
		src, dst = src[block:], dst[block:]
	}
	copy(dst, src)
	s, c = bits.Add64(s, sum(src), c)
	s, c = bits.Add64(s, 0, c)
	return s + c
}

// tail returns up to seven octets as a word with zeros behind.
func tail(b []byte) (x uint64) {
	shift := 0
	if len(b) >= 4 {
		x, shift, b = uint64(binary.LittleEndian.Uint32(b)), 32, b[4:]
	}
	if len(b) >= 2 {
		x, shift, b = x|uint64(binary.LittleEndian.Uint16(b))<<shift, shift+16, b[2:]
	}
	if len(b) > 0 {
		x |= uint64(b[0]) << shift
	}
	return x
}

// fold adds the words of a sum up to one. It is 0 only if the sum is.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xFFFFFFFF
	s = s>>16 + s&0xFFFF
	s = s>>16 + s&0xFFFF
	return uint16(s>>16 + s)
}

// wireOrder makes a sum one of big-endian words.
func wireOrder(s uint64) uint16 { return bits.ReverseBytes16(fold(s)) }
