package kerneltest

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

var (
	clientAddr  = netip.MustParseAddr("198.51.100.1")
	serverAddr  = netip.MustParseAddr("192.0.2.1")
	clientInner = netip.MustParseAddr("10.9.1.1")
	serverInner = netip.MustParseAddr("10.9.0.1")
)

// ipPacket makes an IPv4 packet, told from others by i.
func ipPacket(from, to netip.Addr, i int) []byte {
	p := make([]byte, 20, 24)
	src, dst := from.As4(), to.As4()
	p[0], p[3], p[8], p[9] = 0x45, byte(cap(p)), 64, 253
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	return binary.BigEndian.AppendUint32(p, uint32(i))
}

// heard is a driver.Handler that remembers.
type heard struct {
	mu     sync.Mutex
	frames [][]byte
	gone   []error
}

func (h *heard) Frame(frame []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frames = append(h.frames, bytes.Clone(frame))
}

func (h *heard) Gone(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.gone = append(h.gone, err)
}

// take returns what was heard since it was called last.
func (h *heard) take() [][]byte {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	frames := h.frames
	h.frames = nil
	return frames
}

// end is one end of a call.
type end struct {
	*heard
	inner  netip.Addr
	host   *Host
	driver driver.Driver
	socket driver.Socket
	unit   driver.Unit
}

// rig is a call between two hosts with kernels, with nothing but a channel at the ends.
type rig struct {
	t              *testing.T
	net            *memory.Network
	server, client *end
}

const serverID, clientID = 7, 9

func inRig(t *testing.T, f func(*testing.T, *rig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, net: memory.NewNetwork()}
		r.server, r.client = r.end(serverAddr, serverInner), r.end(clientAddr, clientInner)
		r.server.bind(t, clientAddr, serverID)
		r.client.bind(t, serverAddr, clientID)
		for e, peer := range map[*end]uint16{r.server: clientID, r.client: serverID} {
			require.NoError(t, e.socket.Connect(peer))
			require.NoError(t, e.socket.AttachChannel())
		}
		defer r.net.Close()
		defer func() {
			for _, e := range []*end{r.server, r.client} {
				if e.unit != nil {
					require.NoError(t, e.unit.Close())
				}
				require.NoError(t, e.socket.Close())
				require.NoError(t, e.driver.Close())
				require.Zero(t, e.host.Leaks())
			}
		}()
		f(t, r)
	})
}

func (r *rig) end(outer, inner netip.Addr) *end {
	h := NewHost(r.net, outer, Options{})
	return &end{heard: new(heard), inner: inner, host: h, driver: h.driver()}
}

func (e *end) bind(t *testing.T, peer netip.Addr, id uint16) {
	var err error
	e.socket, err = e.driver.Bind(e.host.Addr(), peer, id, e)
	require.NoError(t, err)
}

// up gives both ends units through which packets of IPv4 pass.
func (r *rig) up() {
	for e, peer := range map[*end]netip.Addr{r.server: clientInner, r.client: serverInner} {
		var err error
		e.unit, err = e.socket.NewUnit("ppp%d")
		require.NoError(r.t, err)
		require.NoError(r.t, e.unit.SetUp(true))
		require.NoError(r.t, e.unit.Pass(true, false))
		require.NoError(r.t, e.unit.AddAddress(e.inner, peer))
		to := netip.PrefixFrom(peer, 32)
		require.NoError(r.t, e.unit.AddRoute(driver.Route{To: to, Source: e.inner}))
	}
}

// encrypt has what the server sends encrypted with down, and what the client sends with
// up; nil: not at all.
func (r *rig) encrypt(down, up *mppe.Params) {
	require.NoError(r.t, r.server.unit.SetEncryption(down, up))
	require.NoError(r.t, r.client.unit.SetEncryption(up, down))
}

// sends has the server send the i-th packet, and returns those the client gets.
func (r *rig) sends(i int) (got []int) { return r.carries(r.server, r.client, i) }

func (r *rig) carries(from, to *end, i int) (got []int) {
	from.host.Send(ipPacket(from.inner, to.inner, i))
	return to.arrived()
}

// arrived returns what the host has got of users' packets.
func (e *end) arrived() (got []int) {
	synctest.Wait()
	for {
		select {
		case p := <-e.host.Packets():
			got = append(got, int(binary.BigEndian.Uint32(p[20:])))
		default:
			return got
		}
	}
}

// onWire is how many of users' frames were seen.
type onWire struct{ encrypted, clear int }

// tap returns a function that returns what an end has sent since it was last asked.
func (r *rig) tap() func(from *end) onWire {
	var mu sync.Mutex
	seen := make(map[netip.Addr]onWire)
	r.net.Tap(func(p memory.Packet) {
		mu.Lock()
		defer mu.Unlock()
		n := seen[p.From]
		switch protocol, _, _ := ppp.DecodeFrame(p.Frame()); protocol {
		case ppp.ProtocolIPv4:
			n.clear++
		case ppp.ProtocolCompressed:
			n.encrypted++
		}
		seen[p.From] = n
	})
	return func(from *end) onWire {
		mu.Lock()
		defer mu.Unlock()
		n := seen[from.host.Addr()]
		delete(seen, from.host.Addr())
		return n
	}
}

// frame makes a control frame.
func frame(p ppp.Protocol, code ppp.Code, data ...byte) []byte {
	b := []byte{byte(p >> 8), byte(p), byte(code), 1}
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(data)))
	return append(b, data...)
}

// ackOf is the Configure-Ack for p.
func ackOf(p mppe.Params) []byte {
	o := []byte{18, 6, 1, 0, 0, 0x40}
	if p.Stateful {
		o[2] = 0
	}
	if p.KeyLength == mppe.Key40 {
		o[5] = 0x20
	}
	return ccp(ppp.ConfigureAck, o...)
}

func ccp(code ppp.Code, data ...byte) []byte { return frame(ppp.ProtocolCCP, code, data...) }

// inject sends the client a GRE packet.
func (r *rig) inject(sequence uint32, payload []byte) {
	h := gre.Header{PayloadLength: uint16(len(payload)), CallID: clientID, HasSequence: true, Sequence: sequence}
	r.net.Inject(memory.Packet{From: serverAddr, To: clientAddr, Data: append(h.Append(nil), payload...)})
}
