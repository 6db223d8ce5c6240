package pptp

// Framer cuts the octets of a TCP stream into messages. It keeps a part of a
// message until the rest comes, at most MaxMessageLen octets, and holds no
// memory between messages. The zero value is ready.
type Framer struct {
	partial []byte // start of a message; nil if there is none
}

// Next takes the next octets of the stream and returns the first message that
// they complete, and the octets after it, which are for the next call. It
// returns a nil message when it has used up in and the message is not complete
// yet. The message has a good header; its type may be unknown. It may refer to
// in.
//
// An error is a *FramingError. It is final: the stream is out of step and the
// connection has to be closed. The header is checked as it comes, so that
// what is not PPTP is seen at its second octet as a rule.
func (f *Framer) Next(in []byte) (msg, rest []byte, err error) {
	if f.partial == nil {
		if err := checkHeader(in); err != nil {
			return nil, nil, err
		}
		if n := wanted(in); len(in) >= n {
			return in[:n:n], in[n:], nil
		}
	}
	for len(in) > 0 {
		n := wanted(f.partial)
		take := min(n-len(f.partial), len(in))
		if cap(f.partial) < n {
			f.partial = append(make([]byte, 0, n), f.partial...)
		}
		f.partial = append(f.partial, in[:take]...)
		in = in[take:]
		if err := checkHeader(f.partial); err != nil {
			f.partial = nil
			return nil, nil, err
		}
		if len(f.partial) == wanted(f.partial) {
			msg, f.partial = f.partial, nil
			return msg, in, nil
		}
	}
	return nil, nil, nil
}

// wanted is how many octets are needed to get on: those of the header, then
// those of the message. The header's length has been checked.
func wanted(b []byte) int {
	if len(b) < MinMessageLen {
		return MinMessageLen
	}
	return int(be16(b))
}

// Buffered returns how many octets of an incomplete message are held.
func (f *Framer) Buffered() int { return len(f.partial) }
