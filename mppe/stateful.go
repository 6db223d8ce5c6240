package mppe

import "encoding/binary"

// Peers differ about the FLUSHED bit where it answers a Reset-Request. RFC 3078
// §8.2 begins the key stream of the current key again. Linux (6.1, as its packets
// show) goes on to the next key, as if the packet were a flag packet. They agree
// about flag packets, which have the bit and a new key, and what is here makes use
// of that:
//
//   - The Encryptor begins anew with a flag packet only, for which it skips
//     coherency counts. To the peer that looks like losses, which are why it asked.
//     It also keeps clear of what RFC 3078 §9 warns of: two packets under one key
//     stream.
//   - The Decryptor tries both after a loss, and believes the key that makes an
//     IP packet of the packet.

// Flush makes the next packet one that a peer can decrypt after losses. It is
// called for a CCP Reset-Request (the event ResetRequested). In stateless mode
// each packet is, and it does nothing.
func (e *Encryptor) Flush() { e.flush = e.stateful }

func (e *Encryptor) sealStateful(b []byte) {
	if e.flush {
		e.flush = false
		e.count |= flagCount
	}
	// The first packet has no FLUSHED bit, though its tables are new: Linux
	// would change the key.
	h := bitEncrypted | e.count
	if e.count&flagCount == flagCount {
		e.schedule.step(&e.key, e.cipher)
		e.cipher.reset((*[16]byte)(&e.key))
		h |= bitFlushed
	}
	binary.BigEndian.PutUint16(b, h)
	e.cipher.xor(b[HeaderLen:], b[HeaderLen:])
	e.count = (e.count + 1) & countMask
}

// openStateful opens the packet b, whose header was h.
func (d *Decryptor) openStateful(b []byte, h uint16, gap int64, old bool) ([]byte, error) {
	flag := h&flagCount == flagCount
	switch {
	case d.lost || gap > 0 || h&bitFlushed != 0 && !flag:
		if old && !d.lost {
			return nil, ErrOld
		}
		d.lost = true
		if h&bitFlushed == 0 {
			return nil, ErrReset
		}
		return d.resync(b, h, gap)
	}
	was := d.key
	if flag {
		d.schedule.step(&d.key, d.cipher)
		d.cipher.reset((*[16]byte)(&d.key))
	}
	var head [2]byte
	n := copy(head[:], b)
	d.cipher.xor(head[:n], head[:n])
	if protocolLen(head[:n]) == 0 {
		// The packet was damaged or forged, or the key is not the peer's. A
		// reset is good for all of these, and nothing is lost by it if the key
		// stays what it was.
		d.key, d.lost = was, true
		return nil, ErrReset
	}
	copy(b, head[:n])
	d.cipher.xor(b[n:], b[n:])
	d.count = (d.count + 1) & countMask
	return b, nil
}

// maxFlushes is how many keys a peer of Linux's kind may have gone on to in
// answers to Reset-Requests that were lost in their turn.
const maxFlushes = 16

// stepsPerRound is how many keys there are to a round of the coherency count.
const stepsPerRound = countModulus / (flagCount + 1)

// resync finds the key of a FLUSHED packet, of which it is not known which one
// the peer means. gap counts the packets before it.
//
// It goes through the keys from d.key on. One is likely when it belongs to the
// coherency count, which the missing packets may have taken round some times;
// the one after it, and all from the last on, are for peers that change it in
// between as well. A packet
// that is not of IP proves little, and is taken only with the key that all
// that is known says is right.
func (d *Decryptor) resync(b []byte, h uint16, gap int64) ([]byte, error) {
	first := steps(d.count, gap%countModulus)
	last := steps(d.count, gap)
	if last > maxSteps {
		return nil, ErrGap
	}
	var (
		key      = d.key
		possible Key
		buf      [maxHead]byte
	)
	for i := int64(0); i <= last+maxFlushes; i++ {
		if i > 0 {
			d.schedule.step(&key, d.cipher)
		}
		if i < last && (i < first || (i-first)%stepsPerRound > 1) {
			continue
		}
		head := buf[:copy(buf[:], b)]
		d.cipher.reset((*[16]byte)(&key))
		d.cipher.xor(head, head)
		switch judgeHead(head, len(b)) {
		case headCertain:
			return d.resume(b, h, key), nil
		case headPossible:
			if i == last {
				possible = key
			}
		}
	}
	if possible != (Key{}) {
		return d.resume(b, h, possible), nil
	}
	return nil, ErrReset
}

// steps is how many key changes there are for the packets from count on up to
// the one after gap others.
func steps(count uint16, gap int64) int64 {
	c := int64(count)
	return (c+gap+1)/(flagCount+1) - c/(flagCount+1)
}

// resume goes on from a packet with a key that is the peer's.
func (d *Decryptor) resume(b []byte, h uint16, key Key) []byte {
	d.key, d.lost = key, false
	d.count = (h + 1) & countMask
	d.cipher.reset((*[16]byte)(&d.key))
	d.cipher.xor(b, b)
	return b
}

// maxHead is as much of a packet as judgeHead looks at: the protocol field and
// the longest IPv4 header.
const maxHead = 2 + 60

// verdict is what the beginning of a decrypted packet says about the key.
type verdict uint8

const (
	headWrong    verdict = iota
	headPossible         // one wrong key in some 600 does as well
	headCertain
)

// judgeHead looks at the beginning of a packet of n octets.
func judgeHead(head []byte, n int) verdict {
	size := protocolLen(head)
	if size == 0 {
		return headWrong
	}
	protocol, ip := head[size-1], head[size:]
	n -= size
	switch {
	case protocol == 0x21 && isIPv4(ip, n), protocol == 0x57 && isIPv6(ip, n):
		return headCertain
	case size == 2:
		return headPossible
	}
	return headWrong
}

// protocolLen is the length of the protocol field that b begins with, zero if
// there is none of a protocol that is encrypted. It may be compressed (RFC 1661
// §6.5).
func protocolLen(b []byte) int {
	valid := func(p byte) bool { return p&1 == 1 && Encrypts(uint16(p)) }
	switch {
	case len(b) > 0 && valid(b[0]):
		return 1
	case len(b) > 1 && b[0] == 0 && valid(b[1]):
		return 2
	}
	return 0
}

// isIPv4 reports whether b begins an IPv4 packet that fits into n octets.
func isIPv4(b []byte, n int) bool {
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	size, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if size < 20 || size > len(b) || total < size || total > n {
		return false
	}
	var sum uint32
	for i := 0; i < size; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	return sum>>16+sum&0xffff == 0xffff
}

// isIPv6 reports whether b begins an IPv6 packet that fits into n octets.
func isIPv6(b []byte, n int) bool {
	return len(b) >= 40 && b[0]>>4 == 6 && 40+int(binary.BigEndian.Uint16(b[4:])) <= n
}
