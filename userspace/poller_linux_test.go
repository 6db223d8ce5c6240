package userspace

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// Where the only processor is always busy, the runtime does not look for what goroutines
// wait for. Who is busy does so instead, and who waits comes next.
func TestNudge(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	p, err := newPoller()
	require.NoError(t, err)
	var pipe [2]int
	require.NoError(t, unix.Pipe2(pipe[:], unix.O_NONBLOCK|unix.O_CLOEXEC))
	defer unix.Close(pipe[0])
	defer unix.Close(pipe[1])

	var turns atomic.Int64
	var ended atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b [1]byte
		for !ended.Load() {
			p.arm(pipe[0], unix.EPOLLIN)
			p.wait(0)
			if !p.mayBeReady(pipe[0]) {
				continue
			}
			if n, _ := unix.Read(pipe[0], b[:]); n == 1 {
				turns.Add(1)
			}
		}
		p.disarm()
	}()
	defer func() {
		ended.Store(true)
		p.wake()
		<-done
		p.nudge()
		p.Close()
	}()
	for !p.waits.Load() {
		runtime.Gosched()
	}
	runtime.Gosched()
	for i := range int64(100) {
		for p.nudged.Load() || !p.waits.Load() {
			runtime.Gosched()
		}
		p.nudge()
		require.False(t, p.nudged.Load(), "nobody is woken for nothing")
		n, err := unix.Write(pipe[1], []byte{1})
		require.NoError(t, err)
		require.Equal(t, 1, n)
		p.nudge()
		// Others of this process may come before it, but it is no matter of milliseconds.
		for n := 0; turns.Load() == i && n < 1000; n++ {
			runtime.Gosched()
		}
		require.Equal(t, i+1, turns.Load())
	}
	// One that comes late, when its wait is over, ends the next wait and no more.
	for i := range int64(10) {
		require.NoError(t, p.file.SetReadDeadline(time.Unix(1, 0)))
		_, err := unix.Write(pipe[1], []byte{1})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return turns.Load() == 101+i }, 10*time.Second, time.Millisecond)
	}
	p.nudge()
}
