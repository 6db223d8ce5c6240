package fuzz

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// mallory is a peer of the server that knows a password and does what the fuzzer
// wants: now what is right, so that it gets somewhere, now anything.
type mallory struct {
	w     *world
	conns [2]net.Conn
	use   int // which of them

	mu     sync.Mutex // guards what is heard
	ids    []uint16   // the server's call IDs
	frames [][]byte   // PPP, not looked at yet
	sent   int        // GRE packets of the server to us

	seq  uint32
	link *ppp.Link
	out  ppp.Output
	chap *chap.Peer
	ccp  *mppe.CCP
	ipcp *ipcp.IPCP
	enc  *mppe.Encryptor
}

// The frames that are kept for mallory to look at.
const maxFrames = 64

func newMallory(w *world) *mallory {
	m := &mallory{w: w}
	w.net.Tap(func(p memory.Packet) {
		if p.To != otherAddr {
			return
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.sent++
		if f := p.Frame(); f != nil && len(m.frames) < maxFrames {
			m.frames = append(m.frames, bytes.Clone(f))
		}
	})
	m.reset()
	return m
}

// reset has mallory begin PPP anew.
func (m *mallory) reset() {
	l := lcp.New(lcp.Config{OwnAuth: []ppp.AuthMethod{ppp.AuthMSCHAPv2}})
	m.chap = chap.NewPeer(chap.PeerConfig{Name: user, NTHash: chap.NTPasswordHash(password)})
	m.ccp = mppe.NewCCP(mppe.CCPConfig{Request: true, KeyLengths: mppe.AllKeyLengths, Modes: mppe.AllowStateless | mppe.AllowStateful})
	m.ipcp = ipcp.New(ipcp.Config{AcceptLocal: true})
	m.link = ppp.NewLink(ppp.LinkConfig{
		Control: l, Peers: []ppp.Auth{m.chap}, Compression: m.ccp, Networks: []ppp.Layer{m.ipcp},
	})
	m.out.Reset()
	m.enc = nil
	m.link.Up(time.Now(), &m.out)
}

// connect makes a control connection, in place of an earlier one.
func (m *mallory) connect() {
	m.hangUp(m.use)
	nc, err := m.w.net.Host(otherAddr).DialContext(context.Background(), "tcp4", serverAddr.String())
	require.NoError(m.w.t, err)
	m.conns[m.use] = nc
	go func() {
		var framer pptp.Framer
		in := make([]byte, 2048)
		for {
			n, err := nc.Read(in)
			if err != nil {
				return
			}
			for b := in[:n]; len(b) > 0; {
				msg, rest, err := framer.Next(b)
				if err != nil {
					m.w.t.Error("the server is out of step:", err)
					return
				}
				if b = rest; msg == nil {
					break
				}
				decoded, _, err := pptp.DecodeMessage(msg)
				if err != nil {
					m.w.t.Error("the server makes no sense:", err)
					return
				}
				if reply, ok := decoded.(*pptp.OutgoingCallReply); ok && reply.ResultCode == pptp.OutgoingConnected {
					m.mu.Lock()
					m.ids = append(m.ids, reply.CallID)
					m.mu.Unlock()
				}
			}
		}
	}()
}

func (m *mallory) hangUp(i int) {
	if c := m.conns[i]; c != nil {
		c.Close()
		m.conns[i] = nil
	}
}

// write sends octets on the control connection. The server may not read for a
// while, or have gone.
func (m *mallory) write(b []byte) {
	if c := m.conns[m.use]; c != nil {
		c.SetWriteDeadline(time.Now().Add(time.Second))
		c.Write(b)
	}
}

// message is one of PPTP, with what the fuzzer wants in it.
func (m *mallory) message(s *script) pptp.Message {
	id := uint16(s.next())
	switch s.next() % 12 {
	case 0:
		return &pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion, HostName: "mallory"}
	case 1:
		return &pptp.OutgoingCallRequest{CallID: id, PacketRecvWindowSize: uint16(s.next())}
	case 2:
		return &pptp.CallClearRequest{CallID: id}
	case 3:
		return &pptp.EchoRequest{Identifier: uint32(id)}
	case 4:
		return &pptp.SetLinkInfo{PeerCallID: m.id(byte(id)), SendACCM: 0xffffffff}
	case 5:
		return &pptp.StopControlConnectionRequest{Reason: pptp.StopReason(s.next())}
	case 6:
		return &pptp.WANErrorNotify{PeerCallID: m.id(byte(id))}
	case 7:
		return &pptp.CallDisconnectNotify{CallID: id}
	case 8:
		return &pptp.IncomingCallRequest{CallID: id}
	case 9:
		return &pptp.OutgoingCallReply{CallID: id, PeerCallID: m.id(byte(id)), ResultCode: pptp.OutgoingConnected}
	case 10:
		return &pptp.StartControlConnectionReply{ProtocolVersion: pptp.ProtocolVersion, ResultCode: pptp.StartSuccessful}
	}
	return &pptp.EchoReply{Identifier: uint32(id)}
}

