package kernel

import (
	"bufio"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/nstest"
)

// left is what sessions might leave behind.
type left struct {
	descriptors int
	devices     int
	heap        int // octets
	slab        int // KiB
	modules     int // use count of the driver: sockets
}

func whatIsLeft(t testing.TB, machines ...*machine) (l left) {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	l.heap = int(m.HeapAlloc)
	l.descriptors = nstest.Descriptors(t)
	for _, m := range machines {
		l.devices += m.devices(t)
	}
	text, err := os.ReadFile("/sys/module/pptp/refcnt")
	require.NoError(t, err)
	l.modules, err = strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	f, err := os.Open("/proc/meminfo")
	require.NoError(t, err)
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if fields := strings.Fields(in.Text()); fields[0] == "SUnreclaim:" {
			l.slab, err = strconv.Atoi(fields[1])
			require.NoError(t, err)
		}
	}
	return l
}

// A thousand calls, set up and torn down, leave nothing: 500 sessions, which have a call
// and a network device at both ends.
func TestNothingIsLeft(t *testing.T) {
	const total, atOnce = 500, 20
	client, server := machines(t)
	clientPlane, serverPlane := client.open(t, Options{}), server.open(t, Options{})
	s := serve(t, client, server, clientPlane, serverPlane, nil)
	round := func(n int) {
		var wg sync.WaitGroup
		sessions := make([]*gopptp.Session, n)
		for i := range sessions {
			wg.Go(func() { sessions[i] = s.dial(t) })
		}
		wg.Wait()
		for _, session := range sessions {
			session.Close()
		}
		for _, session := range sessions {
			<-session.Done()
		}
	}
	settled := func() left {
		nstest.Eventually(t, "no device left", func() bool { return client.devices(t)+server.devices(t) == 0 })
		time.Sleep(200 * time.Millisecond) // what the kernel frees a grace period later
		return whatIsLeft(t, client, server)
	}
	round(atOnce) // what is kept for later is kept once
	round(atOnce)
	before := settled()
	for range total / atOnce {
		round(atOnce)
	}
	after := settled()
	t.Logf("before: %+v", before)
	t.Logf("after:  %+v", after)
	require.Equal(t, before.descriptors, after.descriptors)
	require.Equal(t, before.modules, after.modules, "sockets of the driver")
	require.Zero(t, after.devices)
	// A device has several kilobytes, and a session's state has some.
	require.Less(t, after.heap-before.heap, total*512, "octets of the process")
	require.Less(t, after.slab-before.slab, total*2, "KiB of the kernel")
}
