package userspace

import (
	"encoding/binary"
	"net/netip"
	"sync"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
)

// call is a call of the engine, together with what the plane keeps about it.
type call struct {
	gopptp.Call
	plane   *Plane
	peer    netip.Addr
	handler gopptp.CallHandler
	path    *callPath // nil without AF_XDP
	adopted bool      // its ID was admitted

	mu     sync.Mutex // guards closed, and is held while handler is told
	closed bool
}

// DeviceName is the name of the TUN device.
func (c *call) DeviceName() string { return c.plane.DeviceName() }

// Close implements gopptp.Call.
func (c *call) Close() error {
	err := c.Call.Close()
	c.forget()
	return err
}

func (c *call) forget() {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	c.mu.Unlock()
	if first {
		c.plane.mu.Lock()
		delete(c.plane.calls, c)
		c.plane.mu.Unlock()
		c.plane.outer.remove(c.peer)
		if c.adopted {
			c.plane.admitted.remove(c.ID())
		}
		if c.path != nil {
			c.path.close(c.Call != nil)
		}
	}
}

// fail tells the owner, but not after Close has returned.
func (c *call) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.handler.Failed(err)
	}
}

// fail ends the use of the plane: nothing can be carried any more, and the
// owners of the calls are told why.
func (p *Plane) fail(err error) {
	p.mu.Lock()
	if p.failed != nil {
		p.mu.Unlock()
		return
	}
	p.failed = err
	calls := make([]*call, 0, len(p.calls))
	for c := range p.calls {
		calls = append(calls, c)
	}
	p.mu.Unlock()
	p.log.Error("userspace: the data plane has failed", "err", err)
	for _, c := range calls {
		c.fail(err)
	}
}

// loops reports that a packet from the host is one that we, or our peer, sent
// around a tunnel: then a route leads it back into the tunnel, and it would be
// wrapped again and again.
func (p *Plane) loops(packet []byte) bool {
	const protocol, destination, headerLen = 9, 16, 20
	if len(packet) < headerLen || packet[0]>>4 != 4 || packet[protocol] != protocolGRE {
		return false
	}
	header := int(packet[0]&0x0f) * 4
	if len(packet) < header+gre.MinHeaderLen || binary.BigEndian.Uint16(packet[header+2:]) != gre.ProtocolPPP {
		return false // another tunnel, which may go inside of ours
	}
	return p.outer.has(netip.AddrFrom4([4]byte(packet[destination:])))
}

const protocolGRE = 47 // IANA protocol numbers
