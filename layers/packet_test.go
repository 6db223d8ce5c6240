package layers_test

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

var (
	client = net.IPv4(192, 0, 2, 10).To4()
	server = net.IPv4(198, 51, 100, 1).To4()
)

// packet puts Ethernet and IP around what the layers and the payload make.
func packet(t testing.TB, protocol stock.IPProtocol, payload []byte, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	ip := &stock.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: client, DstIP: server}
	all := []gopacket.SerializableLayer{
		&stock.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: stock.EthernetTypeIPv4}, ip,
	}
	for _, l := range ls {
		if l, ok := l.(interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}); ok {
			require.NoError(t, l.SetNetworkLayerForChecksum(ip))
		}
		all = append(all, l)
	}
	b := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	require.NoError(t, gopacket.SerializeLayers(b, opts, append(all, gopacket.Payload(payload))...))
	return b.Bytes()
}

// segment is a TCP segment of a control connection.
func segment(t testing.TB, payload []byte) []byte {
	return packet(t, stock.IPProtocolTCP, payload, &stock.TCP{SrcPort: 40000, DstPort: pptp.Port, PSH: true, ACK: true})
}

// frame is a GRE packet around a PPP frame that the module's codecs make.
func frame(t testing.TB, c ppp.HeaderCompression, p ppp.Protocol, content []byte) []byte {
	f := append(ppp.AppendHeader(nil, p, c), content...)
	h := gre.Header{PayloadLength: uint16(len(f)), CallID: 7, HasSequence: true, Sequence: 3, HasAck: true, Ack: 2}
	return packet(t, stock.IPProtocolGRE, append(h.Append(nil), f...))
}

func decode(b []byte) gopacket.Packet {
	return gopacket.NewPacket(b, stock.LayerTypeEthernet, gopacket.Default)
}

// path is the types of the layers from IP on.
func path(p gopacket.Packet) (names []string) {
	for _, l := range p.Layers()[1:] {
		names = append(names, l.LayerType().String())
	}
	return names
}

func TestControlMessages(t *testing.T) {
	start := &pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion, HostName: "pc"}
	call := &pptp.OutgoingCallRequest{CallID: 7, PacketRecvWindowSize: 64}
	two := call.Append(start.Append(nil))

	t.Run("several in one segment", func(t *testing.T) {
		p := decode(segment(t, two))
		require.Nil(t, p.ErrorLayer())
		require.Equal(t, []string{"IPv4", "TCP", "PPTP"}, path(p))
		require.Equal(t, []pptp.Message{start, call}, p.Layer(layers.LayerTypePPTP).(*layers.PPTP).Messages)
		require.Equal(t, two, p.ApplicationLayer().Payload())
		require.NotNil(t, p.TransportLayer())
		require.False(t, p.Metadata().Truncated)
	})
	t.Run("from the port", func(t *testing.T) {
		p := decode(packet(t, stock.IPProtocolTCP, two, &stock.TCP{SrcPort: pptp.Port, DstPort: 40000}))
		require.Equal(t, []string{"IPv4", "TCP", "PPTP"}, path(p))
	})
	t.Run("as datagrams", func(t *testing.T) {
		p := gopacket.NewPacket(segment(t, two), stock.LayerTypeEthernet, gopacket.DecodeOptions{DecodeStreamsAsDatagrams: true})
		require.Equal(t, []string{"IPv4", "TCP", "PPTP"}, path(p))
	})
	t.Run("split", func(t *testing.T) {
		p := decode(segment(t, two[:200]))
		require.Nil(t, p.ErrorLayer())
		require.Equal(t, []string{"IPv4", "TCP", "PPTP", "Fragment"}, path(p))
		require.Len(t, p.Layer(layers.LayerTypePPTP).(*layers.PPTP).Messages, 1)
		require.True(t, p.Metadata().Truncated)
		// The other half is no message, and nobody says it is.
		require.Equal(t, []string{"IPv4", "TCP", "Payload"}, path(decode(segment(t, two[200:]))))
	})
	t.Run("unknown", func(t *testing.T) {
		unknown := (&pptp.EchoRequest{Identifier: 1}).Append(nil)
		unknown[9] = 99
		p := decode(segment(t, start.Append(unknown)))
		require.Nil(t, p.ErrorLayer())
		m := p.Layer(layers.LayerTypePPTP).(*layers.PPTP).Messages
		require.Equal(t, []pptp.Message{&layers.UnknownMessage{MessageType: 99, Raw: unknown}, start}, m)
		require.Equal(t, unknown, m[0].Append(nil))
		var again layers.UnknownMessage
		_, err := again.Decode(two)
		require.ErrorIs(t, err, pptp.ErrMessageType)
	})
	t.Run("malformed after a good one", func(t *testing.T) {
		bad := append([]byte(nil), two...)
		bad[len(start.Append(nil))+4] ^= 1
		p := decode(segment(t, bad))
		require.Equal(t, []string{"IPv4", "TCP", "PPTP", "DecodeFailure"}, path(p))
		require.Len(t, p.Layer(layers.LayerTypePPTP).(*layers.PPTP).Messages, 1)
		var malformed *layers.DecodeError
		require.ErrorAs(t, p.ErrorLayer().Error(), &malformed)
		require.Equal(t, layers.LayerTypePPTP, malformed.Layer)
		require.ErrorIs(t, malformed, pptp.ErrCookie)
		require.Equal(t, bad[len(start.Append(nil)):], p.ErrorLayer().LayerContents())
	})
	t.Run("another protocol on the port", func(t *testing.T) {
		require.Equal(t, []string{"IPv4", "TCP", "Payload"}, path(decode(segment(t, []byte("GET / HTTP/1.1\r\n")))))
		require.Equal(t, []string{"IPv4", "TCP"}, path(decode(segment(t, nil))))
	})
	t.Run("another port", func(t *testing.T) {
		p := decode(packet(t, stock.IPProtocolTCP, two, &stock.TCP{SrcPort: 1, DstPort: 2}))
		require.Equal(t, []string{"IPv4", "TCP", "Payload"}, path(p))
	})
}

