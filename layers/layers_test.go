package layers_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

func TestDescribeOption(t *testing.T) {
	tests := []struct {
		protocol ppp.Protocol
		typ      uint8
		data     string
		want     string
	}{
		{ppp.ProtocolLCP, 1, "\x05\xdc", "MRU 1500"},
		{ppp.ProtocolLCP, 1, "\x05", "option 1 05"},
		{ppp.ProtocolLCP, 2, "\x00\x0a\x00\x00", "ACCM 0x000a0000"},
		{ppp.ProtocolLCP, 3, "\xc0\x23", "authentication PAP"},
		{ppp.ProtocolLCP, 3, "\xc2\x23\x05", "authentication CHAP-MD5"},
		{ppp.ProtocolLCP, 3, "\xc2", "option 3 c2"},
		{ppp.ProtocolLCP, 4, "\xc0\x25\x00\x00\x00\x00", "quality LQR"},
		{ppp.ProtocolLCP, 5, "\x00\x00\x00\x01", "magic 0x00000001"},
		{ppp.ProtocolLCP, 7, "", "PFC"},
		{ppp.ProtocolLCP, 8, "", "ACFC"},
		{ppp.ProtocolLCP, 13, "\x06", "callback 6"},
		{ppp.ProtocolLCP, 17, "\x06\x4e", "MRRU 1614"},
		{ppp.ProtocolLCP, 18, "", "short multilink header"},
		{ppp.ProtocolLCP, 19, "\x01\xaa", "endpoint class 1 aa"},
		{ppp.ProtocolLCP, 99, "\x01", "option 99 01"},
		{ppp.ProtocolLCP, 99, "", "option 99"},
		{ppp.ProtocolIPCP, 2, "\x00\x2d\x0f\x01", "VJ compression"},
		{ppp.ProtocolIPCP, 2, "\x00\x61", "compression protocol 0x0061"},
		{ppp.ProtocolIPCP, 3, "\x00\x00\x00\x00", "address 0.0.0.0"},
		{ppp.ProtocolIPCP, 3, "\x00", "option 3 00"},
		{ppp.ProtocolIPCP, 132, "\x01\x02\x03\x04", "second NBNS 1.2.3.4"},
		{ppp.ProtocolIPV6CP, 2, "\x00", "option 2 00"},
		{ppp.ProtocolCCP, 18, "\x00\x00\x00\x00", "MPPE none"},
		{ppp.ProtocolCCP, 18, "\x00\x00\x00\x60", "MPPE 128-bit 40-bit stateful"},
		{ppp.ProtocolCCP, 18, "\x01\x00\x00\x01", "MPPE MPPC stateless"},
		{ppp.ProtocolCCP, 18, "\x41\x00\x00\x40", "MPPE 128-bit stateless and 0x40000000"},
		{ppp.ProtocolCCP, 26, "\x78\x00", "Deflate 7800"},
		{ppp.ProtocolCCP, 18, "\x01", "option 18 01"},
		{ppp.ProtocolEAP, 1, "", "option 1"},
	}
	for _, tt := range tests {
		o := ppp.Option{Type: tt.typ, Data: []byte(tt.data)}
		require.Equal(t, tt.want, layers.DescribeOption(tt.protocol, o))
	}
}

