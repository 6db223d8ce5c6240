package cpu

import (
	"bytes"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	const (
		syscall6 = "internal/runtime/syscall/linux.Syscall6"
		gopptp   = "github.com/gopptp/gopptp/"
		run      = gopptp + "userspace.(*worker).run"
		in       = gopptp + "userspace.(*worker).in"
		out      = gopptp + "userspace.(*worker).out"
		null     = gopptp + "examples/bench/internal/null."
	)
	for _, c := range []struct {
		part  Part
		stack []string // from the leaf
	}{
		{receive, []string{syscall6, "syscall.RawSyscall6", gopptp + "userspace.recvmmsg", gopptp + "userspace.(*outer).receive", in, run}},
		{receive, []string{syscall6, "syscall.RawSyscall6", gopptp + "internal/xdp.(*Socket).refill", gopptp + "internal/xdp.(*Socket).Receive", gopptp + "userspace.(*outer).receive", in, run}},
		{send, []string{syscall6, gopptp + "userspace.sendmmsg", gopptp + "userspace.(*greSocket).send", gopptp + "internal/engine.(*outBatch).flush", out, run}},
		{send, []string{syscall6, gopptp + "internal/xdp.(*Socket).Flush", gopptp + "userspace.(*outer).Send", gopptp + "internal/engine.(*outBatch).flush", out, run}},
		{send, []string{syscall6, gopptp + "userspace.sendmmsg", gopptp + "userspace.(*outer).Send", gopptp + "internal/engine.(*inBatch).sendAcks", in, run}},
		{tunWrite, []string{syscall6, gopptp + "userspace.vector", gopptp + "userspace.(*tunQueue).write", gopptp + "userspace.(*tunQueue).Deliver", in, run}},
		{tunRead, []string{syscall6, gopptp + "userspace.vector", gopptp + "userspace.(*tunQueue).readOne", gopptp + "userspace.(*tunQueue).Read", out, run}},
		{wait, []string{syscall6, gopptp + "userspace.(*poller).wait", gopptp + "userspace.(*worker).wait", run}},
		{wait, []string{"runtime.futex", "runtime.futexsleep", "runtime.mPark"}},
		{decrypt, []string{gopptp + "mppe.xorLanes", gopptp + "mppe.(*Batch).Flush", gopptp + "internal/engine.(*inBatch).decrypt", in, run}},
		{decrypt, []string{"crypto/sha1.Sum", gopptp + "mppe.(*Batch).Open", gopptp + "internal/engine.(*call).receive", in, run}},
		{encrypt, []string{gopptp + "mppe.xorLanes", gopptp + "mppe.(*Batch).Flush", gopptp + "internal/engine.(*outBatch).flush", out, run}},
		{join, []string{gopptp + "internal/offload.Sum", gopptp + "internal/offload.(*segment).valid", gopptp + "userspace.(*tunQueue).Deliver", in, run}},
		{split, []string{"runtime.memmove", gopptp + "internal/offload.(*Splitter).Next", gopptp + "userspace.(*tunQueue).Read", out, run}},
		{decapsulate, []string{gopptp + "gre.(*Header).Decode", gopptp + "internal/engine.(*Port).Inbound", in, run}},
		{encapsulate, []string{"runtime.memmove", gopptp + "userspace.appendFrame", gopptp + "userspace.(*outer).Send", out, run}},
		{rest, []string{gopptp + "userspace.(*worker).wait", run}},
		{runtime, []string{"runtime.findRunnable", "runtime.schedule"}},
		{runtime, nil},

		{receive, []string{syscall6, "internal/poll.(*FD).RawRead", "golang.org/x/net/ipv4.(*PacketConn).ReadBatch", null + "(*raw).receive", null + "inbound"}},
		{send, []string{syscall6, gopptp + "internal/xdp.(*Socket).Flush", null + "(*express).flush", null + "outbound"}},
		{tunWrite, []string{syscall6, "golang.org/x/sys/unix.Writev", null + "writeTUN", null + "inbound"}},
		{wait, []string{syscall6, "golang.org/x/sys/unix.Poll", null + "await", null + "(*express).receive", null + "inbound"}},
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
	s.Merge(Split{receive: 1, wait: 1}, 2)
	require.Equal(t, Split{receive: 8, decapsulate: 1, rest: 1, runtime: 2, wait: 2}, s)
}
