package conversation_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/inspect/internal/conversation"
	"github.com/gopptp/gopptp/examples/inspect/internal/scene"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// feeder gives an analyzer packets one by one, a tenth of a second apart.
type feeder struct {
	*conversation.Analyzer
	now time.Time
	seq [2]uint32
}

func newFeeder(opts conversation.Options) *feeder {
	return &feeder{Analyzer: conversation.New(opts), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (f *feeder) ip(b []byte) {
	f.now = f.now.Add(100 * time.Millisecond)
	p := gopacket.NewPacket(b, stock.LayerTypeIPv4, gopacket.Default)
	p.Metadata().Timestamp = f.now
	f.Add(p)
}

func (f *feeder) control(from scene.Side, m pptp.Message) {
	b := m.Append(nil)
	tcp := stock.TCP{SrcPort: 40000, DstPort: pptp.Port, ACK: true, Seq: f.seq[from]}
	if from == scene.Server {
		tcp.SrcPort, tcp.DstPort = tcp.DstPort, tcp.SrcPort
	}
	f.seq[from] += uint32(len(b))
	f.ip(scene.IP(from, stock.IPProtocolTCP, &tcp, gopacket.Payload(b)))
}

func (f *feeder) gre(from scene.Side, callID uint16, seq uint32, protocol ppp.Protocol, packet []byte) {
	payload := append(ppp.AppendHeader(nil, protocol, ppp.HeaderCompression{}), packet...)
	h := gre.Header{CallID: callID, HasSequence: true, Sequence: seq, PayloadLength: uint16(len(payload))}
	f.ip(scene.IP(from, stock.IPProtocolGRE, gopacket.Payload(append(h.Append(nil), payload...))))
}

// call sets up a call with the IDs 1 and 2.
func (f *feeder) call() {
	f.control(scene.Client, &pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion})
	f.control(scene.Server, &pptp.StartControlConnectionReply{ResultCode: pptp.StartSuccessful})
	f.control(scene.Client, &pptp.OutgoingCallRequest{CallID: 1})
	f.control(scene.Server, &pptp.OutgoingCallReply{CallID: 2, PeerCallID: 1, ResultCode: pptp.OutgoingConnected})
}

// link has both sides agree on LCP with an authentication option of the server.
func (f *feeder) link(auth ...byte) (seq uint32) {
	options := ppp.Options{}
	if auth != nil {
		options = ppp.Options{{Type: 3, Data: auth}}
	}
	data := options.Append(nil)
	f.gre(scene.Server, 1, 0, ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1, Data: data}).Append(nil))
	f.gre(scene.Client, 2, 0, ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1}).Append(nil))
	f.gre(scene.Client, 2, 1, ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.ConfigureAck, ID: 1, Data: data}).Append(nil))
	f.gre(scene.Server, 1, 1, ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.ConfigureAck, ID: 1}).Append(nil))
	return 2
}

func TestStrayCallID(t *testing.T) {
	f := newFeeder(conversation.Options{})
	f.call()
	f.gre(scene.Client, 2, 0, ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1}).Append(nil))
	f.gre(scene.Server, 99, 0, ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1}).Append(nil))
	r := f.Report()
	require.Len(t, r.Connections, 2, "GRE of its own")
	require.True(t, r.Connections[1].GREOnly)
	require.Contains(t, r.Connections[0].Notes[0], "NAT")
}

func TestIncomingCall(t *testing.T) {
	f := newFeeder(conversation.Options{})
	f.control(scene.Client, &pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion})
	f.control(scene.Server, &pptp.StartControlConnectionReply{ResultCode: pptp.StartSuccessful})
	f.control(scene.Server, &pptp.IncomingCallRequest{CallID: 2})
	f.control(scene.Client, &pptp.IncomingCallReply{CallID: 1, PeerCallID: 2, ResultCode: pptp.IncomingConnect})
	f.control(scene.Server, &pptp.IncomingCallConnected{PeerCallID: 1})
	f.control(scene.Client, &pptp.SetLinkInfo{PeerCallID: 2})
	f.control(scene.Server, &pptp.WANErrorNotify{PeerCallID: 1})
	f.link()
	// Some name the call by the other's ID.
	f.control(scene.Server, &pptp.CallDisconnectNotify{CallID: 1, ResultCode: pptp.DisconnectAdminShutdown})
	k := f.Report().Connections[0].Calls[0]
	require.EqualValues(t, 1, *k.ClientCallID)
	require.EqualValues(t, 2, *k.ServerCallID)
	require.NotZero(t, k.GRE.Client.Packets)
	require.Contains(t, k.Ends[0], "admin shutdown")
	require.Equal(t, conversation.EndedUnfinished, k.Verdict.Code)
}

