package rlimit

import "golang.org/x/sys/unix"

// Raise lets the process have so many descriptors, or as many as it may, and returns the
// limit. Above the hard limit that takes CAP_SYS_RESOURCE.
func Raise(need uint64) (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	if l.Cur >= need {
		return l.Cur, nil
	}
	if more := (unix.Rlimit{Cur: need, Max: max(need, l.Max)}); unix.Setrlimit(unix.RLIMIT_NOFILE, &more) == nil {
		return need, nil
	}
	l.Cur = l.Max
	return l.Cur, unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}
