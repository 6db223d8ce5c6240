package mppe

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	require.NoError(t, err)
	return b
}

func TestRFC3079Section3_5_3(t *testing.T) {
	hashHash := [16]byte(unhex(t, "41 C0 0C 58 4B D2 D9 1C 40 17 A2 A1 2F A5 9F 3F"))
	ntResponse := [24]byte(unhex(t, `82 30 9E CD 8D 70 8B 5E A0 8F AA 39 81 CD 83 54 42 33
		11 4A 3D 85 D6 DF`))
	master := masterKey(hashHash, ntResponse)
	require.Equal(t, unhex(t, "FD EC E3 71 7A 8C 83 8C B3 88 E5 27 AE 3C DD 31"), master[:])

	// The sample derives the server's send key.
	keys := DeriveKeys(hashHash, ntResponse, Server)
	require.Equal(t, unhex(t, "8B 7C DC 14 9B 99 3A 1B A1 18 CB 15 3F 56 DC CB"), keys.Send[:])

	s := newKeySchedule(keys.Send)
	session := keys.Send
	s.first(&session)
	require.Equal(t, unhex(t, "40 5C B2 24 7A 79 56 E6 E2 11 00 7A E2 7B 22 D4"), session[:])

	var c rc4
	c.reset((*[16]byte)(&session))
	message := []byte("test message")
	c.xor(message, message)
	require.Equal(t, unhex(t, "81 84 83 17 DF 68 84 62 72 FB 5A BE"), message)
}

func TestClientAndServerKeysMatch(t *testing.T) {
	hashHash, response := [16]byte{1, 2, 3}, [24]byte{4, 5, 6}
	client, server := DeriveKeys(hashHash, response, Client), DeriveKeys(hashHash, response, Server)
	require.Equal(t, [16]byte(client.Send), [16]byte(server.Recv))
	require.Equal(t, [16]byte(client.Recv), [16]byte(server.Send))
	require.NotEqual(t, [16]byte(client.Send), [16]byte(client.Recv))
}

func TestKeysPrintNothing(t *testing.T) {
	keys := Keys{Send: Key{0xde, 0xad, 0xbe, 0xef}, Recv: Key{0xca, 0xfe}}
	params := Params{KeyLength: Key128, Key: keys.Send}
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "keys", keys, "key", keys.Send, "params", params, "pointer", &keys)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		fmt.Fprintf(&out, format+format+format, keys, &keys, params)
	}
	text := strings.ToLower(out.String())
	for _, secret := range []string{"dead", "222 173", "0xde", "222,173", "cafe", "202 254"} {
		require.NotContains(t, text, secret)
	}
	require.Contains(t, text, redacted)

	keys.Wipe()
	require.Equal(t, Keys{}, keys)
}
