package mppe

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// HeaderLen is the length of the MPPE header in octets (RFC 3078 §3.1): four
// flag bits and the coherency count.
const HeaderLen = 2

// The header's bits.
const (
	bitFlushed   = 0x8000 // A: the key was changed before this packet
	bitEncrypted = 0x1000 // D
	countMask    = 0x0fff
)

// countModulus is how many coherency counts there are.
const countModulus = countMask + 1

// maxSkipped is how many counts an Encryptor may have left out beside packets that
// are missing, in stateful mode: up to flagCount with each reset, and few happen at
// once.
const maxSkipped = 3 * flagCount

// maxSteps bounds the key changes for one packet to a tenth of a second of work.
// GRE may claim a gap of billions.
const maxSteps = 1 << 16

// Errors of Encryptor and Decryptor.
var (
	// ErrNotSupported: MPPE has no keys of that length.
	ErrNotSupported = errors.New("mppe: key length not supported")
	// ErrShort: there is no MPPE header, or nothing after it.
	ErrShort = errors.New("mppe: short packet")
	// ErrNotEncrypted: the header says that the packet is in clear.
	ErrNotEncrypted = errors.New("mppe: packet is not encrypted")
	// ErrNotFlushed: the packet lacks the flag that stateless mode sets in
	// each; the peer is in another mode.
	ErrNotFlushed = errors.New("mppe: packet without key change in stateless mode")
	// ErrOld: the packet was sent before one that has been decrypted.
	ErrOld = errors.New("mppe: packet is old or a duplicate")
	// ErrReset: the packet cannot be decrypted in stateful mode, because one
	// before it is missing or a key does not fit. The peer must be sent a CCP
	// Reset-Request (CCP.RequestReset); what it sends next can be decrypted.
	ErrReset = errors.New("mppe: out of step with the peer, which is to be asked for a reset")
	// ErrGap: so many packets are missing that their keys are not worth
	// computing.
	ErrGap = errors.New("mppe: too many packets are missing")
)

// Encrypts reports whether MPPE encrypts packets of a PPP protocol: the network
// protocols 0x0021 to 0x00fa (RFC 3078 §3). Control protocols go in clear.
func Encrypts(protocol uint16) bool { return protocol >= 0x0021 && protocol <= 0x00fa }

// flagCount in the low octet of the coherency count marks the packets before
// which the key changes in stateful mode (RFC 3078 §7.2).
const flagCount = 0xff

// state is what both directions keep.
type state struct {
	// What a packet in stateless mode needs comes first, in one line of the
	// processor's cache.
	schedule keySchedule
	key      Key
	count    uint16 // of the next packet
	stateful bool
	// cipher runs on from packet to packet in stateful mode. Stateless mode sets it up
	// for each, and keeps none: 256 octets, twice a session.
	cipher *rc4
}

func (s *state) init(p Params) error {
	if p.KeyLength.octets() == 0 {
		return ErrNotSupported
	}
	*s = state{schedule: newKeySchedule(&p), key: p.Key, stateful: p.Stateful}
	s.schedule.first(&s.key)
	if p.Stateful {
		s.cipher = new(rc4)
		s.cipher.reset((*[16]byte)(&s.key))
	}
	return nil
}

// wipe overwrites what a copy of s would share.
func (s *state) wipe() {
	if s.cipher != nil {
		*s.cipher = rc4{}
	}
}

// advance changes the key n times. It uses up c.
func (s *state) advance(n int, c *rc4) {
	for range n {
		s.schedule.step(&s.key, c)
	}
	s.count = (s.count + uint16(n%countModulus)) & countMask
}

// Encryptor encrypts the packets of one direction, in order. It is not safe for
// concurrent use, and must not be copied.
type Encryptor struct {
	state
	flush bool // stateful mode: the next packet is one to begin anew with
}

// NewEncryptor returns an Encryptor whose first packet has the coherency count
// zero. The error is ErrNotSupported.
func NewEncryptor(p Params) (*Encryptor, error) {
	e := new(Encryptor)
	if err := e.init(p); err != nil {
		return nil, err
	}
	return e, nil
}

