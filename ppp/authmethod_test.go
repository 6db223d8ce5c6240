package ppp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAuthMethodText(t *testing.T) {
	for _, m := range []AuthMethod{AuthPAP, AuthCHAPMD5, AuthMSCHAPv1, AuthMSCHAPv2, AuthEAP} {
		text, err := m.MarshalText()
		require.NoError(t, err)
		require.Equal(t, m.String(), string(text))
		for _, text := range []string{m.String(), strings.ToLower(m.String()), strings.ToUpper(m.String())} {
			var got AuthMethod
			require.NoError(t, got.UnmarshalText([]byte(text)), text)
			require.Equal(t, m, got)
		}
	}
	got := AuthEAP
	for _, text := range []string{"", "none", "CHAP", "ms-chap", "pap "} {
		require.ErrorIs(t, got.UnmarshalText([]byte(text)), ErrAuthMethod, "%q", text)
	}
	require.Equal(t, AuthEAP, got)
}
