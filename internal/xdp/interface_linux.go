package xdp

import (
	"errors"
	"fmt"
	"net"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Options configures an [Interface]. Zero values are defaults.
type Options struct {
	// RxRing and TxRing are how many frames can wait to be received, and to be
	// sent: powers of two. The default is 2048.
	RxRing, TxRing int
	// RxFrames is how many frames there are for receiving, in the receive ring
	// and with the caller together. The default is twice RxRing. Each queue
	// locks FrameSize octets of memory for each of RxFrames and TxRing.
	RxFrames int
	// Generic takes the packets from the network stack even if the driver has a
	// way of its own.
	Generic bool
	// Copy copies frames even if the driver can do without.
	Copy bool
	// AlwaysKick makes calls also where the driver says that it does without.
	AlwaysKick bool
}

const (
	defaultRing = 2048
	maxFrames   = 1 << 20
)

func (o *Options) setDefaults() error {
	if o.RxRing == 0 {
		o.RxRing = defaultRing
	}
	if o.TxRing == 0 {
		o.TxRing = defaultRing
	}
	if o.RxFrames == 0 {
		o.RxFrames = 2 * o.RxRing
	}
	for _, n := range []int{o.RxRing, o.TxRing} {
		if n < 0 || n > maxFrames || n&(n-1) != 0 {
			return fmt.Errorf("xdp: size of a ring must be a power of two up to %d: %d", maxFrames, n)
		}
	}
	if o.RxFrames < 1 || o.RxFrames > maxFrames {
		return fmt.Errorf("xdp: frames for receiving must be 1 to %d: %d", maxFrames, o.RxFrames)
	}
	return nil
}

// Interface is a network interface whose packets of known calls come by AF_XDP.
type Interface struct {
	native  bool
	link    int // the descriptor that keeps the program attached
	sockets []*Socket
}

// Flags of BPF_LINK_CREATE.
const (
	generic = unix.XDP_FLAGS_SKB_MODE
	native  = unix.XDP_FLAGS_DRV_MODE
)

// OpenInterface attaches the program to an interface, and opens a socket for each
// of its receive queues.
func OpenInterface(f *Filter, ifindex int, o Options) (_ *Interface, err error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	device, err := netlink.LinkByIndex(ifindex)
	if err != nil {
		return nil, fmt.Errorf("xdp: interface %d: %w: %w", ifindex, ErrInterface, err)
	}
	attrs := device.Attrs()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", attrs.Name, err)
		}
	}()
	if attrs.Flags&net.FlagUp == 0 || attrs.EncapType != "ether" {
		return nil, ErrInterface
	}
	queues := attrs.NumRxQueues
	exact := false
	if n := channels(attrs.Name); n > 0 {
		queues, exact = n, true
	}
	if queues < 1 {
		queues = 1
	}

	program, socketMap, err := f.load(queues)
	if err != nil {
		return nil, err
	}
	// The link keeps the program, and the program keeps the map.
	defer unix.Close(program)
	defer unix.Close(socketMap)

	i := &Interface{link: -1}
	defer func() {
		if err != nil {
			i.Close()
		}
	}()
	// A bond hands its program to the interfaces below it, whose queues are not
	// those of our sockets.
	if !o.Generic && device.Type() != "bond" {
		i.link, err = createLink(program, ifindex, native)
		i.native = err == nil
	}
	if i.link < 0 && (err == nil || !busy(err)) {
		i.link, err = createLink(program, ifindex, generic)
	}
	if err != nil {
		return nil, explain("attach XDP program", err)
	}

	// Without XDP_COPY the kernel tries without copying first.
	flags := uint16(unix.XDP_USE_NEED_WAKEUP)
	if o.AlwaysKick {
		flags = 0
	}
	if o.Copy || !i.native {
		flags |= unix.XDP_COPY
	}
	for queue := range queues {
		s, err := openSocket(&o)
		if err != nil {
			return nil, err
		}
		if err := s.bind(ifindex, queue, flags); err != nil {
			s.close()
			if err == unix.EINVAL && queue > 0 && !exact {
				break // the interface has fewer queues now than it could have
			}
			return nil, explain(fmt.Sprintf("bind to queue %d", queue), err)
		}
		i.sockets = append(i.sockets, s)
		key, value := uint32(queue), uint32(s.fd)
		if err := updateElement(socketMap, &key, &value); err != nil {
			return nil, explain("XSKMAP", err)
		}
	}
	return i, nil
}

func busy(err error) bool { return errors.Is(err, unix.EBUSY) || errors.Is(err, unix.EEXIST) }

// channels returns how many receive queues an interface has, or 0 if its driver
// does not say.
func channels(name string) int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	// The kernel's struct ethtool_channels.
	data := struct {
		command                                     uint32
		maxRx, maxTx, maxOther, maxCombined         uint32
		rxCount, txCount, otherCount, combinedCount uint32
	}{command: unix.ETHTOOL_GCHANNELS}
	// The kernel's struct ifreq.
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	request.data = unsafe.Pointer(&data)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return 0
	}
	return int(data.rxCount + data.combinedCount)
}

// Sockets returns the sockets, one for each receive queue.
func (i *Interface) Sockets() []*Socket { return i.sockets }

// Native is true if the driver runs the program, and false if the network stack
// does.
func (i *Interface) Native() bool { return i.native }

// ZeroCopy is true if the driver reads and writes the frames of all queues itself.
func (i *Interface) ZeroCopy() bool {
	for _, s := range i.sockets {
		if !s.zeroCopy {
			return false
		}
	}
	return len(i.sockets) > 0
}

// String says how the interface is used.
func (i *Interface) String() string {
	mode, copying := "generic", "copy"
	if i.native {
		mode = "native"
	}
	if i.ZeroCopy() {
		copying = "zero-copy"
	}
	return fmt.Sprintf("%s XDP, %s, queues: %d", mode, copying, len(i.sockets))
}

// Close detaches the program and closes the sockets.
func (i *Interface) Close() error {
	if i.link < 0 {
		return errClosed
	}
	err := unix.Close(i.link)
	i.link = -1
	for _, s := range i.sockets {
		s.close()
	}
	return err
}

// Probe says what is missing for AF_XDP in general, whatever the interface.
func Probe() error {
	f, err := NewFilter(1)
	if err != nil {
		return err
	}
	defer f.Close()
	program, sockets, err := f.load(1)
	if err != nil {
		return err
	}
	unix.Close(program)
	unix.Close(sockets)
	s, err := openSocket(&Options{RxRing: 1, TxRing: 1, RxFrames: 1})
	if err != nil {
		return err
	}
	s.close()
	return nil
}
