package target

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheck(t *testing.T) {
	yes := func() (bool, error) { return true, nil }
	no := func() (bool, error) { return false, nil }
	unknown := func() (bool, error) { return true, errors.New("no /proc") }
	for _, c := range []struct {
		addr    string
		private func() (bool, error)
		owner   string
		want    Consent
		reason  string
	}{
		{"127.0.0.1", no, "", Loopback, ""},
		{"127.255.1.2", unknown, "", Loopback, ""},
		{"192.0.2.1", yes, "", Namespace, ""},
		{"10.255.255.255", yes, "", Namespace, ""},
		{"198.19.255.255", yes, "", Namespace, ""},
		{"192.0.2.1", no, "", "", "reached from the host's own network"},
		{"192.168.1.1", unknown, "", "", "no /proc"},
		{"8.8.8.8", yes, "", "", "public address"},
		{"172.32.0.1", yes, "", "", "public address"},
		{"0.0.0.0", yes, "", "", "public address"},
		{"8.8.8.8", no, "Jane Doe, Example Ltd.", "permission of Jane Doe, Example Ltd.", ""},
		{"8.8.8.8", no, "  ", "", "public address"},
	} {
		got, err := Check(netip.MustParseAddr(c.addr), c.private, c.owner)
		require.Equal(t, c.want, got, c.addr)
		if c.reason == "" {
			require.NoError(t, err)
			continue
		}
		var refusal *Refusal
		require.ErrorAs(t, err, &refusal)
		require.ErrorContains(t, err, c.addr)
		require.ErrorContains(t, err, c.reason)
		require.ErrorContains(t, err, "--i-have-permission-of")
	}
}
