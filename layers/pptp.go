package layers

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/pptp"
)

// PPTP is what a TCP segment of the control connection has in it: the control
// messages that begin and end there, of which there may be several.
//
// The layer's contents are those messages. Its payload is what follows: the
// beginning of a message that goes on in the next segment, or, after an error,
// what could not be decoded.
type PPTP struct {
	layers.BaseLayer
	// Messages are in the order of the stream. One of a type that is not
	// known is an *UnknownMessage. They do not refer to the packet.
	Messages []pptp.Message
}

// UnknownMessage is a well-framed control message of a type that RFC 2637 does
// not have.
type UnknownMessage struct {
	MessageType pptp.MessageType
	Raw         []byte // the whole message, header included
}

// Type implements pptp.Message.
func (m *UnknownMessage) Type() pptp.MessageType { return m.MessageType }

// Decode implements pptp.Message. Raw is a copy.
func (m *UnknownMessage) Decode(b []byte) (n int, err error) {
	*m = UnknownMessage{}
	_, n, err = pptp.DecodeMessage(b)
	var unknown *pptp.DecodeError
	switch {
	case err == nil:
		return 0, &pptp.DecodeError{Field: "Control Message Type", Offset: 8, Err: pptp.ErrMessageType}
	case !errors.Is(err, pptp.ErrMessageType) || !errors.As(err, &unknown):
		return 0, err
	}
	m.MessageType, m.Raw = unknown.Message, append([]byte(nil), b[:n]...)
	return n, nil
}

// Append implements pptp.Message.
func (m *UnknownMessage) Append(dst []byte) []byte { return append(dst, m.Raw...) }

var (
	_ gopacket.DecodingLayer     = (*PPTP)(nil)
	_ gopacket.SerializableLayer = (*PPTP)(nil)
	_ gopacket.ApplicationLayer  = (*PPTP)(nil)
	_ pptp.Message               = (*UnknownMessage)(nil)
)

// LayerType implements gopacket.Layer.
func (*PPTP) LayerType() gopacket.LayerType { return LayerTypePPTP }

// CanDecode implements gopacket.DecodingLayer.
func (*PPTP) CanDecode() gopacket.LayerClass { return LayerTypePPTP }

// NextLayerType implements gopacket.DecodingLayer.
func (m *PPTP) NextLayerType() gopacket.LayerType {
	if len(m.BaseLayer.Payload) > 0 {
		return gopacket.LayerTypeFragment
	}
	return gopacket.LayerTypeZero
}

// Payload implements gopacket.ApplicationLayer: the octets of the messages. The
// field of that name is that of BaseLayer.
func (m *PPTP) Payload() []byte { return m.Contents }

// DecodeFromBytes implements gopacket.DecodingLayer. After an error, Messages
// has those in front of the one that is malformed.
func (m *PPTP) DecodeFromBytes(data []byte, df gopacket.DecodeFeedback) error {
	clear(m.Messages)
	*m = PPTP{Messages: m.Messages[:0], BaseLayer: layers.BaseLayer{Contents: data[:0], Payload: data}}
	for n := 0; n < len(data); {
		msg, size, err := pptp.DecodeMessage(data[n:])
		switch {
		case errors.Is(err, pptp.ErrShort):
			df.SetTruncated()
			return nil // the rest is in the next segment
		case errors.Is(err, pptp.ErrMessageType):
			u := new(UnknownMessage)
			if _, err := u.Decode(data[n:]); err != nil {
				return &DecodeError{Layer: LayerTypePPTP, Err: err}
			}
			msg = u
		case err != nil:
			return &DecodeError{Layer: LayerTypePPTP, Err: err}
		}
		m.Messages = append(m.Messages, msg)
		n += size
		m.BaseLayer = layers.BaseLayer{Contents: data[:n:n], Payload: data[n:]}
	}
	return nil
}

// SerializeTo implements gopacket.SerializableLayer.
func (m *PPTP) SerializeTo(b gopacket.SerializeBuffer, _ gopacket.SerializeOptions) error {
	var enc []byte
	for _, msg := range m.Messages {
		enc = msg.Append(enc)
	}
	return prepend(b, enc)
}

