package target

import "os"

// Private reports whether the calling thread is in another network namespace than the
// first process. In a container, which has a first process of its own, it is not: then
// nothing tells a test from an office.
func Private() (bool, error) {
	return other("/proc/thread-self/ns/net", "/proc/1/ns/net")
}

func other(ours, first string) (bool, error) {
	us, err := os.Readlink(ours)
	if err != nil {
		return false, err
	}
	init, err := os.Readlink(first)
	if err != nil {
		return false, err
	}
	return us != init, nil
}
