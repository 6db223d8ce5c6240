//go:build !purego

package mppe

import "golang.org/x/sys/cpu"

//go:generate go run ./internal/lanegen -o lanes_amd64.s

// assembly is what the processor allows; tests change it.
var assembly = cpu.X86.HasSSE41

// resetPair is reset of both.
func resetPair(a, b *rc4, keyA, keyB *[16]byte) {
	if !assembly {
		resetPairGeneric(a, b, keyA, keyB)
		return
	}
	a.s, a.i, a.j = identity, 0, 0
	b.s, b.i, b.j = identity, 0, 0
	permutePair(a, b, keyA, keyB)
}

// generate puts size octets of key stream into the first n lanes, and maybe into
// others. size is a multiple of blockLen, and roundLen at the most.
func generate(l *[width]lane, n, size int) {
	// Half of eight is slower than four.
	if !assembly || n <= width/2 {
		generateGeneric(l, n, size)
		return
	}
	generateEight(l, size)
}

// permutePair mixes keys into two states that are the identity. It reads an octet
// more than a state has.
//
//go:noescape
func permutePair(a, b *rc4, keyA, keyB *[16]byte)

// generateEight puts the next size octets of key stream into each lane. size is
// as in generate, and not zero.
//
//go:noescape
func generateEight(l *[width]lane, size int)