// id returns one of the server's call IDs.
func (m *mallory) id(i byte) uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.ids) == 0 {
		return uint16(i)
	}
	return m.ids[len(m.ids)-1-int(i)%len(m.ids)]
}

// gre sends a PPP frame.
func (m *mallory) gre(id uint16, frame []byte) {
	h := gre.Header{PayloadLength: uint16(len(frame)), CallID: id, HasSequence: true, Sequence: m.seq}
	m.seq++
	m.inject(append(h.Append(nil), frame...))
}

func (m *mallory) inject(b []byte) {
	m.w.net.Inject(memory.Packet{From: otherAddr, To: serverAddr.Addr(), Data: b})
}

// behave does what is right with the frames that have come, n of them at the most,
// and sends the answers.
func (m *mallory) behave(id uint16, n int) {
	m.mu.Lock()
	n = min(n, len(m.frames))
	frames := m.frames[:n]
	m.frames = m.frames[n:]
	m.mu.Unlock()
	now := time.Now()
	for _, f := range frames {
		p, payload, err := ppp.DecodeFrame(f)
		if err != nil {
			m.w.t.Errorf("the server sent the frame %x: %v", f, err)
			return
		}
		m.link.Input(append(ppp.AppendProtocol(nil, p, false), payload...), now, &m.out)
	}
	m.link.Tick(now, &m.out)
	m.flush(id)
}

func (m *mallory) flush(id uint16) {
	for i := range m.out.Len() {
		switch a := m.out.At(i); e := a.Event.(type) {
		case nil:
			m.gre(id, append([]byte{0xff, 3}, a.Frame...))
		case ppp.LayerUp:
			if e.Protocol == ppp.ProtocolCCP {
				m.encrypt()
			}
		}
	}
	m.out.Reset()
}

func (m *mallory) encrypt() {
	agreed, ok := m.ccp.Send()
	hashHash, response, known := m.chap.KeyMaterial()
	if !ok || !known {
		return
	}
	keys := mppe.DeriveKeys(hashHash, response, mppe.Client)
	if p, ok := keys.SendParams(agreed); ok {
		m.enc, _ = mppe.NewEncryptor(p)
	}
}

// data sends a user's packet, in clear or not.
func (m *mallory) data(id uint16, inner []byte) {
	if m.enc == nil {
		m.gre(id, append([]byte{0xff, 3, 0, 0x21}, inner...))
		return
	}
	b := append(make([]byte, mppe.HeaderLen), 0, 0x21)
	b = append(b, inner...)
	m.enc.Seal(b)
	m.gre(id, append([]byte{0xff, 3, 0, 0xfd}, b...))
}

// What the fuzzer can have mallory do.
const (
	opConnect   = iota
	opSwitch    // to the other control connection
	opHangUp    //
	opMessage   //
	opOctets    // on the control connection
	opBehave    //
	opFrame     // on the call, whatever is in it
	opPacket    // of PPP, well-formed
	opGRE       // whatever it is
	opData      //
	opSequence  // goes somewhere else
	opReset     // PPP begins anew
	opWait      // tenths of a second
	opNeighbour // has something to say
	opTerminate // in order
	opForge     // a frame in the neighbour's name
	opCount
)

// protocols are those that make sense, and some that do not.
var protocols = []ppp.Protocol{
	ppp.ProtocolLCP, ppp.ProtocolCHAP, ppp.ProtocolCCP, ppp.ProtocolIPCP, ppp.ProtocolIPV6CP, ppp.ProtocolPAP,
	ppp.ProtocolIPv4, ppp.ProtocolIPv6, ppp.ProtocolCompressed, ppp.ProtocolEAP, 0x8281, 0x00cf,
}

func (m *mallory) do(op byte, s *script) {
	switch id := m.id(0); op % opCount {
	case opConnect:
		m.connect()
	case opSwitch:
		m.use = 1 - m.use
	case opHangUp:
		m.hangUp(m.use)
	case opMessage:
		m.write(m.message(s).Append(nil))
	case opOctets:
		m.write(s.octets())
	case opBehave:
		m.behave(id, 1+int(s.next()))
	case opFrame:
		m.gre(id, s.octets())
	case opPacket:
		p := protocols[int(s.next())%len(protocols)]
		pkt := ppp.Packet{Code: ppp.Code(s.next()), ID: s.next(), Data: s.octets()}
		m.gre(id, pkt.Append(append([]byte{0xff, 3}, ppp.AppendProtocol(nil, p, false)...)))
	case opGRE:
		m.inject(s.octets())
	case opData:
		from := m.ipcp.Local()
		if !from.IsValid() || s.next()&1 != 0 {
			from = m.w.neighbour.Local()
		}
		m.data(id, datagram(from, tunnelServer, s.octets()))
	case opSequence:
		m.seq += uint32(s.next()) << (s.next() & 31)
	case opReset:
		m.reset()
		m.flush(id)
	case opWait:
		time.Sleep(time.Duration(s.next()) * 100 * time.Millisecond)
	case opNeighbour:
		m.w.exchange()
	case opTerminate:
		m.link.Close(nil, time.Now(), &m.out)
		m.flush(id)
	case opForge:
		h := gre.Header{CallID: uint16(s.next()), HasSequence: true, Sequence: uint32(s.next())}
		frame := s.octets()
		h.PayloadLength = uint16(len(frame))
		// From an address that has nothing to do with the neighbour's, as that
		// one would be believed: GRE proves nothing.
		m.inject(append(h.Append(nil), frame...))
	}
	synctest.Wait()
}

