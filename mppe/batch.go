package mppe

import (
	"encoding/binary"
	"sync"
)

// Batch encrypts and decrypts packets side by side, of one session or of many,
// which takes much less time than one after the other. The zero value is ready
// for use. It is worth keeping: it has some 5 KiB. It is not safe for concurrent
// use, nor are the Encryptors and Decryptors while a call has them.
//
// [Batch.Seal] and [Batch.Open] may put off the work on the octets of the packet,
// which must be left alone until [Batch.Flush]. Encryptor and Decryptor are done
// with when they return: they may be used otherwise, or wiped, before Flush.
//
// Packets in stateful mode go through it too, one by one, as the cipher runs on
// from one to the next.
type Batch struct {
	pool  pool
	chain rc4 // encrypts interim keys
}

// Seal is Encryptor.Seal, but that b is encrypted by the next Flush at the
// latest. Its header is written at once.
func (b *Batch) Seal(e *Encryptor, packet []byte) {
	if e.stateful {
		e.sealStateful(packet)
		return
	}
	binary.BigEndian.PutUint16(packet, bitFlushed|bitEncrypted|e.count)
	b.advance(&e.state)
	b.pool.add((*[16]byte)(&e.key), packet[HeaderLen:])
}

// Open is Decryptor.Open, but that what it returns is decrypted by the next Flush
// at the latest. An error is found at once: where there is one, the packet and
// the state are left as they were, as Open does.
func (b *Batch) Open(d *Decryptor, packet []byte, missing uint32) ([]byte, error) {
	if d.stateful {
		return d.Open(packet, missing)
	}
	h, err := header(packet)
	if err != nil {
		return nil, err
	}
	gap, err := d.accept(h, missing)
	if err != nil {
		return nil, err
	}
	d.advance(gap, &b.chain)
	b.advance(&d.state)
	inner := packet[HeaderLen:]
	b.pool.add((*[16]byte)(&d.key), inner)
	return inner, nil
}

// advance changes the key of s once. The keys of a session are made of each
// other, so that there is no way to make two of them at once; but there is the
// packet before, whose key is still to be set up.
func (b *Batch) advance(s *state) {
	s.schedule.hash(&s.key)
	b.pool.reset(&b.chain, (*[16]byte)(&s.key))
	interim := s.key[:s.schedule.n]
	b.chain.xor(interim, interim)
	s.schedule.reduce(&s.key)
	s.count = (s.count + 1) & countMask
}

// Flush ends the work on all packets. Nothing of their keys remains in b.
func (b *Batch) Flush() {
	b.pool.flush()
	b.chain = rc4{}
}

// Wipe overwrites keys and ciphers, and forgets packets that are not done. It is
// not needed after Flush.
func (b *Batch) Wipe() { *b = Batch{} }

// batches are those of SealBatch and OpenBatch, flushed.
var batches = sync.Pool{New: func() any { return new(Batch) }}

// SealBatch is Seal of each packet, in order.
func (e *Encryptor) SealBatch(packets [][]byte) {
	b := batches.Get().(*Batch)
	for _, p := range packets {
		b.Seal(e, p)
	}
	b.Flush()
	batches.Put(b)
}

// Received is a packet for OpenBatch.
type Received struct {
	// Data is the packet: header, then ciphertext. OpenBatch replaces it by
	// what was encrypted, and leaves it where there is an Err.
	Data []byte
	// Missing is how many packets have been lost between the one before and
	// this one. For the first, it is as in Open.
	Missing uint32
	// Err is set by OpenBatch, to an error of Open or nil.
	Err error
}

// OpenBatch is Open of each packet, in order. The packets among them that it
// refuses it counts as missing itself, and returns how many there have been since
// the last that it did not: they, and what is lost after them, are missing before
// the next packet.
func (d *Decryptor) OpenBatch(packets []Received) (missing uint32) {
	b := batches.Get().(*Batch)
	for i := range packets {
		p := &packets[i]
		missing = saturate(missing, p.Missing)
		var inner []byte
		if inner, p.Err = b.Open(d, p.Data, missing); p.Err != nil {
			missing = saturate(missing, 1)
			continue
		}
		p.Data, missing = inner, 0
	}
	b.Flush()
	batches.Put(b)
	return missing
}

// saturate adds, but stays at the largest number rather than going past it.
func saturate(a, b uint32) uint32 {
	if sum := a + b; sum >= a {
		return sum
	}
	return ^uint32(0)
}
