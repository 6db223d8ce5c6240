// Package scene plays sessions for tests: two ends made of the module's own state
// machines talk to each other in virtual time, and a tap between them records
// what comes past.
package scene

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// Side is an end.
type Side int

// The ends.
const (
	Client Side = iota
	Server
)

// Fate is what becomes of a packet of GRE.
type Fate int

// Fates.
const (
	Deliver    Fate = iota
	DropBefore      // the tap: it is not recorded
	DropBehind      // the tap: it is recorded, and does not arrive
	Twice
	Late // it is overtaken, in front of the tap
)

// Packet is one of GRE.
type Packet struct {
	From     Side
	Number   int // from 0
	Protocol ppp.Protocol
}

// End configures one of the two.
type End struct {
	LCP  lcp.Config
	CCP  *mppe.CCPConfig // nil if it knows no CCP
	IPCP ipcp.Config
	// Mute: it takes part in no PPP at all.
	Mute bool
}

// Config is what is played. New fills in a session that works.
type Config struct {
	Client, Server           End
	User                     string
	Password, ServerPassword string
	ErrorCode                int                     // of a Failure; zero is 691
	RefuseCall               pptp.OutgoingCallResult // zero accepts it
	Path                     func(p Packet) Fate
	// NoVerdict: the server's user database does not answer.
	NoVerdict bool
}

// Default is a session that works, with MPPE, for the user joe.
func Default() Config {
	need := mppe.CCPConfig{Required: true}
	return Config{
		User: "joe", Password: "correct horse", ServerPassword: "correct horse",
		Client: End{LCP: lcp.Config{OwnAuth: []ppp.AuthMethod{ppp.AuthMSCHAPv2}}, CCP: &need, IPCP: ipcp.Config{RequestDNS: true}},
		Server: End{LCP: lcp.Config{PeerAuth: []ppp.AuthMethod{ppp.AuthMSCHAPv2}, MRU: 1400}, CCP: &need, IPCP: ipcp.Config{
			Local: netip.MustParseAddr("10.0.0.1"), Peer: netip.MustParseAddr("10.0.0.2"),
			DNS: [2]netip.Addr{netip.MustParseAddr("10.0.0.53")},
		}},
	}
}

const (
	latency   = 5 * time.Millisecond // from an end to the tap
	overtaken = 20 * time.Millisecond
)

var (
	addresses = [2][]byte{{192, 0, 2, 10}, {198, 51, 100, 1}}
	ports     = [2]uint16{40000, pptp.Port}
	callIDs   = [2]uint16{1001, 77}
)

