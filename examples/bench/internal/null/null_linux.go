package null

import (
	"fmt"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/offload"
)

const (
	batchLen = 64
	slotLen  = 2048
	maxInner = 1500
	maxLarge = 1<<16 + 40

	greLen, pppLen = 12, 4
	headerLen      = greLen + pppLen
	callID         = 7
)

// header is GRE of version 1 with a sequence number, and PPP with IPv4 in it.
var header = [headerLen]byte{0x30, 0x01, 0x88, 0x0b, 0, 0, 0, callID, 0, 0, 0, 0, 0xff, 0x03, 0, 0x21}

// wire is the way to the peer.
type wire interface {
	// receive waits, and calls take with each packet that came, without its IP
	// header. They are good until done.
	receive(take func(packet []byte)) error
	done()
	// slot returns room for the next packet to send; nil: flush first.
	slot() []byte
	// submit takes the packet in the room that slot has returned.
	submit(packet []byte)
	flush() error
}

// Options say what Open opens.
type Options struct {
	Device      string // of TUN, to be made
	Local, Peer netip.Addr
	XDP         bool   // else by a raw socket
	Interface   string // to the peer
	PeerMAC     []byte
}

// Open makes a TUN device and returns the function that forwards packets between it
// and the peer.
func Open(o Options) (run func() error, err error) {
	tun, err := openTUN(o.Device)
	if err != nil {
		return nil, fmt.Errorf("TUN device: %w", err)
	}
	var w wire
	if o.XDP {
		w, err = openXDP(&o)
	} else {
		w, err = openRaw(&o)
	}
	if err != nil {
		unix.Close(tun)
		return nil, err
	}
	return func() error {
		failed := make(chan error, 2)
		for _, forward := range []func(tun int, w wire) error{inbound, outbound} {
			go func() {
				runtime.LockOSThread()
				failed <- forward(tun, w)
			}()
		}
		return <-failed
	}, nil
}

func openTUN(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err == nil {
		const checksum, tso, uso = 0x01, 0x02 | 0x04 | 0x08, 0x20 | 0x40
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, checksum|tso|uso)
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// inbound moves packets from the peer to the host.
func inbound(tun int, w wire) error {
	joined := offload.NewCoalescer(batchLen, offload.Protocols{TCP: true, UDP: true})
	add := func(packet []byte) {
		if len(packet) > headerLen {
			joined.Add(packet[headerLen:])
		}
	}
	for {
		if err := w.receive(add); err != nil {
			return err
		}
		for pieces := joined.Next(); pieces != nil; pieces = joined.Next() {
			writeTUN(tun, pieces)
		}
		w.done()
	}
}

// outbound moves packets from the host to the peer.
func outbound(tun int, w wire) error {
	buf := make([]byte, offload.HeaderLen+maxLarge)
	var splitter offload.Splitter
	for {
		n, err := readTUN(tun, buf)
		if err == unix.EAGAIN {
			if err := w.flush(); err != nil {
				return err
			}
			if err := await(tun); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("TUN device: %w", err)
		}
		var h offload.Header
		at, err := h.Decode(buf[:n])
		if err != nil || splitter.Reset(h, buf[at:n], maxInner) != nil {
			continue
		}
		for {
			slot := w.slot()
			for slot == nil {
				if err := w.flush(); err != nil {
					return err
				}
				slot = w.slot()
			}
			copy(slot, header[:])
			n := splitter.Next(slot[headerLen:])
			if n == 0 {
				w.submit(nil)
				break
			}
			slot[4], slot[5] = byte((pppLen+n)>>8), byte(pppLen+n)
			w.submit(slot[:headerLen+n])
		}
	}
}

// readTUN and writeTUN are where the system calls are, for a profile.
//
//go:noinline
func readTUN(fd int, buf []byte) (int, error) { return unix.Read(fd, buf) }

//go:noinline
func writeTUN(fd int, pieces [][]byte) { _, _ = unix.Writev(fd, pieces) }

// await waits until there is something to read.
func await(fd int) error {
	fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}
