package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestAdminWeb(t *testing.T) {
	for _, text := range []string{
		"",
		"listen: '127.0.0.1:9180', tokens_file: t",
		"listen: '[::1]:9180', tokens_file: t",
		"listen: '192.0.2.1:9443', tokens_file: t, certificate: c, key: k",
		"listen: '[2001:db8::1]:9443', tokens_file: t, certificate: c, key: k",
	} {
		cfg, problems := Parse("/etc/gw.yaml", []byte("admin: {web: {"+text+"}}\n"))
		require.Empty(t, problems, text)
		if text != "" {
			assert.Equal(t, "/etc/t", cfg.Admin.Web.TokensFile)
			assert.True(t, cfg.Admin.Web.Listen.IsValid())
		}
	}
	for text, want := range map[string]string{
		"web: {listen: ':9443'}":                                                  `admin.web.listen: ":9443" is not an address and port, like 192.0.2.1:9443 or [2001:db8::1]:9443`,
		"web: {listen: '127.0.0.1:0'}":                                            `admin.web.listen: "127.0.0.1:0" is not an address and port, like 192.0.2.1:9443 or [2001:db8::1]:9443`,
		"web: {listen: '127.0.0.1:1'}":                                            "admin.web.listen: needs admin.web.tokens_file: who may come in by it",
		"web: {listen: '0.0.0.0:1', tokens_file: t}":                              "admin.web.listen: 0.0.0.0:1 can be reached from elsewhere, where tokens could be read on the way: it needs admin.web.certificate and admin.web.key",
		"web: {listen: '127.0.0.1:1', tokens_file: t, key: k}":                    "admin.web.key: needs admin.web.certificate",
		"web: {listen: '127.0.0.1:1', tokens_file: t, certificate: c}":            "admin.web.certificate: needs admin.web.key",
		"web: {listen: '192.0.2.1:1723', tokens_file: t, certificate: c, key: k}": "admin.web.listen: 192.0.2.1:1723 cannot be open beside listen[0], 0.0.0.0:1723",
		"listen: '127.0.0.1:1', web: {listen: '127.0.0.1:1', tokens_file: t}":     "admin.web.listen: 127.0.0.1:1 is admin.listen already",
		"listen: '127.0.0.1:1', group: adm":                                       "admin.group: is for a Unix socket, which admin.listen is not",
		"group: adm":                                                              "admin.group: is for a Unix socket, which admin.listen is not",
	} {
		_, problems := Parse("gw.yaml", []byte("admin: {"+text+"}\n"))
		require.Len(t, problems, 1, text)
		assert.Equal(t, "gw.yaml:1: "+want, problems[0].String())
	}
}
