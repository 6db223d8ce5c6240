package engine

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
)

// call implements gopptp.Call. See the package comment for its locks.
//
// With many calls, most of what a packet costs is to fetch the memory of its call.
// So what each packet needs is together, at the beginning of the structures, and
// what few need comes after it. TestLayout knows which lines of the cache that is.
type call struct {
	engine      *Engine
	via         any
	handler     gopptp.CallHandler
	local, peer [4]byte // addresses
	id          uint16
	noClear     bool // no packet of users may pass in clear

	// The directions may be busy on different processors, and are not to take each
	// other's lines. The runtime has put 8 octets before a call.
	_   [5]byte
	in  inState
	_   [40]byte
	num numbers
	_   [8]byte
	out outState

	// rare is what is counted of few packets.
	rare struct {
		source, clear, encrypted, malformed, queue, network, rate, link atomic.Uint64
	}

	mu     sync.Mutex
	closed bool
	posted bool     // reconcile is about to run
	want   *network // attached, as far as the session is concerned

	// What is attached to the host, each family by itself, and of which network
	// it is all that could be. They belong to engine.hosts.
	have   [families]*gopptp.Network
	haveOf *network

	link link6
}

// numbers is what GRE needs from both directions.
type numbers struct {
	mu        sync.Mutex
	closed    bool
	connected bool
	waiting   bool // packets wait for room in flow
	goingOn   bool // sendWaiting is about to run
	peerID    uint16
	armed     time.Duration // when the next alarm comes; zero if there is none
	flow      *gre.Flow     // never nil
	sender    gre.Sender
	receiver  gre.Receiver
	final     *gre.ReceiverCounters // of the receiver, once closed; nil before
}

func newCall(e *Engine, cfg gopptp.CallConfig, h gopptp.CallHandler) *call {
	c := &call{engine: e, handler: h, local: cfg.Local.As4(), peer: cfg.Peer.As4(), noClear: cfg.RequireEncryption}
	c.num.receiver = gre.NewReceiver(e.cfg.Receiver)
	c.num.flow = &noFlow
	return c
}

// ends are the addresses of both ends.
func (c *call) ends() (local, peer netip.Addr) {
	return netip.AddrFrom4(c.local), netip.AddrFrom4(c.peer)
}

// toPeer is a datagram to the peer.
func (c *call) toPeer(data []byte) Datagram {
	local, peer := c.ends()
	return Datagram{Local: local, Peer: peer, Via: c.via, Data: data}
}

// ID implements gopptp.Call.
func (c *call) ID() uint16 { return c.id }

// Connect implements gopptp.Call.
func (c *call) Connect(peer gopptp.PeerCall) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	c.num.mu.Lock()
	c.num.connected, c.num.peerID = true, peer.ID
	c.num.flow = c.engine.newFlow(peer)
	c.num.mu.Unlock()

	b := c.engine.inbound.get()
	b.enter(c)
	early := c.in.early
	c.in.early, c.in.connected = nil, true
	for _, p := range early {
		c.frame(b, p)
	}
	b.flush(c.engine)
	c.engine.inbound.put(b)
	return nil
}

// WriteControl implements gopptp.Call.
func (c *call) WriteControl(frame []byte) error {
	if len(frame) < 2 {
		return errShortFrame
	}
	if len(frame) > maxControlFrame {
		return errLongFrame
	}
	b := c.engine.outbound.get()
	defer c.engine.outbound.put(b)
	b.enter(c)
	defer b.flush()
	return c.control(b, frame)
}

// PrepareReceive implements gopptp.Call.
func (c *call) PrepareReceive(p mppe.Params) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	d, err := mppe.NewDecryptor(p)
	if err != nil {
		return err
	}
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	c.in.decryption.prepare(d, p)
	return nil
}

// SetEncryption implements gopptp.Call.
func (c *call) SetEncryption(e gopptp.Encryption) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	// What can fail comes first, so that an error changes nothing.
	var send *mppe.Encryptor
	var receive *mppe.Decryptor
	var err error
	if e.Send != nil {
		if send, err = mppe.NewEncryptor(*e.Send); err != nil {
			return err
		}
	}
	if e.Receive != nil {
		if receive, err = mppe.NewDecryptor(*e.Receive); err != nil {
			return err
		}
	}
	c.in.mu.Lock()
	c.in.decryption.set(receive, e.Receive)
	c.in.mu.Unlock()
	c.out.mu.Lock()
	c.out.set(send)
	c.out.mu.Unlock()
	return nil
}

// ResetSend implements gopptp.Call.
func (c *call) ResetSend() error {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.closed {
		return errCallClosed
	}
	if c.out.encryptor != nil {
		c.out.encryptor.Flush()
	}
	return nil
}

// Attach implements gopptp.Call.
func (c *call) Attach(n gopptp.Network) error {
	w, err := newNetwork(n)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	c.route(w)
	c.postReconcile()
	return nil
}

// Detach implements gopptp.Call.
func (c *call) Detach() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errCallClosed
	}
	if c.want != nil {
		c.route(nil)
		c.postReconcile()
	}
	return nil
}

