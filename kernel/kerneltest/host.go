package kerneltest

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/gopptp/gopptp/memory"
)

// Presence says whether the kernel of a [Host] has something.
type Presence uint8

// The presences.
const (
	Present Presence = iota
	Missing
	// Unclear: it is there, but a probe cannot tell.
	Unclear
)

// Options configure a [Host]. The zero value is a kernel that has everything.
type Options struct {
	PPTP, PPP, MPPE, Rates, Privileges Presence
}

// Host is a host of a [memory.Network] whose kernel knows PPTP. It is the
// [memory.Host] with its address as well, data plane included: a packet from the host
// goes by the kernel if a device there has a route, or else by that data plane, and
// Packets has those of both. It is safe for concurrent use.
type Host struct {
	*memory.Host
	opts Options

	mu      sync.Mutex
	cond    sync.Cond // something has changed that somebody waits for
	sockets map[uint16]*socket
	units   []*unit // devices, the eldest first
	routes  []route // those to go first, first
	failing map[Op]error
	onOp    func(op Op, callID uint16) error
}

// NewHost makes the host of n with an address, which is IPv4, one that has a kernel. It
// is called once for an address.
func NewHost(n *memory.Network, addr netip.Addr, opts Options) *Host {
	h := &Host{
		Host:    n.Host(addr),
		opts:    opts,
		sockets: make(map[uint16]*socket),
		failing: make(map[Op]error),
	}
	h.cond.L = &h.mu
	h.OnGRE(h.receive)
	return h
}

// Send sends an IP packet from the host into the tunnel that leads to its
// destination. packet is not kept. It is dropped if it has no way to go, and, as hosts
// here make no fragments, if it is larger than its device's MTU.
func (h *Host) Send(packet []byte) {
	to, ok := destination(packet)
	if !ok {
		return
	}
	h.mu.Lock()
	u := h.way(to)
	if u != nil {
		u.sendPacket(packet)
	}
	h.mu.Unlock()
	if u == nil {
		h.Host.Send(packet)
	}
}

func destination(packet []byte) (to netip.Addr, ok bool) {
	switch {
	case len(packet) >= 20 && packet[0]>>4 == 4:
		return netip.AddrFromSlice(packet[16:20])
	case len(packet) >= 40 && packet[0]>>4 == 6:
		return netip.AddrFromSlice(packet[24:40])
	}
	return netip.Addr{}, false
}

// Op is something that package kernel has the kernel do.
type Op string

// What can be made to fail, and be observed. For what is closed it comes to an end all
// the same.
const (
	OpBind          Op = "bind" // a call ID
	OpConnect       Op = "connect"
	OpAttachChannel Op = "attach channel"
	OpWrite         Op = "write" // a frame through the channel
	OpSetHeader     Op = "set header"
	OpSetFilter     Op = "set filter"
	OpCloseSocket   Op = "close socket"
	OpNewUnit       Op = "new unit"
	OpWriteUnit     Op = "write unit" // a frame through the unit
	OpSetEncryption Op = "set encryption"
	OpPass          Op = "pass"
	OpDecryption    Op = "decryption"
	OpIdle          Op = "idle"
	OpStats         Op = "stats"
	OpSetRates      Op = "set rates"
	OpSetMTU        Op = "set MTU"
	OpSetUp         Op = "set up"
	OpAddAddress    Op = "add address"
	OpRemoveAddress Op = "remove address"
	OpAddRoute      Op = "add route"
	OpRemoveRoute   Op = "remove route"
	OpCloseUnit     Op = "close unit"
)

// Fail has all operations of a kind fail with err, or, if it is nil, no more.
func (h *Host) Fail(op Op, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failing[op] = err
}

// OnOp has f asked before each operation, of the call with an ID of ours. The operation
// fails with its error, and takes as long as it takes. Nil ends that. f may be called by
// several goroutines.
func (h *Host) OnOp(f func(op Op, callID uint16) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onOp = f
}

// enter returns what an operation fails with.
func (h *Host) enter(op Op, id uint16) error {
	h.mu.Lock()
	f, err := h.onOp, h.failing[op]
	h.mu.Unlock()
	if f != nil {
		if ferr := f(op, id); ferr != nil {
			return ferr
		}
	}
	return err
}

// Leaks is what a host has left of its calls.
type Leaks struct {
	Sockets, Units, Addresses, Routes int
}

// Leaks returns what is there now. It is zero when all has been closed.
func (h *Host) Leaks() Leaks {
	h.mu.Lock()
	defer h.mu.Unlock()
	l := Leaks{Sockets: len(h.sockets), Units: len(h.units)}
	for _, s := range h.sockets {
		if s.unit != nil && s.unit.gone {
			l.Units++ // its descriptor is open
		}
	}
	for _, u := range h.units {
		l.Addresses += len(u.addresses)
	}
	l.Routes = len(h.routes)
	return l
}

func protocol(frame []byte) uint16 { return binary.BigEndian.Uint16(frame) }
