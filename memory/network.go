package memory

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/engine"
)

// maxInFlight bounds the GRE packets under way in a network. Those beyond are
// lost, as in any network.
const maxInFlight = 1 << 16

// Impairment is what happens to GRE packets on their way. The zero value is a
// perfect network: packets arrive at once and in order.
type Impairment struct {
	// Loss and Duplicate are the shares of packets that are lost and that come
	// twice, from 0 to 1.
	Loss, Duplicate float64
	// Delay is how long each packet takes, and Jitter how much longer it may
	// take by chance. Packets sent within Jitter of each other get reordered.
	Delay, Jitter time.Duration
	// Seed chooses the chances. Each direction between two hosts has its own,
	// which depend on the order of its packets and on nothing else.
	Seed uint64
}

// Packet is a GRE packet on a network, as seen by [Network.Filter] and
// [Network.Tap].
type Packet struct {
	From, To netip.Addr
	// Data begins with the GRE header. It must not be changed or kept.
	Data []byte
}

// Frame returns the PPP frame in the packet, as it is: in full or compressed,
// encrypted or not. It is nil for an acknowledgement only.
func (p Packet) Frame() []byte {
	var h gre.Header
	n, err := h.Decode(p.Data)
	if err != nil || h.PayloadLength == 0 {
		return nil
	}
	return p.Data[n : n+int(h.PayloadLength)]
}

// Stats counts the GRE packets of a network.
type Stats struct {
	Sent       uint64 // by hosts
	Delivered  uint64 // duplicates included
	Filtered   uint64 // dropped by the filter
	Lost       uint64 // by Impairment.Loss or Cut
	Duplicated uint64
	Overflow   uint64 // dropped because too many were under way
	NoHost     uint64 // to an address that no host has
}

// Network is a network with its hosts. It is safe for concurrent use.
type Network struct {
	wake    chan struct{} // capacity 1
	stop    chan struct{}
	stopped chan struct{} // run has returned
	done    chan struct{} // Close has

	mu       sync.Mutex
	closed   bool
	hosts    map[netip.Addr]*Host
	impaired Impairment
	chances  map[[2]netip.Addr]*rand.Rand
	filter   func(Packet) bool
	tap      func(Packet)
	flying   flights
	order    uint64
	stats    Stats

	cut   bool
	whole chan struct{} // while cut: closed when no more
	pairs map[*pair]struct{}
}

// NewNetwork returns a perfect network without hosts. Close ends it.
func NewNetwork() *Network {
	n := &Network{
		wake:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
		done:    make(chan struct{}),
		hosts:   make(map[netip.Addr]*Host),
		pairs:   make(map[*pair]struct{}),
	}
	go n.run()
	return n
}

// Host returns the host with an address, which is made if there is none. It
// panics if addr is not IPv4, or the network is closed.
func (n *Network) Host(addr netip.Addr) *Host {
	if addr = addr.Unmap(); !addr.Is4() {
		panic("memory: address of a host is not IPv4")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		panic("memory: network is closed")
	}
	h := n.hosts[addr]
	if h == nil {
		h = newHost(n, addr)
		n.hosts[addr] = h
	}
	return h
}

// Impair makes GRE packets suffer from now on. Those under way are left alone.
func (n *Network) Impair(i Impairment) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.impaired = i
	n.chances = make(map[[2]netip.Addr]*rand.Rand)
}

// Filter asks keep about each GRE packet that is sent, in the order in which they
// are; those for which it reports false are dropped. Nil keeps all. keep is
// called by one goroutine at a time and must not call the network.
func (n *Network) Filter(keep func(Packet) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.filter = keep
}

// Tap shows look each GRE packet that is sent, including those that get lost.
// Nil ends that. look is called by one goroutine at a time and must not call the
// network.
func (n *Network) Tap(look func(Packet)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = look
}

// Inject puts a GRE packet on the network in the name of p.From, which need not
// be a host: the packet of a forger, or one that was held up on its way. It
// arrives at once, and is not subject to Impair, Filter and Tap. p.Data is not
// kept.
func (n *Network) Inject(p Packet) {
	n.mu.Lock()
	host := n.hosts[p.To]
	switch {
	case host == nil:
		n.stats.NoHost++
	case n.cut || n.closed:
		n.stats.Lost++
	default:
		n.fly(flight{at: time.Now(), from: p.From, to: host, data: p.Data})
	}
	n.mu.Unlock()
	n.rouse()
}

// Cut separates all hosts, or joins them again. While they are apart, GRE packets
// are lost, those under way too; control connections hear nothing from the other
// end, not even its closing, and new ones wait. What is written to connections
// in the meantime arrives once the hosts are joined.
func (n *Network) Cut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if cut == n.cut || n.closed {
		return
	}
	if !cut {
		n.join()
		return
	}
	n.cut = true
	n.whole = make(chan struct{})
	for p := range n.pairs {
		p.separate()
	}
	n.stats.Lost += uint64(len(n.flying))
	n.flying = nil
}

func (n *Network) join() {
	n.cut = false
	close(n.whole)
	for p := range n.pairs {
		p.arrive()
	}
}

// Stats returns the counters.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