// A response that is tried again is made with the challenge of the Failure.
func TestAuthenticationTriedAgain(t *testing.T) {
	hash := chap.NTPasswordHash("second")
	f := newFeeder(conversation.Options{NTHash: &hash})
	f.call()
	seq := f.link(0xc2, 0x23, 0x81)
	auth := chap.NewAuthenticator(chap.AuthenticatorConfig{})
	bad := chap.NewPeer(chap.PeerConfig{Name: `DOMAIN\joe`, NTHash: chap.NTPasswordHash("first"), Prompt: true})
	var server, client ppp.Output
	next := [2]uint32{seq, seq}
	// carry takes what one side has to say to the other.
	carry := func(from scene.Side, out *ppp.Output, input func([]byte)) (event ppp.Event) {
		for i := 0; i < out.Len(); i++ {
			if a := out.At(i); a.Event != nil {
				event = a.Event
			} else {
				f.gre(from, [2]uint16{2, 1}[from], next[from], ppp.ProtocolCHAP, bytes.Clone(a.Frame[2:]))
				next[from]++
				input(a.Frame[2:])
			}
		}
		out.Reset()
		return event
	}
	toClient := func(b []byte) { bad.Input(b, f.now, &client) }
	toServer := func(b []byte) { auth.Input(b, f.now, &server) }
	auth.Start(f.now, &server)
	carry(scene.Server, &server, toClient)
	carry(scene.Client, &client, toServer)
	req := carry(scene.Server, &server, toClient).(ppp.AuthRequest)
	_, ok := chap.VerifyMSCHAPv2(&req, hash)
	require.False(t, ok)
	auth.Verdict(ppp.AuthVerdict{ID: req.ID, Retry: true}, f.now, &server)
	carry(scene.Server, &server, toClient)
	carry(scene.Client, &client, toServer)
	require.NoError(t, bad.Retry(hash, f.now, &client))
	carry(scene.Client, &client, toServer)
	req = carry(scene.Server, &server, toClient).(ppp.AuthRequest)
	result, ok := chap.VerifyMSCHAPv2(&req, hash)
	require.True(t, ok)
	auth.Verdict(ppp.AuthVerdict{ID: req.ID, Accepted: true, AuthenticatorResponse: result.AuthenticatorResponse}, f.now, &server)
	carry(scene.Server, &server, toClient)

	k := f.Report().Connections[0].Calls[0]
	require.Equal(t, `DOMAIN\joe`, k.User)
	require.Equal(t, "authentication", k.Phases[2].Name)
	require.Equal(t, conversation.Incomplete, k.Verdict.Code, k.Verdict.Text)
}

// Weaker keys and the stateful mode decrypt as well, but for what comes after a
// loss.
func TestStatefulDecryption(t *testing.T) {
	cfg := scene.Default()
	ccp := mppe.CCPConfig{Required: true, KeyLengths: mppe.AllowKey40, Modes: mppe.AllowStateful}
	cfg.Client.CCP, cfg.Server.CCP = &ccp, &ccp
	data := 0
	cfg.Path = func(p scene.Packet) scene.Fate {
		if p.From == scene.Server && p.Protocol == ppp.ProtocolCompressed {
			if data++; data == 2 {
				return scene.DropBefore
			}
		}
		return scene.Deliver
	}
	file := play(cfg, func(s *scene.Scene) {
		s.Connect()
		s.At(2*time.Second, func() { s.Ping(scene.Client, 5); s.Ping(scene.Server, 5) })
	}, 5*time.Second)
	k := analyze(t, file, 0, conversation.Options{NTHash: password("correct horse")}).Connections[0].Calls[0]
	require.Equal(t, "MPPE 40-bit stateful", k.MPPE.Client.Agreed)
	require.Equal(t, 5, k.MPPE.Client.Decrypted)
	require.Equal(t, 1, k.MPPE.Server.Decrypted)
	require.Equal(t, 3, k.MPPE.Server.Undecryptable)
	require.Zero(t, k.MPPE.Client.Senseless+k.MPPE.Server.Senseless)
	require.Contains(t, k.Decryption, "3 packets could not be")
}

// A server that accepts without a proof is an impostor, which only who knows
// the password can see.
func TestServerUnproven(t *testing.T) {
	var file bytes.Buffer
	s := scene.New(&file, scene.Default())
	s.Connect()
	s.Run(80 * time.Millisecond) // up to the response
	s.Frame(scene.Server, ppp.ProtocolCHAP, ppp.Packet{Code: 3, ID: 1, Data: []byte("S=0000000000000000000000000000000000000000")})
	s.Kill(scene.Server)
	s.Run(2 * time.Second)
	r := analyze(t, &file, 0, conversation.Options{NTHash: password("correct horse")})
	v := r.Connections[0].Calls[0].Verdict
	require.Equal(t, conversation.ServerUnproven, v.Code, v.Text)
}

