package userspace

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/nexthop"
	"github.com/gopptp/gopptp/internal/xdp"
)

const (
	// maxFastCalls bounds the calls whose packets come by AF_XDP. Those of others
	// take the raw socket.
	maxFastCalls = 1 << 18
	// retryInterval is how long an interface is left alone that could not be
	// opened, and how often those that are gone are looked for.
	retryInterval = 10 * time.Second
)

// fastPath moves packets past the host's network stack by AF_XDP: of calls that the
// filter knows, by interfaces that their way to the peer takes. Everything else, and
// all while an interface is not open yet, goes by the raw sockets.
//
// Interfaces are opened when some packets would have gone by them, and not before:
// a session is not kept waiting while it is set up, nor an interface changed for an
// idle one. A goroutine that stays in the network namespace does it.
type fastPath struct {
	log        *slog.Logger
	mode       XDPMode
	options    xdp.Options
	sendBuffer int

	filter  *xdp.Filter
	hops    *nexthop.Table
	workers []*worker

	mu   sync.Mutex
	past GREStats // of ports that are closed; under mu

	wanted chan int // an index of an interface to open
	ports  atomic.Pointer[portSet]

	// Only the goroutine touches this.
	refused map[int]error // interfaces that could not be opened, and why

	namespace int // its descriptor
	closing   chan struct{}
	done      chan struct{}
}

// port is an interface that is open, or that could not be opened: then it has no
// sockets.
type port struct {
	ifindex int
	device  *xdp.Interface
	sockets []*fastSocket
	senders []*fastSocket // those that have a transmit queue
	tried   time.Time
}

// fastSocket is the socket of a receive queue. One worker receives, any may send.
type fastSocket struct {
	*xdp.Socket
	mu     sync.Mutex // held to send
	closed bool

	received, malformed, sent, sendQueue, sendErr atomic.Uint64
}

// portSet is the ports there are. It is replaced, never changed. Each worker
// says when it has left the one before.
type portSet struct {
	ports []*port
	left  sync.WaitGroup
}

// port returns that of an interface, or nil.
func (s *portSet) port(ifindex int) *port {
	for _, p := range s.ports {
		if p.ifindex == ifindex {
			return p
		}
	}
	return nil
}

// sender returns the socket that a worker sends by, or nil.
func (p *port) sender(worker int) *fastSocket {
	if len(p.senders) == 0 {
		return nil
	}
	return p.senders[worker%len(p.senders)]
}

// newFastPath returns an error if the kernel or the process lacks something, and
// says what.
func newFastPath(o *Options) (*fastPath, error) {
	if err := xdp.Probe(); err != nil {
		return nil, err
	}
	f := &fastPath{
		log:        o.Logger,
		mode:       o.XDP,
		sendBuffer: o.SendBuffer,
		// A worker may have as many frames as wait in its backlog, and the ring be
		// full all the same.
		options:   xdp.Options{RxRing: o.Ring, TxRing: o.Ring, RxFrames: o.Ring + bufferCount(o.Batch)},
		wanted:    make(chan int, 1),
		refused:   make(map[int]error),
		namespace: -1,
		closing:   make(chan struct{}),
		done:      make(chan struct{}),
	}
	f.ports.Store(new(portSet))
	var err error
	if f.namespace, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("network namespace: %w", err)
	}
	if f.filter, err = xdp.NewFilter(maxFastCalls); err == nil {
		f.hops, err = nexthop.Open()
	}
	if err != nil {
		f.free()
		return nil, err
	}
	return f, nil
}

// run begins to serve the workers.
func (f *fastPath) run(workers []*worker) {
	f.workers = workers
	f.ports.Store(f.newSet(nil))
	go f.open()
}

// close is called when no worker runs any more. Nothing can be sent afterwards.
func (f *fastPath) close() {
	close(f.closing)
	<-f.done
	for _, p := range f.ports.Swap(new(portSet)).ports {
		f.closePort(p)
	}
	f.free()
}

func (f *fastPath) free() {
	if f.hops != nil {
		f.hops.Close()
	}
	if f.filter != nil {
		f.filter.Close()
	}
	unix.Close(f.namespace)
}

// wantAfter is how many packets of a worker go by an interface before it is opened.
const wantAfter = 64

// want has an interface opened, if there is nothing else to do.
func (f *fastPath) want(ifindex int) {
	select {
	case f.wanted <- ifindex:
	default:
	}
}

// open opens the interfaces that are wanted.
func (f *fastPath) open() {
	defer close(f.done)
	// Never unlocked: if the thread has changed its namespace, it ends here.
	runtime.LockOSThread()
	if err := enterNamespace(f.namespace); err != nil {
		f.log.Warn("userspace: AF_XDP is not used", "err", err)
		return
	}
	tick := time.NewTicker(retryInterval)
	defer tick.Stop()
	for {
		select {
		case <-f.closing:
			return
		case ifindex := <-f.wanted:
			f.openPort(ifindex)
		case <-tick.C:
			f.review()
		}
	}
}

