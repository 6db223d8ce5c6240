package pptp

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// octets decodes hex with blanks, as the layouts of RFC 2637 section 2 read.
func octets(parts ...string) []byte {
	s := strings.NewReplacer(" ", "", "\n", "", "\t", "").Replace(strings.Join(parts, ""))
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// zeros is n octets of zero padding in hex.
func zeros(n int) string { return strings.Repeat("00", n) }

// vectors are built by hand from the layouts, with a value of its own in each
// field so that fields which are swapped or shifted show.
var vectors = []struct {
	section string
	msg     Message
	wire    []byte
}{
	{"2.1", &StartControlConnectionRequest{
		ProtocolVersion: 0x0100, FramingCapabilities: FramingSynchronous, BearerCapabilities: BearerAny,
		MaximumChannels: 0x0102, FirmwareRevision: 0x0304, HostName: "host", VendorString: "Go",
	}, octets(
		"009c 0001 1a2b3c4d 0001 0000",
		"0100 0000",
		"00000002 00000003",
		"0102 0304",
		"686f7374", zeros(60),
		"476f", zeros(62),
	)},
	{"2.2", &StartControlConnectionReply{
		ProtocolVersion: 0x0100, ResultCode: StartGeneralError, ErrorCode: ErrorNoResource,
		FramingCapabilities: FramingEither, BearerCapabilities: BearerAnalog,
		MaximumChannels: 0x0506, FirmwareRevision: 0x0708, HostName: "pac", VendorString: "Go",
	}, octets(
		"009c 0001 1a2b3c4d 0002 0000",
		"0100 02 04",
		"00000003 00000001",
		"0506 0708",
		"706163", zeros(61),
		"476f", zeros(62),
	)},
	{"2.3", &StopControlConnectionRequest{Reason: StopLocalShutdown},
		octets("0010 0001 1a2b3c4d 0003 0000", "03 00 0000")},
	{"2.4", &StopControlConnectionReply{ResultCode: StopGeneralError, ErrorCode: ErrorBadValue},
		octets("0010 0001 1a2b3c4d 0004 0000", "02 03 0000")},
	{"2.5", &EchoRequest{Identifier: 0x01020304},
		octets("0010 0001 1a2b3c4d 0005 0000", "01020304")},
	{"2.6", &EchoReply{Identifier: 0x01020304, ResultCode: EchoGeneralError, ErrorCode: ErrorNotConnected},
		octets("0014 0001 1a2b3c4d 0006 0000", "01020304", "02 01 0000")},
	{"2.7", &OutgoingCallRequest{
		CallID: 0x1122, CallSerialNumber: 0x3344, MinimumBPS: 300, MaximumBPS: 100_000_000,
		BearerType: BearerDigital, FramingType: FramingAsynchronous,
		PacketRecvWindowSize: 64, PacketProcessingDelay: 5,
		PhoneNumber: "555", Subaddress: "sub",
	}, octets(
		"00a8 0001 1a2b3c4d 0007 0000",
		"1122 3344",
		"0000012c 05f5e100",
		"00000002 00000001",
		"0040 0005",
		"0003 0000",
		"353535", zeros(61),
		"737562", zeros(61),
	)},
	{"2.8", &OutgoingCallReply{
		CallID: 0x5566, PeerCallID: 0x1122, ResultCode: OutgoingConnected, ErrorCode: ErrorPAC, CauseCode: 0x0708,
		ConnectSpeed: 0x00989680, PacketRecvWindowSize: 3, PacketProcessingDelay: 9, PhysicalChannelID: 0x0a0b0c0d,
	}, octets(
		"0020 0001 1a2b3c4d 0008 0000",
		"5566 1122",
		"01 06 0708",
		"00989680",
		"0003 0009",
		"0a0b0c0d",
	)},
	{"2.9", &IncomingCallRequest{
		CallID: 0x0102, CallSerialNumber: 0x0304, CallBearerType: BearerDigital, PhysicalChannelID: 0x05060708,
		DialedNumber: "12", DialingNumber: "345", Subaddress: "6",
	}, octets(
		"00dc 0001 1a2b3c4d 0009 0000",
		"0102 0304",
		"00000002",
		"05060708",
		"0002 0003",
		"3132", zeros(62),
		"333435", zeros(61),
		"36", zeros(63),
	)},
	{"2.10", &IncomingCallReply{
		CallID: 0x0102, PeerCallID: 0x0304, ResultCode: IncomingDoNotAccept, ErrorCode: ErrorBadCallID,
		PacketRecvWindowSize: 0x0607, PacketTransmitDelay: 0x0809,
	}, octets(
		"0018 0001 1a2b3c4d 000a 0000",
		"0102 0304",
		"03 05 0607",
		"0809 0000",
	)},
	{"2.11", &IncomingCallConnected{
		PeerCallID: 0x0102, ConnectSpeed: 0x03040506, PacketRecvWindowSize: 0x0708,
		PacketTransmitDelay: 0x090a, FramingType: FramingSynchronous,
	}, octets(
		"001c 0001 1a2b3c4d 000b 0000",
		"0102 0000",
		"03040506",
		"0708 090a",
		"00000002",
	)},
	{"2.12", &CallClearRequest{CallID: 0x0102},
		octets("0010 0001 1a2b3c4d 000c 0000", "0102 0000")},
	{"2.13", &CallDisconnectNotify{
		CallID: 0x0102, ResultCode: DisconnectRequest, ErrorCode: ErrorBadFormat, CauseCode: 0x0304,
		CallStatistics: "bytes=1",
	}, octets(
		"0094 0001 1a2b3c4d 000d 0000",
		"0102 04 02",
		"0304 0000",
		"62797465733d31", zeros(121),
	)},
	{"2.14", &WANErrorNotify{
		PeerCallID: 0x0102, CRCErrors: 1, FramingErrors: 2, HardwareOverruns: 3,
		BufferOverruns: 4, TimeOutErrors: 5, AlignmentErrors: 0xfffffff6,
	}, octets(
		"0028 0001 1a2b3c4d 000e 0000",
		"0102 0000",
		"00000001 00000002 00000003 00000004 00000005 fffffff6",
	)},
	{"2.15", &SetLinkInfo{PeerCallID: 0x0102, SendACCM: 0xffffffff, ReceiveACCM: 0x000a0000},
		octets(
			"0018 0001 1a2b3c4d 000f 0000",
			"0102 0000",
			"ffffffff 000a0000",
		)},
}

func TestVectors(t *testing.T) {
	seen := make(map[MessageType]bool)
	for _, v := range vectors {
		seen[v.msg.Type()] = true
		t.Run(v.section+" "+v.msg.Type().String(), func(t *testing.T) {
			require.Equal(t, v.wire, v.msg.Append(nil))
			require.Equal(t, append([]byte("before"), v.wire...), v.msg.Append([]byte("before")), "appends")

			m, n, err := DecodeMessage(append(v.wire[:len(v.wire):len(v.wire)], "what follows"...))
			require.NoError(t, err)
			require.Equal(t, len(v.wire), n)
			require.Equal(t, v.msg, m)
		})
	}
	require.Len(t, seen, 15)
}

// Every octet that is not in a named field is ignored.
func TestReservedFieldsIgnored(t *testing.T) {
	reserved := map[MessageType][]int{
		TypeStartControlConnectionRequest: {10, 11, 14, 15},
		TypeStartControlConnectionReply:   {10, 11},
		TypeStopControlConnectionRequest:  {10, 11, 13, 14, 15},
		TypeStopControlConnectionReply:    {10, 11, 14, 15},
		TypeEchoRequest:                   {10, 11},
		TypeEchoReply:                     {10, 11, 18, 19},
		TypeOutgoingCallRequest:           {10, 11, 38, 39},
		TypeOutgoingCallReply:             {10, 11},
		TypeIncomingCallRequest:           {10, 11},
		TypeIncomingCallReply:             {10, 11, 22, 23},
		TypeIncomingCallConnected:         {10, 11, 14, 15},
		TypeCallClearRequest:              {10, 11, 14, 15},
		TypeCallDisconnectNotify:          {10, 11, 18, 19},
		TypeWANErrorNotify:                {10, 11, 14, 15},
		TypeSetLinkInfo:                   {10, 11, 14, 15},
	}
	for _, v := range vectors {
		b := append([]byte(nil), v.wire...)
		for _, at := range reserved[v.msg.Type()] {
			require.Zero(t, b[at], "%v at %d is sent as 0", v.msg.Type(), at)
			b[at] = 0xff
		}
		m, _, err := DecodeMessage(b)
		require.NoError(t, err)
		require.Equal(t, v.msg, m)
	}
}

func TestLongerMessageAccepted(t *testing.T) {
	for _, v := range vectors {
		b := append([]byte(nil), v.wire...)
		b = append(b, make([]byte, MaxMessageLen-len(b))...)
		b[0], b[1] = MaxMessageLen>>8, MaxMessageLen&0xff
		m, n, err := DecodeMessage(b)
		require.NoError(t, err, v.section)
		require.Equal(t, MaxMessageLen, n)
		require.Equal(t, v.msg, m)
	}
}

// A message cut short by its sender, with a Length that says so, is an error
// of the message; one of which the rest is missing is short. Decode leaves
// nothing of what the message held before.
func TestShorterMessageRefused(t *testing.T) {
	for _, v := range vectors {
		for n := MinMessageLen; n < len(v.wire); n++ {
			b := append([]byte(nil), v.wire[:n]...)
			b[0], b[1] = 0, byte(n)
			m, used, err := DecodeMessage(b)
			require.ErrorIs(t, err, ErrLength, "%s, %d octets", v.section, n)
			var de *DecodeError
			require.ErrorAs(t, err, &de)
			require.Equal(t, v.msg.Type(), de.Message)
			require.Equal(t, "Length", de.Field)
			require.Nil(t, m)
			require.Zero(t, used)
		}
		for n := range len(v.wire) {
			_, _, err := DecodeMessage(v.wire[:n:n])
			require.ErrorIs(t, err, ErrShort, "%s, %d octets", v.section, n)
		}
		old := newMessage(v.msg.Type())
		_, err := old.Decode(v.wire)
		require.NoError(t, err)
		_, err = old.Decode(v.wire[:len(v.wire)-1])
		require.Error(t, err)
		require.Equal(t, newMessage(v.msg.Type()), old, "fields are reset")
	}
}

func TestDecodeWrongType(t *testing.T) {
	for _, v := range vectors {
		for _, other := range vectors {
			if v.msg.Type() == other.msg.Type() {
				continue
			}
			_, err := newMessage(v.msg.Type()).Decode(other.wire)
			require.ErrorIs(t, err, ErrMessageType)
		}
	}
}

func TestDecodeUnknownType(t *testing.T) {
	for _, unknown := range []byte{0, 16, 255} {
		b := octets("0010 0001 1a2b3c4d 0000 0000 00000000", "ffff")
		b[9] = unknown
		m, n, err := DecodeMessage(b)
		require.Nil(t, m)
		require.Equal(t, 16, n, "so that it can be skipped")
		require.ErrorIs(t, err, ErrMessageType)
		require.ErrorContains(t, err, MessageType(unknown).String())
	}
}

func TestDecodeBadHeader(t *testing.T) {
	for name, c := range map[string]struct {
		wire  []byte
		err   error
		field string
		value uint32
	}{
		"length 0":          {octets("0000 0001 1a2b3c4d 0005 0000 00000000"), ErrLength, "Length", 0},
		"length 11":         {octets("000b 0001 1a2b3c4d 0005 0000 00000000"), ErrLength, "Length", 11},
		"length 513":        {octets("0201 0001 1a2b3c4d 0005 0000 00000000"), ErrLength, "Length", 513},
		"length 65535":      {octets("ffff 0001 1a2b3c4d 0005 0000 00000000"), ErrLength, "Length", 65535},
		"management":        {octets("0010 0002 1a2b3c4d 0005 0000 00000000"), ErrPPTPMessageType, "PPTP Message Type", 2},
		"message type 0":    {octets("0010 0000 1a2b3c4d 0005 0000 00000000"), ErrPPTPMessageType, "PPTP Message Type", 0},
		"cookie":            {octets("0010 0001 1a2b3c4e 0005 0000 00000000"), ErrCookie, "Magic Cookie", 0x1a2b3c4e},
		"cookie byte order": {octets("0010 0001 4d3c2b1a 0005 0000 00000000"), ErrCookie, "Magic Cookie", 0x4d3c2b1a},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := DecodeMessage(c.wire)
			require.Zero(t, n)
			require.ErrorIs(t, err, c.err)
			var fe *FramingError
			require.ErrorAs(t, err, &fe)
			require.Equal(t, c.field, fe.Field)
			require.Equal(t, c.value, fe.Value)
			require.ErrorContains(t, err, c.field)
		})
	}
}

