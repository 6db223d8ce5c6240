package gre

// Sender numbers the packets of a call that go to the peer, and keeps what the
// peer has acknowledged. The zero Sender is ready, and starts with sequence
// number 0 (RFC 2637 section 4.1).
type Sender struct {
	next  uint32
	acked uint32 // one more than the highest number acknowledged
	count SenderCounters
}

// SenderCounters count since the call began. They never decrease.
type SenderCounters struct {
	Packets   uint64 // sequence numbers given out
	Acks      uint64 // acknowledgements that told something new
	AcksStale uint64 // acknowledgements of what was acknowledged before, or never sent
}

// NewSender returns a Sender that starts with sequence number first.
func NewSender(first uint32) Sender { return Sender{next: first, acked: first} }

// Next returns the sequence number of the next packet with a payload. Each
// number is to be sent, and in order: a number left out is a loss to the peer.
func (s *Sender) Next() uint32 {
	n := s.next
	s.next++
	s.count.Packets++
	return n
}

// Ack takes an acknowledgement number that the peer has sent. It reports whether
// it acknowledges a packet that was not acknowledged before.
func (s *Sender) Ack(n uint32) bool {
	// How far n lies behind the last number sent; a number not sent yet comes
	// out beyond all those in flight. Unsigned differences are right across
	// the wrap, and for a peer that has not acknowledged in 2^31 packets.
	if s.next-1-n >= s.Unacked() {
		s.count.AcksStale++
		return false
	}
	s.acked = n + 1
	s.count.Acks++
	return true
}

// Unacked returns how many packets were sent after the last one that the peer
// has acknowledged, modulo 2^32. Many peers acknowledge only with data of
// their own, or not at all.
func (s *Sender) Unacked() uint32 { return s.next - s.acked }

// Counters returns the counters.
func (s *Sender) Counters() SenderCounters { return s.count }
