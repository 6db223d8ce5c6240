package engine

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what the process has taken of processors, which other processes do
// not change as much as time that goes by.
func cpuTime() time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		panic(err)
	}
	return time.Duration(t.Nano())
}
