package userspace

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The kernel runs the filter, on a socket that needs no privilege and delivers
// whatever is written at the other end.
func TestFilter(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	require.NoError(t, attachFilter(fds[1], greFilter(share{1, 3}, callIDs{})))

	ip := func(options int, gre ...byte) []byte {
		p := append(make([]byte, 20+options), gre...)
		p[0] = 0x40 | byte(5+options/4)
		return p
	}
	for name, c := range map[string]struct {
		packet []byte
		passes bool
	}{
		"PPTP":               {ip(0, 0x30, 0x01, 0x88, 0x0b, 0, 0, 0xff, 0xfd), true},
		"acknowledgement":    {ip(0, 0x20, 0x81, 0x88, 0x0b, 0, 0, 0xff, 0xfd), true},
		"some IP options":    {ip(8, 0x30, 0x01, 0x88, 0x0b, 0, 0, 0xff, 0xfd), true},
		"all IP options":     {ip(40, 0x30, 0x81, 0x88, 0x0b, 0, 0, 0xff, 0xfd), true},
		"another's share":    {ip(0, 0x30, 0x01, 0x88, 0x0b, 0, 0, 0xff, 0xff), false},
		"GRE":                {ip(0, 0x00, 0x00, 0x08, 0x00, 0, 0, 0, 0), false},
		"GRE with PPP":       {ip(0, 0x20, 0x00, 0x88, 0x0b, 0, 0, 0xff, 0xfd), false},
		"another version":    {ip(0, 0x30, 0x05, 0x88, 0x0b, 0, 0, 0xff, 0xfd), false},
		"another protocol":   {ip(0, 0x30, 0x01, 0x88, 0x0c, 0, 0, 0xff, 0xfd), false},
		"after its options":  {ip(4, 0x00, 0x00, 0x08, 0x00, 0x30, 0x01, 0x88, 0x0b), false},
		"cut before call ID": {ip(0, 0x30, 0x01, 0x88, 0x0b, 0, 0, 0xff), false},
		"cut after version":  {ip(0, 0x30, 0x01, 0x88), false},
		"cut before version": {ip(0, 0x30), false},
		"no GRE":             {ip(0), false},
	} {
		_, err := unix.Write(fds[0], c.packet)
		require.NoError(t, err, name)
		got := make([]byte, 128)
		n, err := unix.Read(fds[1], got)
		if !c.passes {
			require.ErrorIs(t, err, unix.EAGAIN, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.packet, got[:n], name)
	}
}

// Of the call IDs, those of the range and of the list pass, and all when the list is too
// long.
func TestFilterCallIDs(t *testing.T) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	list := make([]uint16, maxListed+1)
	for i := range list {
		list[i] = uint16(3 + 6*i)
	}
	longest := list[:maxListed]
	for name, c := range map[string]struct {
		ids           callIDs
		passes, drops []uint16
	}{
		"all":     {callIDs{1, 65535, nil}, []uint16{3, 30000, 65535}, []uint16{4}},
		"range":   {callIDs{300, 600, nil}, []uint16{300, 450, 600}, []uint16{0, 297, 301, 603, 65535}},
		"end":     {callIDs{49152, 65535, nil}, []uint16{49152, 65535}, []uint16{0, 3, 49149}},
		"list":    {callIDs{49152, 65535, []uint16{9, 15, 15}}, []uint16{9, 15, 49152}, []uint16{0, 3, 12, 49149}},
		"longest": {callIDs{49152, 65535, longest}, []uint16{3, 9, 765, 65535}, []uint16{0, 6, 762, 771}},
		"longer":  {callIDs{49152, 65535, list}, []uint16{0, 3, 6, 771, 777, 49149}, []uint16{4, 65534}},
	} {
		require.NoError(t, attachFilter(fds[1], greFilter(share{0, 3}, c.ids)), name)
		for _, want := range []bool{true, false} {
			ids := c.drops
			if want {
				ids = c.passes
			}
			for _, id := range ids {
				packet := append([]byte{0x45, 19: 0}, 0x30, 0x01, 0x88, 0x0b, 0, 0, byte(id>>8), byte(id))
				_, err := unix.Write(fds[0], packet)
				require.NoError(t, err)
				_, err = unix.Read(fds[1], make([]byte, 128))
				require.Equal(t, want, err == nil, "%s, %d: %v", name, id, err)
			}
		}
	}
}
