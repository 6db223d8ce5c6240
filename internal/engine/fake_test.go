package engine

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
)

var (
	localAddr = netip.MustParseAddr("192.0.2.1")
	peerAddr  = netip.MustParseAddr("198.51.100.1")

	tunnelLocal = netip.MustParseAddr("10.0.0.1")
	tunnelPeer  = netip.MustParseAddr("10.0.0.2")
)

// fakeWire keeps what is sent.
type fakeWire struct {
	mu   sync.Mutex
	sent []Datagram
}

func (w *fakeWire) Send(batch []Datagram) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range batch {
		d.Data = bytes.Clone(d.Data)
		w.sent = append(w.sent, d)
	}
}

// take returns what was sent since the last take.
func (w *fakeWire) take() []Datagram {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent
	w.sent = nil
	return sent
}

// fakeHost keeps what is delivered, and is attached as told.
type fakeHost struct {
	mu        sync.Mutex
	delivered [][]byte
	changes   []string
	attachErr error
	gate      chan struct{} // nil: Attach does not block
}

func (h *fakeHost) Deliver(packets [][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range packets {
		h.delivered = append(h.delivered, bytes.Clone(p))
	}
}

func (h *fakeHost) Attach(n gopptp.Network) error {
	if h.gate != nil {
		<-h.gate
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, "attach "+peerOf(n))
	return h.attachErr
}

func (h *fakeHost) Detach(n gopptp.Network) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, "detach "+peerOf(n))
}

func peerOf(n gopptp.Network) string {
	if n.IPv6 != nil {
		return n.IPv6.Peer.String()
	}
	return n.Peer.String()
}

func (h *fakeHost) take() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := h.delivered
	h.delivered = nil
	return d
}

func (h *fakeHost) history() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.changes)
}

// fakeHandler keeps what it is told.
type fakeHandler struct {
	mu       sync.Mutex
	frames   [][]byte
	attached []error
	failed   []error
	routers  []gopptp.RouterAdvertisement
	resets   int
	over     bool // Close has returned
	late     int  // calls after that
}

func (h *fakeHandler) note(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.over {
		h.late++
	}
	f()
}

func (h *fakeHandler) ControlFrame(frame []byte) {
	h.note(func() { h.frames = append(h.frames, bytes.Clone(frame)) })
}

func (h *fakeHandler) Attached(err error) {
	h.note(func() { h.attached = append(h.attached, err) })
}

func (h *fakeHandler) ResetNeeded() { h.note(func() { h.resets++ }) }

func (h *fakeHandler) resetsNeeded() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.resets
}

func (h *fakeHandler) Failed(err error) {
	h.note(func() { h.failed = append(h.failed, err) })
}

func (h *fakeHandler) RouterAdvertised(a gopptp.RouterAdvertisement) {
	h.note(func() { h.routers = append(h.routers, a) })
}

func (h *fakeHandler) take() [][]byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.frames
	h.frames = nil
	return f
}

func (h *fakeHandler) attaches() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.attached)
}

// end is an Engine with a call.
type end struct {
	t *testing.T
	*Engine
	wire    fakeWire
	host    fakeHost
	handler fakeHandler
	call    gopptp.Call

	// The peer, where it is no engine.
	sender    gre.Sender
	encryptor *mppe.Encryptor
}

const peerCallID = 0x1234

// newEnd returns an end whose call is open, but not connected.
func newEnd(t *testing.T, encrypted bool, change ...func(*Config)) *end {
	n := &end{t: t}
	cfg := Config{Wire: &n.wire, Host: &n.host}
	for _, f := range change {
		f(&cfg)
	}
	n.Engine = New(cfg)
	t.Cleanup(func() { require.NoError(t, n.Engine.Close()) })
	var err error
	n.call, err = n.Open(gopptp.CallConfig{Local: localAddr, Peer: peerAddr, RequireEncryption: encrypted}, &n.handler)
	require.NoError(t, err)
	return n
}

// connected returns an end whose call is connected.
func connected(t *testing.T, encrypted bool, change ...func(*Config)) *end {
	n := newEnd(t, encrypted, change...)
	require.NoError(t, n.call.Connect(gopptp.PeerCall{ID: peerCallID}))
	return n
}

