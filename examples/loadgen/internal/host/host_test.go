package host

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSources(t *testing.T) {
	var s Sources
	require.Zero(t, s.Count())
	require.False(t, s.At(7).IsValid())
	for _, text := range []string{"192.0.2.9", "10.1.2.3/30", "10.5.0.0/31", "10.9.0.0/16"} {
		p, err := ParseSource(text)
		require.NoError(t, err)
		s = append(s, p)
	}
	require.Equal(t, 1+2+2+65534, s.Count())
	for i, want := range map[int]string{
		0: "192.0.2.9", 1: "10.1.2.1", 2: "10.1.2.2", 3: "10.5.0.0", 4: "10.5.0.1", 5: "10.9.0.1", 5 + 65533: "10.9.255.254",
		5 + 65534: "192.0.2.9", 5 + 65534 + 1: "10.1.2.1",
	} {
		require.Equal(t, netip.MustParseAddr(want), s.At(i), "%d", i)
	}
	for _, text := range []string{"", "2001:db8::/64", "2001:db8::1", "10.0.0.0/7", "here", "10.0.0.0/33"} {
		_, err := ParseSource(text)
		require.Error(t, err, text)
	}
}

func TestShort(t *testing.T) {
	const ports = 28232
	for _, c := range []struct {
		needs       Needs
		descriptors uint64
		fatal       []string
		hindrances  []string
	}{
		{Needs{Tunnels: 20000}, 1 << 20, nil, nil},
		{Needs{Tunnels: 50000, Sources: 2}, 1 << 20, nil, nil},
		{Needs{Tunnels: 20000}, 1024, []string{"20000 tunnels need 20256, and the limit is 1024"}, nil},
		{Needs{Tunnels: 50000}, 1024, []string{"limit is 1024", "from 1 source address(es) need 50000 each, and there are 28232"}, nil},
		{Needs{Tunnels: 20000, Redials: 200}, 1 << 20, nil, []string{"up to 32000 a source address"}},
		{Needs{Tunnels: 20000, Redials: 200, Sources: 20}, 1 << 20, nil, nil},
	} {
		fatal, hindrances := c.needs.Short(c.descriptors, ports)
		requireContain(t, c.fatal, fatal)
		requireContain(t, c.hindrances, hindrances)
	}
	fatal, hindrances := Needs{Tunnels: 1 << 20}.Short(1<<21, 0)
	require.Empty(t, append(fatal, hindrances...), "how many ports there are is not known")
}

func requireContain(t *testing.T, want, got []string) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.Contains(t, got[i], want[i])
	}
}
