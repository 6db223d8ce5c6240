package traffic

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/bench/internal/netns"
)

// Latency is half of round trips.
type Latency struct {
	Median, P99 time.Duration
}

// socket opens a UDP socket that blocks, for half a second at most, so that nothing
// but the kernel is between a packet and who waits for it.
func socket(ns *netns.Namespace, local netip.AddrPort) (fd int, at netip.AddrPort, err error) {
	ns.Do(func() { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
	if err != nil {
		return -1, at, err
	}
	patience := unix.NsecToTimeval(int64(500 * time.Millisecond))
	if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err == nil {
		err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(local.Port()), Addr: local.Addr().As4()})
	}
	var name unix.Sockaddr
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return -1, at, err
	}
	in := name.(*unix.SockaddrInet4)
	return fd, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)), nil
}

// Echo sends a small packet every interval, for a while, and measures how long its
// echo takes. Nothing else is under way.
func Echo(client, server *netns.Namespace, from, to netip.Addr, interval, during time.Duration) (Latency, error) {
	there, at, err := socket(server, netip.AddrPortFrom(to, 0))
	if err != nil {
		return Latency{}, err
	}
	here, _, err := socket(client, netip.AddrPortFrom(from, 0))
	if err != nil {
		unix.Close(there)
		return Latency{}, err
	}
	defer unix.Close(here)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		runtime.LockOSThread()
		echo(there, stop)
	}()
	defer func() { close(stop); <-stopped; unix.Close(there) }()

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Connect(here, &unix.SockaddrInet4{Port: int(at.Port()), Addr: to.As4()}); err != nil {
		return Latency{}, err
	}
	return pings(here, interval, during)
}

func echo(fd int, stop <-chan struct{}) {
	buf := make([]byte, 64)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		select {
		case <-stop:
			return
		default:
		}
		if err == nil {
			_ = unix.Sendto(fd, buf[:n], 0, from)
		}
	}
}

func pings(fd int, interval, during time.Duration) (Latency, error) {
	var times []time.Duration
	var buf [36]byte
	lost := 0
	began := time.Now()
	for i := uint64(0); time.Since(began) < during; i++ {
		time.Sleep(time.Until(began.Add(time.Duration(i) * interval)))
		binary.BigEndian.PutUint64(buf[:], i)
		sent := time.Now()
		if _, err := unix.Write(fd, buf[:]); err != nil {
			return Latency{}, err
		}
		for {
			n, err := unix.Read(fd, buf[:])
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				if lost++; lost > 3 {
					return Latency{}, fmt.Errorf("no echo: %w", err)
				}
				break
			}
			if n == len(buf) && binary.BigEndian.Uint64(buf[:]) == i {
				times = append(times, time.Since(sent)/2)
				break
			}
		}
	}
	slices.Sort(times)
	if len(times) == 0 {
		return Latency{}, fmt.Errorf("no echo")
	}
	return Latency{times[len(times)/2], times[len(times)*99/100]}, nil
}