// route makes w, which may be nil, the network. The peer's packets wait until the
// host is ready for them, see reconcile: it would drop those to an address that
// it has not got yet. Those of a family that stays as it was need not wait. c.mu
// is held.
func (c *call) route(w *network) {
	old := c.want
	c.want = w
	c.out.mu.Lock()
	c.out.network = w
	if w != nil {
		c.out.limit = newLimit(c.out.limit, w.Rates.ToPeer)
	}
	c.out.mu.Unlock()
	c.receiveFor(w, func(n *network, f family) bool { return n != nil && samePart(n.part(f), w.part(f)) })
	if w != nil {
		for _, d := range w.destinations {
			c.engine.table.insert(d.prefix, d.local, c)
		}
	}
	if old != nil {
		for _, d := range old.destinations {
			c.engine.table.remove(d.prefix, d.local, c)
		}
	}
	if w != nil && w.IPv6 != nil || old != nil && old.IPv6 != nil {
		c.postLink()
	}
}

// receiveFor makes w, which may be nil, the network of the peer's packets, as far
// as keep, which is given the one before, has them flow.
func (c *call) receiveFor(w *network, keep func(old *network, f family) bool) {
	b := c.engine.inbound.get()
	b.enter(c)
	if w != nil {
		c.in.limit = newLimit(c.in.limit, w.Rates.FromPeer)
		var flow [families]bool
		for f := range families {
			flow[f] = keep(c.in.network, f)
		}
		w = w.only(flow)
	}
	c.attach(b, w)
	b.flush(c.engine)
	c.engine.inbound.put(b)
}

// postReconcile lets the host follow c.want. There is one function of a call in
// the queue at most, however fast its network changes. c.mu is held.
func (c *call) postReconcile() {
	if !c.posted {
		c.posted = c.engine.hosts.Post(c.reconcile)
	}
}

// reconcile runs on the goroutine that may block. Families are attached one by
// one, so that IPv4 is not interrupted when IPv6 comes or goes.
func (c *call) reconcile() {
	c.mu.Lock()
	c.posted = false
	want := c.want
	c.mu.Unlock()
	if c.haveOf == want {
		return
	}
	host := c.engine.cfg.Host
	var parts [families]*gopptp.Network
	for f := range families {
		parts[f] = want.part(f)
		if c.have[f] == nil {
			continue
		}
		if !samePart(c.have[f], parts[f]) {
			host.Detach(*c.have[f])
			c.have[f] = nil
		} else if h, ok := host.(RateHost); ok && c.have[f].Rates != parts[f].Rates {
			h.Rates(*parts[f])
			c.have[f] = parts[f]
		}
	}
	c.haveOf = want
	if want == nil {
		return
	}
	var err error
	for f := range families {
		if parts[f] == nil || c.have[f] != nil {
			continue
		}
		if err = host.Attach(*parts[f]); err != nil {
			break
		}
		c.have[f] = parts[f]
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.want != want {
		return // the session has gone on; another reconcile follows
	}
	// The handler is first to know: a session that carries packets is up, even
	// if these lead to its end at once.
	c.handler.Attached(err)
	if err != nil {
		c.route(nil)
		c.postReconcile() // for the other family
		return
	}
	c.receiveFor(want, func(*network, family) bool { return true })
}

// Counters implements gopptp.Call.
func (c *call) Counters() gopptp.Counters {
	c.num.mu.Lock()
	g := c.num.receiver.Counters()
	if c.num.final != nil {
		g = *c.num.final
	}
	c.num.mu.Unlock()
	c.in.mu.Lock()
	received := c.in.users
	c.in.mu.Unlock()
	c.out.mu.Lock()
	sent := c.out.users
	c.out.mu.Unlock()
	n := &c.rare
	return gopptp.Counters{
		ReceivedPackets: received.packets, ReceivedOctets: received.octets,
		SentPackets: sent.packets, SentOctets: sent.octets,

		Lost:       g.Lost - g.Late,
		Reordered:  g.Reordered,
		Duplicates: g.Duplicates + g.Late + g.OutOfRange,

		DroppedSource:    n.source.Load(),
		DroppedClear:     n.clear.Load(),
		DroppedEncrypted: n.encrypted.Load(),
		DroppedMalformed: n.malformed.Load(),
		DroppedQueue:     n.queue.Load(),
		DroppedNetwork:   n.network.Load(),
		DroppedRate:      n.rate.Load(),
		DroppedLink:      n.link.Load(),
	}
}

// Close implements gopptp.Call.
func (c *call) Close() error {
	c.close(nil)
	return nil
}

// close ends the call. Its handler is told why, unless err is nil.
func (c *call) close(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.engine.forget(c)
	if c.want != nil {
		c.route(nil)
		c.postReconcile()
	}

	c.in.mu.Lock()
	for _, held := range c.in.held {
		c.rare.network.Add(uint64(len(held)))
	}
	c.in.close()
	c.in.mu.Unlock()
	c.out.mu.Lock()
	c.out.close()
	c.out.mu.Unlock()

	c.num.mu.Lock()
	c.num.closed = true
	final := c.num.receiver.Counters()
	c.num.final = &final
	c.num.receiver = gre.Receiver{}
	c.num.armed = 0
	c.num.mu.Unlock()

	// Whoever was in handler held in or mu, and has left.
	if err != nil {
		c.handler.Failed(err)
	}
}
