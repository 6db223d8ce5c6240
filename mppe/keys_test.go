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

// sessionKey is the first session key of p.
func sessionKey(t testing.TB, p Params) []byte {
	t.Helper()
	s, key := newKeySchedule(&p), p.Key
	s.first(&key)
	return key[:p.KeyLength.octets()]
}

func TestRFC3079Section2_5(t *testing.T) {
	lm := [8]byte(unhex(t, "76 a1 52 93 60 96 d7 83"))
	hashHash := [16]byte(unhex(t, "41 c0 0c 58 4b d2 d9 1c 40 17 a2 a1 2f a5 9f 3f"))
	challenge := [8]byte(unhex(t, "10 2d b5 df 08 5d 30 41"))
	keys := DeriveKeysV1(&lm, hashHash, challenge)
	require.Equal(t, AllKeyLengths, keys.Lengths())
	for name, c := range map[string]struct {
		length         KeyLength
		start, session string
	}{
		"2.5.1": {Key40, "76 a1 52 93 60 96 d7 83", "d1 26 9e 53 8c ec 4a 08"},
		"2.5.2": {Key56, "76 a1 52 93 60 96 d7 83", "d1 08 01 53 8c ec 4a 08"},
		// Step 3 has ca for the c1 of step 4. SHA-1 comes to c1, and step 5 to
		// what is printed there.
		"2.5.3": {Key128, "a8 94 78 50 cf c0 ac c1 d1 78 9f b6 2d dc dd b0", "59 d1 59 bc 09 f7 6f 1d a2 a8 6a 28 ff ec 0b 1e"},
	} {
		t.Run(name, func(t *testing.T) {
			send, ok := keys.SendParams(Agreed{KeyLength: c.length})
			require.True(t, ok)
			recv, ok := keys.RecvParams(Agreed{KeyLength: c.length})
			require.True(t, ok)
			require.Equal(t, [16]byte(send.Key), [16]byte(recv.Key), "one key for both directions")
			require.Equal(t, unhex(t, c.start), send.Key[:c.length.octets()])
			require.Equal(t, unhex(t, c.session), sessionKey(t, send))
		})
	}

	keys = DeriveKeysV1(nil, hashHash, challenge)
	require.Equal(t, AllowKey128, keys.Lengths())
	_, ok := keys.SendParams(Agreed{KeyLength: Key40})
	require.False(t, ok)
}

func TestRFC3079Section3_5(t *testing.T) {
	hashHash := [16]byte(unhex(t, "41 C0 0C 58 4B D2 D9 1C 40 17 A2 A1 2F A5 9F 3F"))
	ntResponse := [24]byte(unhex(t, `82 30 9E CD 8D 70 8B 5E A0 8F AA 39 81 CD 83 54 42 33
		11 4A 3D 85 D6 DF`))
	master := masterKey(hashHash, ntResponse)
	require.Equal(t, unhex(t, "FD EC E3 71 7A 8C 83 8C B3 88 E5 27 AE 3C DD 31"), master[:])
	keys := DeriveKeys(hashHash, ntResponse, Server) // the samples are the server's send keys
	require.Equal(t, AllKeyLengths, keys.Lengths())
	for name, c := range map[string]struct {
		length                     KeyLength
		start, session, ciphertext string
	}{
		"3.5.1": {Key40, "8B 7C DC 14 9B 99 3A 1B", "D1 26 9E C4 9F A6 2E 3E", "92 91 37 91 7E 58 03 D6 68 D7 58 98"},
		// The last octet of the message is printed as 58. RC4 with the session key
		// of the sample, by any implementation, comes to B8.
		"3.5.2": {Key56, "8B 7C DC 14 9B 99 3A 1B", "D1 5C 00 C4 9F A6 2E 3E", "3F 10 68 33 FA 44 8D A8 42 BC 57 B8"},
		"3.5.3": {
			Key128, "8B 7C DC 14 9B 99 3A 1B A1 18 CB 15 3F 56 DC CB", "40 5C B2 24 7A 79 56 E6 E2 11 00 7A E2 7B 22 D4",
			"81 84 83 17 DF 68 84 62 72 FB 5A BE",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, ok := keys.SendParams(Agreed{KeyLength: c.length, Stateful: true})
			require.True(t, ok)
			require.Equal(t, unhex(t, c.start), p.Key[:c.length.octets()])
			require.Equal(t, unhex(t, c.session), sessionKey(t, p))

			// The first packet in stateful mode has the first session key.
			e, err := NewEncryptor(p)
			require.NoError(t, err)
			require.Equal(t, unhex(t, c.ciphertext), seal(e, "test message")[HeaderLen:])
		})
	}
}