// Scene is a session that is being played.
type Scene struct {
	cfg   Config
	start time.Time
	now   time.Time
	queue []event
	order int
	ends  [2]*end
	file  *pcapgo.Writer
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type end struct {
	s       *Scene
	side    Side
	cfg     *End
	control *pptp.Control
	link    *ppp.Link
	lcp     *lcp.LCP
	ccp     *mppe.CCP
	server  *chap.Authenticator
	client  *chap.Peer
	result  *chap.MSCHAPv2Result
	crypt   *mppe.Encryptor
	sender  gre.Sender
	recv    gre.Receiver
	peerID  uint16
	tcpSeq  uint32
	number  int  // of packets sent
	dead    bool // silent
	up      bool
}

// counter fills with octets that no two calls share, the same in each run.
func counter(first byte) func([]byte) {
	return func(b []byte) {
		first++
		for i := range b {
			b[i] = first + byte(i)*7
		}
	}
}

// New prepares a scene that is recorded to w.
func New(w io.Writer, cfg Config) *Scene {
	s := &Scene{cfg: cfg, start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), file: pcapgo.NewWriterNanos(w)}
	must(s.file.WriteFileHeader(65536, stock.LinkTypeEthernet))
	s.now = s.start
	for side, c := range []*End{&s.cfg.Client, &s.cfg.Server} {
		e := &end{s: s, side: Side(side), cfg: c, tcpSeq: 1000 * uint32(side+1)}
		c.LCP.Rand = counter(byte(side * 100))
		e.lcp = lcp.New(c.LCP)
		link := ppp.LinkConfig{Control: e.lcp, Networks: []ppp.Layer{ipcp.New(c.IPCP)}}
		if c.CCP != nil {
			e.ccp = mppe.NewCCP(*c.CCP)
			link.Compression, link.RequireCompression = e.ccp, c.CCP.Required
		}
		control := pptp.Config{HostName: []string{"laptop", "gate"}[side], VendorString: "gopptp", EchoInterval: -1}
		if e.side == Client {
			control.Role, control.Originator = pptp.RolePNS, true
			e.client = chap.NewPeer(chap.PeerConfig{Name: cfg.User, NTHash: chap.NTPasswordHash(cfg.Password), Rand: counter(3)})
			link.Peers = []ppp.Auth{e.client}
		} else {
			e.server = chap.NewAuthenticator(chap.AuthenticatorConfig{Name: "gate", Rand: counter(5)})
			link.Authenticators = []ppp.Authenticator{e.server}
		}
		e.control = pptp.NewControl(control)
		e.link = ppp.NewLink(link)
		e.recv = gre.NewReceiver(gre.ReceiverConfig{})
		s.ends[side] = e
	}
	return s
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// At has f called at a time after the start.
func (s *Scene) At(d time.Duration, f func()) { s.at(s.start.Add(d), f) }

func (s *Scene) at(t time.Time, f func()) {
	s.order++
	s.queue = append(s.queue, event{t, s.order, f})
}

// Connect opens the control connection.
func (s *Scene) Connect() {
	for side, flags := range []stock.TCP{{SYN: true}, {SYN: true, ACK: true}} {
		s.TCP(Side(side), flags, nil)
	}
	s.at(s.now.Add(4*latency), func() {
		for _, e := range s.ends {
			var out pptp.Output
			e.control.Start(s.now, &out)
			e.controlOut(&out)
		}
	})
}

// Run plays until a time after the start.
func (s *Scene) Run(d time.Duration) {
	until := s.start.Add(d)
	for {
		next, which := until, -1
		for i := range s.queue {
			if e := &s.queue[i]; e.at.Before(next) || e.at.Equal(next) && (which < 0 || e.order < s.queue[which].order) {
				next, which = e.at, i
			}
		}
		var due *end
		for _, e := range s.ends {
			if at := e.deadline(); !at.IsZero() && at.Before(next) {
				next, which, due = at, -1, e
			}
		}
		if next.After(s.now) {
			s.now = next
		}
		switch {
		case due != nil:
			due.tick()
		case which >= 0:
			do := s.queue[which].do
			s.queue = append(s.queue[:which], s.queue[which+1:]...)
			do()
		default:
			return
		}
	}
}

// tap records a packet when it comes past.
func (s *Scene) tap(from Side, packet func() []byte) {
	s.at(s.now.Add(latency), func() { s.Record(from, packet()) })
}

// Record writes an IP packet to the capture, now.
func (s *Scene) Record(from Side, ip []byte) {
	b := append(make([]byte, 12, 14+len(ip)), 0x08, 0)
	b[5], b[11] = byte(2-from), byte(1+from)
	b = append(b, ip...)
	must(s.file.WritePacket(gopacket.CaptureInfo{Timestamp: s.now, CaptureLength: len(b), Length: len(b)}, b))
}

// IP makes an IP packet from one end to the other.
func IP(from Side, protocol stock.IPProtocol, ls ...gopacket.SerializableLayer) []byte {
	ip := &stock.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: addresses[from], DstIP: addresses[1-from]}
	for _, l := range ls {
		if t, ok := l.(*stock.TCP); ok {
			must(t.SetNetworkLayerForChecksum(ip))
		}
	}
	b := gopacket.NewSerializeBuffer()
	must(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		append([]gopacket.SerializableLayer{ip}, ls...)...))
	return bytes.Clone(b.Bytes())
}

// segment makes a TCP segment with the flags of t.
func (s *Scene) segment(from Side, seq uint32, t stock.TCP, data []byte) []byte {
	t.SrcPort, t.DstPort = stock.TCPPort(ports[from]), stock.TCPPort(ports[1-from])
	t.Seq, t.Window = seq, 65535
	return IP(from, stock.IPProtocolTCP, &t, gopacket.Payload(data))
}

// TCP sends a segment with flags, and with data that the other end's state
// machine does not see.
func (s *Scene) TCP(from Side, flags stock.TCP, data []byte) {
	e := s.ends[from]
	seq := e.tcpSeq
	s.tap(from, func() []byte { return s.segment(from, seq, flags, data) })
	e.tcpSeq += uint32(len(data))
	if flags.SYN || flags.FIN {
		e.tcpSeq++
	}
}

func (e *end) other() *end { return e.s.ends[1-e.side] }

