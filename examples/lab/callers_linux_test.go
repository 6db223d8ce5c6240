package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
)

// callers are many calls of a host with the kernel plane, made by the test binary: a
// program for each would take too long to start.
type callers struct {
	Host   string // from which they are made
	Calls  int
	AtOnce int
}

// envCallers has the test binary make these calls.
const envCallers = "LAB_CALLERS"

// startCallers starts a process that makes the calls. Each sends an echo request as
// soon as it is up, and ends when those of its batch have been answered.
func startCallers(t *testing.T, h host, name string, calls, atOnce int) *process {
	t.Helper()
	text, err := json.Marshal(callers{h.name, calls, atOnce})
	require.NoError(t, err)
	self, err := os.Executable()
	require.NoError(t, err)
	return h.start(t, name, "env", envRole+"=callers", envCallers+"="+string(text), self)
}

// callersMain is that process.
func callersMain() int {
	var c callers
	err := json.Unmarshal([]byte(os.Getenv(envCallers)), &c)
	if err == nil {
		err = c.make()
	}
	if err != nil {
		fmt.Println("callers:", err)
		return 1
	}
	return 0
}

func (c callers) make() error {
	plane, err := kernel.Open(kernel.Options{})
	if err != nil {
		return err
	}
	defer plane.Close()
	deaf, err := c.batch(plane, c.AtOnce)
	if err != nil {
		return err
	}
	before := ownFigures()
	for done := c.AtOnce; done < c.Calls; done += c.AtOnce {
		more, err := c.batch(plane, min(c.AtOnce, c.Calls-done))
		deaf += more
		if err != nil {
			return fmt.Errorf("after %d calls: %w", done, err)
		}
	}
	fmt.Printf("%d calls, %d of them deaf\n", c.Calls, deaf)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		after := ownFigures()
		if err = after.within(before); err == nil || time.Now().After(end) {
			fmt.Printf("after the first calls: %v; after the last: %v\n", before, after)
			return err
		}
	}
}

// batch makes n calls at once, and reports how many were up and deaf.
func (c callers) batch(plane gopptp.Dataplane, n int) (deaf int64, err error) {
	h := host{c.Host, ""}
	errs := make([]error, n)
	var answered, ended sync.WaitGroup
	answered.Add(n)
	for i := range n {
		ended.Go(func() {
			s, err := gopptp.Dial(context.Background(), serverAddr, gopptp.ClientConfig{Dataplane: plane, User: user, Password: password})
			if err == nil {
				if err = h.echoFrom(s.Local()); err != nil {
					atomic.AddInt64(&deaf, 1)
				}
			}
			answered.Done()
			answered.Wait()
			if s != nil {
				err = errors.Join(err, s.Close())
			}
			errs[i] = err
		})
	}
	ended.Wait()
	return deaf, errors.Join(errs...)
}

// processFigures are what a process holds.
type processFigures struct {
	descriptors, goroutines int
	memory                  int // of the heap, in bytes
}

// ownFigures are those of this process.
func ownFigures() processFigures {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	open, _ := os.ReadDir("/proc/self/fd")
	return processFigures{len(open), runtime.NumGoroutine(), int(m.HeapAlloc)}
}

// within reports what has grown, which is less than a hundred bytes a call if nothing
// is left of them.
func (f processFigures) within(before processFigures) error {
	if f.descriptors > before.descriptors || f.goroutines > before.goroutines || f.memory > before.memory+100<<10 {
		return fmt.Errorf("%v where there were %v", f, before)
	}
	return nil
}

func (f processFigures) String() string {
	return fmt.Sprintf("%d descriptors, %d goroutines, %d kB of heap", f.descriptors, f.goroutines, f.memory>>10)
}

// echoFrom is echoOf by the tunnel with the address of ours.
func (h host) echoFrom(local netip.Addr) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		addresses, err := i.Addrs()
		if err != nil {
			continue // it is gone
		}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr() == local {
				return h.echoOf(kernelPlane, i.Name, tunnelServer)
			}
		}
	}
	return fmt.Errorf("no device has the address %v", local)
}

// kernelFigures are what the kernel holds of PPTP.
type kernelFigures struct {
	uses string // of each module
	slab int    // all its small objects, in kB
}