// maxOps bounds what one input can do.
const maxOps = 400

// comeUp is what mallory does to bring a session up.
var comeUp = append([]byte{opConnect, opMessage, 1, 0, opMessage, 1, 1, 64}, bytes.Repeat([]byte{opBehave, 255}, 12)...)

// TestMallory shows that the fuzzer can get everywhere: a session comes up, and
// packets pass.
func TestMallory(t *testing.T) {
	for policy := range byte(8) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, policy)
			m := newMallory(w)
			for s := (&script{comeUp}); len(s.b) > 0; {
				m.do(s.next(), s)
			}
			require.Equal(t, 2, w.server.Stats().Up)
			require.Equal(t, policies[policy&3] <= gopptp.EncryptionAllow, m.enc != nil)
			for range 3 {
				m.data(m.id(0), datagram(m.ipcp.Local(), tunnelServer, []byte("hello")))
				require.Equal(t, "hello", string((<-w.host.Packets())[20:]))
			}
			m.hangUp(0)
			time.Sleep(grace)
			w.net.Tap(nil)
			w.atRest()
		})
	}
}

// FuzzSession has a peer with a password do anything to a server. Whatever it is,
// the server does not panic, hangs on to nothing, answers in measure, and serves
// the neighbour.
func FuzzSession(f *testing.F) {
	start := comeUp[:8]
	for policy := range byte(8) {
		f.Add(append([]byte{policy}, comeUp...))
	}
	add := func(ops ...byte) { f.Add(append(append([]byte{0}, comeUp...), ops...)) }
	add(opData, 0, 4, 1, 2, 3, 4, opData, 1, 4, 1, 2, 3, 4, opNeighbour, opWait, 10)
	add(opTerminate, opBehave, 255, opWait, 20, opNeighbour)
	add(opReset, opBehave, 255, opBehave, 255, opBehave, 255, opWait, 5, opBehave, 255)
	add(opPacket, 0, 1, 1, 6, 5, 6, 1, 2, 3, 4, opBehave, 9, opPacket, 2, 5, 1, 0, opBehave, 9, opPacket, 3, 5, 1, 0)
	add(opPacket, 2, 1, 9, 6, 18, 6, 0, 0, 0, 0x20, opBehave, 9, opPacket, 2, 14, 1, 0, opData, 0, 1, 1)
	add(opSequence, 255, 24, opFrame, 2, 0xc0, 0x21, opSequence, 1, 12, opData, 0, 1, 1)
	add(opHangUp, opWait, 5, opConnect, opMessage, 1, 0, opMessage, 2, 1, 64, opReset, opBehave, 255)
	f.Add(append([]byte{0}, append(bytes.Clone(start), opSwitch, opConnect, opMessage, 1, 0, opMessage, 7, 1, 1, opMessage, 1, 5, 1, opWait, 100, opWait, 200)...))
	f.Add([]byte{0, opConnect, opOctets, 16, 'G', 'E', 'T', ' ', '/', ' ', 'H', 'T', 'T', 'P', '/', '1', '.', '1', '\r', '\n', opWait, 50})
	f.Add([]byte{0, opGRE, 12, 0x30, 1, 0x88, 0x0b, 0, 0, 0, 1, 0, 0, 0, 0, opForge, 1, 1, 2, 0xc0, 0x21})
	f.Fuzz(func(t *testing.T, ops []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{ops}
			w := newWorld(t, s.next())
			m := newMallory(w)
			began := time.Now()
			n := 0
			for ; len(s.b) > 0 && n < maxOps; n++ {
				m.do(s.next(), s)
				w.check()
			}
			// It has been told little more than it has asked; what is repeated
			// unasked is known: requests, challenges, echoes.
			seconds := int(time.Since(began)/time.Second) + 1
			m.mu.Lock()
			require.LessOrEqual(t, m.sent, 4*maxFrames+10*n+4*maxSessions*seconds)
			m.mu.Unlock()
			w.exchange()
			time.Sleep(rest)
			w.check()
			for i := range m.conns {
				m.hangUp(i)
			}
			time.Sleep(grace)
			w.net.Tap(nil)
			w.atRest()
		})
	})
}
