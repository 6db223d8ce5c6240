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
	require.NoError(t, attachFilter(fds[1], greFilter(share{1, 3})))

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