func TestFrames(t *testing.T) {
	challenge := chap.Value{Value: make([]byte, 16), Name: []byte("gate")}
	request := func(o ...ppp.Option) []byte {
		return (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1, Data: ppp.Options(o).Append(nil)}).Append(nil)
	}
	ip4 := packet(t, stock.IPProtocolUDP, nil, &stock.UDP{SrcPort: 5, DstPort: 6})[14 : 14+28] // without padding
	tests := []struct {
		name     string
		protocol ppp.Protocol
		packet   []byte
		path     []string
		says     string
	}{
		{
			"LCP", ppp.ProtocolLCP, request(ppp.Option{Type: 1, Data: []byte{5, 120}}, ppp.Option{Type: 3, Data: []byte{0xc2, 0x23, 0x81}}),
			[]string{"LCP"}, "Configure-Request id 1: MRU 1400, authentication MS-CHAPv2",
		},
		{
			"LCP, Protocol-Reject", ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.ProtocolReject, ID: 2, Data: []byte{0x80, 0xfd, 1}}).Append(nil),
			[]string{"LCP"}, "Protocol-Reject id 2: CCP",
		},
		{
			"LCP, echo", ppp.ProtocolLCP, (&ppp.Packet{Code: ppp.EchoRequest, ID: 3, Data: []byte{0, 0, 0, 9}}).Append(nil),
			[]string{"LCP"}, "Echo-Request id 3: magic 0x00000009",
		},
		{
			"PAP", ppp.ProtocolPAP, []byte{1, 4, 0, 12, 3, 'j', 'o', 'e', 3, 'p', 'w', 'd'},
			[]string{"PAP"}, `Authenticate-Request id 4: name "joe"`,
		},
		{
			"CHAP", ppp.ProtocolCHAP, (&ppp.Packet{Code: 1, ID: 5, Data: challenge.Append(nil)}).Append(nil),
			[]string{"CHAP"}, `Challenge id 5: name "gate", value of 16 octets`,
		},
		{
			"IPCP", ppp.ProtocolIPCP, request(ppp.Option{Type: 3, Data: []byte{10, 0, 0, 1}}, ppp.Option{Type: 129, Data: []byte{1, 1, 1, 1}}),
			[]string{"IPCP"}, "Configure-Request id 1: address 10.0.0.1, DNS 1.1.1.1",
		},
		{
			"IPV6CP", ppp.ProtocolIPV6CP, request(ppp.Option{Type: 1, Data: []byte{0, 0, 0, 0, 0, 0, 0, 1}}),
			[]string{"IPV6CP"}, "Configure-Request id 1: interface 0000:0000:0000:0001",
		},
		{
			"CCP", ppp.ProtocolCCP, request(ppp.Option{Type: 18, Data: []byte{1, 0, 0, 0x40}}),
			[]string{"CCP"}, "Configure-Request id 1: MPPE 128-bit stateless",
		},
		{"MPPE", ppp.ProtocolCompressed, []byte{0x90, 5, 1, 2, 3}, []string{"MPPE", "Payload"}, "coherency count 5, flushed, encrypted, 3 octets"},
		{"MPPE in clear", ppp.ProtocolCompressed, append([]byte{0x80, 5, 0x21}, ip4...), []string{"MPPE", "PPPFrame", "IPv4", "UDP"}, "coherency count 5, flushed, 29 octets"},
		{"MPPE in MPPE", ppp.ProtocolCompressed, []byte{0x80, 5, 0, 0xfd, 0x80, 5}, []string{"MPPE", "Payload"}, "flushed, 4 octets"},
		{"IPv4", ppp.ProtocolIPv4, ip4, []string{"IPv4", "UDP"}, ""},
		{"unknown", 0x4003, []byte{1}, []string{"Payload"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, c := range []ppp.HeaderCompression{{}, {Protocol: true}, {AddressControl: true}, {Protocol: true, AddressControl: true}} {
				p := decode(frame(t, c, tt.protocol, tt.packet))
				require.Nil(t, p.ErrorLayer())
				require.Equal(t, append([]string{"IPv4", "EnhancedGRE", "PPPFrame"}, tt.path...), path(p))
				g := p.Layer(layers.LayerTypeEnhancedGRE).(*layers.EnhancedGRE)
				require.Equal(t, uint16(7), g.CallID)
				require.Equal(t, uint32(3), g.Sequence)
				f := p.Layer(layers.LayerTypePPP).(*layers.PPP)
				require.Equal(t, tt.protocol, f.Protocol)
				if tt.says != "" {
					require.Contains(t, gopacket.LayerString(p.Layers()[4]), tt.says)
				}
				require.NotContains(t, p.String(), "pwd")
				reencode(t, p)
			}
		})
	}
}

