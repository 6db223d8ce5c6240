package naive

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/mppe"
)

// What is naive here is the way, not the protocol.
func TestCipherIsMPPE(t *testing.T) {
	key := [16]byte{1, 2, 3}
	params := mppe.Params{KeyLength: mppe.Key128, Key: key}
	theirs, err := mppe.NewDecryptor(params)
	require.NoError(t, err)
	back, err := mppe.NewEncryptor(params)
	require.NoError(t, err)
	seal, open := newCipher(key), newCipher(key)
	for i := range 5000 {
		text := []byte{0, 0, byte(i), byte(i >> 8), 5, 6, 7}
		seal.seal(text)
		inner, err := theirs.Open(text, 0)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(i), byte(i >> 8), 5, 6, 7}, inner)

		text = []byte{0, 0, byte(i), byte(i >> 8), 5, 6, 7}
		back.Seal(text)
		if i%7 == 0 {
			continue // lost
		}
		inner, err = open.open(text)
		require.NoError(t, err)
		require.Equal(t, []byte{byte(i), byte(i >> 8), 5, 6, 7}, inner)
	}
	_, err = open.open([]byte{0, 0, 1})
	require.ErrorIs(t, err, errClear)
}