// String lists the messages.
func (m *PPTP) String() string {
	var words []string
	for _, msg := range m.Messages {
		words = append(words, DescribeMessage(msg))
	}
	return strings.Join(words, "; ")
}

// DescribeMessage says in a line what a control message says. Texts of the peer
// are quoted.
func DescribeMessage(msg pptp.Message) string {
	var s string
	switch m := msg.(type) {
	case *pptp.StartControlConnectionRequest:
		s = fmt.Sprintf("version 0x%04x, framing %d, bearer %d, channels %d, host %q, vendor %q",
			m.ProtocolVersion, m.FramingCapabilities, m.BearerCapabilities, m.MaximumChannels, m.HostName, m.VendorString)
	case *pptp.StartControlConnectionReply:
		s = result(m.ResultCode, m.ErrorCode) + fmt.Sprintf(", version 0x%04x, framing %d, bearer %d, channels %d, host %q, vendor %q",
			m.ProtocolVersion, m.FramingCapabilities, m.BearerCapabilities, m.MaximumChannels, m.HostName, m.VendorString)
	case *pptp.StopControlConnectionRequest:
		s = "reason " + m.Reason.String()
	case *pptp.StopControlConnectionReply:
		s = result(m.ResultCode, m.ErrorCode)
	case *pptp.EchoRequest:
		s = fmt.Sprintf("identifier %d", m.Identifier)
	case *pptp.EchoReply:
		s = fmt.Sprintf("identifier %d, ", m.Identifier) + result(m.ResultCode, m.ErrorCode)
	case *pptp.OutgoingCallRequest:
		s = fmt.Sprintf("call ID %d, serial %d, window %d", m.CallID, m.CallSerialNumber, m.PacketRecvWindowSize)
		if m.PhoneNumber != "" {
			s += fmt.Sprintf(", phone number %q", m.PhoneNumber)
		}
	case *pptp.OutgoingCallReply:
		s = result(m.ResultCode, m.ErrorCode) + fmt.Sprintf(", call ID %d, peer's call ID %d, window %d",
			m.CallID, m.PeerCallID, m.PacketRecvWindowSize)
	case *pptp.IncomingCallRequest:
		s = fmt.Sprintf("call ID %d, serial %d, dialed %q, dialing %q", m.CallID, m.CallSerialNumber, m.DialedNumber, m.DialingNumber)
	case *pptp.IncomingCallReply:
		s = result(m.ResultCode, m.ErrorCode) + fmt.Sprintf(", call ID %d, peer's call ID %d, window %d",
			m.CallID, m.PeerCallID, m.PacketRecvWindowSize)
	case *pptp.IncomingCallConnected:
		s = fmt.Sprintf("peer's call ID %d, window %d", m.PeerCallID, m.PacketRecvWindowSize)
	case *pptp.CallClearRequest:
		s = fmt.Sprintf("call ID %d", m.CallID)
	case *pptp.CallDisconnectNotify:
		s = fmt.Sprintf("call ID %d, ", m.CallID) + result(m.ResultCode, m.ErrorCode)
	case *pptp.WANErrorNotify:
		s = fmt.Sprintf("peer's call ID %d", m.PeerCallID)
	case *pptp.SetLinkInfo:
		s = fmt.Sprintf("peer's call ID %d, send ACCM 0x%08x, receive ACCM 0x%08x", m.PeerCallID, m.SendACCM, m.ReceiveACCM)
	default:
		return msg.Type().String()
	}
	return msg.Type().String() + ": " + s
}

// result has the error code where it means something.
func result(code fmt.Stringer, e pptp.ErrorCode) string {
	if e != pptp.ErrorNone {
		return fmt.Sprintf("result %v, error %v", code, e)
	}
	return fmt.Sprintf("result %v", code)
}

// prepend writes an encoded layer in front of what b has.
func prepend(b gopacket.SerializeBuffer, enc []byte) error {
	room, err := b.PrependBytes(len(enc))
	if err != nil {
		return err
	}
	copy(room, enc)
	return nil
}
