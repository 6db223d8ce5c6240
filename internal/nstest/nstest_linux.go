package nstest

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Missing ends a test that lacks something: with a skip, or with a failure where
// everything must be there.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// Namespace is a network namespace of its own, with its loopback interface up, and a
// thread in it. The threads of other goroutines stay where they are, so that what
// code does later it does from outside, as it may.
type Namespace struct {
	FD int // of the namespace
	// NL configures the namespace from any thread.
	NL *netlink.Handle

	work chan func()
}

// New makes a namespace that lives until the end of the test.
func New(t testing.TB) *Namespace {
	t.Helper()
	ns := &Namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and nobody else
		// gets to run in the namespace.
		runtime.LockOSThread()
		ready <- ns.enter()
		for f := range ns.work {
			f()
		}
	}()
	err := <-ready
	if err == unix.EPERM {
		close(ns.work)
		Missing(t, "network namespaces need CAP_SYS_ADMIN: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		ns.NL.Close()
		unix.Close(ns.FD)
		close(ns.work)
	})
	return ns
}

func (ns *Namespace) enter() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return err
	}
	if ns.FD, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	if ns.NL, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return err
	}
	lo, err := ns.NL.LinkByName("lo")
	if err != nil {
		return err
	}
	return ns.NL.LinkSetUp(lo)
}

// Do runs f on the thread in the namespace.
func (ns *Namespace) Do(f func()) {
	done := make(chan struct{})
	ns.work <- func() { defer close(done); f() }
	<-done
}

// Eventually waits for f, some seconds.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain: ", what)
		}
	}
}

// Descriptors counts the open files of the process.
func Descriptors(t testing.TB) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(list)
}
