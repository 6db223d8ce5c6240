//go:build !purego

package offload

import "golang.org/x/sys/cpu"

// assembly is what the processor allows; tests change it.
var assembly = cpu.X86.HasAVX2

// sum returns the sum of b, in little-endian order.
func sum(b []byte) uint64 {
	n := len(b) &^ 63
	if n < minBlocks || !assembly {
		return sumGeneric(b, 0)
	}
	return sumGeneric(b[n:], sumBlocks(&b[0], n))
}

// minBlocks is from how many octets on sumBlocks is faster.
const minBlocks = 128

// sumBlocks returns the sum of n octets, a multiple of 64, and not zero. It does not
// overflow below 2^35.
//
//go:noescape
func sumBlocks(p *byte, n int) uint64

// Prefetch has b fetched into the cache while the processor goes on. What another
// processor wrote, or a device, takes several times as long to fetch as to sum up.
func Prefetch(b []byte) {
	if len(b) > 0 {
		prefetch(&b[0], len(b))
	}
}

// prefetch fetches the lines of n octets, at least one, in steps of a line.
//
//go:noescape
func prefetch(p *byte, n int)
