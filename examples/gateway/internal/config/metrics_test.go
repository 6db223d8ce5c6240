package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestMetricsProblems(t *testing.T) {
	for text, want := range map[string]string{
		"metrics: {listen: ['0.0.0.0:9723', '127.0.0.1:9724']}":                                                              "",
		"metrics: {listen: ['0.0.0.0:9723', '0.0.0.0:9723']}":                                                                "gw.yaml:1: metrics.listen[1]: 0.0.0.0:9723 is metrics.listen[0] already",
		"metrics: {listen: ['127.0.0.1:1723']}":                                                                              "gw.yaml:1: metrics.listen[0]: 127.0.0.1:1723 cannot be open beside listen[0], 0.0.0.0:1723",
		"{listen: ['192.0.2.1:1723'], metrics: {listen: ['0.0.0.0:1723']}}":                                                  "gw.yaml:1: metrics.listen[0]: 0.0.0.0:1723 cannot be open beside listen[0], 192.0.2.1:1723",
		"{listen: ['192.0.2.1:1723'], metrics: {listen: ['127.0.0.1:1723']}}":                                                "",
		"{admin: {listen: '127.0.0.1:9180'}, metrics: {listen: ['127.0.0.1:9180']}}":                                         "gw.yaml:1: metrics.listen[0]: 127.0.0.1:9180 is admin.listen already",
		"{admin: {listen: 'unix:/run/admin.sock'}, metrics: {listen: ['0.0.0.0:1']}}":                                        "",
		"{admin: {web: {listen: '[::]:9180', tokens_file: t, certificate: c, key: k}}, metrics: {listen: ['0.0.0.0:9180']}}": "gw.yaml:1: metrics.listen[0]: 0.0.0.0:9180 cannot be open beside admin.web.listen, [::]:9180",
		"{admin: {web: {listen: '[::1]:9180', tokens_file: t}}, metrics: {listen: ['0.0.0.0:9180']}}":                        "",
		"metrics: {listen: [localhost]}":                                                                                     `gw.yaml:1: metrics.listen[0]: "localhost" is not an IPv4 address and port, like 0.0.0.0:1723`,
		"metrics: {full_is_ready: perhaps}":                                                                                  `gw.yaml:1: metrics.full_is_ready: "perhaps" is neither true nor false`,
	} {
		_, problems := Parse("gw.yaml", []byte(text))
		if want == "" {
			assert.Empty(t, problems, text)
			continue
		}
		require.Len(t, problems, 1, text)
		assert.Equal(t, want, problems[0].String())
	}
}
