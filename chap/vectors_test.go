package chap

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

// The digest was made by another implementation of MD5, over 07, the secret and
// 00 to 0f.
func TestRFC1994Section4_1(t *testing.T) {
	challenge := unhex(t, "00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f")
	want := unhex(t, "fc 9a 5b 3f 6f 29 0e c6 1a 1e fb 96 99 c2 f8 63")
	sum := MD5Response(7, ppp.Secret("Secret"), challenge)
	require.Equal(t, want, sum[:])

	good := ppp.AuthRequest{Method: ppp.AuthCHAPMD5, ID: 7, Challenge: challenge, Response: want}
	require.True(t, VerifyMD5(&good, ppp.Secret("Secret")))
	require.False(t, VerifyMD5(&good, ppp.Secret("secret")))
	for name, spoil := range map[string]func(*ppp.AuthRequest){
		"method":       func(q *ppp.AuthRequest) { q.Method = ppp.AuthMSCHAPv2 },
		"identifier":   func(q *ppp.AuthRequest) { q.ID++ },
		"challenge":    func(q *ppp.AuthRequest) { q.Challenge = challenge[1:] },
		"no challenge": func(q *ppp.AuthRequest) { q.Challenge = nil },
		"short":        func(q *ppp.AuthRequest) { q.Response = want[:15] },
		"none":         func(q *ppp.AuthRequest) { q.Response = nil },
	} {
		bad := good
		spoil(&bad)
		require.False(t, VerifyMD5(&bad, ppp.Secret("Secret")), name)
	}
}

func TestRFC2433AppendixB_2(t *testing.T) {
	challenge := unhex(t, "10 2D B5 DF 08 5D 30 41")
	hash := NTPasswordHash("MyPw")
	require.Equal(t, unhex(t, "FC 15 6A F7 ED CD 6C 0E DD E3 33 7D 42 7F 4E AC"), hash[:])
	want := unhex(t, "4E 9D 3C 8F 9C FD 38 5D 5B F4 D3 24 67 91 95 6C A4 C3 51 AB 40 9A 3D 61")

	a := mschapv1.respond(&query{challenge: challenge, hash: hash})
	require.Equal(t, want, a.ntResponse[:])
	require.Equal(t, append(append(make([]byte, 24), want...), 1), a.value)

	good := ppp.AuthRequest{Method: ppp.AuthMSCHAPv1, Challenge: challenge, Response: want}
	result, ok := VerifyMSCHAPv1(&good, hash)
	require.True(t, ok)
	require.Equal(t, MSCHAPv1Result{HashHash: hash.HashHash(), Challenge: [8]byte(challenge)}, *result)
	for name, spoil := range map[string]func(*ppp.AuthRequest){
		"method":       func(q *ppp.AuthRequest) { q.Method = ppp.AuthMSCHAPv2 },
		"challenge":    func(q *ppp.AuthRequest) { q.Challenge = make([]byte, 8) },
		"no challenge": func(q *ppp.AuthRequest) { q.Challenge = nil },
		"short":        func(q *ppp.AuthRequest) { q.Response = want[:23] },
		"LM only":      func(q *ppp.AuthRequest) { q.Response, q.LMResponse = nil, want },
	} {
		bad := good
		spoil(&bad)
		_, ok := VerifyMSCHAPv1(&bad, hash)
		require.False(t, ok, name)
	}
}

func TestRFC3079Section2_5(t *testing.T) {
	h, ok := LMPasswordHash("clientPass")
	require.True(t, ok)
	require.Equal(t, unhex(t, "76 a1 52 93 60 96 d7 83 0e 23 90 22 74 04 af d2"), h[:])
	for _, bad := range []string{"fifteen letters", "pässwort"} {
		_, ok := LMPasswordHash(bad)
		require.False(t, ok, bad)
	}
	require.NotContains(t, fmt.Sprintf("%v %d %x %#v", h, h, h, h), "76")
	h.Wipe()
	require.Zero(t, [16]byte(h))

	// Step 1 and 2 of §2.5.3.
	nt := NTPasswordHash("clientPass")
	hashHash := nt.HashHash()
	require.Equal(t, unhex(t, "41 c0 0c 58 4b d2 d9 1c 40 17 a2 a1 2f a5 9f 3f"), hashHash[:])
}

