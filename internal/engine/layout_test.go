package engine

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// What a packet needs is where warm.go looks, and a session is not large.
func TestLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("for 64-bit systems")
	}
	var c call
	const before = 8 // which the runtime keeps in front of what is large and has pointers
	for name, offset := range map[string]uintptr{
		"in": unsafe.Offsetof(c.in), "num": unsafe.Offsetof(c.num), "out": unsafe.Offsetof(c.out),
	} {
		require.Zero(t, (before+offset)%cacheLine, name)
	}
	require.LessOrEqual(t, unsafe.Offsetof(c.id)+unsafe.Sizeof(c.id), uintptr(cacheLine-before))
	require.LessOrEqual(t, unsafe.Offsetof(c.in.users)+unsafe.Sizeof(c.in.users), uintptr(2*cacheLine))
	require.LessOrEqual(t, unsafe.Offsetof(c.num.receiver), uintptr(cacheLine))
	require.LessOrEqual(t, unsafe.Offsetof(c.out.waiting), uintptr(cacheLine))
	require.LessOrEqual(t, before+unsafe.Sizeof(c), uintptr(896)) // a size of the allocator

	var n network
	require.LessOrEqual(t, unsafe.Offsetof(n.Network), uintptr(2*cacheLine))
	require.LessOrEqual(t, unsafe.Sizeof(n), uintptr(352)) // a size of the allocator
}
