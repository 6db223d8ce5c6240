package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/bench/internal/netns"
)

const (
	// loadHeaders are those of IP and UDP.
	loadHeaders = 20 + 8
	// batchLen is how many packets a system call moves.
	batchLen = 64
	// tick is how often the sender wakes up. It must not spin, as it shares two
	// cores with what is measured.
	tick = 100 * time.Microsecond
	// tail is how long the receiver waits for stragglers.
	tail = 100 * time.Millisecond
)

// Load is UDP packets at an even rate, one way. Opened once, it can be run again and
// again.
type Load struct {
	from, to *ipv4.PacketConn
	fromUDP  *net.UDPConn
	toUDP    *net.UDPConn
	out, in  []ipv4.Message
	run      uint64
}

// LoadConfig says between whom.
type LoadConfig struct {
	From, To *netns.Namespace
	// Sources and Targets are taken in turns. One of them has one address.
	Sources, Targets []netip.Addr
	Size             int // of IP packets, in octets
}

// OpenLoad opens the sockets.
func OpenLoad(c LoadConfig) (*Load, error) {
	if len(c.Sources) == 0 || len(c.Targets) == 0 || c.Size < loadHeaders+16 {
		return nil, errors.New("load: no addresses, or packets too small")
	}
	l := new(Load)
	var err error
	c.To.Do(func() { l.toUDP, err = net.ListenUDP("udp4", only(c.Targets, 0)) })
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	port := uint16(l.toUDP.LocalAddr().(*net.UDPAddr).Port)
	c.From.Do(func() {
		if len(c.Targets) == 1 {
			// A socket that is connected looks for its route once.
			l.fromUDP, err = net.DialUDP("udp4", only(c.Sources, 0), only(c.Targets, port))
		} else {
			l.fromUDP, err = net.ListenUDP("udp4", only(c.Sources, 0))
		}
	})
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("load: %w", err)
	}
	// Big enough for everything that may be under way: what is lost, the tunnel has
	// lost, and not the receiver, which has to share the machine.
	for conn, option := range map[*net.UDPConn]int{l.fromUDP: unix.SO_SNDBUFFORCE, l.toUDP: unix.SO_RCVBUFFORCE} {
		raw, err := conn.SyscallConn()
		if err == nil {
			err = raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 32<<20) })
		}
		if err != nil {
			l.Close()
			return nil, err
		}
	}
	l.from, l.to = ipv4.NewPacketConn(l.fromUDP), ipv4.NewPacketConn(l.toUDP)
	// A message for each address, but a batch at the least.
	n := max(len(c.Sources), len(c.Targets))
	n *= (batchLen + n - 1) / n
	l.out = make([]ipv4.Message, n)
	for i := range l.out {
		m := &l.out[i]
		m.Buffers = [][]byte{make([]byte, c.Size-loadHeaders)}
		if len(c.Targets) > 1 {
			m.Addr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.Targets[i%len(c.Targets)], port))
		}
		if len(c.Sources) > 1 {
			m.OOB = (&ipv4.ControlMessage{Src: c.Sources[i%len(c.Sources)].AsSlice()}).Marshal()
		}
	}
	l.in = make([]ipv4.Message, batchLen)
	for i := range l.in {
		l.in[i].Buffers = [][]byte{make([]byte, 2048)}
	}
	return l, nil
}

// only is the one address that there is, or any.
func only(addresses []netip.Addr, port uint16) *net.UDPAddr {
	if len(addresses) > 1 {
		return &net.UDPAddr{Port: int(port)}
	}
	return net.UDPAddrFromAddrPort(netip.AddrPortFrom(addresses[0], port))
}

// Close closes the sockets.
func (l *Load) Close() {
	for _, c := range []*net.UDPConn{l.fromUDP, l.toUDP} {
		if c != nil {
			c.Close()
		}
	}
}

// Run sends packets at a rate, for a while, and counts what comes.
func (l *Load) Run(rate float64, during time.Duration) (Trial, error) {
	l.run++
	for i := range l.out {
		binary.BigEndian.PutUint64(l.out[i].Buffers[0], l.run)
	}
	received, failed := make(chan int, 1), make(chan error, 1)
	if err := l.toUDP.SetReadDeadline(time.Time{}); err != nil {
		return Trial{}, err
	}
	go func() {
		n, err := l.receive()
		received <- n
		failed <- err
	}()
	var sent int
	var took time.Duration
	var err error
	over := make(chan struct{})
	go func() {
		defer close(over)
		// Never unlocked, as nobody else is to have its priority.
		runtime.LockOSThread()
		hurry()
		sent, took, err = l.send(rate, during)
	}()
	<-over
	_ = l.toUDP.SetReadDeadline(time.Now().Add(tail))
	n := <-received
	if err := errors.Join(err, <-failed); err != nil {
		return Trial{}, fmt.Errorf("load: %w", err)
	}
	return Trial{
		Offered:   rate,
		Sent:      float64(sent) / took.Seconds(),
		Delivered: float64(n) / took.Seconds(),
		Loss:      1 - float64(n)/float64(max(sent, 1)),
	}, nil
}

// receive counts packets of this run until the deadline.
func (l *Load) receive() (n int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		got, err := l.to.ReadBatch(l.in, 0)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = nil
			}
			return n, err
		}
		for i := range l.in[:got] {
			m := &l.in[i]
			if m.N >= 8 && binary.BigEndian.Uint64(m.Buffers[0]) == l.run {
				n++
			}
		}
	}
}

// maxBurst is how many packets are sent at once, at most, half of what a TUN device
// queues. A sender that was kept from the processor for longer does not make up for
// it.
const maxBurst = 250

// hurry gives the thread the processor whenever it wants it, if it may have that. A
// sender of its own would have a machine of its own: the tunnel must not get a higher
// rate, or bursts, for keeping it waiting.
func hurry() {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
}

// send sends what is due whenever it wakes up.
func (l *Load) send(rate float64, during time.Duration) (sent int, took time.Duration, err error) {
	began := time.Now()
	next, behind := 0, 0.0
	for last := began; ; {
		now := time.Now()
		if now.Sub(began) >= during {
			return sent, now.Sub(began), nil
		}
		behind = min(behind+rate*now.Sub(last).Seconds(), maxBurst)
		last = now
		for due := int(behind); due > 0; {
			n := min(due, batchLen, len(l.out)-next)
			n, err = l.from.WriteBatch(l.out[next:next+n], 0)
			if err != nil {
				return sent, time.Since(began), err
			}
			next = (next + n) % len(l.out)
			due -= n
			sent += n
			behind -= float64(n)
		}
		pause := unix.NsecToTimespec(int64(tick))
		_ = unix.Nanosleep(&pause, nil)
	}
}
