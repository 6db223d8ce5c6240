package dataplane

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// namespace is a network namespace to come back to.
type namespace struct{ file *os.File }

const namespacePath = "/proc/thread-self/ns/net"

// currentNamespace is that of the calling thread. Without /proc it cannot be known, nor
// told from others: then there is likely one.
func currentNamespace() namespace {
	file, _ := os.Open(namespacePath)
	return namespace{file}
}

// do runs f there.
func (n namespace) do(f func()) error {
	if n.file == nil {
		f()
		return nil
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		changed, err := n.enter()
		if err == nil {
			f()
		}
		if !changed { // else the thread ends with the goroutine
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		return fmt.Errorf("dataplane: network namespace: %w", err)
	}
	return nil
}

// enter reports whether the thread was in another one.
func (n namespace) enter() (bool, error) {
	var want, have unix.Stat_t
	if err := unix.Fstat(int(n.file.Fd()), &want); err != nil {
		return false, err
	}
	if err := unix.Stat(namespacePath, &have); err != nil {
		return false, err
	}
	if want.Dev == have.Dev && want.Ino == have.Ino {
		return false, nil
	}
	return true, unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET)
}

func (n namespace) close() {
	if n.file != nil {
		n.file.Close()
	}
}
