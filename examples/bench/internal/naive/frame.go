package naive

import "encoding/binary"

// The frames: GRE of version 1 with a sequence number, perhaps an acknowledgement,
// and PPP with all of its header.
const (
	greFlags     = 0x3001 // key, sequence number, version 1
	greAck       = 0x0080
	greProtocol  = 0x880b
	callID       = 7
	addressField = 0xff03
	protocolIP   = 0x0021
	protocolMPPE = 0x00fd

	// headroom is what all headers take at most.
	headroom = 16 + 4 + countHeader + 2
)

// encapsulate puts the headers in front of the IP packet that buf has behind the
// headroom, and returns the GRE packet.
func (f *forwarder) encapsulate(buf []byte) []byte {
	at := headroom
	protocol := uint16(protocolIP)
	if f.send != nil {
		at -= 2
		binary.BigEndian.PutUint16(buf[at:], protocolIP)
		at -= countHeader
		f.send.seal(buf[at:])
		protocol = protocolMPPE
	}
	at -= 4
	binary.BigEndian.PutUint16(buf[at:], addressField)
	binary.BigEndian.PutUint16(buf[at+2:], protocol)
	payload, flags := len(buf)-at, uint16(greFlags)
	if last := f.received.Load(); last != f.acked {
		f.acked = last
		flags |= greAck
		at -= 4
		binary.BigEndian.PutUint32(buf[at:], last)
	}
	at -= 12
	binary.BigEndian.PutUint16(buf[at:], flags)
	binary.BigEndian.PutUint16(buf[at+2:], greProtocol)
	binary.BigEndian.PutUint16(buf[at+4:], uint16(payload))
	binary.BigEndian.PutUint16(buf[at+6:], callID)
	binary.BigEndian.PutUint32(buf[at+8:], f.sequence)
	f.sequence++
	return buf[at:]
}

// decapsulate returns the IP packet in an outer one, or nil.
func (f *forwarder) decapsulate(outer []byte) []byte {
	if len(outer) < 20 {
		return nil
	}
	p := outer[min(int(outer[0]&15)*4, len(outer)):]
	if len(p) < 12 {
		return nil
	}
	flags := binary.BigEndian.Uint16(p)
	if flags&^greAck != greFlags || binary.BigEndian.Uint16(p[2:]) != greProtocol || binary.BigEndian.Uint16(p[6:]) != callID {
		return nil
	}
	sequence := binary.BigEndian.Uint32(p[8:])
	if int32(sequence-f.received.Load()) <= 0 {
		return nil // came late, or twice
	}
	f.received.Store(sequence)
	header := 12
	if flags&greAck != 0 {
		header += 4
	}
	payload := int(binary.BigEndian.Uint16(p[4:]))
	if len(p) < header+payload || payload < 4 {
		return nil
	}
	p = p[header:][:payload]
	if binary.BigEndian.Uint16(p) != addressField {
		return nil
	}
	protocol, p := binary.BigEndian.Uint16(p[2:]), p[4:]
	if f.receive != nil {
		if protocol != protocolMPPE {
			return nil
		}
		var err error
		if p, err = f.receive.open(p); err != nil || len(p) < 2 {
			return nil
		}
		protocol, p = binary.BigEndian.Uint16(p), p[2:]
	}
	if protocol != protocolIP {
		return nil
	}
	return p
}
