package engine

import (
	"encoding/binary"
	"math"

	"github.com/gopptp/gopptp/mppe"
)

// decryption is what the direction from the peer knows of MPPE: a decryptor, and
// how many packets GRE has missed, since the decryptor must be told.
//
// The difficult moment is when CCP negotiates anew. The peer then begins again,
// with the same key and the count zero, but packets of before are still on the
// way. A new decryptor that was given one of these would take its count for
// losses, go on from there, and be deaf to the peer ever after. GRE helps: what
// it hands out is in order, so that a count that fits nothing but the beginning
// is the beginning. In stateful mode there is more to go by.
type decryption struct {
	decryptor *mppe.Decryptor

	// next is what the peer begins with, kept until that cannot come any more.
	next        *mppe.Decryptor
	nextMissing uint32 // packets lost since it was made
	nextAge     uint16 // packets decrypted since then

	expected uint16 // count of the packet that follows the last one
	missing  uint32 // packets lost since then, at the most

	// required tells that CCP has agreed on encryption. The decryptor is there
	// before that, as the peer may be first to know.
	required bool
	params   mppe.Params
}

const (
	countMask  = 0x0fff
	bitFlushed = 0x8000

	// maxNextAge is how many packets later the peer may begin: more than can be
	// on the way.
	maxNextAge = 2048
)

// prepare makes d ready for what the peer encrypts from now on.
func (s *decryption) prepare(d *mppe.Decryptor, p mppe.Params) {
	wipe(s.next)
	s.next, s.nextMissing, s.nextAge = d, 0, 0
	s.params = p
}

// set follows CCP. p is nil if packets come in clear, and otherwise what d was
// made of, which is not needed if prepare has had the same.
func (s *decryption) set(d *mppe.Decryptor, p *mppe.Params) {
	switch {
	case p == nil:
		s.wipe()
	case s.params != *p:
		s.wipe()
		s.prepare(d, *p)
	default:
		wipe(d)
	}
	s.required = p != nil
}

func (s *decryption) wipe() {
	wipe(s.decryptor)
	wipe(s.next)
	*s = decryption{}
}

func wipe(d *mppe.Decryptor) {
	if d != nil {
		d.Wipe()
	}
}

// lost notes that n packets of the peer are missing.
func (s *decryption) lost(n uint32) {
	s.missing = add(s.missing, n)
	s.nextMissing = add(s.nextMissing, n)
}

// add stays at the largest number rather than going past it.
func add(a, b uint32) uint32 {
	if a > math.MaxUint32-b {
		return math.MaxUint32
	}
	return a + b
}

// begins reports whether the peer has begun anew with a packet.
func (s *decryption) begins(packet []byte, header uint16) bool {
	count := header & countMask
	follows := uint32((count-s.expected)&countMask) <= s.missing
	if !s.params.Stateful {
		return !follows && uint32(count) <= s.nextMissing
	}
	// A peer of our own kind leaves counts out where it begins its key stream anew,
	// and so many packets are refused that their number says little. But only two
	// kinds of packets can be decrypted without those before them, and those can be
	// tried.
	if count == s.expected && s.missing == 0 || count != 0 && header&bitFlushed == 0 {
		return false
	}
	return s.next.Fits(packet, s.nextMissing)
}

// open decrypts a packet in place, which is done when b is flushed.
func (s *decryption) open(b *mppe.Batch, packet []byte) ([]byte, error) {
	if len(packet) < mppe.HeaderLen {
		return nil, mppe.ErrShort
	}
	header := binary.BigEndian.Uint16(packet)
	count := header & countMask
	// With nothing to decrypt with, it is one of before, or GRE does not know that
	// it is not the first: what came before the first number that it saw counts as
	// nothing.
	if s.next != nil && (s.decryptor == nil || s.begins(packet, header)) {
		wipe(s.decryptor)
		s.decryptor, s.expected, s.missing = s.next.Clone(), 0, s.nextMissing
	}
	if s.decryptor == nil {
		return nil, errNoKey
	}
	inner, err := b.Open(s.decryptor, packet, s.missing)
	if err != nil {
		s.lost(1)
		if err == mppe.ErrOld && s.params.Stateful && s.next != nil {
			// In the order of GRE nothing is old. The peer has begun anew, and its
			// first packet is lost.
			err = mppe.ErrReset
		}
		return nil, err
	}
	s.expected, s.missing = (count+1)&countMask, 0
	if s.next != nil {
		if s.nextAge++; s.nextAge == maxNextAge {
			wipe(s.next)
			s.next = nil
		}
	}
	return inner, nil
}
