package capture

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/bpf"
)

func TestFilter(t *testing.T) {
	packet := func(from, to string) []byte {
		a, b := netip.MustParseAddr(from), netip.MustParseAddr(to)
		if a.Is4() {
			head := append([]byte{0x45}, make([]byte, 11)...)
			return append(append(head, a.AsSlice()...), b.AsSlice()...)
		}
		head := append([]byte{0x60}, make([]byte, 7)...)
		return append(append(head, a.AsSlice()...), b.AsSlice()...)
	}
	peer := netip.MustParseAddr("10.8.0.2")
	for _, c := range []struct {
		six    string
		packet []byte
		want   bool
	}{
		{"2001:db8::/64", packet("10.8.0.2", "8.8.8.8"), true},
		{"2001:db8::/64", packet("8.8.8.8", "10.8.0.2"), true},
		{"2001:db8::/64", packet("10.8.0.3", "10.8.0.4"), false},
		{"2001:db8::/64", packet("2001:db8::5", "2001:db9::1"), true},
		{"2001:db8::/64", packet("2001:db9::1", "2001:db8::5"), true},
		{"2001:db8::/64", packet("2001:db8:0:1::5", "2001:db9::1"), false},
		{"2001:db8::/64", packet("2001:db9::5", "2001:db9::1"), false},
		{"", packet("::1", "::2"), false},
		{"", packet("10.8.0.2", "8.8.8.8"), true},
		{"", packet("10.8.0.2", "8.8.8.8")[:8], false},
	} {
		var six netip.Prefix
		if c.six != "" {
			six = netip.MustParsePrefix(c.six)
		}
		vm, err := bpf.NewVM(filter(peer, six))
		require.NoError(t, err)
		n, err := vm.Run(c.packet)
		require.NoError(t, err)
		assert.Equal(t, c.want, n > 0, "%v %x", c.six, c.packet)
	}
}

// Only devices of tunnels are tapped, and not by what the route of a stranger goes.
func TestNoTunnel(t *testing.T) {
	_, err := Tap(newCapture(), netip.MustParseAddr("127.0.0.1"), netip.Prefix{})
	assert.True(t, errors.Is(err, errors.ErrUnsupported), "%v", err)
}