// RFC 2759 has no example of a password change. These values were made by
// another implementation of MD4, DES and RC4, from "MyPw", "clientPass" and aa in
// place of what is random.
func TestRFC2759Section8_9(t *testing.T) {
	old := NTPasswordHash("MyPw")
	c, err := newPasswordChange("clientPass", old, func(b []byte) { copy(b, bytes.Repeat([]byte{0xaa}, len(b))) })
	require.NoError(t, err)
	require.Equal(t, unhex(t, "6af02410eab17addf099c5b93b1b5b5e"), c.EncryptedPassword[:16])
	require.Equal(t, unhex(t, "b8f7460dc037623d3f59d9f98b6751217eae33973a0b7d3fb436ab02"), c.EncryptedPassword[516-28:])
	sum := sha256.Sum256(c.EncryptedPassword[:])
	require.Equal(t, "e11bbbdbd8da973a5b2a472e88e11e296fa4f9adc5b3f3cd295c01bd4e10c3d9", hex.EncodeToString(sum[:]))
	require.Equal(t, unhex(t, "541c7cfcf62b50a7ab045a388a154861"), c.EncryptedHash[:]) // §8.12
}

// changeRequest is what a server sees of a change.
func changeRequest(t *testing.T, method ppp.AuthMethod, old, new string) ppp.AuthRequest {
	g := algorithmOf(method)
	change, err := NewPasswordChange(new, NTPasswordHash(old))
	require.NoError(t, err)
	challenge := random(nil, g.challengeLen)
	a := g.respond(&query{challenge: challenge, name: "alice", hash: NTPasswordHash(new)})
	req := ppp.AuthRequest{Method: method, Name: "alice", Challenge: challenge}
	require.True(t, g.decodeChange(g.appendChange(nil, change, a.value), &req))
	require.Equal(t, change, req.PasswordChange)
	return req
}

func TestVerifyPasswordChange(t *testing.T) {
	for _, method := range []ppp.AuthMethod{ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2} {
		for _, password := range []string{"", "x", "pässwörd🔑", strings.Repeat("x", 256)} {
			req := changeRequest(t, method, "old", password)
			n, ok := VerifyPasswordChange(&req, NTPasswordHash("old"))
			require.True(t, ok)
			require.Equal(t, password, string(n.Password))
			require.Equal(t, [16]byte(NTPasswordHash(password)), [16]byte(n.NTHash))
			if password != "" {
				require.NotContains(t, fmt.Sprintf("%v %+v %#v", n, n, n), password)
			}
			n.Wipe()
			require.Zero(t, [16]byte(n.NTHash))
		}
		req := changeRequest(t, method, "old", "new")
		_, ok := VerifyPasswordChange(&req, NTPasswordHash("other"))
		require.False(t, ok, "one that does not know the old password")
		for name, spoil := range map[string]func(*ppp.AuthRequest){
			"no change": func(q *ppp.AuthRequest) { q.PasswordChange = nil },
			"hash":      func(q *ppp.AuthRequest) { q.PasswordChange.EncryptedHash[3] ^= 1 },
			"password":  func(q *ppp.AuthRequest) { q.PasswordChange.EncryptedPassword[511] ^= 1 },
			"length":    func(q *ppp.AuthRequest) { q.PasswordChange.EncryptedPassword[513] ^= 0x80 },
			"odd":       func(q *ppp.AuthRequest) { q.PasswordChange.EncryptedPassword[512] ^= 1 },
			"response":  func(q *ppp.AuthRequest) { q.Response[0] ^= 1 },
			"method":    func(q *ppp.AuthRequest) { q.Method = ppp.AuthCHAPMD5 },
		} {
			bad := req
			change := *req.PasswordChange
			bad.PasswordChange, bad.Response = &change, bytes.Clone(req.Response)
			spoil(&bad)
			_, ok := VerifyPasswordChange(&bad, NTPasswordHash("old"))
			require.False(t, ok, name)
		}
	}
	_, err := NewPasswordChange(strings.Repeat("x", 257), NTHash{})
	require.ErrorIs(t, err, ErrPasswordLength)
}

func TestVerifyPassword(t *testing.T) {
	req := ppp.AuthRequest{Method: ppp.AuthPAP, Password: ppp.Secret("pässwörd🔑")}
	require.True(t, VerifyPassword(&req, NTPasswordHash("pässwörd🔑")))
	require.False(t, VerifyPassword(&req, NTPasswordHash("password")))
	req.Method = ppp.AuthMSCHAPv2
	require.False(t, VerifyPassword(&req, NTPasswordHash("pässwörd🔑")))
}
