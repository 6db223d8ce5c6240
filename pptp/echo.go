package pptp

const (
	echoRequestLen = 16
	echoReplyLen   = 20
)

// EchoRequest asks whether the peer is alive (RFC 2637 section 2.5).
type EchoRequest struct {
	Identifier uint32 // comes back in the reply
}

// Type implements Message.
func (m *EchoRequest) Type() MessageType { return TypeEchoRequest }

// Decode implements Message.
func (m *EchoRequest) Decode(b []byte) (int, error) {
	*m = EchoRequest{}
	b, err := cutMessageType(b, TypeEchoRequest, echoRequestLen)
	if err != nil {
		return 0, err
	}
	m.Identifier = be32(b[12:])
	return len(b), nil
}

// Append implements Message.
func (m *EchoRequest) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeEchoRequest, echoRequestLen)
	return append32(dst, m.Identifier)
}

// EchoReply answers an EchoRequest (RFC 2637 section 2.6).
type EchoReply struct {
	Identifier uint32 // that of the request
	ResultCode EchoResult
	ErrorCode  ErrorCode
}

// Type implements Message.
func (m *EchoReply) Type() MessageType { return TypeEchoReply }

// Decode implements Message.
func (m *EchoReply) Decode(b []byte) (int, error) {
	*m = EchoReply{}
	b, err := cutMessageType(b, TypeEchoReply, echoReplyLen)
	if err != nil {
		return 0, err
	}
	m.Identifier = be32(b[12:])
	m.ResultCode = EchoResult(b[16])
	m.ErrorCode = ErrorCode(b[17])
	return len(b), nil
}

// Append implements Message.
func (m *EchoReply) Append(dst []byte) []byte {
	dst = appendHeader(dst, TypeEchoReply, echoReplyLen)
	dst = append32(dst, m.Identifier)
	return append(dst, byte(m.ResultCode), byte(m.ErrorCode), 0, 0)
}