func TestNetworkFailures(t *testing.T) {
	zero := ppp.Options{{Type: 3, Data: make([]byte, 4)}}.Append(nil)
	fixed := ppp.Options{{Type: 3, Data: []byte{10, 0, 0, 9}}}.Append(nil)
	for name, tt := range map[string]struct {
		client, server ppp.Packet
		protocol       ppp.Protocol // of the answer
		code           conversation.Code
	}{
		"unknown":    {ppp.Packet{Code: 1, ID: 1, Data: zero}, ppp.Packet{Code: 8, ID: 1, Data: []byte{0x80, 0x21}}, ppp.ProtocolLCP, conversation.NetworkFailed},
		"rejected":   {ppp.Packet{Code: 1, ID: 1, Data: fixed}, ppp.Packet{Code: 4, ID: 1, Data: fixed}, ppp.ProtocolIPCP, conversation.NoAddress},
		"none":       {ppp.Packet{Code: 1, ID: 1, Data: zero}, ppp.Packet{Code: 3, ID: 1, Data: zero}, ppp.ProtocolIPCP, conversation.NoAddress},
		"terminated": {ppp.Packet{Code: 1, ID: 1, Data: fixed}, ppp.Packet{Code: 5, ID: 1}, ppp.ProtocolIPCP, conversation.NetworkFailed},
		"unfinished": {ppp.Packet{Code: 1, ID: 1, Data: fixed}, ppp.Packet{Code: 1, ID: 1, Data: fixed}, ppp.ProtocolIPCP, conversation.NetworkFailed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeeder(conversation.Options{})
			f.call()
			seq := f.link()
			f.gre(scene.Client, 2, seq, ppp.ProtocolIPCP, tt.client.Append(nil))
			f.gre(scene.Server, 1, seq, tt.protocol, tt.server.Append(nil))
			f.now = f.now.Add(5 * time.Second)
			f.control(scene.Client, &pptp.CallClearRequest{CallID: 1})
			v := f.Report().Connections[0].Calls[0].Verdict
			require.Equal(t, tt.code, v.Code, v.Text)
		})
	}
}

func TestFragments(t *testing.T) {
	f := newFeeder(conversation.Options{})
	f.call()
	payload := append([]byte{0xff, 3, 0xc0, 0x21}, (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1, Data: make([]byte, 0)}).Append(nil)...)
	h := gre.Header{CallID: 2, HasSequence: true, PayloadLength: uint16(len(payload))}
	whole := scene.IP(scene.Client, stock.IPProtocolGRE, gopacket.Payload(append(h.Append(nil), payload...)))
	body := whole[20:]
	for i, part := range [][]byte{body[:16], body[16:]} {
		ip := &stock.IPv4{
			Version: 4, TTL: 64, Protocol: stock.IPProtocolGRE, Id: 7, FragOffset: uint16(2 * i),
			SrcIP: []byte{192, 0, 2, 10}, DstIP: []byte{198, 51, 100, 1},
		}
		if i == 0 {
			ip.Flags = stock.IPv4MoreFragments
		}
		b := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ip, gopacket.Payload(part)))
		f.ip(bytes.Clone(b.Bytes()))
	}
	r := f.Report()
	require.Contains(t, r.Notes[0], "2 IP fragments")
	require.Equal(t, 1, r.Connections[0].Calls[0].GRE.Client.Packets)
}

// split returns the frames of a capture.
func split(t testing.TB, file io.Reader) (frames [][]byte) {
	r, err := pcapgo.NewReader(file)
	require.NoError(t, err)
	for {
		frame, _, err := r.ReadPacketData()
		if err != nil {
			return frames
		}
		frames = append(frames, frame)
	}
}

// FuzzAnalyzer changes octets of a session, and drops and repeats packets:
// whatever comes, there is a report.
func FuzzAnalyzer(f *testing.F) {
	file := play(scene.Default(), func(s *scene.Scene) {
		s.Connect()
		s.At(2*time.Second, func() { s.Ping(scene.Client, 3); s.Ping(scene.Server, 3) })
		s.At(3*time.Second, func() { s.Close(scene.Client) })
	}, 5*time.Second)
	frames := split(f, file)
	hash := chap.NTPasswordHash("correct horse")
	f.Add([]byte{0, 0, 0})
	f.Add([]byte{5, 60, 1, 9, 54, 255, 12, 58, 3})
	f.Fuzz(func(t *testing.T, changes []byte) {
		a := conversation.New(conversation.Options{NTHash: &hash, Packet: func(time.Time, []byte) {}})
		changed := make(map[int][][2]byte)
		for ; len(changes) >= 3; changes = changes[3:] {
			i := int(changes[0]) % len(frames)
			changed[i] = append(changed[i], [2]byte{changes[1], changes[2]})
		}
		at := time.Unix(0, 0)
		for i, frame := range frames {
			frame = bytes.Clone(frame)
			times := 1
			for _, c := range changed[i] {
				switch {
				case c[0] == 0: // dropped, or repeated
					times = int(c[1] % 3)
				case int(c[0]) < len(frame):
					frame[c[0]] ^= c[1]
				}
			}
			for range times {
				at = at.Add(10 * time.Millisecond)
				p := gopacket.NewPacket(frame, stock.LayerTypeEthernet, gopacket.DecodeOptions{})
				p.Metadata().Timestamp = at
				a.Add(p)
			}
		}
		r := a.Report()
		require.NoError(t, r.WriteText(&bytes.Buffer{}, true))
		for _, c := range r.Connections {
			for _, k := range c.Calls {
				require.NotEmpty(t, k.Verdict.Text)
			}
		}
	})
}
