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

// SumIPv4 is Sum of an IPv4 header without options, which b begins with.
func SumIPv4(b []byte) uint16 {
	p := (*[headerLen4]byte)(b)
	return wireOrder(uint64(binary.LittleEndian.Uint32(p[0:])) + uint64(binary.LittleEndian.Uint32(p[4:])) +
		uint64(binary.LittleEndian.Uint32(p[8:])) + uint64(binary.LittleEndian.Uint32(p[12:])) + uint64(binary.LittleEndian.Uint32(p[16:])))
}

// The sum may be built in any byte order, of words of any size (RFC 1071 §2). The
// functions below take it little-endian in words of 64 bits, whose carries come
// around at the end.

// sumGeneric returns the sum of b and s, in little-endian order.
//
// An addition with carry waits for the one before it, so the first loop adds up
// two sums side by side. To copy the octets on the way, in the same loop, is slower
// than copy and a sum of the source after it.
func sumGeneric(b []byte, s uint64) uint64 {
	var c, t, d uint64
	for ; len(b) >= 128; b = b[128:] {
		p := (*[128]byte)(b)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[0:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[24:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[32:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[40:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[48:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[56:]), c)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[64:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[72:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[80:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[88:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[96:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[104:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[112:]), d)
		t, d = bits.Add64(t, binary.LittleEndian.Uint64(p[120:]), d)
	}
	for ; len(b) >= 32; b = b[32:] {
		p := (*[32]byte)(b)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[0:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[8:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[16:]), c)
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(p[24:]), c)
	}
	for ; len(b) >= 8; b = b[8:] {
		s, c = bits.Add64(s, binary.LittleEndian.Uint64(b), c)
	}
	s, c = bits.Add64(s, t, c)
	s, c = bits.Add64(s, tail(b), c)
	s, c = bits.Add64(s, d, c)
	return s + c // this carries no more
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
