package config

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFirewall(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"enabled: true, table: 'a b'", `"a b" is not a name of 1 to 63 letters, digits and underscores, a letter first`},
		{"enabled: true, table: ''", `"" is not a name of 1 to 63 letters, digits and underscores, a letter first`},
		{"enabled: true, nat: {interfaces: [eth0, 'a/b']}", `"a/b" cannot be the name of a network device`},
		{"enabled: true, nat: {networks: [10.0.0.1/8]}", `"10.0.0.1/8" has bits set behind its prefix: did you mean 10.0.0.0/8?`},
		{"enabled: true, nat: {masquerade_ipv6: true}", "needs ipv6.prefix"},
		{"nat: {masquerade: true}", "means nothing without firewall.enabled"},
		{"forwarding: true", "means nothing without firewall.enabled"},
	} {
		_, problems := Parse("gw.yaml", []byte("firewall: {"+tc.text+"}\n"))
		require.NotEmpty(t, problems, tc.text)
		assert.Equal(t, tc.want, problems[0].Text)
		assert.Equal(t, 1, problems[0].Line)
	}
}

func TestFirewallOf(t *testing.T) {
	for _, tc := range []struct{ text, tunnels, clamped, masqueraded string }{
		{"", "[pptp0 ppp*]", "[ppp*]", "[]"},
		{"firewall: {enabled: true, mss_clamp: false, nat: {masquerade: true}}\n", "[pptp0 ppp*]", "[]", "[10.8.0.0/24]"},
		{"dataplane: {mode: userspace}\ntun: vpn\nfirewall: {enabled: true, nat: {masquerade: true, networks: [10.0.0.0/8]}}\n", "[vpn]", "[]", "[10.0.0.0/8]"},
		{"pools: [10.8.0.4-7, {name: more, ranges: [10.9.0.0/16]}]\nipv6: {prefix: '2001:db8::/48'}\nfirewall: {enabled: true, nat: {masquerade: true, masquerade_ipv6: true}}\n",
			"[pptp0 ppp*]", "[ppp*]", "[10.8.0.4/30 10.9.0.0/16 2001:db8::/48]"},
	} {
		c := parse(t, tc.text)
		assert.Equal(t, tc.tunnels, fmt.Sprint(c.Tunnels()))
		assert.Equal(t, tc.clamped, fmt.Sprint(c.Clamped()))
		assert.Equal(t, tc.masqueraded, fmt.Sprint(c.Masqueraded()))
	}
}