// reencode has the layers of a packet, from GRE on, encode themselves to what
// they were decoded from.
func reencode(t *testing.T, p gopacket.Packet) {
	t.Helper()
	var ls []gopacket.SerializableLayer
	for _, l := range p.Layers()[2:] {
		ls = append(ls, l.(gopacket.SerializableLayer))
	}
	b := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...))
	require.Equal(t, p.NetworkLayer().LayerPayload(), b.Bytes())
}

func TestGRE(t *testing.T) {
	t.Run("acknowledgement alone", func(t *testing.T) {
		h := gre.Header{CallID: 7, HasAck: true, Ack: 9}
		p := decode(packet(t, stock.IPProtocolGRE, h.Append(nil)))
		require.Nil(t, p.ErrorLayer())
		require.Equal(t, []string{"IPv4", "EnhancedGRE"}, path(p))
		require.Equal(t, "call ID 7, acknowledges 9, 0 octets", p.Layers()[2].(*layers.EnhancedGRE).String())
	})
	t.Run("padding is none of the payload", func(t *testing.T) {
		h := gre.Header{PayloadLength: 3, CallID: 7, HasSequence: true}
		p := decode(packet(t, stock.IPProtocolGRE, append(h.Append(nil), 0xc0, 0x21, 1, 0, 0, 0)))
		require.Equal(t, []byte{0xc0, 0x21, 1}, p.Layer(layers.LayerTypeEnhancedGRE).LayerPayload())
	})
	t.Run("plain GRE stays what it was", func(t *testing.T) {
		inner := packet(t, stock.IPProtocolUDP, nil, &stock.UDP{SrcPort: 5, DstPort: 6})[14:]
		p := decode(packet(t, stock.IPProtocolGRE, inner, &stock.GRE{Protocol: stock.EthernetTypeIPv4}))
		require.Nil(t, p.ErrorLayer())
		require.Equal(t, []string{"IPv4", "GRE", "IPv4", "UDP"}, path(p))
		// PPP in it is gopacket's.
		p = decode(packet(t, stock.IPProtocolGRE, append([]byte{0xff, 3, 0, 0x21}, inner...), &stock.GRE{Protocol: stock.EthernetTypePPP}))
		require.Equal(t, []string{"IPv4", "GRE", "PPP", "IPv4", "UDP"}, path(p))
	})
	t.Run("bad flags", func(t *testing.T) {
		h := gre.Header{PayloadLength: 1, CallID: 7, HasSequence: true}
		b := append(h.Append(nil), 0)
		b[0] |= 0x80
		p := decode(packet(t, stock.IPProtocolGRE, b))
		require.Equal(t, []string{"IPv4", "DecodeFailure"}, path(p))
		require.ErrorIs(t, p.ErrorLayer().Error(), gre.ErrChecksum)
	})
	t.Run("cut by the capture", func(t *testing.T) {
		b := frame(t, ppp.HeaderCompression{}, ppp.ProtocolIPv4, make([]byte, 100))
		p := decode(b[:14+20+16+4])
		require.True(t, p.Metadata().Truncated)
		g := p.Layer(layers.LayerTypeEnhancedGRE).(*layers.EnhancedGRE)
		require.Equal(t, uint16(104), g.PayloadLength)
		require.Len(t, g.Payload, 4)
		require.Equal(t, ppp.ProtocolIPv4, p.Layer(layers.LayerTypePPP).(*layers.PPP).Protocol)
	})
	t.Run("behind an extension header of IPv6", func(t *testing.T) {
		h := gre.Header{CallID: 7, HasAck: true}
		b := h.Append([]byte{byte(stock.IPProtocolGRE), 0, 1, 4, 0, 0, 0, 0})
		ip := &stock.IPv6{Version: 6, NextHeader: stock.IPProtocolIPv6Destination, SrcIP: net.IPv6loopback, DstIP: net.IPv6loopback}
		buf := gopacket.NewSerializeBuffer()
		require.NoError(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, ip, gopacket.Payload(b)))
		p := gopacket.NewPacket(buf.Bytes(), stock.LayerTypeIPv6, gopacket.Default)
		require.NotNil(t, p.Layer(layers.LayerTypeEnhancedGRE), p)
	})
	t.Run("payload without a number", func(t *testing.T) {
		g := &layers.EnhancedGRE{Header: gre.Header{CallID: 7}}
		err := gopacket.SerializeLayers(gopacket.NewSerializeBuffer(), gopacket.SerializeOptions{FixLengths: true}, g, gopacket.Payload{1})
		require.ErrorIs(t, err, gre.ErrSequence)
	})
}

