package lab

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// wire is a path between two devices that is as bad as it is told to be, for
// kernels without netem. It carries whole Ethernet frames.
type wire struct {
	quality atomic.Pointer[quality]
	count   struct{ carried, lost, doubled, overtook atomic.Int64 }
}

// quality of a wire, in each direction. Shares are of all frames.
type quality struct {
	delay                   time.Duration
	loss, double, overtakes float64
}

// overWire makes a server and a client as network does, with a wire between them.
//
//	server 10.0.1.1 on c1 ── w0, wire, w1 ── 10.0.1.2 on eth0, client 1
func overWire(t *testing.T) (server, client host, w *wire) {
	t.Helper()
	server, client = host{"server", serverAddr}, host{"client1", "10.0.1.2"}
	between := host{"wire", ""}
	t.Cleanup(func() {
		for _, h := range []host{server, client, between} {
			_, _ = run("ip", "netns", "del", h.name)
		}
	})
	batch(t, "", "netns add server", "netns add client1", "netns add wire")
	batch(t, between.name,
		"link add w0 type veth peer name c1 netns server", "link add w1 type veth peer name eth0 netns client1",
		"link set w0 up", "link set w1 up")
	batch(t, server.name, "link set lo up", "addr add "+serverAddr+"/32 dev lo", "addr add 10.0.1.1/24 dev c1", "link set c1 up")
	batch(t, client.name, "link set lo up", "addr add "+client.addr+"/24 dev eth0", "link set eth0 up",
		"route add "+serverAddr+"/32 via 10.0.1.1")

	w = new(wire)
	w.quality.Store(new(quality))
	ends := [2]int{between.frames(t, "w0"), between.frames(t, "w1")}
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i := range ends {
		running.Go(func() { w.carry(ends[i], ends[1-i], stop) })
	}
	t.Cleanup(func() {
		close(stop)
		running.Wait()
		for _, end := range ends {
			unix.Close(end)
		}
	})
	return server, client, w
}

// frames opens a socket for the frames of a device. Each comes and goes with a
// header of virtio, which says what of checksums and segments is left to do.
func (h host) frames(t *testing.T, dev string) (fd int) {
	t.Helper()
	var name [unix.IFNAMSIZ]byte
	copy(name[:], dev)
	require.NoError(t, h.enter(func() (err error) {
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return os.NewSyscallError("socket", err)
		}
		request, err := unix.NewIfreq(dev)
		if err == nil {
			err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
		}
		for _, option := range []int{unix.PACKET_VNET_HDR, unix.PACKET_IGNORE_OUTGOING} {
			if err == nil {
				err = unix.SetsockoptInt(fd, unix.SOL_PACKET, option, 1)
			}
		}
		if err == nil {
			err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 1000})
		}
		if err == nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
		}
		if err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: int(request.Uint32())})
		}
		return err
	}))
	return fd
}

// carry takes frames from one end to the other until stop is closed. It wakes up
// once a millisecond, which is as exact as the delay needs to be.
func (w *wire) carry(from, to int, stop <-chan struct{}) {
	var late lateFrames
	buf := make([]byte, 10+(64<<10)+64)
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		default:
		}
		size, err := unix.Read(from, buf)
		now := time.Now()
		if err == nil {
			w.take(append([]byte(nil), buf[:size]...), n, now, &late)
		}
		for len(late) > 0 && !late[0].due.After(now) {
			_, _ = unix.Write(to, heap.Pop(&late).(lateFrame).data)
		}
	}
}

func (w *wire) take(frame []byte, n int, now time.Time, late *lateFrames) {
	q := w.quality.Load()
	w.count.carried.Add(1)
	if rand.Float64() < q.loss {
		w.count.lost.Add(1)
		return
	}
	due := now.Add(q.delay)
	if rand.Float64() < q.overtakes {
		w.count.overtook.Add(1)
		due = now
	}
	heap.Push(late, lateFrame{due, n, frame})
	if rand.Float64() < q.double {
		w.count.doubled.Add(1)
		heap.Push(late, lateFrame{due.Add(q.delay / 4), n, frame})
	}
}

func (w *wire) String() string {
	c := &w.count
	return fmt.Sprintf("of %d frames %d lost, %d doubled, %d overtaking others",
		c.carried.Load(), c.lost.Load(), c.doubled.Load(), c.overtook.Load())
}