func TestDescribeMessage(t *testing.T) {
	tests := []struct {
		m    pptp.Message
		want string
	}{
		{
			&pptp.StartControlConnectionRequest{ProtocolVersion: 0x100, FramingCapabilities: 3, BearerCapabilities: 3, HostName: "a\nb", VendorString: "v"},
			`Start-Control-Connection-Request: version 0x0100, framing 3, bearer 3, channels 0, host "a\nb", vendor "v"`,
		},
		{
			&pptp.StartControlConnectionReply{ResultCode: 2, ErrorCode: 4},
			`Start-Control-Connection-Reply: result general error, error no resource, version 0x0000, framing 0, bearer 0, channels 0, host "", vendor ""`,
		},
		{&pptp.StopControlConnectionRequest{Reason: 3}, "Stop-Control-Connection-Request: reason local shutdown"},
		{&pptp.StopControlConnectionReply{ResultCode: 1}, "Stop-Control-Connection-Reply: result OK"},
		{&pptp.EchoRequest{Identifier: 3}, "Echo-Request: identifier 3"},
		{&pptp.EchoReply{Identifier: 3, ResultCode: 1}, "Echo-Reply: identifier 3, result OK"},
		{
			&pptp.OutgoingCallRequest{CallID: 1, CallSerialNumber: 2, PacketRecvWindowSize: 3, PhoneNumber: "4"},
			`Outgoing-Call-Request: call ID 1, serial 2, window 3, phone number "4"`,
		},
		{
			&pptp.OutgoingCallReply{CallID: 1, PeerCallID: 2, ResultCode: 4, PacketRecvWindowSize: 3},
			"Outgoing-Call-Reply: result busy, call ID 1, peer's call ID 2, window 3",
		},
		{&pptp.IncomingCallRequest{CallID: 1, DialedNumber: "2"}, `Incoming-Call-Request: call ID 1, serial 0, dialed "2", dialing ""`},
		{&pptp.IncomingCallReply{CallID: 1, ResultCode: 3}, "Incoming-Call-Reply: result do not accept, call ID 1, peer's call ID 0, window 0"},
		{&pptp.IncomingCallConnected{PeerCallID: 1}, "Incoming-Call-Connected: peer's call ID 1, window 0"},
		{&pptp.CallClearRequest{CallID: 1}, "Call-Clear-Request: call ID 1"},
		{&pptp.CallDisconnectNotify{CallID: 1, ResultCode: 4}, "Call-Disconnect-Notify: call ID 1, result request"},
		{&pptp.WANErrorNotify{PeerCallID: 1}, "WAN-Error-Notify: peer's call ID 1"},
		{&pptp.SetLinkInfo{PeerCallID: 1}, "Set-Link-Info: peer's call ID 1, send ACCM 0x00000000, receive ACCM 0x00000000"},
		{&layers.UnknownMessage{MessageType: 77}, "message type 77"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, layers.DescribeMessage(tt.m))
	}
}

func TestLayerStrings(t *testing.T) {
	control := func(code ppp.Code, data string) layers.Control {
		return layers.Control{Code: code, ID: 1, Data: []byte(data)}
	}
	for want, l := range map[string]fmt.Stringer{
		"Terminate-Request id 1: \"bye\"":                         &layers.LCP{Control: control(ppp.TerminateRequest, "bye")},
		"Identification id 1: magic 0x00000005, \"MSRASV5\"":      &layers.LCP{Control: control(ppp.Identification, "MSRASV5"), MagicNumber: 5},
		"Time-Remaining id 1: magic 0x00000000, 60 s, \"left\"":   &layers.LCP{Control: control(ppp.TimeRemaining, "\x00\x00\x00\x3cleft")},
		"Time-Remaining id 1: magic 0x00000000, no limit, \"\"":   &layers.LCP{Control: control(ppp.TimeRemaining, "\xff\xff\xff\xff")},
		"Code-Reject id 1, 3 octets":                              &layers.LCP{Control: control(ppp.CodeReject, "\x00\x00\x00")},
		"Reset-Request id 1":                                      &layers.CCP{Control: control(ppp.ResetRequest, "")},
		"Failure id 1: \"E=691\"":                                 &layers.CHAP{Code: layers.CHAPFailure, ID: 1, Message: []byte("E=691")},
		"code 9 id 1":                                             &layers.CHAP{Code: 9, ID: 1},
		"Authenticate-Nak id 1: \"no\"":                           &layers.PAP{Code: layers.PAPNak, ID: 1, Message: []byte("no")},
		"coherency count 1, moved to front, compressed, 0 octets": &layers.MPPE{CoherencyCount: 1, Front: true, Compressed: true},
		"CCP, 0 octets":                                           &layers.PPP{Protocol: ppp.ProtocolCCP},
		"Echo-Request: identifier 1; Set-Link-Info: peer's call ID 2, send ACCM 0x00000000, receive ACCM 0x00000000": &layers.PPTP{Messages: []pptp.Message{
			&pptp.EchoRequest{Identifier: 1}, &pptp.SetLinkInfo{PeerCallID: 2},
		}},
	} {
		require.Equal(t, want, l.String())
	}
}