func kernelHolds(t *testing.T) kernelFigures {
	t.Helper()
	var f kernelFigures
	for _, module := range []string{"gre", "pptp", "pppox", "ppp_generic", "ppp_mppe"} {
		uses, err := os.ReadFile("/sys/module/" + module + "/refcnt")
		require.NoError(t, err)
		f.uses += module + " " + strings.TrimSpace(string(uses)) + " "
	}
	info, err := os.ReadFile("/proc/meminfo")
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^SUnreclaim: +(\d+) kB$`).FindSubmatch(info)
	require.NotNil(t, m, "%s", info)
	f.slab, err = strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return f
}

// memory is what the gateway has in memory, in kB.
func (g *gateway) memory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	require.NoError(t, err)
	m := regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`).FindSubmatch(status)
	require.NotNil(t, m, "%s", status)
	kB, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return kB
}

// network is what the host knows of addresses and routes.
func (h host) network(t *testing.T) string {
	t.Helper()
	return h.ip(t, "-o", "addr", "show") + h.ip(t, "-o", "route", "show", "table", "all")
}

// TestNothingIsLeft has five hundred sessions come, carry a packet at once and go, with
// the kernel plane at both ends, so a thousand calls of it. None is deaf, and nothing is
// left of them.
func TestNothingIsLeft(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 5 * time.Minute, ours: true}, func(t *testing.T) {
		const first, calls, atOnce = 100, 500, 25
		server, clients := network(t, 1)
		goroutines := startGateway(t, server, kernelPlane, mppe128).goroutines(t)
		without := server.network(t)
		g := startGateway(t, server, kernelPlane, mppe128)
		idle := g.descriptors(t)
		done := 0
		call := func(name string, n int) (kernelFigures, int) {
			began := time.Now()
			c := startCallers(t, clients[0], name, n, atOnce)
			require.Equal(t, 0, c.exitCode(t, 3*time.Minute), "the callers' exit code")
			c.await(t, fmt.Sprintf("^%d calls, 0 of them deaf$", n), time.Second)
			t.Logf("%d calls in %.1f s", n, time.Since(began).Seconds())
			m, _ := c.await(t, "^after the first calls: .*", time.Second)
			t.Log(m[0])
			done += n
			g.ended(t, done, 10*time.Second)
			g.idle(t, idle)
			server.noTunnels(t, 5*time.Second)
			clients[0].noTunnels(t, 5*time.Second)
			require.Equal(t, without, server.network(t), "addresses and routes")
			time.Sleep(time.Second) // for what the kernel frees later
			return kernelHolds(t), g.memory(t)
		}
		// What is kept for later use is there after the first calls.
		kernelBefore, before := call("first", first)
		kernelAfter, after := call("callers", calls)
		t.Logf("the kernel: %d kB before, %d kB after; the gateway: %d kB before, %d kB after",
			kernelBefore.slab, kernelAfter.slab, before, after)
		require.Equal(t, kernelBefore.uses, kernelAfter.uses, "uses of the modules")
		require.Less(t, kernelAfter.slab, kernelBefore.slab+calls, "kB of the kernel's: less than half of one for each call")
		require.Less(t, after, before+8*calls, "kB of the gateway: less than eight for each")
		// A few more may serve timers and system calls.
		require.LessOrEqual(t, g.goroutines(t), goroutines+4, "goroutines after all sessions")
	})
}

// TestGatewayKilled kills the gateway with sessions of the kernel plane up. The kernel
// forgets them, and the next gateway has the same clients.
func TestGatewayKilled(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 2 * time.Minute, ours: true}, func(t *testing.T) {
		const n = 8
		server, clients := network(t, n)
		unused, without := kernelHolds(t), server.network(t)
		for range 2 {
			g := startGateway(t, server, kernelPlane, mppe128)
			sessions := make([]*dialler, n)
			for i := range sessions {
				p := userspacePlane
				if i%2 == 1 {
					p = kernelPlane
				}
				sessions[i] = startDial(t, clients[i], diallerConfig{name: fmt.Sprintf("dial-%d", i+1), plane: p, mppe: mppe128})
			}
			together(t, n, func(i int) error {
				if err := sessions[i].upErr(20 * time.Second); err != nil {
					return err
				}
				return sessions[i].host.echoOf(kernelPlane, sessions[i].dev, tunnelServer)
			})
			require.Len(t, server.tunnels(t), n)
			g.signal(syscall.SIGKILL)
			require.True(t, g.ends(5*time.Second), "the gateway has not ended")
			server.noTunnels(t, 5*time.Second)
			require.Equal(t, without, server.network(t), "addresses and routes")
			for _, d := range sessions {
				require.Equal(t, dialLost, d.exitCode(t, 10*time.Second), "our client's exit code")
				d.host.noTunnels(t, 5*time.Second)
			}
			eventually(t, 10*time.Second, "the modules are used as at first", func() bool { return kernelHolds(t).uses == unused.uses })
		}
	})
}
