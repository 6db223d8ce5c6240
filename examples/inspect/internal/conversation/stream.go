package conversation

import (
	"encoding/binary"

	"github.com/gopptp/gopptp/pptp"
)

// maxPending bounds the segments that wait for those before them.
const maxPending = 64

// stream puts together what one side sent over TCP.
type stream struct {
	started bool
	next    uint32 // the sequence number of the octet to come
	pending []segment
	framer  pptp.Framer
	repeats int
	holes   int  // parts of the stream that are not in the capture
	lost    bool // out of step, until a segment begins with a message
	broken  bool // there was something that is not PPTP
}

type segment struct {
	seq  uint32
	data []byte
}

// push takes a segment and calls deliver with each message that it completes.
func (s *stream) push(seq uint32, syn bool, data []byte, deliver func(msg []byte)) {
	if syn {
		if !s.started {
			s.started, s.next = true, seq+1
		}
		return
	}
	if len(data) == 0 {
		return
	}
	if !s.started {
		// The capture began later than the connection.
		if !beginsMessage(data) {
			return
		}
		s.started, s.next = true, seq
	}
	if ahead := int32(seq - s.next); ahead > 0 {
		if len(s.pending) < maxPending {
			s.pending = append(s.pending, segment{seq, append([]byte(nil), data...)})
			return
		}
		// What is missing is not in the capture, and will not come.
		s.holes++
		s.framer, s.lost = pptp.Framer{}, true
		s.next = seq
		for _, p := range s.pending {
			if int32(p.seq-s.next) < 0 {
				s.next = p.seq
			}
		}
		s.pending = append(s.pending, segment{seq, append([]byte(nil), data...)})
	} else if !s.take(seq, data, deliver) && len(data) > 1 { // one octet is a keep-alive
		s.repeats++
	}
	for s.drain(deliver) {
	}
}

// drain delivers a pending segment whose turn has come.
func (s *stream) drain(deliver func(msg []byte)) bool {
	for i, p := range s.pending {
		if int32(p.seq-s.next) <= 0 {
			s.pending = append(s.pending[:i], s.pending[i+1:]...)
			s.take(p.seq, p.data, deliver)
			return true
		}
	}
	return false
}

// take delivers what is new in a segment; false if there is nothing.
func (s *stream) take(seq uint32, data []byte, deliver func(msg []byte)) bool {
	old := int(s.next - seq)
	if old >= len(data) {
		return false
	}
	data = data[old:]
	s.next += uint32(len(data))
	if s.lost {
		if !beginsMessage(data) {
			return true
		}
		s.lost = false
	}
	for len(data) > 0 {
		msg, rest, err := s.framer.Next(data)
		if err != nil {
			s.broken, s.lost, s.framer = true, true, pptp.Framer{}
			return true
		}
		if msg != nil {
			deliver(msg)
		}
		data = rest
	}
	return true
}

func beginsMessage(b []byte) bool {
	return len(b) >= 8 && binary.BigEndian.Uint32(b[4:]) == pptp.MagicCookie
}
