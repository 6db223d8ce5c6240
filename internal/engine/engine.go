package engine

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/loop"
)

// Headroom is what must be free in front of an IP packet that is given to
// [Engine.Outbound], in octets: room for the headers of GRE (16), PPP (4) and
// MPPE (2) and for the inner protocol field (2), rounded up so that the packet
// keeps its alignment.
const Headroom = 32

// Datagram is a GRE packet without its IP header, on its way to or from a peer.
type Datagram struct {
	Local, Peer netip.Addr
	// Via is what [Engine.OpenVia] was given, on the way to a peer.
	Via  any
	Data []byte
}

// Wire sends GRE packets.
type Wire interface {
	// Send is called from several goroutines. It must not keep batch nor any
	// Data, and must not block for long: what does not fit is dropped.
	Send(batch []Datagram)
}

// Deliverer takes the users' packets out of the tunnels.
type Deliverer interface {
	// Deliver hands IP packets to the host. It may change them in place, is
	// called from several goroutines, must not keep packets nor call the engine
	// back, and must not block for long.
	Deliver(packets [][]byte)
}

// Host takes the users' packets out of the tunnels, and sets up addresses.
type Host interface {
	Deliverer
	// Attach makes the host route n.Peer and n.Routes to the data plane, with
	// n.Local as its own address. It may block: the engine calls it, and
	// Detach, on a goroutine of its own, one at a time. IPv4 and IPv6 of a call
	// are attached each by itself: n has n.IPv6 and no IPv4 addresses, or the
	// other way round.
	Attach(n gopptp.Network) error
	// Detach undoes an Attach that returned no error.
	Detach(n gopptp.Network)
}

// RateHost is a Host that shows what is attached: it is told of limits that change
// meanwhile.
type RateHost interface {
	Host
	// Rates is called as Attach is, with a network that is attached but for its Rates.
	Rates(n gopptp.Network)
}

// Config configures an [Engine].
type Config struct {
	Wire Wire // required
	Host Host // required
	// NoMSSClamp leaves the maximum segment size of TCP connections alone. It
	// is otherwise lowered, in either direction, to what fits the tunnel's MTU.
	NoMSSClamp bool
	// FlowControl keeps the transmit window of RFC 2637 §4.2 towards peers that
	// acknowledge what they get.
	FlowControl bool
	// Receiver configures the order of received packets and acknowledgements.
	Receiver gre.ReceiverConfig
	// FirstCallID and LastCallID are the range of call IDs that Open gives out.
	// Zero: 1 and 65535.
	FirstCallID, LastCallID uint16
}

// Engine is the common part of a data plane. It is safe for concurrent use.
type Engine struct {
	cfg   Config
	demux gre.Demux[*call]
	table table

	deadlines *loop.Loop
	alarms    alarms
	epoch     time.Time
	hosts     *loop.Loop // Host.Attach and Detach

	inbound  freeList[inBatch]
	outbound freeList[outBatch]

	stats counters

	mu     sync.Mutex
	closed bool
	calls  map[*call]struct{}
}

var _ gopptp.Dataplane = (*Engine)(nil)

var (
	errClosed       = fmt.Errorf("engine: closed: %w", net.ErrClosed)
	errCallClosed   = fmt.Errorf("engine: call closed: %w", net.ErrClosed)
	errNotConnected = errors.New("engine: call is not connected")
	errAddress      = errors.New("engine: addresses of a call are not IPv4")
	errShortFrame   = errors.New("engine: control frame without a protocol field")
	errNoKey        = errors.New("engine: encrypted packet, and no key")
	errLongFrame    = errors.New("engine: control frame too long")
)

// New returns an Engine. Close ends it.
func New(cfg Config) *Engine {
	cfg.FirstCallID = max(cfg.FirstCallID, 1)
	if cfg.LastCallID == 0 {
		cfg.LastCallID = math.MaxUint16
	}
	e := &Engine{
		cfg:       cfg,
		deadlines: loop.New(),
		epoch:     time.Now(),
		hosts:     loop.New(),
		inbound:   newFreeList(func() *inBatch { return &inBatch{wire: cfg.Wire, host: cfg.Host} }),
		outbound:  newFreeList(func() *outBatch { return &outBatch{wire: cfg.Wire, host: cfg.Host} }),
		calls:     make(map[*call]struct{}),
	}
	e.alarms.timer = e.deadlines.NewTimer(e.fire)
	return e
}

// Open implements [gopptp.Dataplane].
func (e *Engine) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	return e.OpenVia(nil, cfg, h)
}

// OpenVia is Open of a call about which the Wire has something to remember: via
// is in each Datagram to the peer.
func (e *Engine) OpenVia(via any, cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	return e.open(via, cfg, h, 0, func(c *call) (uint16, error) {
		return e.demux.AllocateWithin(cfg.Local.Unmap(), cfg.Peer.Unmap(), e.cfg.FirstCallID, e.cfg.LastCallID, c, time.Now())
	})
}