func TestGivenKeys(t *testing.T) {
	send, recv := unhex(t, "000102030405060708090a0b0c0d0e0f1011"), unhex(t, "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
	k, err := GivenKeys(send, recv)
	require.NoError(t, err)
	require.Equal(t, AllKeyLengths, k.Lengths())
	require.Equal(t, send[:16], k.Send[:])
	require.Equal(t, recv, k.Recv[:])

	// Both directions need what a length takes.
	k, err = GivenKeys(send, recv[:8])
	require.NoError(t, err)
	require.Equal(t, AllowKey40|AllowKey56, k.Lengths())
	_, ok := k.RecvParams(Agreed{KeyLength: Key128})
	require.False(t, ok)
	p, ok := k.RecvParams(Agreed{KeyLength: Key56, Stateful: true})
	require.True(t, ok)
	require.Equal(t, Params{KeyLength: Key56, Stateful: true, Key: Key(append(unhex(t, "f0f1f2f3f4f5f6f7"), make([]byte, 8)...))}, p)

	_, err = GivenKeys(send, recv[:7])
	require.ErrorIs(t, err, ErrKeySize)
	_, err = GivenKeys(nil, nil)
	require.ErrorIs(t, err, ErrKeySize)
}

// What a server derives and what a RADIUS server would send it are the same.
func TestGivenKeysAreAsGoodAsDerivedOnes(t *testing.T) {
	derived := DeriveKeys([16]byte{1, 2, 3}, [24]byte{4, 5, 6}, Server)
	given, err := GivenKeys(derived.Send[:], derived.Recv[:])
	require.NoError(t, err)
	for _, l := range []KeyLength{Key40, Key56, Key128} {
		a, ok := derived.SendParams(Agreed{KeyLength: l})
		require.True(t, ok)
		b, ok := given.SendParams(Agreed{KeyLength: l})
		require.True(t, ok)
		require.Equal(t, sessionKey(t, a), sessionKey(t, b))
	}
}

func TestKeyLengths(t *testing.T) {
	for _, c := range []struct {
		set       KeyLengths
		strongest KeyLength
		text      string
	}{
		{0, 0, "none"},
		{AllowKey40, Key40, "40-bit"},
		{AllowKey40 | AllowKey56, Key56, "56-bit, 40-bit"},
		{AllKeyLengths, Key128, "128-bit, 56-bit, 40-bit"},
	} {
		require.Equal(t, c.strongest, c.set.Strongest())
		require.Equal(t, c.text, c.set.String())
		require.Equal(t, c.strongest != 0, c.set.Has(c.strongest))
		require.False(t, c.set.Has(64))
	}
}

func TestClientAndServerKeysMatch(t *testing.T) {
	hashHash, response := [16]byte{1, 2, 3}, [24]byte{4, 5, 6}
	client, server := DeriveKeys(hashHash, response, Client), DeriveKeys(hashHash, response, Server)
	require.Equal(t, [16]byte(client.Send), [16]byte(server.Recv))
	require.Equal(t, [16]byte(client.Recv), [16]byte(server.Send))
	require.NotEqual(t, [16]byte(client.Send), [16]byte(client.Recv))
}

func TestKeysPrintNothing(t *testing.T) {
	keys := Keys{Send: Key{0xde, 0xad, 0xbe, 0xef}, Recv: Key{0xca, 0xfe}, Short: Key{0xbe, 0xbe}}
	params := Params{KeyLength: Key128, Key: keys.Send}
	var out bytes.Buffer
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("x", "keys", keys, "key", keys.Send, "params", params, "pointer", &keys)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		fmt.Fprintf(&out, format+format+format, keys, &keys, params)
	}
	text := strings.ToLower(out.String())
	for _, secret := range []string{"dead", "222 173", "0xde", "222,173", "cafe", "202 254", "bebe", "190 190"} {
		require.NotContains(t, text, secret)
	}
	require.Contains(t, text, redacted)

	keys.Wipe()
	require.Equal(t, Keys{}, keys)
}