// Seal encrypts b in place from HeaderLen on, and writes the header in front of
// it. What is encrypted begins with the protocol field of the inner packet. b
// must have HeaderLen octets at the least.
func (e *Encryptor) Seal(b []byte) {
	if e.stateful {
		e.sealStateful(b)
		return
	}
	var c rc4
	count := e.count
	e.advance(1, &c)
	binary.BigEndian.PutUint16(b, bitFlushed|bitEncrypted|count)
	c.reset((*[16]byte)(&e.key))
	c.xor(b[HeaderLen:], b[HeaderLen:])
}

// Wipe overwrites keys and cipher. The Encryptor is of no use after it.
func (e *Encryptor) Wipe() {
	e.wipe()
	*e = Encryptor{}
}

// Decryptor decrypts the packets of one direction. It is not safe for
// concurrent use, and copied by Clone only.
type Decryptor struct {
	state
	lost bool // stateful mode: cipher is not the peer's
}

// NewDecryptor returns a Decryptor that expects the coherency count zero first.
// The error is ErrNotSupported.
func NewDecryptor(p Params) (*Decryptor, error) {
	d := new(Decryptor)
	if err := d.init(p); err != nil {
		return nil, err
	}
	return d, nil
}

// Wipe overwrites keys and cipher. The Decryptor is of no use after it.
func (d *Decryptor) Wipe() {
	d.wipe()
	*d = Decryptor{}
}

// Open decrypts a packet in place: header, then ciphertext. It returns what was
// encrypted, which begins with the protocol field.
//
// missing is how many packets there have been between the one that was given to
// Open last, successfully, and this one: those that the layer below knows to be
// lost, and those that Open has refused. It is zero where nobody can tell. GRE
// counts in 32 bits where MPPE has 12, so that no number of losses leaves the
// direction deaf (it also counts packets that MPPE does not, so it is an upper
// bound).
//
// A packet that is refused is left as it was, and so is the state, but for
// stateful mode: ErrReset there means that all packets are refused until the
// peer has been reset.
func (d *Decryptor) Open(b []byte, missing uint32) ([]byte, error) {
	h, err := header(b)
	if err != nil {
		return nil, err
	}
	inner := b[HeaderLen:]
	if d.stateful {
		gap, old := d.gap(h, missing)
		return d.openStateful(inner, h, gap, old)
	}
	gap, err := d.accept(h, missing)
	if err != nil {
		return nil, err
	}
	var c rc4
	d.advance(gap+1, &c)
	c.reset((*[16]byte)(&d.key))
	c.xor(inner, inner)
	return inner, nil
}

// header returns the header of a packet that is encrypted.
func header(b []byte) (uint16, error) {
	if len(b) <= HeaderLen {
		return 0, ErrShort
	}
	h := binary.BigEndian.Uint16(b)
	if h&bitEncrypted == 0 {
		return 0, ErrNotEncrypted
	}
	return h, nil
}

// accept returns how many packets are missing before the one with the header h,
// in stateless mode, or why it is refused.
func (d *Decryptor) accept(h uint16, missing uint32) (int, error) {
	gap, old := d.gap(h, missing)
	switch {
	case h&bitFlushed == 0:
		return 0, ErrNotFlushed
	case old:
		return 0, ErrOld
	case gap > maxSteps:
		return 0, ErrGap
	}
	return int(gap), nil
}

// Clone returns a Decryptor in the same state, which goes its own way from here on.
func (d *Decryptor) Clone() *Decryptor {
	c := *d
	if d.cipher != nil {
		cipher := *d.cipher
		c.cipher = &cipher
	}
	return &c
}

// Fits reports whether Open would make an IP packet of b, which a wrong key hardly
// ever does. Neither d nor b is changed. It is for who has two Decryptors to choose
// from, and costs a copy.
func (d *Decryptor) Fits(b []byte, missing uint32) bool {
	trial := d.Clone()
	inner, err := trial.Open(bytes.Clone(b), missing)
	return err == nil && judgeHead(inner, len(inner)) == headCertain
}

// gap returns how many packets are missing before the one with the header h.
// old: not so many are, and the packet is of the past.
func (d *Decryptor) gap(h uint16, missing uint32) (gap int64, old bool) {
	gap = int64((h - d.count) & countMask)
	if int64(missing) >= gap {
		return gap + (int64(missing)-gap)/countModulus*countModulus, false
	}
	if d.stateful && gap-int64(missing) <= maxSkipped {
		return gap, false // the peer left counts out when it was reset
	}
	return gap, gap >= countModulus/2
}
