package cli

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// garbagePercent is how much the heap grows, of what is in use, before garbage is
	// collected.
	garbagePercent = 50
	// tidyInterval is how often a look is taken at what is free.
	tidyInterval = 30 * time.Second
	// tidyLeast is how much of it the host gets back, in octets, and tidyShare which part
	// of the heap; less is not worth the work.
	tidyLeast, tidyShare = 8 << 20, 10
)

// keepMemorySmall has the process give back what the set-up of very many sessions, or
// their end, has left, until stop is called. The runtime keeps what it may need again
// for another rush of the same size: as much as the sessions themselves take. GOGC, if
// it is set, has the last word on how much garbage there may be.
func keepMemorySmall() (stop func()) {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(garbagePercent)
	}
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(tidyInterval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				tidy()
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// tidy gives free memory back to the host, if there is much of it. It takes as long as a
// garbage collection, beside all else.
func tidy() (done bool) {
	if free, heap := spare(); free < max(tidyLeast, heap/tidyShare) {
		return false
	}
	debug.FreeOSMemory()
	return true
}

// spare is what the heap has of the host, and how much of that is free or garbage.
func spare() (free, heap uint64) {
	samples := []metrics.Sample{
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/heap/live:bytes"},
	}
	metrics.Read(samples)
	value := func(i int) uint64 { return samples[i].Value.Uint64() }
	objects := value(2)
	garbage := objects - min(objects, value(3))
	return value(0) + garbage, value(0) + value(1) + objects
}
