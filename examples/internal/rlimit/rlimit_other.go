//go:build !linux

package rlimit

import "math"

// Raise does nothing.
func Raise(uint64) (uint64, error) { return math.MaxUint64, nil }
