package firewall

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestIntervals(t *testing.T) {
	for text, want := range map[string]string{
		"10.8.0.0/24":        "10.8.0.0-10.8.1.0",
		"10.8.255.0/24":      "10.8.255.0-10.9.0.0",
		"192.0.2.7/32":       "192.0.2.7-192.0.2.8",
		"128.0.0.0/1":        "128.0.0.0-",
		"0.0.0.0/1":          "0.0.0.0-128.0.0.0",
		"255.255.255.255/32": "255.255.255.255-",
		"10.0.0.128/25":      "10.0.0.128-10.0.1.0",
		"2001:db8:ffff::/48": "2001:db8:ffff::-2001:db9::",
	} {
		list := intervals([]netip.Prefix{netip.MustParsePrefix(text)})
		first, _ := netip.AddrFromSlice(list[0].Key)
		got := fmt.Sprint(first, "-")
		if len(list) == 2 {
			end, _ := netip.AddrFromSlice(list[1].Key)
			got += end.String()
			assert.True(t, list[1].IntervalEnd)
		}
		assert.Equal(t, want, got)
	}
}
