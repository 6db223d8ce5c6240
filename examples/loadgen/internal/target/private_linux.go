package target

import (
	"bytes"
	"fmt"
	"os"
)

// Private reports whether the calling thread is in another network namespace than the
// first process, or one of those that it descends from: then somebody has made one for
// it. In a container, whose first process has the same, it is not: nothing tells a test
// from an office there.
func Private() (bool, error) {
	us, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return false, err
	}
	for pid := os.Getpid(); ; pid = parent(pid) {
		if pid == 0 {
			pid = 1 // of a process whose parents are in another PID namespace
		}
		theirs, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		switch {
		case err == nil && theirs != us:
			return true, nil
		case pid == 1:
			return false, err
		}
	}
}

// parent returns the parent of a process, 0 if there is none to be seen.
func parent(pid int) (ppid int) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// PID (NAME) STATE PPID: the name may have anything in it.
	var state string
	_, _ = fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &ppid)
	return ppid
}
