package dataplane

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/userspace"
)

func newNamespace(t *testing.T) *nstest.Namespace {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		nstest.Missing(t, "no TUN device: %v", err)
	}
	return nstest.New(t)
}

// Auto is what the host can do, and says so.
func TestOpen(t *testing.T) {
	ns := newNamespace(t)
	var p *Plane
	var err error
	var report kernel.Report
	var log bytes.Buffer
	ns.Do(func() {
		report = kernel.Probe()
		p, err = Open(Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), Userspace: userspace.Options{TUNName: "auto"}})
	})
	require.NoError(t, err)
	defer p.Close()
	lo := netip.MustParseAddr("127.0.0.1")
	c, err := p.Open(gopptp.CallConfig{Local: lo, Peer: lo}, new(fakeHandler))
	require.NoError(t, err)
	require.NotEmpty(t, p.Reason())
	missing := report.Err(true)
	if missing == nil {
		require.Equal(t, Kernel, p.Mode())
		require.Empty(t, p.DeviceName(), "no TUN device until it is needed")
		require.Equal(t, 1, p.Stats().KernelCalls)
		require.Contains(t, log.String(), "the kernel moves the packets")
		require.NoError(t, c.Close())
		require.Zero(t, p.Stats().KernelCalls)
		return
	}
	require.Equal(t, Userspace, p.Mode())
	require.Equal(t, missing.Error(), p.Reason())
	require.Contains(t, log.String(), "userspace moves the packets")
	require.Equal(t, "auto", p.DeviceName())
	require.Equal(t, "auto", DeviceName(c))
	require.Equal(t, 1, p.Stats().UserspaceCalls)
	require.Equal(t, 1, p.Stats().Userspace.Calls)
	require.NoError(t, c.Close())
	ns.Do(func() { _, err = Open(Options{Mode: Kernel}) })
	require.ErrorIs(t, err, gopptp.ErrNotSupported)
	require.Equal(t, "dataplane: mode kernel: "+missing.Error(), err.Error())

	require.NoError(t, p.Close())
	_, err = p.Open(config, new(fakeHandler))
	require.ErrorIs(t, err, net.ErrClosed)
}

// Userspace is opened in the namespace of Open, whoever's call needs it first, and leaves
// nothing behind.
func TestUserspaceLater(t *testing.T) {
	ns := newNamespace(t)
	fds := nstest.Descriptors(t)
	for range 3 {
		var l *lazy
		ns.Do(func() {
			l = userspaceLater(Options{Userspace: userspace.Options{TUNName: "later"}}.withDefaults().mixed())
		})
		_, err := ns.NL.LinkByName("later")
		require.Error(t, err)
		require.Empty(t, l.deviceName())
		require.Zero(t, l.stats())
		u, err := l.get()
		require.NoError(t, err)
		again, err := l.get()
		require.NoError(t, err)
		require.Same(t, u, again)
		require.Equal(t, "later", l.deviceName())
		_, err = ns.NL.LinkByName("later")
		require.NoError(t, err)
		c, err := u.Open(config, new(fakeHandler))
		require.NoError(t, err)
		require.Greater(t, c.ID(), uint16(lastKernelID))
		require.Equal(t, 1, l.stats().Calls)
		require.NoError(t, l.close())
		require.NoError(t, l.close())
		_, err = ns.NL.LinkByName("later")
		require.Error(t, err)
	}
	nstest.Eventually(t, "descriptors closed", func() bool { return nstest.Descriptors(t) <= fds+1 }) // of the runtime
}
