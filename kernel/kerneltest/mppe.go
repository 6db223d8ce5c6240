package kerneltest

import (
	"crypto/rc4"
	"crypto/sha1"
	"encoding/binary"
	"fmt"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// MPPE as Linux does it, which is not quite as package mppe does: it knows losses by
// nothing but the coherency count, goes on to the next key when it is reset, and gives
// up in time.

// The bits of an MPPE header.
const (
	bitFlushed   = 0x8000
	bitEncrypted = 0x1000
	maskCount    = 0x0fff
	flagCount    = 0x00ff
)

// keyStream is one direction.
type keyStream struct {
	start, key []byte
	stateful   bool
	count      uint16
	cipher     *rc4.Cipher

	flush   bool // outbound: the next packet begins anew
	discard bool // inbound, stateful: packets are missing
	insane  int  // inbound: packets that no peer in its senses sends
}

// newKeyStream begins with the start key of p.
func newKeyStream(p mppe.Params) (*keyStream, error) {
	octets := 0
	switch p.KeyLength {
	case mppe.Key128:
		octets = 16
	case mppe.Key40:
		octets = 8
	default:
		return nil, fmt.Errorf("%w by the kernel: %v", mppe.ErrNotSupported, p.KeyLength)
	}
	k := &keyStream{start: p.Key[:octets], stateful: p.Stateful, count: maskCount}
	k.key = k.hash(k.start)
	k.setKey()
	return k, nil
}

// hash is GetNewKeyFromSHA of RFC 3078 section 7.3.
func (k *keyStream) hash(key []byte) []byte {
	var pads [80]byte
	for i := 40; i < 80; i++ {
		pads[i] = 0xf2
	}
	h := sha1.New()
	h.Write(k.start)
	h.Write(pads[:40])
	h.Write(key)
	h.Write(pads[40:])
	return h.Sum(nil)[:len(k.start)]
}

func (k *keyStream) setKey() {
	if len(k.key) == 8 { // 40 bits
		copy(k.key, []byte{0xd1, 0x26, 0x9e})
	}
	k.cipher = newCipher(k.key)
}

func newCipher(key []byte) *rc4.Cipher {
	c, err := rc4.NewCipher(key)
	if err != nil {
		panic(err) // not with 8 or 16 octets
	}
	return c
}

func (k *keyStream) nextKey() {
	interim := k.hash(k.key)
	newCipher(interim).XORKeyStream(k.key, interim)
	k.setKey()
}

// seal makes a frame of protocol 0x00fd of a network protocol's.
func (k *keyStream) seal(frame []byte) []byte {
	k.count = (k.count + 1) & maskCount
	h := k.count | bitEncrypted
	if !k.stateful || k.count&flagCount == flagCount || k.flush {
		k.nextKey()
		k.flush = false
		h |= bitFlushed
	}
	sealed := make([]byte, 4+len(frame))
	binary.BigEndian.PutUint16(sealed, uint16(ppp.ProtocolCompressed))
	binary.BigEndian.PutUint16(sealed[2:], h)
	k.cipher.XORKeyStream(sealed[4:], frame)
	return sealed
}

// maxInsane is how much a receiver stands.
const maxInsane = 1600

// open undoes seal. Without success frame is left as it was; fatal: there will not be
// any.
func (k *keyStream) open(frame []byte) (opened []byte, fatal bool) {
	if len(frame) <= 4 {
		return nil, false
	}
	h := binary.BigEndian.Uint16(frame[2:])
	count, flushed := h&maskCount, h&bitFlushed != 0
	was := k.insane
	if h&bitEncrypted == 0 {
		k.insane += 100
	}
	if !flushed && (!k.stateful || count&flagCount == flagCount) {
		k.insane += 100
	}
	if !k.stateful && (count-k.count)&maskCount > (maskCount+1)/2 {
		k.insane++ // late
	}
	if k.insane > was {
		return nil, k.insane >= maxInsane
	}
	if !k.catchUp(count, flushed) {
		return nil, false
	}
	opened = make([]byte, len(frame)-4)
	k.cipher.XORKeyStream(opened, frame[4:])
	k.insane >>= 1
	return expand(opened), false
}

// catchUp finds the key of the packet with a count.
func (k *keyStream) catchUp(count uint16, flushed bool) bool {
	switch {
	case !k.stateful:
		for k.count != count {
			k.nextKey()
			k.count = (k.count + 1) & maskCount
		}
		return true
	case !k.discard:
		k.count = (k.count + 1) & maskCount
		k.discard = k.count != count
		if k.discard {
			return false
		}
	case !flushed:
		return false
	default:
		for k.count&^flagCount != count&^flagCount {
			k.nextKey()
			k.count = (k.count + flagCount + 1) & maskCount
		}
		k.discard, k.count = false, count
	}
	if flushed {
		k.nextKey()
	}
	return true
}
