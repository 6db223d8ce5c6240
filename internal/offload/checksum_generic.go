//go:build !amd64 || purego

package offload

// assembly is for tests, which find none here.
var assembly = false

// sum returns the sum of b, in little-endian order.
func sum(b []byte) uint64 { return sumGeneric(b, 0) }

// Prefetch would have b fetched into the cache while the processor goes on. Go has no
// way to say so.
func Prefetch(b []byte) {}
