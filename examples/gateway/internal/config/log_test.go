package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSyslogAddr(t *testing.T) {
	for text, want := range map[string]SyslogAddr{
		"":                           {},
		"udp://192.0.2.5:514":        {"udp", "192.0.2.5:514"},
		"tcp://logs.example.com:601": {"tcp", "logs.example.com:601"},
		"udp://[2001:db8::5]:514":    {"udp", "[2001:db8::5]:514"},
		"unix:/dev/log":              {"unixgram", "/dev/log"},
	} {
		got, err := parseSyslogAddr(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got)
		assert.Equal(t, text, got.String())
	}
	for _, text := range []string{"192.0.2.5:514", "udp://192.0.2.5", "udp://:514", "tls://192.0.2.5:514", "udp://192.0.2.5:0", "udp://192.0.2.5:65536", "unix:dev/log", "unix:", "udp://"} {
		_, err := parseSyslogAddr(text)
		assert.ErrorContains(t, err, "is not a syslog server", text)
	}
}

func TestLogProblems(t *testing.T) {
	_, problems := Parse("gw.yaml", []byte("log: {output: file}"))
	require.Len(t, problems, 1)
	assert.Equal(t, `gw.yaml:1: log.output: "file" is not one of stderr, syslog, journald`, problems[0].String())
	_, problems = Parse("gw.yaml", []byte("log: {syslog: 'udp://192.0.2.5:514'}"))
	require.Len(t, problems, 1)
	assert.True(t, problems[0].Warning)
}
