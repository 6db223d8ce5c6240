package userspace

// slotLen holds any packet of a tunnel: IP headers with all options, GRE, PPP and
// MPPE headers around 1,500 octets, and some to spare.
const slotLen = 2048

// slots are buffers of slotLen octets. They belong to one goroutine.
type slots struct{ free [][]byte }

func newSlots(n int) *slots {
	s := &slots{free: make([][]byte, 0, n)}
	// A line of the cache more, or the headers of all packets, at a distance that is
	// a power of two, would share few places in it.
	const stride = slotLen + 64
	memory := make([]byte, n*stride)
	for i := range n {
		s.free = append(s.free, memory[i*stride:][:slotLen:slotLen])
	}
	return s
}

// take returns nil when there is none.
func (s *slots) take() []byte {
	last := len(s.free) - 1
	if last < 0 {
		return nil
	}
	buf := s.free[last]
	s.free = s.free[:last]
	return buf
}

// put takes back what take returned.
func (s *slots) put(buf []byte) { s.free = append(s.free, buf) }
