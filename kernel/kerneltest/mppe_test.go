package kerneltest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/mppe"
)

var someParams = []mppe.Params{
	{KeyLength: mppe.Key128, Key: mppe.Key{1, 2, 3}},
	{KeyLength: mppe.Key128, Key: mppe.Key{1, 2, 3}, Stateful: true},
	{KeyLength: mppe.Key40, Key: mppe.Key{4, 5, 6}},
	{KeyLength: mppe.Key40, Key: mppe.Key{4, 5, 6}, Stateful: true},
}

func eachParams(t *testing.T, f func(*testing.T, mppe.Params)) {
	for _, p := range someParams {
		t.Run(fmt.Sprintf("%v stateful=%t", p.KeyLength, p.Stateful), func(t *testing.T) { f(t, p) })
	}
}

func someKeyStream(t *testing.T, p mppe.Params) *keyStream {
	k, err := newKeyStream(p)
	require.NoError(t, err)
	return k
}

// userFrame is a frame with an IPv4 packet, the i-th.
func userFrame(i int) []byte {
	p := ipPacket(clientInner, serverInner, i)
	return append([]byte{0x00, 0x21}, p...)
}

// What is here and package mppe are two makers of the same.
func TestMPPETowardsPackageMPPE(t *testing.T) {
	eachParams(t, func(t *testing.T, p mppe.Params) {
		enc, err := mppe.NewEncryptor(p)
		require.NoError(t, err)
		dec, err := mppe.NewDecryptor(p)
		require.NoError(t, err)
		in, out := someKeyStream(t, p), someKeyStream(t, p)
		for i := range 5000 {
			frame := userFrame(i)
			b := append(make([]byte, mppe.HeaderLen), frame...)
			enc.Seal(b)
			got, _ := in.open(append([]byte{0x00, 0xfd}, b...))
			require.Equal(t, frame, got, "packet %d", i)

			got, err := dec.Open(out.seal(bytes.Clone(frame))[2:], 0)
			require.NoError(t, err, "packet %d", i)
			require.Equal(t, frame, got)
		}
	})
}

// A loss costs nothing in stateless mode; in stateful mode it costs all up to the next
// packet with a new key.
func TestMPPELoss(t *testing.T) {
	eachParams(t, func(t *testing.T, p mppe.Params) {
		in, out := someKeyStream(t, p), someKeyStream(t, p)
		next := func(i int) []byte {
			got, fatal := in.open(out.seal(userFrame(i)))
			require.False(t, fatal)
			return got
		}
		require.Equal(t, userFrame(1), next(1))
		out.seal(userFrame(2))
		if p.Stateful {
			require.Nil(t, next(3))
			require.Nil(t, next(4))
			out.flush = true
		}
		require.Equal(t, userFrame(5), next(5))
		require.Equal(t, userFrame(6), next(6))
		for i := range 1500 {
			out.seal(userFrame(i))
		}
		if p.Stateful {
			require.Nil(t, next(7))
			for out.count&flagCount != flagCount-1 {
				require.Nil(t, next(8))
			}
		}
		require.Equal(t, userFrame(9), next(9))
		require.Equal(t, userFrame(10), next(10))
	})
}

// What comes late, as after half of all counts were lost, is taken for a mistake of the
// peer's, of which there may not be too many.
func TestMPPEGivesUp(t *testing.T) {
	p := someParams[0]
	in, out := someKeyStream(t, p), someKeyStream(t, p)
	late := out.seal(userFrame(1))
	got, _ := in.open(out.seal(userFrame(2)))
	require.Equal(t, userFrame(2), got)
	for range maxInsane - 1 {
		got, fatal := in.open(late)
		require.Nil(t, got)
		require.False(t, fatal)
	}
	_, fatal := in.open(late)
	require.True(t, fatal)

	in = someKeyStream(t, p)
	clear := binary.BigEndian.AppendUint16([]byte{0, 0xfd}, bitFlushed)
	for i := range maxInsane / 100 {
		_, fatal := in.open(append(clear, 1, 2, 3))
		require.Equal(t, i == maxInsane/100-1, fatal)
	}
}