// AdoptVia is OpenVia of a call that somebody else has begun: with the call ID that
// it has, which must not be taken, and the sequence number that is next.
func (e *Engine) AdoptVia(via any, id uint16, sequence uint32, cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	return e.open(via, cfg, h, sequence, func(c *call) (uint16, error) {
		return id, e.demux.Insert(cfg.Local.Unmap(), cfg.Peer.Unmap(), id, c)
	})
}

// open makes a call that enter puts into the demux.
func (e *Engine) open(via any, cfg gopptp.CallConfig, h gopptp.CallHandler, sequence uint32, enter func(*call) (uint16, error)) (gopptp.Call, error) {
	cfg.Local, cfg.Peer = cfg.Local.Unmap(), cfg.Peer.Unmap()
	if !cfg.Local.Is4() || !cfg.Peer.Is4() {
		return nil, errAddress
	}
	c := newCall(e, cfg, h)
	c.via = via
	c.num.sender = gre.NewSender(sequence)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, errClosed
	}
	var err error
	if c.id, err = enter(c); err != nil {
		return nil, err
	}
	e.calls[c] = struct{}{}
	return c, nil
}

// Close implements [gopptp.Dataplane]. It waits for the goroutines of e. Owners
// of calls that are still open are told that these have failed.
func (e *Engine) Close() error {
	e.mu.Lock()
	e.closed = true
	calls := make([]*call, 0, len(e.calls))
	for c := range e.calls {
		calls = append(calls, c)
	}
	e.mu.Unlock()
	for _, c := range calls {
		c.close(errClosed)
	}
	e.deadlines.Close()
	e.hosts.Close()
	<-e.deadlines.Done()
	<-e.hosts.Done()
	return nil
}

func (e *Engine) forget(c *call) {
	local, peer := c.ends()
	e.demux.Remove(local, peer, c.id, time.Now())
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.calls, c)
}

// freeList keeps the memory of batches that are not under way. There are as many
// batches as goroutines in the engine, which are few. Unlike a sync.Pool it is
// not emptied by each garbage collection.
type freeList[T any] struct {
	free chan *T
	make func() *T
}

const maxFree = 8

func newFreeList[T any](f func() *T) freeList[T] {
	return freeList[T]{free: make(chan *T, maxFree), make: f}
}

func (l freeList[T]) get() *T {
	select {
	case t := <-l.free:
		return t
	default:
		return l.make()
	}
}

func (l freeList[T]) put(t *T) {
	select {
	case l.free <- t:
	default:
	}
}

// Stats counts what happens outside of calls.
type Stats struct {
	// Calls is the number of open calls.
	Calls int
	// Malformed counts packets from the wire that are no enhanced GRE.
	Malformed MalformedStats
	// UnknownCall counts packets from the wire for no call, or not from its
	// peer.
	UnknownCall uint64
	// NoCall counts packets from the host to an address behind no call, and
	// NotIP those that are no well-formed IPv4 or IPv6.
	NoCall, NotIP uint64
	// Link counts IPv6 packets from the host to multicast and link-local
	// addresses, such as it sends on any device. They go nowhere.
	Link uint64
}

// MalformedStats counts packets that are no enhanced GRE, by the error of
// [gre.Header.Decode].
type MalformedStats struct {
	Short    uint64
	Version  uint64 // other kinds of GRE
	Protocol uint64
	Flags    uint64 // set that must not be, or the other way round
	Sequence uint64
	Length   uint64
}

// Total returns the sum.
func (m MalformedStats) Total() uint64 {
	return m.Short + m.Version + m.Protocol + m.Flags + m.Sequence + m.Length
}

// counters is Stats as it is counted.
type counters struct {
	short, version, protocol, flags, sequence, length atomic.Uint64
	unknownCall, noCall, notIP, link                  atomic.Uint64
}

func (s *counters) malformed(err error) {
	switch err {
	case gre.ErrShort:
		s.short.Add(1)
	case gre.ErrVersion:
		s.version.Add(1)
	case gre.ErrProtocol:
		s.protocol.Add(1)
	case gre.ErrSequence:
		s.sequence.Add(1)
	case gre.ErrLength:
		s.length.Add(1)
	default:
		s.flags.Add(1)
	}
}

// Stats returns the counters.
func (e *Engine) Stats() Stats {
	s := &e.stats
	return Stats{
		Calls: e.demux.Len(),
		Malformed: MalformedStats{
			Short: s.short.Load(), Version: s.version.Load(), Protocol: s.protocol.Load(),
			Flags: s.flags.Load(), Sequence: s.sequence.Load(), Length: s.length.Load(),
		},
		UnknownCall: s.unknownCall.Load(),
		NoCall:      s.noCall.Load(),
		NotIP:       s.notIP.Load(),
		Link:        s.link.Load(),
	}
}