func TestTextFields(t *testing.T) {
	full := strings.Repeat("x", 64)

	m := StartControlConnectionRequest{HostName: full, VendorString: full + "y"}
	b := m.Append(nil)
	require.Len(t, b, 156, "text that is too long is cut")
	var got StartControlConnectionRequest
	_, err := got.Decode(b)
	require.NoError(t, err)
	require.Equal(t, full, got.HostName, "a full field has no NUL")
	require.Equal(t, full, got.VendorString)
	require.Equal(t, full+"y", m.VendorString, "encoding does not change the message")

	m = StartControlConnectionRequest{HostName: "a\x00b"}
	_, err = got.Decode(m.Append(nil))
	require.NoError(t, err)
	require.Equal(t, "a", got.HostName)

	cdn := CallDisconnectNotify{CallStatistics: strings.Repeat("s", 129)}
	require.Len(t, cdn.Append(nil), 148)

	// The length of a phone number is the peer's to say, and not to be trusted.
	ocrq := OutgoingCallRequest{PhoneNumber: "5551234", Subaddress: "s"}
	b = ocrq.Append(nil)
	for length, want := range map[uint16]string{0: "", 3: "555", 7: "5551234", 64: "5551234", 65: "5551234", 65535: "5551234"} {
		b[36], b[37] = byte(length>>8), byte(length)
		var got OutgoingCallRequest
		_, err := got.Decode(b)
		require.NoError(t, err)
		require.Equal(t, want, got.PhoneNumber)
		require.Equal(t, "s", got.Subaddress)
	}
}