// A packet of any layer that is wrong ends in a failure of that layer.
func TestMalformed(t *testing.T) {
	tests := []struct {
		name     string
		protocol ppp.Protocol
		packet   []byte
		layer    gopacket.LayerType
		err      error
	}{
		{"LCP, short", ppp.ProtocolLCP, []byte{1, 1, 0}, layers.LayerTypeLCP, ppp.ErrShortPacket},
		{"LCP, length", ppp.ProtocolLCP, []byte{1, 1, 0, 9, 1}, layers.LayerTypeLCP, ppp.ErrPacketLength},
		{"LCP, length below the header", ppp.ProtocolLCP, []byte{1, 1, 0, 3}, layers.LayerTypeLCP, ppp.ErrPacketLength},
		{"LCP, option of no length", ppp.ProtocolLCP, []byte{1, 1, 0, 6, 1, 0}, layers.LayerTypeLCP, ppp.ErrOptionLength},
		{"LCP, echo without magic", ppp.ProtocolLCP, []byte{9, 1, 0, 6, 1, 0}, layers.LayerTypeLCP, ppp.ErrShortPacket},
		{"LCP, reject of nothing", ppp.ProtocolLCP, []byte{8, 1, 0, 4}, layers.LayerTypeLCP, ppp.ErrShortPacket},
		{"CHAP, value", ppp.ProtocolCHAP, []byte{1, 1, 0, 6, 9, 0}, layers.LayerTypeCHAP, chap.ErrValueSize},
		{"PAP, name", ppp.ProtocolPAP, []byte{1, 1, 0, 6, 9, 0}, layers.LayerTypePAP, pap.ErrLength},
		{"PAP, password", ppp.ProtocolPAP, []byte{1, 1, 0, 6, 1, 0}, layers.LayerTypePAP, pap.ErrLength},
		{"PAP, message", ppp.ProtocolPAP, []byte{2, 1, 0, 6, 9, 0}, layers.LayerTypePAP, pap.ErrLength},
		{"IPCP, option", ppp.ProtocolIPCP, []byte{1, 1, 0, 6, 3, 6}, layers.LayerTypeIPCP, ppp.ErrOptionLength},
		{"IPV6CP, option", ppp.ProtocolIPV6CP, []byte{1, 1, 0, 6, 3, 6}, layers.LayerTypeIPV6CP, ppp.ErrOptionLength},
		{"CCP, option", ppp.ProtocolCCP, []byte{1, 1, 0, 5, 18}, layers.LayerTypeCCP, ppp.ErrOptionLength},
		{"MPPE, short", ppp.ProtocolCompressed, []byte{0x90}, layers.LayerTypeMPPE, mppe.ErrShort},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := decode(frame(t, ppp.HeaderCompression{}, tt.protocol, tt.packet))
			require.Equal(t, []string{"IPv4", "EnhancedGRE", "PPPFrame", "DecodeFailure"}, path(p))
			var malformed *layers.DecodeError
			require.ErrorAs(t, p.ErrorLayer().Error(), &malformed)
			require.Equal(t, tt.layer, malformed.Layer)
			require.ErrorIs(t, malformed, tt.err)
			require.Equal(t, tt.packet, p.ErrorLayer().LayerContents())
		})
	}
	t.Run("PPP", func(t *testing.T) {
		h := gre.Header{PayloadLength: 2, HasSequence: true}
		p := decode(packet(t, stock.IPProtocolGRE, append(h.Append(nil), 0, 2)))
		require.ErrorIs(t, p.ErrorLayer().Error(), ppp.ErrProtocol)
	})
}

