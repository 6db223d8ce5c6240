package dataplane

import (
	"encoding"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

var (
	_ encoding.TextMarshaler   = Mode(0)
	_ encoding.TextUnmarshaler = new(Mode)
)

func TestMode(t *testing.T) {
	for text, want := range map[string]Mode{"auto": Auto, "kernel": Kernel, "userspace": Userspace} {
		var m Mode
		require.NoError(t, m.UnmarshalText([]byte(text)))
		require.Equal(t, want, m)
		require.Equal(t, text, m.String())
		b, err := m.MarshalText()
		require.NoError(t, err)
		require.Equal(t, text, string(b))
	}
	m := Kernel
	require.ErrorContains(t, m.UnmarshalText([]byte("xdp")), `"xdp" is not one of`)
	require.Equal(t, Kernel, m)
	require.Equal(t, "data plane mode 3", Mode(3).String())
}

func TestOptionsValidate(t *testing.T) {
	kernelRange := func(first, last uint16) kernel.Options {
		return kernel.Options{FirstCallID: first, LastCallID: last}
	}
	userRange := func(first, last uint16) userspace.Options {
		return userspace.Options{FirstCallID: first, LastCallID: last}
	}
	for name, o := range map[string]Options{
		"zero":          {},
		"ranges":        {Kernel: kernelRange(0, 1000), Userspace: userRange(1001, 0)},
		"other ranges":  {Kernel: kernelRange(1001, 0), Userspace: userRange(0, 1000)},
		"one of a kind": {NoSpill: true, Kernel: kernelRange(0, 1000)},
		"one plane":     {Mode: Userspace, Userspace: userRange(0, 1000)},
	} {
		require.NoError(t, o.Validate(), name)
	}
	for name, c := range map[string]struct {
		o    Options
		text string
	}{
		"mode":      {Options{Mode: 3}, "dataplane: Options.Mode: "},
		"kernel":    {Options{Kernel: kernel.Options{DeviceName: "ppp0"}}, "kernel: Options.DeviceName: "},
		"userspace": {Options{Userspace: userspace.Options{MTU: 1}}, "userspace: Options.MTU: "},
		"overlap":   {Options{Kernel: kernelRange(0, 1000), Userspace: userRange(1000, 0)}, "overlap"},
		"the rest":  {Options{Kernel: kernelRange(0, 1000)}, "overlap"},
		"first":     {Options{Userspace: userRange(0, 1000)}, "overlap"},
	} {
		require.ErrorContains(t, c.o.Validate(), c.text, name)
		_, err := Open(c.o)
		require.Equal(t, c.o.Validate(), err, name)
	}
	o := Options{}.mixed()
	require.NoError(t, o.Validate())
	require.EqualValues(t, 49151, o.Kernel.LastCallID)
	require.EqualValues(t, 49152, o.Userspace.FirstCallID)
	o = Options{Kernel: kernelRange(0, 1000), Userspace: userRange(1001, 0)}
	require.Equal(t, o, o.mixed())
}

// The kernel is chosen if it has all that sessions may need, and is not asked if it
// cannot.
func TestAgainst(t *testing.T) {
	supported := kernel.Ability{Answer: kernel.Supported}
	missing := kernel.Ability{Name: "MPPE", Answer: kernel.NotSupported, Err: errors.New("there is none"), Advice: "modprobe it"}
	all := kernel.Report{PPTP: supported, PPP: supported, MPPE: supported, Privileges: supported}
	noMPPE := all
	noMPPE.MPPE = missing
	noPPTP := all
	noPPTP.PPTP = kernel.Ability{Name: "PPTP driver"}
	for name, c := range map[string]struct {
		o      Options
		report kernel.Report
		asks   bool
		text   string // empty: the kernel will do
	}{
		"all there":             {Options{}, all, true, ""},
		"no MPPE":               {Options{}, noMPPE, true, "MPPE: not supported: there is none (modprobe it)"},
		"no MPPE, and no need":  {Options{Needs: Needs{Encryption: gopptp.EncryptionDeny}}, noMPPE, true, ""},
		"no MPPE, but a chance": {Options{Needs: Needs{Encryption: gopptp.EncryptionAllow}}, noMPPE, true, "MPPE: "},
		"could not tell":        {Options{}, noPPTP, true, "PPTP driver: could not tell"},
		"40 bits":               {Options{Needs: Needs{KeyLengths: mppe.AllowKey40}}, all, true, ""},
		"56 bits too":           {Options{Needs: Needs{KeyLengths: mppe.AllKeyLengths}}, all, true, ""},
		"56 bits, and no spill": {Options{Needs: Needs{KeyLengths: mppe.AllKeyLengths}, NoSpill: true}, all, false, "MPPE with keys of 56 bits"},
		"56 bits above all":     {Options{Needs: Needs{KeyLengths: mppe.AllowKey56 | mppe.AllowKey40}}, all, false, "MPPE with keys of 56 bits"},
		"56 bits, but no MPPE":  {Options{Needs: Needs{KeyLengths: mppe.AllowKey56, Encryption: gopptp.EncryptionDeny}}, all, true, ""},
		"AF_XDP":                {Options{Userspace: userspace.Options{XDP: userspace.XDPOn}}, all, false, "no AF_XDP"},
		"IPv6 and flow control": {
			Options{Needs: Needs{IPv6: true}, Userspace: userspace.Options{FlowControl: true}}, all, false,
			"the kernel has no IPv6 and no flow control for tunnels",
		},
	} {
		asked := false
		o := c.o.withDefaults()
		err := o.against(func() kernel.Report { asked = true; return c.report })
		require.Equal(t, c.asks, asked, name)
		if c.text == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.text, name)
		require.ErrorIs(t, err, gopptp.ErrNotSupported, name)
	}
}
