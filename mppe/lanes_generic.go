//go:build !amd64 || purego

package mppe

// assembly is for tests, which find none here.
var assembly = false

// resetPair is reset of both.
func resetPair(a, b *rc4, keyA, keyB *[16]byte) { resetPairGeneric(a, b, keyA, keyB) }

// generate puts size octets of key stream into the first n lanes, and maybe into
// others. size is a multiple of blockLen, and roundLen at the most.
func generate(l *[width]lane, n, size int) { generateGeneric(l, n, size) }
