package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// snapLength is how much is taken of a packet. The host may hand over large pieces.
const snapLength = 64 << 10

// Tap hands users' packets of one peer to c, from the network device of its tunnel: a
// packet socket, so that no data plane has to know of it. It ends with the function that is
// returned.
func Tap(c *Capture, peer netip.Addr, six netip.Prefix) (stop func(), err error) {
	device, err := deviceOf(peer)
	if err != nil {
		return nil, err
	}
	// No protocol yet: nothing comes before the filter is there.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	socket := os.NewFile(uintptr(fd), "packet socket")
	if err := attach(fd, filter(peer, six)); err != nil {
		socket.Close()
		return nil, fmt.Errorf("filter: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: bigEndian(unix.ETH_P_ALL), Ifindex: device}); err != nil {
		socket.Close()
		return nil, fmt.Errorf("bind: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		copyPackets(c, socket)
	}()
	return func() {
		socket.Close()
		<-done
	}, nil
}

// deviceOf finds the network device by which a peer in a tunnel is reached.
func deviceOf(peer netip.Addr) (index int, err error) {
	routes, err := netlink.RouteGet(peer.AsSlice())
	if err != nil || len(routes) == 0 {
		return 0, fmt.Errorf("no route to %v: %w", peer, errors.ErrUnsupported)
	}
	link, err := netlink.LinkByIndex(routes[0].LinkIndex)
	if err != nil {
		return 0, err
	}
	if kind := link.Type(); kind != "tuntap" && kind != "tun" && kind != "ppp" {
		return 0, fmt.Errorf("%v is not behind a device of tunnels, but %s: %w", peer, link.Attrs().Name, errors.ErrUnsupported)
	}
	return link.Attrs().Index, nil
}

func bigEndian(n uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n))
}

// filter lets packets pass that are from or to the peer.
func filter(peer netip.Addr, six netip.Prefix) []bpf.Instruction {
	v4 := peer.As4()
	address := binary.BigEndian.Uint32(v4[:])
	prefix := six.Masked().Addr().As16()
	high, low := binary.BigEndian.Uint32(prefix[:4]), binary.BigEndian.Uint32(prefix[4:8])
	list := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 0, Size: 1},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 4},
		bpf.LoadAbsolute{Off: 12, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: address, SkipTrue: 11},
		bpf.LoadAbsolute{Off: 16, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: address, SkipTrue: 9, SkipFalse: 8},
		// IPv6: the /64 of the source, or of the destination.
		bpf.LoadAbsolute{Off: 8, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: high, SkipFalse: 2},
		bpf.LoadAbsolute{Off: 12, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: low, SkipTrue: 5},
		bpf.LoadAbsolute{Off: 24, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: high, SkipFalse: 2},
		bpf.LoadAbsolute{Off: 28, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: low, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: snapLength},
	}
	if !six.IsValid() { // no IPv6 packet is the peer's
		list[2] = bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 12}
	}
	return list
}

func attach(fd int, program []bpf.Instruction) error {
	raw, err := bpf.Assemble(program)
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		code[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]})
}

// copyPackets reads until the socket is closed, or its device is gone.
func copyPackets(c *Capture, socket *os.File) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return
	}
	b := make([]byte, snapLength)
	for {
		n, sent := 0, false
		failed := raw.Read(func(fd uintptr) bool {
			var from unix.Sockaddr
			n, from, err = unix.Recvfrom(int(fd), b, unix.MSG_TRUNC)
			if link, ok := from.(*unix.SockaddrLinklayer); ok {
				sent = link.Pkttype == unix.PACKET_OUTGOING
			}
			return !errors.Is(err, unix.EAGAIN)
		})
		switch {
		case failed != nil, err != nil:
			return
		case n > 0:
			c.Packet(time.Now(), sent, n, b[:min(n, len(b))])
		}
	}
}
