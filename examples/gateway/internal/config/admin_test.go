package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdminAddr(t *testing.T) {
	long := "/" + strings.Repeat("a", maxSocketPath)
	for text, want := range map[string]AdminAddr{
		"":                            {},
		"unix:/run/gopptp/admin.sock": {"unix", "/run/gopptp/admin.sock"},
		"unix:/run//x/../admin.sock":  {"unix", "/run/admin.sock"},
		"unix:" + long[1:]:            {},
		"unix:" + long[:len(long)-1]:  {"unix", long[:len(long)-1]},
		"127.0.0.1:9180":              {"tcp", "127.0.0.1:9180"},
		"127.9.9.9:1":                 {"tcp", "127.9.9.9:1"},
		"[::1]:9180":                  {"tcp", "[::1]:9180"},
		"[::ffff:127.0.0.1]:9180":     {"tcp", "127.0.0.1:9180"},
	} {
		got, err := parseAdminAddr(text)
		assert.Equal(t, want, got, text)
		if text != "" {
			assert.Equal(t, want.IsZero(), err != nil, text)
		}
		if again, _ := parseAdminAddr(got.String()); text != "" {
			assert.Equal(t, got, again, "as written")
		}
	}
}

func TestAdminProblems(t *testing.T) {
	const (
		neither  = " is neither a Unix socket, like unix:/run/gopptp/admin.sock, nor a loopback address and port, like 127.0.0.1:9180"
		public   = " can be reached from elsewhere, and whoever reaches this address may look at everything: take a Unix socket, a loopback address like 127.0.0.1:9180, or admin.web.listen"
		relative = " is not a Unix socket: it needs an absolute name, like unix:/run/gopptp/admin.sock"
	)
	for text, want := range map[string]string{
		"0.0.0.0:9180":       "0.0.0.0:9180" + public,
		"192.0.2.1:9180":     "192.0.2.1:9180" + public,
		"[::]:9180":          "[::]:9180" + public,
		"[2001:db8::1]:9180": "[2001:db8::1]:9180" + public,
		":9180":              `":9180"` + neither,
		"localhost:9180":     `"localhost:9180"` + neither,
		"127.0.0.1":          `"127.0.0.1"` + neither,
		"127.0.0.1:0":        `"127.0.0.1:0"` + neither,
		"/run/admin.sock":    `"/run/admin.sock"` + neither,
		"unix:admin.sock":    `"unix:admin.sock"` + relative,
		"unix:@admin":        `"unix:@admin"` + relative,
		"unix:":              `"unix:"` + relative,
		"unix:/" + strings.Repeat("a", maxSocketPath): "the name of a Unix socket has at most 107 octets, not 108",
		"127.0.0.1:1723": "127.0.0.1:1723 cannot be open beside listen[0], 0.0.0.0:1723",
	} {
		_, problems := Parse("gw.yaml", []byte("admin:\n  listen: '"+text+"'\n"))
		require.Len(t, problems, 1, text)
		assert.Equal(t, "gw.yaml:2: admin.listen: "+want, problems[0].String())
	}
	for _, text := range []string{"listen: [127.0.0.2:9180]\nadmin: {listen: '127.0.0.1:9180'}", "admin: {listen: '[::1]:1723'}"} {
		_, problems := Parse("gw.yaml", []byte(text))
		assert.Empty(t, problems.Errors(), text)
	}
}