func TestMSCHAPv2(t *testing.T) {
	v := make([]byte, 49)
	v[0], v[15], v[24], v[47] = 1, 2, 3, 4
	c := &layers.CHAP{Code: layers.CHAPResponse, Value: chap.Value{Value: v}}
	peer, response, ok := c.MSCHAPv2()
	require.True(t, ok)
	require.Equal(t, v[:16], peer)
	require.Equal(t, v[24:48], response)

	c.Value.Value = v[:16]
	_, _, ok = c.MSCHAPv2()
	require.False(t, ok)
}

func TestMSCHAPFailure(t *testing.T) {
	c := &layers.CHAP{Code: layers.CHAPFailure, ID: 3, Message: []byte("E=691 R=1 C=0123456789ABCDEF0123456789ABCDEF V=3 M=no such user")}
	require.Equal(t, &chap.FailureError{Code: chap.AuthenticationFailure, Retry: true, Message: "no such user"}, c.MSCHAPFailure())
	c.Message = nil
	require.Equal(t, &chap.FailureError{}, c.MSCHAPFailure())
	c.Code = layers.CHAPSuccess
	require.Nil(t, c.MSCHAPFailure())
}

func TestPasswordIsRedacted(t *testing.T) {
	p := layers.PAP{Code: layers.PAPRequest, Request: pap.Request{PeerID: []byte("joe"), Password: ppp.Secret("hunter2")}}
	enc, err := json.Marshal(p.Password)
	require.NoError(t, err)
	for _, s := range []string{
		p.String(), string(enc), fmt.Sprint(p.Password), fmt.Sprintf("%s %x %v %+v %#v %q", p.Password, p.Password, p.Password, p.Password, p.Password, p.Password),
		gopacket.LayerString(&p), p.Password.LogValue().String(), p.Password.String(),
	} {
		require.NotContains(t, s, "hunter2")
		require.NotContains(t, s, fmt.Sprintf("%x", "hunter2"))
	}
}

// A parser reuses its layers, allocates nothing on the way of the data, and
// finds GRE by the layer type that IP has for it.
func TestParser(t *testing.T) {
	var (
		eth     stock.Ethernet
		ip      stock.IPv4
		tcp     stock.TCP
		g       layers.EnhancedGRE
		f       layers.PPP
		m       layers.MPPE
		lcp     layers.LCP
		control layers.PPTP
		payload gopacket.Payload
	)
	parser := gopacket.NewDecodingLayerParser(stock.LayerTypeEthernet, &eth, &ip, &tcp, &g, &f, &m, &lcp, &control, &payload)
	data := frame(t, ppp.HeaderCompression{}, ppp.ProtocolCompressed, []byte{0x90, 1, 2, 3})
	decoded := make([]gopacket.LayerType, 0, 10)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if err := parser.DecodeLayers(data, &decoded); err != nil {
			panic(err)
		}
	}))
	require.Equal(t, []gopacket.LayerType{
		stock.LayerTypeEthernet, stock.LayerTypeIPv4, stock.LayerTypeGRE, layers.LayerTypePPP, layers.LayerTypeMPPE, gopacket.LayerTypePayload,
	}, decoded)
	require.Equal(t, uint16(1), m.CoherencyCount)

	// Options reuse their memory, and nothing is left of the packet before.
	request := (&ppp.Packet{Code: ppp.ConfigureRequest, ID: 1, Data: []byte{1, 4, 5, 0, 8, 2}}).Append(nil)
	data = frame(t, ppp.HeaderCompression{}, ppp.ProtocolLCP, request)
	require.NoError(t, parser.DecodeLayers(data, &decoded))
	require.Len(t, lcp.Options, 2)
	require.Zero(t, testing.AllocsPerRun(100, func() { _ = parser.DecodeLayers(data, &decoded) }))
	echo := (&ppp.Packet{Code: ppp.EchoRequest, ID: 1, Data: []byte{0, 0, 0, 7}}).Append(nil)
	require.NoError(t, parser.DecodeLayers(frame(t, ppp.HeaderCompression{}, ppp.ProtocolLCP, echo), &decoded))
	require.Empty(t, lcp.Options)
	require.Equal(t, uint32(7), lcp.MagicNumber)

	require.NoError(t, parser.DecodeLayers(segment(t, (&pptp.EchoRequest{}).Append(nil)), &decoded))
	require.Len(t, control.Messages, 1)
}