// A decoded message does not refer to the input.
func TestDecodeCopies(t *testing.T) {
	for _, v := range vectors {
		b := append([]byte(nil), v.wire...)
		m, _, err := DecodeMessage(b)
		require.NoError(t, err)
		clear(b)
		require.Equal(t, v.msg, m)
	}
}

func TestCodeNames(t *testing.T) {
	require.Equal(t, "Set-Link-Info", TypeSetLinkInfo.String())
	require.Equal(t, "message type 0", MessageType(0).String())
	require.Equal(t, "message type 65535", MessageType(65535).String())
	require.Equal(t, "requester not authorized", StartNotAuthorized.String())
	require.Equal(t, "code 0", StartResult(0).String())
	require.Equal(t, "local shutdown", StopLocalShutdown.String())
	require.Equal(t, "OK", StopOK.String())
	require.Equal(t, "general error", EchoGeneralError.String())
	require.Equal(t, "do not accept", OutgoingDoNotAccept.String())
	require.Equal(t, "code 8", OutgoingCallResult(8).String())
	require.Equal(t, "do not accept", IncomingDoNotAccept.String())
	require.Equal(t, "unspecified", DisconnectUnspecified.String())
	require.Equal(t, "request", DisconnectRequest.String())
	require.Equal(t, "PAC error", ErrorPAC.String())
	require.Equal(t, "code 255", ErrorCode(255).String())
	require.Equal(t, "wait_ctl_reply", WaitCtlReply.String())
	require.Equal(t, "PNS", RolePNS.String())
	require.Equal(t, "sent", Sent.String())
}

func TestAppendDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 0, MaxMessageLen)
	for _, v := range vectors {
		require.Zero(t, testing.AllocsPerRun(100, func() { v.msg.Append(buf) }), v.section)
	}
}
