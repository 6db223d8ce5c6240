package cpu

import (
	"bytes"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	syscall6 = "internal/runtime/syscall/linux.Syscall6"
	gopptp   = "github.com/gopptp/gopptp/"
	worker   = gopptp + "userspace.(*worker).run"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		part  Part
		stack []string // from the leaf
	}{
		{receive, []string{syscall6, "syscall.RawSyscall6", gopptp + "userspace.recvmmsg", worker}},
		{send, []string{syscall6, "syscall.RawSyscall6", gopptp + "userspace.sendmmsg", gopptp + "internal/engine.(*outBatch).flush", worker}},
		{tunWrite, []string{syscall6, "syscall.write", gopptp + "userspace.(*tunQueue).Write", gopptp + "internal/engine.(*inBatch).flush", worker}},
		{tunRead, []string{syscall6, "syscall.read", gopptp + "userspace.(*tunQueue).Read", worker}},
		{wait, []string{syscall6, "golang.org/x/sys/unix.Ppoll", worker}},
		{wait, []string{"runtime.futex", "runtime.futexsleep", "runtime.mPark"}},
		{decrypt, []string{gopptp + "mppe.xorLanes", gopptp + "mppe.(*Batch).Flush", gopptp + "internal/engine.(*inBatch).decrypt", worker}},
		{decrypt, []string{"crypto/sha1.Sum", gopptp + "mppe.(*Batch).Open", gopptp + "internal/engine.(*call).receive", worker}},
		{encrypt, []string{gopptp + "mppe.xorLanes", gopptp + "mppe.(*Batch).Flush", gopptp + "internal/engine.(*outBatch).flush", worker}},
		{decapsulate, []string{gopptp + "gre.(*Header).Decode", gopptp + "internal/engine.(*Port).Inbound", worker}},
		{encapsulate, []string{"runtime.memmove", gopptp + "internal/engine.(*call).transmit", gopptp + "internal/engine.(*Port).Outbound", worker}},
		{rest, []string{gopptp + "userspace.(*worker).wait", worker}},
		{runtime, []string{"runtime.findRunnable", "runtime.schedule"}},
		{runtime, nil},
	} {
		require.Equal(t, c.part, classify(c.stack), "%v", c.stack)
	}
}

func TestSplit(t *testing.T) {
	s := Split{}
	require.Error(t, s.Add([]byte("no profile")))
	require.Zero(t, s.Total())
	require.Zero(t, s.Of(Own))

	var profile bytes.Buffer
	require.NoError(t, pprof.StartCPUProfile(&profile))
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
	}
	pprof.StopCPUProfile()
	require.NoError(t, s.Add(profile.Bytes()))

	s = Split{receive: 6, decapsulate: 1, rest: 1, runtime: 2}
	require.EqualValues(t, 10, s.Total())
	require.InDelta(t, 0.2, s.Of(Own), 1e-9)
	require.InDelta(t, 0.6, s.Of(Kernel), 1e-9)
}
