package xdp

import (
	"fmt"
	"net"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Mode is who runs the program on an interface.
type Mode int

const (
	// Auto is the driver if it can, and the network stack if not. It is the
	// network stack for two kinds of interfaces: for a bond, which hands the
	// program to the interfaces below it, whose queues are not those of our
	// sockets; and for veth, which takes segmentation offload from its peer if it
	// runs programs, so that TCP loses more than GRE gains.
	Auto Mode = iota
	// Native is the driver.
	Native
	// Generic is the network stack, for any interface.
	Generic
)

// String returns the name.
func (m Mode) String() string {
	switch m {
	case Auto:
		return "auto"
	case Native:
		return "native"
	case Generic:
		return "generic"
	}
	return fmt.Sprintf("Mode(%d)", int(m))
}

// Options configures an [Interface]. Zero values are defaults.
type Options struct {
	// RxRing and TxRing are how many frames can wait to be received, and to be
	// sent: powers of two. The default is 2048.
	RxRing, TxRing int
	// RxFrames is how many frames there are for receiving, in the receive ring
	// and with the caller together. The default is twice RxRing. Each queue
	// locks FrameSize octets of memory for each of RxFrames and TxRing.
	RxFrames int
	// Mode is who runs the program.
	Mode Mode
	// Copy copies frames even if the driver can do without.
	Copy bool
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
	mode    Mode // Native or Generic
	link    int  // the descriptor that keeps the program attached
	sockets []*Socket
}

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
		return nil, fmt.Errorf("xdp: %w", ErrInterface)
	}
	queues, senders, exact := channels(attrs.Name)
	if !exact {
		queues, senders = attrs.NumRxQueues, attrs.NumTxQueues
	}
	queues = max(queues, 1)

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
	kind := device.Type()
	if o.Mode == Native || o.Mode == Auto && kind != "bond" && kind != "veth" {
		i.mode = Native
		i.link, err = createLink(program, ifindex, unix.XDP_FLAGS_DRV_MODE)
	}
	if o.Mode != Native && i.link < 0 && err != unix.EBUSY && err != unix.EEXIST {
		i.mode = Generic
		i.link, err = createLink(program, ifindex, unix.XDP_FLAGS_SKB_MODE)
	}
	if err != nil {
		return nil, explain(fmt.Sprintf("attach XDP program, %v mode", i.mode), err)
	}

	// Without XDP_COPY the kernel tries without copying first.
	flags := uint16(unix.XDP_USE_NEED_WAKEUP)
	if o.Copy || i.mode == Generic {
		flags |= unix.XDP_COPY
	}
	for queue := range queues {
		s, err := openSocket(&o)
		if err != nil {
			return nil, err
		}
		if queue >= senders {
			s.free = nil
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

// channels returns how many queues for receiving and sending an interface has, if
// its driver says so.
func channels(name string) (rx, tx int, ok bool) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, 0, false
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
		return 0, 0, false
	}
	rx, tx = int(data.rxCount+data.combinedCount), int(data.txCount+data.combinedCount)
	return rx, tx, rx > 0 && tx > 0
}

// Sockets returns the sockets, one for each receive queue.
func (i *Interface) Sockets() []*Socket { return i.sockets }

// Mode is who runs the program: Native or Generic.
func (i *Interface) Mode() Mode { return i.mode }

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
	copying := "copy"
	if i.ZeroCopy() {
		copying = "zero-copy"
	}
	return fmt.Sprintf("%v, %s, %d queues", i.mode, copying, len(i.sockets))
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