// Close ends the network with its hosts: data planes are closed, connections and
// listeners too. It waits for the network's goroutines.
func (n *Network) Close() {
	n.mu.Lock()
	if n.closed {
		n.mu.Unlock()
		<-n.done
		return
	}
	n.closed = true
	if n.cut {
		n.join()
	}
	hosts := make([]*Host, 0, len(n.hosts))
	for _, h := range n.hosts {
		hosts = append(hosts, h)
	}
	pairs := make([]*pair, 0, len(n.pairs))
	for p := range n.pairs {
		pairs = append(pairs, p)
	}
	n.mu.Unlock()

	for _, p := range pairs {
		p.abort()
	}
	for _, h := range hosts {
		h.close()
	}
	close(n.stop)
	<-n.stopped
	for _, h := range hosts {
		h.end()
	}
	close(n.done)
}

// flight is a packet under way.
type flight struct {
	at    time.Time
	order uint64 // of sending, for those that arrive in the same instant
	from  netip.Addr
	to    *Host
	data  []byte
}

// flights is a heap of those that arrive first.
type flights []flight

func (f flights) Len() int { return len(f) }
func (f flights) Less(i, j int) bool {
	if !f[i].at.Equal(f[j].at) {
		return f[i].at.Before(f[j].at)
	}
	return f[i].order < f[j].order
}
func (f flights) Swap(i, j int) { f[i], f[j] = f[j], f[i] }
func (f *flights) Push(x any)   { *f = append(*f, x.(flight)) }
func (f *flights) Pop() any {
	last := len(*f) - 1
	x := (*f)[last]
	(*f)[last] = flight{}
	*f = (*f)[:last]
	return x
}

// wire is a host's way to the network.
type wire struct{ host *Host }

// Send implements engine.Wire.
func (w wire) Send(batch []engine.Datagram) {
	n := w.host.network
	now := time.Now()
	n.mu.Lock()
	for _, d := range batch {
		n.send(w.host.addr, d.Peer, d.Data, now)
	}
	n.mu.Unlock()
	n.rouse()
}

// rouse tells run that there are more packets.
func (n *Network) rouse() {
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *Network) send(from, to netip.Addr, data []byte, now time.Time) {
	n.stats.Sent++
	if n.tap != nil {
		n.tap(Packet{from, to, data})
	}
	if n.filter != nil && !n.filter(Packet{from, to, data}) {
		n.stats.Filtered++
		return
	}
	host := n.hosts[to]
	i := &n.impaired
	switch {
	case host == nil:
		n.stats.NoHost++
		return
	case n.cut || n.closed:
		n.stats.Lost++
		return
	case *i == (Impairment{}):
		n.fly(flight{at: now, from: from, to: host, data: data})
		return
	}
	chance := n.chance(from, to)
	if chance.Float64() < i.Loss {
		n.stats.Lost++
		return
	}
	copies := 1
	if chance.Float64() < i.Duplicate {
		n.stats.Duplicated++
		copies = 2
	}
	for range copies {
		at := now.Add(i.Delay)
		if i.Jitter > 0 {
			at = at.Add(time.Duration(chance.Int64N(int64(i.Jitter))))
		}
		n.fly(flight{at: at, from: from, to: host, data: data})
	}
}

func (n *Network) chance(from, to netip.Addr) *rand.Rand {
	r := n.chances[[2]netip.Addr{from, to}]
	if r == nil {
		f, t := from.As4(), to.As4()
		r = rand.New(rand.NewPCG(n.impaired.Seed, binary.BigEndian.Uint64(append(f[:], t[:]...))))
		n.chances[[2]netip.Addr{from, to}] = r
	}
	return r
}

func (n *Network) fly(f flight) {
	if len(n.flying) >= maxInFlight {
		n.stats.Overflow++
		return
	}
	n.order++
	f.order = n.order
	f.data = bytes.Clone(f.data)
	heap.Push(&n.flying, f)
}

// run delivers packets.
func (n *Network) run() {
	defer close(n.stopped)
	alarm := time.NewTimer(time.Hour)
	alarm.Stop()
	defer alarm.Stop()
	var arrived []flight
	var batch []engine.Datagram
	for {
		var next time.Time
		arrived, next = n.land(arrived[:0], time.Now())
		if len(arrived) > 0 {
			batch = deliver(arrived, batch)
			clear(arrived)
			select {
			case <-n.stop:
				return
			default:
				continue
			}
		}
		if !next.IsZero() {
			alarm.Reset(time.Until(next))
		}
		select {
		case <-n.wake:
		case <-alarm.C:
		case <-n.stop:
			return
		}
		alarm.Stop()
	}
}

// maxBatch is how many packets a host gets at once.
const maxBatch = 64

// land takes what has arrived, and returns when more will.
func (n *Network) land(arrived []flight, now time.Time) ([]flight, time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(n.flying) > 0 {
		if at := n.flying[0].at; at.After(now) || len(arrived) == maxBatch {
			return arrived, at
		}
		arrived = append(arrived, heap.Pop(&n.flying).(flight))
		n.stats.Delivered++
	}
	return arrived, time.Time{}
}

// deliver hands packets to their hosts, in order, and those that are for the same
// one together.
func deliver(arrived []flight, batch []engine.Datagram) []engine.Datagram {
	batch = batch[:0]
	for i, f := range arrived {
		batch = append(batch, engine.Datagram{Local: f.to.addr, Peer: f.from, Data: f.data})
		if i+1 == len(arrived) || arrived[i+1].to != f.to {
			f.to.inbound(batch)
			clear(batch)
			batch = batch[:0]
		}
	}
	return batch
}