// attached returns an end that carries users' packets in clear.
func attached(t *testing.T, change ...func(*Config)) *end {
	n := connected(t, false, change...)
	n.attach(nil)
	return n
}

func testNetwork() gopptp.Network {
	return gopptp.Network{Local: tunnelLocal, Peer: tunnelPeer, MTU: 1456}
}

func (n *end) attach(change func(*gopptp.Network)) {
	n.t.Helper()
	network := testNetwork()
	if change != nil {
		change(&network)
	}
	before := len(n.handler.attaches())
	require.NoError(n.t, n.call.Attach(network))
	n.eventually(func() bool { return len(n.handler.attaches()) > before })
	settle(n.call)
}

// settle waits until the call has done what follows Attached: the handler is first
// to know.
func settle(c gopptp.Call) {
	call := c.(*call)
	call.mu.Lock()
	defer call.mu.Unlock()
}

func (n *end) eventually(f func() bool) {
	n.t.Helper()
	require.Eventually(n.t, f, 5*time.Second, time.Millisecond)
}

var testParams = mppe.Params{KeyLength: mppe.Key128, Key: mppe.Key{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}

// encrypt switches encryption on at both the engine and the peer.
func (n *end) encrypt() {
	n.t.Helper()
	require.NoError(n.t, n.call.PrepareReceive(testParams))
	require.NoError(n.t, n.call.SetEncryption(gopptp.Encryption{Send: &testParams, Receive: &testParams}))
	n.peerEncrypts()
}

func (n *end) peerEncrypts() {
	var err error
	n.encryptor, err = mppe.NewEncryptor(testParams)
	require.NoError(n.t, err)
}

// packet makes a GRE packet of the peer.
func (n *end) packet(frame ...byte) Datagram {
	h := gre.Header{CallID: n.call.ID(), PayloadLength: uint16(len(frame)), HasSequence: true, Sequence: n.sender.Next()}
	return Datagram{Local: localAddr, Peer: peerAddr, Data: append(h.Append(nil), frame...)}
}

// sealed makes a GRE packet of the peer from an inner frame, which begins with
// its protocol field.
func (n *end) sealed(inner ...byte) Datagram {
	b := append(make([]byte, mppe.HeaderLen), inner...)
	n.encryptor.Seal(b)
	return n.packet(append([]byte{0x00, 0xfd}, b...)...)
}

// receive gives the engine packets of the peer.
func (n *end) receive(packets ...Datagram) { n.Inbound(packets) }

// fromHost gives the engine packets of the host.
func (n *end) fromHost(packets ...[]byte) {
	var batch [][]byte
	for _, p := range packets {
		batch = append(batch, append(make([]byte, Headroom), p...))
	}
	n.Outbound(batch)
}

// udp makes an IPv4 packet with a payload.
func udp(src, dst netip.Addr, payload ...byte) []byte {
	return ipv4Packet(src, dst, 17, append([]byte{0x10, 0, 0x20, 0, 0, byte(8 + len(payload)), 0, 0}, payload...))
}

func ipv4Packet(src, dst netip.Addr, protocol byte, payload []byte) []byte {
	p := make([]byte, ipv4HeaderLen, ipv4HeaderLen+len(payload))
	p[0] = 0x45
	p[2], p[3] = byte((ipv4HeaderLen+len(payload))>>8), byte(ipv4HeaderLen+len(payload))
	p[8], p[9] = 64, protocol
	s, d := src.As4(), dst.As4()
	copy(p[12:], s[:])
	copy(p[16:], d[:])
	sum := checksum(p)
	p[10], p[11] = byte(sum>>8), byte(sum)
	return append(p, payload...)
}

// ipFrame is a PPP frame, not compressed, with an IPv4 packet.
func ipFrame(packet []byte) []byte { return append([]byte{0xff, 0x03, 0x00, 0x21}, packet...) }

// innerFrame is what is encrypted of it.
func innerFrame(packet []byte) []byte { return append([]byte{0x00, 0x21}, packet...) }

// inPackets and outPackets are packets through the tunnel in either direction.
func inPacket(payload ...byte) []byte  { return udp(tunnelPeer, tunnelLocal, payload...) }
func outPacket(payload ...byte) []byte { return udp(tunnelLocal, tunnelPeer, payload...) }
