package gre

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/mutate"
)

// TestMutatedPackets decodes what is nearly a packet: it is one, or there is an
// error that names the field.
func TestMutatedPackets(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			for name, b := range mutate.Of(append(octets(v.wire), octets(v.payload)...)) {
				before := bytes.Clone(b)
				var h Header
				n, err := h.Decode(b)
				require.Equal(t, before, b, name)
				if err != nil {
					var decode *DecodeError
					require.True(t, errors.As(err, &decode), name)
					require.NotEmpty(t, decode.Field, name)
					require.Zero(t, n, name)
					continue
				}
				// What RFC 2637 section 4.1 says, in so many words.
				require.EqualValues(t, 0x2001, binary.BigEndian.Uint16(b)&^0x1080, name)
				require.EqualValues(t, 0x880b, binary.BigEndian.Uint16(b[2:]), name)
				require.Equal(t, n, 8+4*int(b[0]>>4&1)+4*int(b[1]>>7), name)
				require.LessOrEqual(t, n+int(h.PayloadLength), len(b), name)
				require.Equal(t, b[:n], h.Append(nil), name)
			}
		})
	}
}

// TestMutatedSequence has one number in a stream be another, which is what is left
// of a mutant that decodes. Whatever it is, those after it come through.
func TestMutatedSequence(t *testing.T) {
	var wire [4]byte
	binary.BigEndian.PutUint32(wire[:], 1000)
	for name, b := range mutate.Of(wire[:]) {
		if len(b) < 4 {
			continue
		}
		m := newModel(t, ReceiverConfig{})
		now := time.Unix(1000, 0)
		for seq := uint32(900); seq < 1000; seq++ {
			m.push(seq, now)
		}
		m.push(binary.BigEndian.Uint32(b), now)
		now = m.settle(now)
		last := 0
		for seq := uint32(1001); seq < 1200; seq++ {
			now = now.Add(DefaultHold)
			last = len(m.push(seq, now))
		}
		require.Equal(t, 1, last, name)
	}
}
