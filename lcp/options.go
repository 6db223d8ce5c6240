package lcp

import (
	"encoding/binary"

	"github.com/gopptp/gopptp/ppp"
)

// The types of configuration options that are known (RFC 1661 §6, RFC 1662 §7.1).
const (
	optionMRU   = 1
	optionACCM  = 2
	optionAuth  = 3
	optionMagic = 5
	optionPFC   = 7
	optionACFC  = 8
)

func encodeMRU(mru int) ppp.Option {
	return ppp.Option{Type: optionMRU, Data: binary.BigEndian.AppendUint16(nil, uint16(mru))}
}

func decodeMRU(o ppp.Option) (mru int, ok bool) {
	if len(o.Data) != 2 {
		return 0, false
	}
	return int(binary.BigEndian.Uint16(o.Data)), true
}

func encodeMagic(magic uint32) ppp.Option {
	return ppp.Option{Type: optionMagic, Data: binary.BigEndian.AppendUint32(nil, magic)}
}

func decodeMagic(o ppp.Option) (magic uint32, ok bool) {
	if len(o.Data) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(o.Data), true
}

func encodeAuth(m ppp.AuthMethod) ppp.Option {
	data := binary.BigEndian.AppendUint16(nil, uint16(m.Protocol))
	if m.Protocol == ppp.ProtocolCHAP {
		data = append(data, m.Algorithm)
	}
	return ppp.Option{Type: optionAuth, Data: data}
}

// decodeAuth takes CHAP with one octet of algorithm (RFC 1994 §3) and any other
// protocol without data; nothing else is a method that could be agreed on.
func decodeAuth(o ppp.Option) (m ppp.AuthMethod, ok bool) {
	if len(o.Data) < 2 {
		return ppp.AuthMethod{}, false
	}
	m.Protocol = ppp.Protocol(binary.BigEndian.Uint16(o.Data))
	data := o.Data[2:]
	if m.Protocol == ppp.ProtocolCHAP {
		if len(data) != 1 {
			return ppp.AuthMethod{}, false
		}
		m.Algorithm = data[0]
		return m, true
	}
	return m, len(data) == 0 && m.Protocol != 0
}
