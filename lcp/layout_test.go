package lcp

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// Each session has one: it is no larger than one of the allocator's sizes.
func TestLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("for 64-bit systems")
	}
	require.LessOrEqual(t, unsafe.Sizeof(LCP{}), uintptr(512))
}
