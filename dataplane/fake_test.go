package dataplane

import (
	"bytes"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

var (
	localAddr = netip.MustParseAddr("192.0.2.1")
	peerAddr  = netip.MustParseAddr("198.51.100.1")
	config    = gopptp.CallConfig{Local: localAddr, Peer: peerAddr, RequireEncryption: true}
)

// diary is what happened to all fakes of a test, in order.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

// fakePlane is a plane that notes what it is told. It gives out ids, and then err.
type fakePlane struct {
	*diary
	name      string
	ids       []uint16
	err       error
	adoptEr   error
	prefixErr error
	calls     []*fakeCall
}

func (p *fakePlane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	if len(p.ids) == 0 {
		p.note("%s: open fails", p.name)
		return nil, p.err
	}
	c := &fakeCall{plane: p, id: p.ids[0], cfg: cfg, handler: h}
	p.ids = p.ids[1:]
	p.note("%s: open %d", p.name, c.id)
	p.calls = append(p.calls, c)
	return c, nil
}

func (p *fakePlane) Adopt(cfg gopptp.CallConfig, a userspace.Adopted, h gopptp.CallHandler) (gopptp.Call, error) {
	p.note("%s: adopt %d from %d on", p.name, a.ID, a.Sequence)
	if p.adoptEr != nil {
		return nil, p.adoptEr
	}
	c := &fakeCall{plane: p, id: a.ID, cfg: cfg, handler: h}
	p.calls = append(p.calls, c)
	return c, nil
}

func (p *fakePlane) Close() error { p.note("%s: close", p.name); return nil }

func (p *fakePlane) SetPrefixes(prefixes []netip.Prefix) error {
	p.note("%s: prefixes %v", p.name, prefixes)
	return p.prefixErr
}

func (p *fakePlane) DeviceName() string { return p.name + "0" }

func (p *fakePlane) last() *fakeCall { return p.calls[len(p.calls)-1] }

// fakeCall fails as it is told to.
type fakeCall struct {
	plane   *fakePlane
	id      uint16
	cfg     gopptp.CallConfig
	handler gopptp.CallHandler
	sent    uint32

	connectErr, prepareErr, encryptErr, attachErr error
}

func (c *fakeCall) note(format string, args ...any) {
	c.plane.note("%s: %d %s", c.plane.name, c.id, fmt.Sprintf(format, args...))
}

func (c *fakeCall) ID() uint16   { return c.id }
func (c *fakeCall) Sent() uint32 { return c.sent }
func (c *fakeCall) Connect(peer gopptp.PeerCall) error {
	c.note("connect %d", peer.ID)
	return c.connectErr
}
func (c *fakeCall) WriteControl(frame []byte) error {
	c.note("write %x", frame)
	c.sent++
	return nil
}
func (c *fakeCall) PrepareReceive(p mppe.Params) error {
	c.note("prepare %v", p.KeyLength)
	return c.prepareErr
}
func (c *fakeCall) SetEncryption(e gopptp.Encryption) error {
	length := func(p *mppe.Params) any {
		if p == nil {
			return nil
		}
		return p.KeyLength
	}
	c.note("encrypt %v, decrypt %v", length(e.Send), length(e.Receive))
	return c.encryptErr
}
func (c *fakeCall) ResetSend() error { c.note("reset"); return nil }
func (c *fakeCall) Attach(n gopptp.Network) error {
	c.note("attach %v", n.Peer)
	return c.attachErr
}
func (c *fakeCall) Detach() error { c.note("detach"); return nil }
func (c *fakeCall) Counters() gopptp.Counters {
	return gopptp.Counters{SentPackets: uint64(c.id)*1000 + uint64(len(c.plane.name))}
}
func (c *fakeCall) Idle() (time.Duration, error) { return time.Duration(c.id), nil }
func (c *fakeCall) Close() error                 { c.note("close"); return nil }
func (c *fakeCall) DeviceName() string           { return fmt.Sprint(c.plane.name, c.id) }

// fakeHandler keeps what it is told.
type fakeHandler struct {
	diary
	frames [][]byte
}

func (h *fakeHandler) ControlFrame(frame []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames = append(h.frames, bytes.Clone(frame))
}
func (h *fakeHandler) Attached(err error) { h.note("attached %v", err) }
func (h *fakeHandler) ResetNeeded()       { h.note("reset needed") }
func (h *fakeHandler) Failed(err error)   { h.note("failed %v", err) }
func (h *fakeHandler) RouterAdvertised(a gopptp.RouterAdvertisement) {
	h.note("router %v", a.Prefix)
}
