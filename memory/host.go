package memory

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/engine"
)

// maxReceive is the capacity of [Host.Packets].
const maxReceive = 4096

// Host is a host on a [Network]. It is safe for concurrent use.
type Host struct {
	network *Network
	addr    netip.Addr
	plane   *engine.Engine
	packets chan []byte
	dropped atomic.Uint64

	mu        sync.Mutex
	closed    bool
	ended     bool // packets is closed
	listeners map[uint16]*listener
	lastPort  uint16
	onGRE     func(from netip.Addr, packet []byte)
	onAttach  func(gopptp.Network) error
	attached  []gopptp.Network
}

func newHost(n *Network, addr netip.Addr) *Host {
	h := &Host{
		network:   n,
		addr:      addr,
		packets:   make(chan []byte, maxReceive),
		listeners: make(map[uint16]*listener),
	}
	h.plane = engine.New(engine.Config{Wire: wire{h}, Host: inside{h}})
	return h
}

// Addr returns the host's address on the network.
func (h *Host) Addr() netip.Addr { return h.addr }

// Dataplane returns the host's data plane, always the same one.
// [Network.Close] closes it, if nobody has done so before.
func (h *Host) Dataplane() gopptp.Dataplane { return h.plane }

// Send sends an IP packet from the host into the tunnel that leads to its
// destination. Where several do, the one with the packet's source as its own
// address is taken. packet is not kept. It is dropped if it has no way to go.
func (h *Host) Send(packet []byte) {
	buf := make([]byte, engine.Headroom+len(packet))
	copy(buf[engine.Headroom:], packet)
	h.plane.Outbound([][]byte{buf})
}

// Packets are the IP packets that have come to the host through tunnels, each a
// slice of its own. The channel is closed by [Network.Close]. 4,096 packets wait
// to be received at the most.
func (h *Host) Packets() <-chan []byte { return h.packets }

// SendGRE sends a GRE packet that is not of the host's data plane. packet is not kept.
func (h *Host) SendGRE(to netip.Addr, packet []byte) {
	wire{h}.Send([]engine.Datagram{{Peer: to, Data: packet}})
}

// OnGRE has f called with each GRE packet that comes to the host, before its data
// plane has it too, much as a raw socket would. Nil ends that. f is called by one
// goroutine at a time, and must not change or keep packet.
func (h *Host) OnGRE(f func(from netip.Addr, packet []byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onGRE = f
}

// Receive puts an IP packet into Packets that has come to the host by another way
// than its data plane. packet is not kept.
func (h *Host) Receive(packet []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.ended {
		h.receive(packet)
	}
}

func (h *Host) receive(packet []byte) {
	select {
	case h.packets <- bytes.Clone(packet):
	default:
		h.dropped.Add(1)
	}
}

var errNetworkClosed = fmt.Errorf("memory: network closed: %w", net.ErrClosed)

// Dropped returns how many packets were dropped because Packets was full.
func (h *Host) Dropped() uint64 { return h.dropped.Load() }

// Attached returns the networks that calls of the data plane have attached, in
// that order, IPv4 and IPv6 of a call each by itself, with the limits that they have
// now. It is empty when all have been detached or closed and the host has followed.
func (h *Host) Attached() []gopptp.Network {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.attached)
}

// OnAttach lets f decide what becomes of a call's Attach: its error is what the
// session gets, and it may take its time. It is asked for IPv4 and IPv6 each by
// itself. Nil, as it is at first, accepts all.
func (h *Host) OnAttach(f func(gopptp.Network) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onAttach = f
}

func (h *Host) close() {
	h.mu.Lock()
	h.closed = true
	listeners := make([]*listener, 0, len(h.listeners))
	for _, l := range h.listeners {
		listeners = append(listeners, l)
	}
	h.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	_ = h.plane.Close()
}

// end closes Packets. The network's goroutine has ended.
func (h *Host) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
	close(h.packets)
}

// inbound takes GRE packets from the network.
func (h *Host) inbound(batch []engine.Datagram) {
	h.mu.Lock()
	f := h.onGRE
	h.mu.Unlock()
	if f != nil {
		for _, d := range batch {
			f(d.Peer, d.Data)
		}
	}
	h.plane.Inbound(batch)
}

// inside is the side of a host that its data plane sees.
type inside struct{ *Host }

// Deliver implements engine.Host.
func (h inside) Deliver(packets [][]byte) {
	for _, p := range packets {
		h.receive(p)
	}
}

// Attach implements engine.Host.
func (h inside) Attach(n gopptp.Network) error {
	h.mu.Lock()
	f := h.onAttach
	h.mu.Unlock()
	if f != nil {
		if err := f(n); err != nil {
			return err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.attached = append(h.attached, n)
	return nil
}

// Rates implements engine.RateHost.
func (h inside) Rates(n gopptp.Network) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(n); i >= 0 {
		h.attached[i].Rates = n.Rates
	}
}

// Detach implements engine.Host.
func (h inside) Detach(n gopptp.Network) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if i := h.index(n); i >= 0 {
		h.attached = slices.Delete(h.attached, i, i+1)
	}
}

// index is where n is in attached, or negative. h.mu is held.
func (h inside) index(n gopptp.Network) int {
	return slices.IndexFunc(h.attached, func(a gopptp.Network) bool {
		if a.IPv6 == nil || n.IPv6 == nil {
			return a.IPv6 == n.IPv6 && a.Local == n.Local && a.Peer == n.Peer
		}
		return a.IPv6.Local == n.IPv6.Local && a.IPv6.Peer == n.IPv6.Peer && a.IPv6.Prefix == n.IPv6.Prefix
	})
}