// enterNamespace is allowed to anybody who is in it already.
func enterNamespace(fd int) error {
	var want, have unix.Stat_t
	if err := unix.Fstat(fd, &want); err != nil {
		return err
	}
	if err := unix.Stat("/proc/thread-self/ns/net", &have); err != nil {
		return err
	}
	if want.Ino == have.Ino && want.Dev == have.Dev {
		return nil
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	return nil
}

func (f *fastPath) openPort(ifindex int) {
	set := f.ports.Load()
	if set.port(ifindex) != nil {
		return
	}
	p := &port{ifindex: ifindex, tried: time.Now()}
	device, err := f.openDevice(ifindex)
	if err != nil {
		if old := f.refused[ifindex]; old == nil || old.Error() != err.Error() {
			f.log.Info("userspace: no AF_XDP on a network interface, raw sockets are used", "ifindex", ifindex, "err", err)
		}
		f.refused[ifindex] = err
	} else {
		delete(f.refused, ifindex)
		p.device = device
		for _, socket := range device.Sockets() {
			s := &fastSocket{Socket: socket}
			p.sockets = append(p.sockets, s)
			if s.Sends() {
				p.senders = append(p.senders, s)
			}
			// Copies wait in the send buffer, as those of raw sockets do. If it
			// cannot be changed, they are fewer.
			_ = setBuffer(s.FD(), unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, f.sendBuffer)
		}
		f.log.Info("userspace: AF_XDP", "ifindex", ifindex, "mode", device.String())
	}
	f.publish(append(slices.Clone(set.ports), p))
}

// openDevice opens an interface, but not where that is a bad bargain, unless it was
// asked for: if the network stack runs the program, and not the driver, the kernel
// joins no segments of any traffic that comes by the interface. A veth has none to
// join.
func (f *fastPath) openDevice(ifindex int) (*xdp.Interface, error) {
	options := f.options
	if f.mode == XDPAuto {
		link, err := netlink.LinkByIndex(ifindex)
		if err != nil {
			return nil, err
		}
		if link.Type() != "veth" {
			options.Mode = xdp.Native
		}
	}
	return xdp.OpenInterface(f.filter, ifindex, options)
}

// review closes interfaces that are gone, and has those tried again that could not
// be opened, should packets still want them.
func (f *fastPath) review() {
	var stay, gone []*port
	for _, p := range f.ports.Load().ports {
		_, err := netlink.LinkByIndex(p.ifindex)
		switch {
		case errors.As(err, new(netlink.LinkNotFoundError)):
			delete(f.refused, p.ifindex)
			gone = append(gone, p)
		case p.device == nil && time.Since(p.tried) >= retryInterval:
			gone = append(gone, p)
		default:
			stay = append(stay, p)
		}
	}
	if len(gone) > 0 && f.publish(stay) {
		for _, p := range gone {
			f.closePort(p)
		}
	}
}

func (f *fastPath) newSet(ports []*port) *portSet {
	set := &portSet{ports: ports}
	set.left.Add(len(f.workers))
	return set
}

// publish changes the ports. It returns when all workers have left the old ones, or
// false if f is closed before.
func (f *fastPath) publish(ports []*port) bool {
	set := f.newSet(ports)
	f.ports.Store(set)
	for _, w := range f.workers {
		w.poller.wake()
	}
	left := make(chan struct{})
	go func() {
		set.left.Wait()
		close(left)
	}()
	select {
	case <-left:
		return true
	case <-f.closing:
		return false
	}
}

// closePort frees the sockets, which nobody receives from any more.
func (f *fastPath) closePort(p *port) {
	f.mu.Lock()
	p.count(&f.past)
	f.mu.Unlock()
	for _, s := range p.sockets {
		s.mu.Lock()
		s.closed = true
	}
	if p.device != nil {
		p.device.Close()
	}
	for _, s := range p.sockets {
		s.mu.Unlock()
	}
}

// count adds all counters to g.
func (f *fastPath) count(g *GREStats) {
	f.mu.Lock()
	past := f.past
	f.mu.Unlock()
	g.Received += past.Received
	g.ReceivedXDP += past.ReceivedXDP
	g.Sent += past.Sent
	g.SentXDP += past.SentXDP
	g.ReceivedMalformed += past.ReceivedMalformed
	g.ReceiveQueueFull += past.ReceiveQueueFull
	g.SendQueueFull += past.SendQueueFull
	g.SendRefused += past.SendRefused
	for _, p := range f.ports.Load().ports {
		p.count(g)
	}
}

func (p *port) count(g *GREStats) {
	for _, s := range p.sockets {
		g.Received += s.received.Load()
		g.ReceivedXDP += s.received.Load()
		g.Sent += s.sent.Load()
		g.SentXDP += s.sent.Load()
		g.ReceivedMalformed += s.malformed.Load()
		g.SendQueueFull += s.sendQueue.Load()
		g.SendRefused += s.sendErr.Load()
		s.mu.Lock()
		if lost, err := s.Stats(); err == nil { // not closed
			g.ReceiveQueueFull += lost.RxDropped + lost.RxRingFull
		}
		s.mu.Unlock()
	}
}

// callPath is what the fast path knows of a call.
type callPath struct {
	*nexthop.Path
	filter *xdp.Filter
	key    xdp.Key
}

// watch finds the way to a peer.
func (f *fastPath) watch(cfg gopptp.CallConfig) *callPath {
	local, peer := cfg.Local.Unmap(), cfg.Peer.Unmap()
	return &callPath{Path: f.hops.Watch(local, peer), filter: f.filter, key: xdp.Key{Peer: peer, Local: local}}
}

// opened tells the call ID, which packets are known by. Where there are too many
// calls, theirs come by the raw socket.
func (p *callPath) opened(id uint16) {
	p.key.CallID = id
	_ = p.filter.Add(p.key)
}

// close is called once.
func (p *callPath) close(opened bool) {
	if opened {
		_ = p.filter.Remove(p.key)
	}
	p.Release()
}