// What a stock program does: read a capture and look for layers.
func TestCapture(t *testing.T) {
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	require.NoError(t, w.WriteFileHeader(65536, stock.LinkTypeEthernet))
	lcp := (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1}).Append(nil)
	for _, b := range [][]byte{
		segment(t, (&pptp.EchoRequest{Identifier: 5}).Append(nil)),
		frame(t, ppp.HeaderCompression{}, ppp.ProtocolLCP, lcp),
	} {
		ci := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(b), Length: len(b)}
		require.NoError(t, w.WritePacket(ci, b))
	}

	r, err := pcapgo.NewReader(&file)
	require.NoError(t, err)
	var got []string
	for p := range gopacket.NewPacketSource(r, r.LinkType()).Packets() {
		ls := p.Layers()
		got = append(got, gopacket.LayerString(ls[len(ls)-1]))
	}
	require.Equal(t, []string{"PPTP\tEcho-Request: identifier 5", "LCP\tConfigure-Request id 1"}, got)
}

// PPP gains its control protocols wherever it comes from.
func TestPPPoE(t *testing.T) {
	b := gopacket.NewSerializeBuffer()
	lcp := &layers.LCP{Control: layers.Control{Code: ppp.ConfigureRequest, ID: 1}}
	require.NoError(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true},
		&stock.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: stock.EthernetTypePPPoESession},
		&stock.PPPoE{Version: 1, Type: 1, Code: stock.PPPoECodeSession}, &stock.PPP{PPPType: stock.PPPType(ppp.ProtocolLCP)}, lcp))
	require.Equal(t, []string{"PPPoE", "PPP", "LCP"}, path(decode(b.Bytes())))
}