// lateFrame is under way.
type lateFrame struct {
	due  time.Time
	n    int // those that are due at the same time stay in order
	data []byte
}

// lateFrames is a heap.
type lateFrames []lateFrame

func (l lateFrames) Len() int { return len(l) }
func (l lateFrames) Less(i, j int) bool {
	return l[i].due.Before(l[j].due) || l[i].due.Equal(l[j].due) && l[i].n < l[j].n
}
func (l lateFrames) Swap(i, j int) { l[i], l[j] = l[j], l[i] }
func (l *lateFrames) Push(f any)   { *l = append(*l, f.(lateFrame)) }
func (l *lateFrames) Pop() any {
	last := len(*l) - 1
	f := (*l)[last]
	(*l)[last] = lateFrame{}
	*l = (*l)[:last]
	return f
}

// TestOursOnBadPath has our client call our gateway over a path that loses,
// doubles, delays and reorders, and a checked bulk transfer go over it. One such
// path is cut in the end.
func TestOursOnBadPath(t *testing.T) {
	lab(t, environment{kind: namespaces, limit: 2 * time.Minute, ours: true}, func(t *testing.T) {
		for _, b := range []struct {
			name, mppe, mode string
			cut              bool
		}{
			{noMPPE, noMPPE, "stateless", false},
			{"MPPE stateless", mppe128, "stateless", true},
			{"MPPE stateful", mppe128, "stateful", false},
		} {
			t.Run(b.name, func(t *testing.T) { oursOnBadPath(t, b.mppe, b.mode, b.cut) })
		}
	})
}

func oursOnBadPath(t *testing.T, mppe, mode string, cut bool) {
	server, client, w := overWire(t)
	g := startGateway(t, server, userspacePlane, mppe, impatience, "mppe_modes: ["+mode+"]")
	server.serveBulk(t)
	before := g.descriptors(t)

	// The session has to come up over it, too.
	w.quality.Store(&quality{delay: 5 * time.Millisecond, loss: 0.01, double: 0.01, overtakes: 0.02})
	d := startDial(t, client, diallerConfig{plane: userspacePlane, mppe: mppe, more: append([]string{"--mppe-modes", mode}, impatientDial...)})
	d.up(t, 20*time.Second)
	require.NotEmpty(t, d.find(fmt.Sprintf(`^up: .* encryption="(none|MPPE 128-bit %s)" `, mode)), "what we have agreed on")
	size := 2 << 20
	if mode == "stateful" {
		// Each loss costs TCP all that is under way, and a timeout.
		size = 256 << 10
	}
	t.Log(client.bulk(t, d.dev, tunnelServer, size))
	t.Log(w)

	// It gets no worse by that when the path gets better.
	w.quality.Store(new(quality))
	require.NoError(t, client.echoOfPPPD(d.dev, tunnelServer))
	client.ping(t, d.dev, tunnelServer, 20)
	t.Log(client.bulk(t, d.dev, tunnelServer, 8<<20))

	// Nor by being cut, until it is cut for too long.
	w.quality.Store(&quality{loss: 1})
	require.Error(t, client.tryEcho(d.dev, tunnelServer, 1500*time.Millisecond))
	w.quality.Store(new(quality))
	require.NoError(t, client.echoOfPPPD(d.dev, tunnelServer))
	require.Empty(t, g.find(`msg="session (down|failed)"`))
	if !cut {
		d.terminate()
		require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
		m, _ := d.await(t, `^down: cause=local .*`, time.Second)
		t.Log(m[0])
		g.ended(t, 1, 5*time.Second)
		g.idle(t, before)
		g.shutdown(t)
		return
	}
	w.quality.Store(&quality{loss: 1})
	began := time.Now()
	down := g.ended(t, 1, 15*time.Second)
	require.Regexp(t, ` cause=dead-peer `, down)
	require.Equal(t, dialLost, d.exitCode(t, 15*time.Second), "our client's exit code")
	m, _ := d.await(t, `^down: cause=dead-peer .*`, time.Second)
	t.Logf("both have noticed after %.1f s", time.Since(began).Seconds())
	t.Log(strings.TrimSpace(down))
	t.Log(m[0])
	client.noTunnels(t, time.Second)
	eventually(t, 25*time.Second, "the gateway closes the connection of the dead", func() bool {
		return g.descriptors(t) <= before
	})
	t.Logf("all is gone after %.1f s", time.Since(began).Seconds())
	g.shutdown(t)
}
