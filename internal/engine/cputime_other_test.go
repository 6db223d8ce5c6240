//go:build !linux

package engine

import "time"

var start = time.Now()

func cpuTime() time.Duration { return time.Since(start) }
