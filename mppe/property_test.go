package mppe

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawParams draws parameters with any key.
func drawParams(t *rapid.T, stateful bool) Params {
	p := Params{KeyLength: rapid.SampledFrom([]KeyLength{Key40, Key56, Key128}).Draw(t, "key length"), Stateful: stateful}
	copy(p.Key[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))
	return p
}

// drawLosses draws how many packets are lost in a row: around the places where the
// coherency count, and half of it, goes round.
func drawLosses(t *rapid.T) int {
	// Keys cost time: seldom so many.
	about := rapid.SampledFrom([]int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 256, 256, 2048, 4096})
	return max(0, about.Draw(t, "lost about")+rapid.IntRange(-2, 2).Draw(t, "lost"))
}

// pipe is an Encryptor and a Decryptor, and what lies between them.
type pipe struct {
	t       *rapid.T
	enc     *Encryptor
	dec     *Decryptor
	number  uint32
	missing uint32 // packets that did not arrive or were refused, since the last that was not
}

func newPipe(t *rapid.T, p Params) *pipe {
	enc, err := NewEncryptor(p)
	require.NoError(t, err)
	dec, err := NewDecryptor(p)
	require.NoError(t, err)
	// Where the count stands makes no difference but at the end of a round.
	enc.count = uint16(rapid.SampledFrom([]int{0, 250, countModulus - 3, countModulus / 2}).Draw(t, "count"))
	dec.count = enc.count
	return &pipe{t: t, enc: enc, dec: dec}
}

// seal returns the next packet, and what is in it: an IPv4 header with a checksum,
// and a number.
func (p *pipe) seal() (sealed, plain []byte) {
	p.number++
	b := []byte{0, 0, 0x00, 0x21, 0x45, 0, 0, 24, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2}
	var sum uint32
	for i := 4; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	binary.BigEndian.PutUint16(b[14:], ^uint16(sum%0xffff))
	b = binary.BigEndian.AppendUint32(b, p.number)
	plain = bytes.Clone(b[HeaderLen:])
	p.enc.Seal(b)
	return b, plain
}

// lose lets n packets be lost.
func (p *pipe) lose(n int) {
	if p.enc.stateful {
		for range n {
			p.seal()
		}
	} else {
		p.enc.advance(n, new(rc4)) // as Seal does, without what nobody sees
	}
	p.missing += uint32(n)
}

// pass has the next packet arrive, with extra more packets that are told to be
// missing: GRE counts those that MPPE does not see.
func (p *pipe) pass(extra uint32) error {
	sealed, plain := p.seal()
	before := bytes.Clone(sealed)
	got, err := p.dec.Open(sealed, p.missing+extra)
	if err != nil {
		require.Equal(p.t, before, sealed, "a packet that is refused is left as it was")
		p.missing++
		return err
	}
	require.Equal(p.t, plain, got, "a wrong key")
	p.missing = 0
	return nil
}

// TestStatelessCoherencyProperty: in stateless mode each packet that arrives is
// decrypted, however many were lost before it; old ones are refused, and change
// nothing.
func TestStatelessCoherencyProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPipe(t, drawParams(t, false))
		for range rapid.IntRange(1, 2).Draw(t, "steps") {
			p.lose(drawLosses(t))
			old, _ := p.seal()
			p.missing++
			extra := uint32(rapid.SampledFrom([]int{0, 0, 1, 100, countModulus - 1}).Draw(t, "extra"))
			if p.missing%countModulus+extra >= countModulus {
				extra = 0 // would be a round more, which is for Open to believe
			}
			require.NoError(t, p.pass(extra))

			copied := bytes.Clone(old)
			_, err := p.dec.Open(old, 0)
			require.ErrorIs(t, err, ErrOld)
			require.Equal(t, copied, old)
			require.NoError(t, p.pass(0))
		}
	})
}

// TestStatefulCoherencyProperty: in stateful mode nothing is decrypted with a wrong
// key, and after each reset all is again. Resets may be lost too.
func TestStatefulCoherencyProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPipe(t, drawParams(t, true))
		for range rapid.IntRange(1, 2).Draw(t, "steps") {
			p.lose(drawLosses(t))
			lost := p.missing > 0
			for range rapid.IntRange(0, 300).Draw(t, "packets") {
				if err := p.pass(0); err != nil {
					require.True(t, lost, "it needs no reset: %v", err)
					require.ErrorIs(t, err, ErrReset)
				} else {
					lost = false
				}
			}
			for range rapid.IntRange(0, 2).Draw(t, "resets that fail") {
				p.enc.Flush()
				p.lose(1)
			}
			p.enc.Flush()
			require.NoError(t, p.pass(0))
			require.NoError(t, p.pass(0))
		}
	})
}
