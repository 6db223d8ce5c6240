package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestBans(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"failures: 0", "0 is not from 1 to 1000"},
		{"source_failures: 0", "0 is not from 1 to 1000000"},
		{"patience: 0", "0 is not from 1 to 1000"},
		{"size: 9", "9 is not from 100 to 1000000"},
		{"window: 1ms", "1ms is not from 1s to 24h0m0s"},
		{"duration: 0s", "0s is not from 1s to 720h0m0s"},
		{"max_duration: 1m", "1m0s is shorter than duration, 10m0s"},
		{"file: bans.json", `"bans.json" is not an absolute name, like /var/lib/gopptp/bans.json`},
		{"source_failures: 5", "5 are fewer than failures, 10: a single user's old password bans all at its address"},
		{"allow: [10.0.0.1/8]", `"10.0.0.1/8" has bits set behind its prefix: did you mean 10.0.0.0/8?`},
	} {
		_, problems := Parse("gw.yaml", []byte("bans: {"+tc.text+"}\n"))
		require.NotEmpty(t, problems, tc.text)
		assert.Equal(t, tc.want, problems[0].Text)
		assert.Equal(t, 1, problems[0].Line)
	}
	b := parse(t, "bans: {automatic: false, allow: [192.0.2.0/24], file: /var/lib/gopptp/bans.json}\n").Bans
	assert.False(t, b.Automatic)
	assert.Equal(t, "192.0.2.0/24", b.Allow[0].String())
}
