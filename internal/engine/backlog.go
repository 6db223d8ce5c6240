package engine

import (
	"encoding/binary"
	"unsafe"

	"github.com/gopptp/gopptp/gre"
)

// A data plane that has more packets waiting than it can move at once asks whose
// they are, and drops those of the sessions that have most. What is told of a
// packet is a guess as good as the packet: nothing has been checked.

// FlowIn returns a number that packets from the wire have in common if they are of
// one call, and mostly only then.
func FlowIn(d *Datagram) uint32 {
	if len(d.Data) < gre.MinHeaderLen || !d.Peer.Is4() {
		return 0
	}
	return be32(d.Peer)*0x9e3779b1 ^ uint32(binary.BigEndian.Uint16(d.Data[6:]))
}

// FlowOut is FlowIn for packets from the host, with their headroom.
func (e *Engine) FlowOut(buf []byte) uint32 {
	_, _, c := e.route(buf)
	// Where the call is tells it from others, without a look into it.
	return uint32(uintptr(unsafe.Pointer(c))>>8) * 0x9e3779b1
}

// Alone reports whether there is one call at the most.
func (e *Engine) Alone() bool { return e.demux.Len() <= 1 }

// DropIn counts a packet from the wire that was dropped since others had to go
// first. To the call it is also one that never came.
func (e *Engine) DropIn(d *Datagram) {
	if len(d.Data) < gre.MinHeaderLen {
		return
	}
	if c, ok := e.demux.Lookup(d.Local, d.Peer, binary.BigEndian.Uint16(d.Data[6:])); ok {
		c.rare.queue.Add(1)
	}
}

// DropOut is DropIn for a packet from the host.
func (e *Engine) DropOut(buf []byte) {
	if _, _, c := e.route(buf); c != nil {
		c.rare.queue.Add(1)
	}
}
