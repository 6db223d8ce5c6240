package engine

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/mppe"
)

// A reset of a peer of our own kind leaves counts out. If the packet that says so is
// lost, those after it must not be taken for the beginning of another stream, nor
// may the one with the count zero, nor the next that can be decrypted without
// others, as long as they are what they are.
func TestStatefulResetIsNoBeginning(t *testing.T) {
	p := mppe.Params{KeyLength: mppe.Key128, Stateful: true, Key: mppe.Key{1, 2, 3}}
	enc, err := mppe.NewEncryptor(p)
	require.NoError(t, err)
	dec, err := mppe.NewDecryptor(p)
	require.NoError(t, err)
	var d decryption
	d.prepare(dec, p)
	d.set(nil, &p)

	text := innerFrame(inPacket(1, 2, 3))
	next := func() []byte {
		b := append(make([]byte, mppe.HeaderLen), text...)
		enc.Seal(b)
		return b
	}
	// Each turn the peer is reset once in vain, and then with success.
	for range 40 {
		for range 5 {
			got, err := openNow(&d, next())
			require.NoError(t, err)
			require.Equal(t, text, got)
		}
		next()
		d.lost(1)
		for range 2 {
			enc.Flush()
			next()
			d.lost(1)
			for range 30 {
				b := next()
				was := bytes.Clone(b)
				got, err := openNow(&d, b)
				if err == nil { // it was one that needs no other
					require.Equal(t, text, got)
					continue
				}
				require.ErrorIs(t, err, mppe.ErrReset)
				require.Equal(t, was, b)
			}
		}
		enc.Flush()
		got, err := openNow(&d, next())
		require.NoError(t, err)
		require.Equal(t, text, got)
	}
}

// A peer that begins anew, of which CCP has not told yet, is followed wherever it
// does so.
func TestStatefulBeginning(t *testing.T) {
	p := mppe.Params{KeyLength: mppe.Key128, Stateful: true, Key: mppe.Key{1, 2, 3}}
	text := innerFrame(inPacket(1, 2, 3))
	for _, before := range []int{1, 2, 3, 4, 99, 100, 253, 254, 255, 256, 257, 258, 511, 512, 1000} {
		var d decryption
		prepare := func() *mppe.Encryptor {
			enc, err := mppe.NewEncryptor(p)
			require.NoError(t, err)
			dec, err := mppe.NewDecryptor(p)
			require.NoError(t, err)
			d.prepare(dec, p)
			return enc
		}
		pass := func(enc *mppe.Encryptor) error {
			b := append(make([]byte, mppe.HeaderLen), text...)
			enc.Seal(b)
			got, err := openNow(&d, b)
			if err == nil {
				require.Equal(t, text, got, "%d before", before)
			}
			return err
		}
		old := prepare()
		d.set(nil, &p)
		for range before {
			require.NoError(t, pass(old))
		}
		anew := prepare()
		require.NoError(t, pass(old), "still on the way")
		if before%2 == 0 { // the first is lost
			anew.Seal(append(make([]byte, mppe.HeaderLen), text...))
			d.lost(1)
			require.ErrorIs(t, pass(anew), mppe.ErrReset)
			anew.Flush()
		}
		for range 300 {
			require.NoError(t, pass(anew), "%d before", before)
		}
	}
}

// openNow decrypts one packet at once.
func openNow(d *decryption, packet []byte) ([]byte, error) {
	var b mppe.Batch
	inner, err := d.open(&b, packet)
	b.Flush()
	return inner, err
}
