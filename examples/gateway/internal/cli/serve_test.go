package cli

import (
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

func TestPlaneOptions(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	cfg, problems := config.Parse("gw.yaml", []byte(`
tun: vpn
mtu: 1400
mppe_key_lengths: [128, 40]
encryption: prefer
dataplane: {mode: kernel, device: vpn%d, workers: 2, xdp: off, offload: false, mss_clamp: false, batch: 16, ring: 256, receive_buffer: 1MiB, send_buffer: 512KiB}
`))
	require.Empty(t, problems)
	o := planeOptions(cfg, log)
	assert.Equal(t, dataplane.Options{
		Mode:      dataplane.Kernel,
		Needs:     dataplane.Needs{Encryption: gopptp.EncryptionPrefer, KeyLengths: mppe.AllowKey128 | mppe.AllowKey40},
		Kernel:    kernel.Options{DeviceName: "vpn%d"},
		Userspace: o.Userspace,
		Logger:    log,
	}, o)
	assert.Equal(t, userspace.Options{
		TUNName:       "vpn",
		MTU:           1400,
		Addresses:     []netip.Addr{netip.MustParseAddr("10.8.0.1")},
		Prefixes:      []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24")},
		NoMSSClamp:    true,
		ReceiveBuffer: 1 << 20,
		SendBuffer:    512 << 10,
		Workers:       2,
		Batch:         16,
		XDP:           userspace.XDPOff,
		Ring:          256,
		NoOffload:     true,
	}, o.Userspace)

	cfg, problems = config.Parse("gw.yaml", []byte("gre_flow_control: true\nipv6: {prefix: '2001:db8::/48'}\ndataplane: {xdp: on}\n"))
	require.Empty(t, problems)
	o = planeOptions(cfg, log)
	assert.True(t, o.Userspace.FlowControl)
	assert.Equal(t, userspace.XDPOn, o.Userspace.XDP)
	assert.True(t, o.Needs.IPv6)
}

func TestDefaultPlaneOptions(t *testing.T) {
	all := planeOptions(config.Default(), nil)
	assert.NoError(t, all.Validate())
	assert.Equal(t, dataplane.Auto, all.Mode)
	assert.Equal(t, dataplane.Needs{KeyLengths: mppe.AllowKey128}, all.Needs)
	o := all.Userspace
	assert.Equal(t, userspace.XDPAuto, o.XDP)
	assert.False(t, o.NoOffload)
	assert.False(t, o.NoMSSClamp)
	assert.Zero(t, o.Workers)
}

// What the configuration takes and what the library does are the same.
func TestPlaneLimits(t *testing.T) {
	for _, key := range []string{"workers", "batch", "ring", "receive_buffer", "send_buffer"} {
		unit, shift := "", 0
		if strings.HasSuffix(key, "buffer") {
			unit, shift = "KiB", 10
		}
		for _, n := range []int{1, 2, 63, 64, 65, 96, 128, 255, 256, 257, 1 << 16, 1<<16 + 1, 1 << 17, 1 << 20, 1<<20 + 1} {
			cfg, problems := config.Parse("gw.yaml", fmt.Appendf(nil, "dataplane: {%s: %d%s}", key, n, unit))
			o := userspace.Options{}
			field := map[string]*int{"workers": &o.Workers, "batch": &o.Batch, "ring": &o.Ring, "receive_buffer": &o.ReceiveBuffer, "send_buffer": &o.SendBuffer}[key]
			*field = n << shift
			err := o.Validate()
			assert.Equal(t, err != nil, len(problems) > 0, "%s: %d%s: %v, %v", key, n, unit, err, problems)
			if err == nil {
				o = userspaceOptions(cfg)
				assert.NoError(t, o.Validate())
			}
		}
	}
}
