package gopptp

import (
	"context"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIPv6PoolGivesEachPrefixOnce(t *testing.T) {
	for text, want := range map[string]int{"2001:db8::/64": 1, "2001:db8::/62": 4, "2001:db8:0:ff00::/56": 256, "fd00:1::/52": 4096} {
		prefix := netip.MustParsePrefix(text)
		p, err := NewIPv6Pool(prefix)
		require.NoError(t, err)
		require.Equal(t, prefix, p.Prefix())
		for range 3 {
			got := map[netip.Prefix]bool{}
			for p.Free() > 0 {
				q, err := p.Acquire(context.Background(), PoolRequest{})
				require.NoError(t, err)
				require.True(t, isDelegated(q), "%v", q)
				require.True(t, prefix.Contains(q.Addr()))
				require.False(t, got[q])
				got[q] = true
			}
			require.Len(t, got, want)
			_, err := p.Acquire(context.Background(), PoolRequest{})
			require.ErrorIs(t, err, ErrPoolExhausted)
			for q := range got {
				p.Release(q)
				p.Release(q) // does nothing
			}
			require.Equal(t, want, p.Free())
		}
	}
}

func TestIPv6PoolReserves(t *testing.T) {
	prefix := netip.MustParsePrefix("2001:db8::/56")
	for text, left := range map[string]int{
		"2001:db8::/64": 255, "2001:db8:0:5::1/128": 255, "2001:db8::/60": 240, "2001:db8::/48": 0,
		"2001:db8:1::/48": 256, "10.0.0.0/8": 256,
	} {
		p, err := NewIPv6Pool(prefix, netip.MustParsePrefix(text))
		require.NoError(t, err)
		require.Equal(t, left, p.Free(), text)
	}
	p, err := NewIPv6Pool(prefix, netip.Prefix{}, netip.MustParsePrefix("2001:db8::/64"))
	require.NoError(t, err)
	q, err := p.Acquire(context.Background(), PoolRequest{})
	require.NoError(t, err)
	require.Equal(t, "2001:db8:0:1::/64", q.String())
	free := p.Free()
	for _, foreign := range []string{"2001:db8:1::/64", "2001:db8:0:1::/80", "10.0.0.0/8", "2001:db8::/64"} {
		p.Release(netip.MustParsePrefix(foreign))
	}
	p.Release(netip.Prefix{})
	require.Equal(t, free, p.Free())
}

func TestIPv6PoolRefuses(t *testing.T) {
	for _, text := range []string{"10.0.0.0/8", "2001:db8::/39", "2001:db8::/65", "2001:db8::1/64", "fe80::/48", "ff00::/48", "::ffff:10.0.0.0/104"} {
		_, err := NewIPv6Pool(netip.MustParsePrefix(text))
		var bad *ConfigError
		require.ErrorAs(t, err, &bad, text)
	}
	_, err := NewIPv6Pool(netip.Prefix{})
	require.Error(t, err)
}

func BenchmarkIPv6Pool(b *testing.B) {
	p, err := NewIPv6Pool(netip.MustParsePrefix("2001:db8::/48"))
	require.NoError(b, err)
	for range 60_000 {
		p.Acquire(context.Background(), PoolRequest{})
	}
	b.ReportAllocs()
	for range b.N {
		q, _ := p.Acquire(context.Background(), PoolRequest{})
		p.Release(q)
	}
}
