package userspace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/offload"
	"github.com/gopptp/gopptp/mppe"
)

// rig is a gateway with a plane, between two interfaces of which the test has the
// other ends: it is all peers, and all hosts behind the gateway.
//
//	peers 192.0.2.1x ── wire ── plane ── kernel, forwarding ── lan ── hosts 10.77.0.2, 2001:db8:77::2
type rig struct {
	t         testing.TB
	ns        *namespace
	plane     *Plane
	wire, lan *tap
	peers     []*rigPeer

	mu       sync.Mutex
	onLAN    [][]byte // packets that came from peers
	problems []string // with what leaves
}

// rigPeer is a session's other end.
type rigPeer struct {
	*owner
	call   gopptp.Call
	addr   netip.Addr
	mac    net.HardwareAddr
	inner  netip.Addr
	inner6 netip.Addr
	out    *mppe.Encryptor // of what it sends; nil: in clear
	in     *mppe.Decryptor
	seq    uint32
	queue  int // of the wire

	sent []sentGRE // by the plane; under mu of the rig
}

// sentGRE is a packet that has a sequence number, without its acknowledgement.
type sentGRE struct {
	seq     uint32
	payload []byte
}

var (
	lanHost  = netip.MustParseAddr("10.77.0.2")
	lanHost6 = netip.MustParseAddr("2001:db8:77::2")
	lanMAC   = net.HardwareAddr{2, 0, 0, 0, 0, 0x77}
)

// sysctl sets one of the namespace's.
func (ns *namespace) sysctl(t testing.TB, name, value string) {
	t.Helper()
	var err error
	ns.Do(func() { err = os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) })
	require.NoError(t, err)
}

// newRig opens a plane with a session for each cipher, nil for none.
func newRig(t testing.TB, opts Options, queues int, ciphers []*mppe.Params) *rig {
	t.Helper()
	ns := newNamespace(t)
	ns.sysctl(t, "ipv4/ip_forward", "1")
	ns.sysctl(t, "ipv6/conf/all/forwarding", "1")
	r := &rig{t: t, ns: ns, wire: ns.newTAP(t, "eth0", queues, false), lan: ns.newTAP(t, "lan0", 1, true)}
	ns.address(t, r.wire.index, outerA.String()+"/24")
	ns.address(t, r.lan.index, "10.77.0.1/24")
	ns.address(t, r.lan.index, "2001:db8:77::1/64")
	ns.neighbour(t, r.lan.index, lanHost.String(), lanMAC)
	ns.neighbour(t, r.lan.index, lanHost6.String(), lanMAC)

	opts.Prefixes = []netip.Prefix{pool, prefix6}
	r.plane = ns.open(t, opts)
	for i, cipher := range ciphers {
		p := &rigPeer{
			owner:  newOwner(),
			addr:   netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}),
			mac:    net.HardwareAddr{2, 0, 0, 0, 0, byte(10 + i)},
			inner:  netip.AddrFrom4([4]byte{10, 99, 0, byte(10 + i)}),
			inner6: netip.MustParseAddr(fmt.Sprintf("2001:db8:1:%d::2", 10+i)),
			queue:  i,
		}
		ns.neighbour(t, r.wire.index, p.addr.String(), p.mac)
		var err error
		p.call, err = r.plane.Open(gopptp.CallConfig{Local: outerA, Peer: p.addr}, p)
		require.NoError(t, err)
		require.NoError(t, p.call.Connect(gopptp.PeerCall{ID: uint16(1000 + i)}))
		if cipher != nil {
			up, down := *cipher, *cipher
			up.Key, down.Key = mppe.Key{byte(i), 1}, mppe.Key{byte(i), 2}
			p.out, err = mppe.NewEncryptor(up)
			require.NoError(t, err)
			p.in, err = mppe.NewDecryptor(down)
			require.NoError(t, err)
			require.NoError(t, p.call.SetEncryption(gopptp.Encryption{Send: &down, Receive: &up}))
		}
		r.peers = append(r.peers, p)
	}
	if opts.XDP != XDPOff {
		for _, p := range r.peers {
			eventually(t, "a next hop", func() bool { return p.call.(*call).path.Load() != nil })
		}
	}
	r.wire.each(r.left)
	r.lan.each(func(_ int, frame []byte) { r.arrived(frame[offload.HeaderLen:]) })
	for i, p := range r.peers {
		require.NoError(t, p.call.Attach(gopptp.Network{
			Local: innerServer, Peer: p.inner, MTU: 1400,
			IPv6: &gopptp.IPv6Network{
				Local: netip.MustParseAddr("fe80::1"), Peer: netip.MustParseAddr("fe80::2"), Router: true,
				Prefix: netip.PrefixFrom(p.inner6, 64).Masked(),
			},
		}))
		require.NoError(t, <-p.attached)
		r.await("a Router Advertisement", func() bool { return len(r.peers[i].sent) == 1 })
	}
	// As many control frames as have AF_XDP opened, should it be wanted.
	for range wantAfter {
		require.NoError(t, r.peers[0].call.WriteControl(controlFrame))
	}
	if opts.XDP != XDPOff {
		eventually(t, "AF_XDP", func() bool {
			p := r.plane.fast.ports.Load().port(r.wire.index)
			return p != nil && p.device != nil
		})
	}
	r.await("control frames", func() bool { return len(r.peers[0].sent) == 1+wantAfter })
	return r
}