func (e *end) deadline() time.Time {
	if e.dead {
		return time.Time{}
	}
	at := e.control.Deadline()
	for _, t := range []time.Time{e.link.Deadline(), e.recv.Deadline()} {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

func (e *end) tick() {
	now := e.s.now
	var out pptp.Output
	if d := e.control.Deadline(); !d.IsZero() && !now.Before(d) {
		_ = e.control.Tick(now, &out)
		e.controlOut(&out)
	}
	var frames ppp.Output
	e.link.Tick(now, &frames)
	e.linkOut(&frames)
	e.recv.Tick(nil, now)
	if e.recv.AckDue(now) {
		e.gre(nil, 0)
	}
}

// controlOut carries out what the control connection wants.
func (e *end) controlOut(out *pptp.Output) {
	s := e.s
	if data := bytes.Clone(out.Bytes()); len(data) > 0 {
		s.TCP(e.side, stock.TCP{PSH: true, ACK: true}, data)
		s.at(s.now.Add(2*latency), func() {
			var out pptp.Output
			o := e.other()
			if o.dead {
				return
			}
			_ = o.control.Input(data, s.now, &out)
			o.controlOut(&out)
		})
	}
	for _, ev := range out.Events() {
		var more pptp.Output
		switch ev := ev.(type) {
		case pptp.Started:
			if e.side == Client {
				must(e.control.PlaceCall(pptp.OutgoingCallRequest{CallID: callIDs[Client]}, s.now, &more))
			}
		case pptp.CallRequested:
			if s.cfg.RefuseCall != 0 {
				must(e.control.RejectCall(ev.Request.CallID, s.cfg.RefuseCall, pptp.ErrorNoResource, &more))
				break
			}
			must(e.control.AcceptCall(pptp.OutgoingCallReply{CallID: callIDs[Server], PeerCallID: ev.Request.CallID}, &more))
		case pptp.CallEstablished:
			e.peerID = ev.PeerCallID
			if !e.cfg.Mute {
				var frames ppp.Output
				e.link.Up(s.now, &frames)
				e.controlOut(&more)
				e.linkOut(&frames)
				continue
			}
		case pptp.CallCleared:
			var frames ppp.Output
			e.link.Down(s.now, &frames)
			e.up = false
			if e.side == Client {
				e.control.Stop(pptp.StopNone, s.now, &more)
			}
		case pptp.Stopped:
			s.TCP(e.side, stock.TCP{FIN: true, ACK: true}, nil)
		}
		e.controlOut(&more)
	}
}

// linkOut carries out what the link wants.
func (e *end) linkOut(out *ppp.Output) {
	for i := 0; i < out.Len(); i++ {
		a := out.At(i)
		if a.Event == nil {
			e.frame(bytes.Clone(a.Frame))
			continue
		}
		switch ev := a.Event.(type) {
		case ppp.AuthRequest:
			e.judge(&ev)
		case ppp.LayerUp:
			switch ev.Protocol {
			case ppp.ProtocolCCP:
				e.encrypt()
			case ppp.ProtocolIPCP:
				e.up = true
			}
		case ppp.LinkFinished:
			e.hangUp()
		}
	}
}

func (e *end) judge(req *ppp.AuthRequest) {
	s := e.s
	if s.cfg.NoVerdict {
		return
	}
	v := ppp.AuthVerdict{ID: req.ID, ErrorCode: s.cfg.ErrorCode}
	if result, ok := chap.VerifyMSCHAPv2(req, chap.NTPasswordHash(s.cfg.ServerPassword)); ok {
		e.result = result
		v.Accepted, v.AuthenticatorResponse = true, result.AuthenticatorResponse
	}
	s.at(s.now.Add(time.Millisecond), func() {
		var out ppp.Output
		e.link.Verdict(v, s.now, &out)
		e.linkOut(&out)
	})
}

func (e *end) encrypt() {
	a, ok := e.ccp.Send()
	if !ok {
		return
	}
	var keys mppe.Keys
	if e.side == Client {
		hashHash, response, _ := e.client.KeyMaterial()
		keys = mppe.DeriveKeys(hashHash, response, mppe.Client)
	} else {
		keys = mppe.DeriveKeys(e.result.HashHash, e.result.NTResponse, mppe.Server)
	}
	p, ok := keys.SendParams(a)
	if !ok {
		panic("no keys of that length")
	}
	var err error
	e.crypt, err = mppe.NewEncryptor(p)
	must(err)
}

func (e *end) hangUp() {
	var out pptp.Output
	_ = e.control.ClearCall(pptp.CallDisconnectNotify{CallID: callIDs[e.side]}, e.s.now, &out)
	e.controlOut(&out)
}

// frame sends a frame that begins with a protocol number of two octets.
func (e *end) frame(frame []byte) {
	e.gre(append([]byte{0xff, 3}, frame...), ppp.Protocol(frame[0])<<8|ppp.Protocol(frame[1]))
}

// gre sends a packet, with no payload a bare acknowledgement.
func (e *end) gre(payload []byte, protocol ppp.Protocol) {
	if e.dead {
		return
	}
	s := e.s
	h := gre.Header{CallID: e.peerID, PayloadLength: uint16(len(payload))}
	if payload != nil {
		h.HasSequence, h.Sequence = true, e.sender.Next()
	}
	h.Ack, h.HasAck = e.recv.TakeAck()
	packet := IP(e.side, stock.IPProtocolGRE, gopacket.Payload(append(h.Append(nil), payload...)))
	fate := Deliver
	if s.cfg.Path != nil {
		fate = s.cfg.Path(Packet{From: e.side, Number: e.number, Protocol: protocol})
	}
	e.number++
	if fate == DropBefore {
		return
	}
	way := latency
	if fate == Late {
		way += overtaken
	}
	times := 1
	if fate == Twice {
		times = 2
	}
	for range times {
		s.at(s.now.Add(way), func() { s.Record(e.side, packet) })
		if fate != DropBehind {
			s.at(s.now.Add(way+latency), func() { e.other().input(&h, payload) })
		}
	}
}

// input takes a packet of the other end.
func (e *end) input(h *gre.Header, payload []byte) {
	if e.dead || e.cfg.Mute {
		return
	}
	now := e.s.now
	if h.HasAck {
		e.sender.Ack(h.Ack)
	}
	if !h.HasSequence {
		return
	}
	for _, p := range e.recv.Push(nil, h.Sequence, payload, now) {
		e.lcp.Heard(now)
		var out ppp.Output
		e.link.Input(p.Payload[2:], now, &out)
		e.linkOut(&out)
	}
}

// Ping sends n echo requests of ICMP through the tunnel, and is to be called
// when it is up.
func (s *Scene) Ping(from Side, n int) {
	e := s.ends[from]
	inner := [2]string{"10.0.0.2", "10.0.0.1"}
	for i := range n {
		ip := &stock.IPv4{
			Version: 4, TTL: 64, Protocol: stock.IPProtocolICMPv4,
			SrcIP: netip.MustParseAddr(inner[from]).AsSlice(), DstIP: netip.MustParseAddr(inner[1-from]).AsSlice(),
		}
		b := gopacket.NewSerializeBuffer()
		must(gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip,
			&stock.ICMPv4{TypeCode: stock.CreateICMPv4TypeCode(stock.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: uint16(i)},
			gopacket.Payload(fmt.Sprintf("packet %d", i))))
		frame := append([]byte{0, 0x21}, b.Bytes()...)
		if e.crypt != nil {
			sealed := append(make([]byte, mppe.HeaderLen), frame[1:]...) // with PFC, as some do
			e.crypt.Seal(sealed)
			frame = append([]byte{0, 0xfd}, sealed...)
		}
		e.frame(frame)
	}
}

// SkipKeys has the encryptor of an end go on without sending.
func (s *Scene) SkipKeys(from Side, n int) {
	for range n {
		s.ends[from].crypt.Seal(make([]byte, 8))
	}
}

// Frame sends a control packet that the end's own machines know nothing of.
func (s *Scene) Frame(from Side, protocol ppp.Protocol, p ppp.Packet) {
	s.ends[from].frame(p.Append([]byte{byte(protocol >> 8), byte(protocol)}))
}

// Up reports whether IPCP is open at an end.
func (s *Scene) Up(side Side) bool { return s.ends[side].up }

// Close ends the link in order.
func (s *Scene) Close(side Side) {
	var out ppp.Output
	e := s.ends[side]
	e.link.Close(nil, s.now, &out)
	e.linkOut(&out)
}

// Control sends a control message past the state machine.
func (s *Scene) Control(from Side, m pptp.Message) {
	s.TCP(from, stock.TCP{PSH: true, ACK: true}, m.Append(nil))
}

// Kill lets an end fall silent.
func (s *Scene) Kill(side Side) { s.ends[side].dead = true }
