package mutate

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOf(t *testing.T) {
	message := []byte{0, 1, 2, 255, 7}
	before := bytes.Clone(message)
	seen := map[string]bool{}
	names := map[string]bool{}
	for name, m := range Of(message) {
		require.NotEqual(t, message, m, name)
		require.Equal(t, len(m), cap(m), name)
		require.False(t, names[name], name)
		names[name], seen[string(m)] = true, true
		clear(m)
	}
	require.Equal(t, before, message)
	for _, want := range []string{
		"", "\x00", "\x00\x01\x02\xff", "\x00\x01\x02\xff\x07\x00", // lengths
		"\x01\x01\x02\xff\x07", "\xff\x01\x02\xff\x07", "\x00\x00\x02\xff\x07", // octets
		"\x00\x01\x02\xff\x06", "\x00\x01\x02\xfe\x07", "\x00\x01\x02\x00\x07",
		"\x00\x00\x02\xff\x07", "\xff\xff\x02\xff\x07", "\x00\x01\x03\x00\x07", // words
		"\x00\xff\xff\xff\xff", "\x00\x01\x02\xff\x08",
	} {
		require.True(t, seen[want], "%q", want)
	}
	for range Of(message) {
		break // it may be left
	}
}

func TestOptions(t *testing.T) {
	list := []byte{1, 4, 5, 220, 7, 2, 3, 5, 0xc2, 0x23, 0x81}
	seen := map[string]bool{}
	for name, m := range Options(list) {
		require.Equal(t, len(m), cap(m), name)
		for b := m; len(b) > 0; b = b[b[1]:] {
			require.GreaterOrEqual(t, len(b), 2, name)
			require.GreaterOrEqual(t, int(b[1]), 2, name)
			require.LessOrEqual(t, int(b[1]), len(b), name)
		}
		seen[string(m)] = true
	}
	for _, want := range []string{
		"\x07\x02\x03\x05\xc2\x23\x81", // missing
		"\x01\x04\x05\xdc\x07\x02\x07\x02\x03\x05\xc2\x23\x81",
		"\x03\x05\xc2\x23\x81\x01\x04\x05\xdc\x07\x02",
		"\x01\x02\x07\x02\x03\x05\xc2\x23\x81", // without data
		"\x01\x03\x05\x07\x02\x03\x05\xc2\x23\x81",
		"\x01\x05\x05\xdc\x00\x07\x02\x03\x05\xc2\x23\x81",
		"\x00\x04\x05\xdc\x07\x02\x03\x05\xc2\x23\x81",
		"\x01\x04\x05\xdd\x07\x02\x03\x05\xc2\x23\x81",
	} {
		require.True(t, seen[want], "%q", want)
	}
	for range Options(list) {
		break
	}
}