// await waits for something that the rig has seen.
func (r *rig) await(what string, f func() bool) {
	r.t.Helper()
	eventually(r.t, what, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return f()
	})
}

func (r *rig) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Sprintf(format, args...))
}

// left takes a frame that the gateway sends to the peers.
func (r *rig) left(queue int, frame []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if binary.BigEndian.Uint16(frame[12:]) != 0x0800 {
		return // the host's IPv6
	}
	ip := frame[14:]
	if ip[9] == unix.IPPROTO_ICMP {
		r.problem("ICMP of type %d, code %d", ip[20], ip[21])
	}
	if ip[9] != unix.IPPROTO_GRE {
		return
	}
	dst := netip.AddrFrom4([4]byte(ip[16:20]))
	index := int(ip[19]) - 10
	if index < 0 || index >= len(r.peers) {
		r.problem("GRE to %v", dst)
		return
	}
	p := r.peers[index]
	length := int(binary.BigEndian.Uint16(ip[2:]))
	var h gre.Header
	switch {
	case ip[0] != 0x45, ip[1] != 0, length > len(ip), ip[6]|ip[7] != 0, ip[8] != 64, onesSum(ip[:20]) != 0xffff:
		r.problem("IP header %x", ip[:20])
		return
	case !bytes.Equal(frame[:6], p.mac), !bytes.Equal(frame[6:12], r.wire.mac), !bytes.Equal(ip[12:16], outerA.AsSlice()):
		r.problem("addresses %x", frame[:34])
		return
	}
	n, err := h.Decode(ip[20:length])
	if err != nil || int(h.CallID) != 1000+index || n+int(h.PayloadLength) != length-20 {
		r.problem("GRE header %x: %v", ip[20:], err)
		return
	}
	if h.HasSequence {
		p.sent = append(p.sent, sentGRE{h.Sequence, bytes.Clone(ip[20+n : length])})
	}
}

// arrived takes a frame that the gateway sends to its hosts.
func (r *rig) arrived(frame []byte) {
	p := frame[14:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case 0x0800:
	case 0x86dd:
		if !bytes.Equal(p[24:40], lanHost6.AsSlice()) {
			return // the kernel's own
		}
	default:
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.onLAN = append(r.onLAN, bytes.Clone(p))
}

// frame is a PPP frame with a packet of the peer's, encrypted if it has to be.
// short leaves out what the peer may.
func (p *rigPeer) frame(packet []byte, short bool) []byte {
	protocol := []byte{0, 0x21}
	if packet[0]>>4 == 6 {
		protocol = []byte{0, 0x57}
	}
	if p.out != nil {
		b := append(make([]byte, mppe.HeaderLen), protocol...)
		b = append(b, packet...)
		p.out.Seal(b)
		return append([]byte{0xff, 0x03, 0, 0xfd}, b...)
	}
	if short {
		return append(protocol[1:2:2], packet...)
	}
	return append([]byte{0xff, 0x03, 0, protocol[1]}, packet...)
}

// gre puts the next header in front of a frame.
func (p *rigPeer) gre(frame []byte) []byte {
	p.seq++
	h := gre.Header{CallID: p.call.ID(), HasSequence: true, Sequence: p.seq, PayloadLength: uint16(len(frame))}
	return append(h.Append(nil), frame...)
}

// outerPacket is a packet from a peer to the gateway.
func outerPacket(from netip.Addr, id uint16, fragment uint16, options, payload []byte) []byte {
	b := builder{src: from, dst: outerA, id: id - 1}
	return b.ip4(unix.IPPROTO_GRE, fragment, options, payload)
}

// ethernet is its frame.
func (r *rig) ethernet(p *rigPeer, packet []byte) []byte {
	frame := append(append(bytes.Clone(r.wire.mac), p.mac...), 8, 0)
	frame = append(frame, packet...)
	for len(frame) < minFrame {
		frame = append(frame, 0xee)
	}
	return frame
}

// fromLAN is a frame of a host behind the gateway.
func (r *rig) fromLAN(h offload.Header, packet []byte) []byte {
	if h.Flags != 0 {
		h.HdrLen, h.ChecksumStart = h.HdrLen+14, h.ChecksumStart+14
	}
	frame := append(append(h.Append(nil), r.lan.mac...), lanMAC...)
	if packet[0]>>4 == 6 {
		return append(append(frame, 0x86, 0xdd), packet...)
	}
	return append(append(frame, 8, 0), packet...)
}

// whileHeld runs f while no worker can give anything to the host, or to the peers:
// what f sends waits, and goes on in large batches.
func (r *rig) whileHeld(f func()) {
	for _, w := range r.plane.workers {
		w.outer.mu.Lock()
		w.outer.raw.sendMu.Lock()
		w.tun.out.mu.Lock()
	}
	f()
	for _, w := range r.plane.workers {
		w.tun.out.mu.Unlock()
		w.outer.raw.sendMu.Unlock()
		w.outer.mu.Unlock()
	}
}
