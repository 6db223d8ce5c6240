package kernel

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel/internal/driver"
)

func TestReport(t *testing.T) {
	yes := driver.Finding{Answer: driver.Supported}
	no := driver.Finding{Answer: driver.NotSupported, Err: errors.New("no such module"), Advice: "modprobe it"}
	unknown := driver.Finding{Err: errors.New("permission denied")}

	all := report(driver.Findings{PPTP: yes, PPP: yes, MPPE: yes, Rates: yes, Privileges: yes})
	require.NoError(t, all.Err(true))
	require.Equal(t, "privileges: supported\nPPP: supported\nPPTP driver: supported\nMPPE: supported\nrate limits: supported", all.String())

	some := report(driver.Findings{PPTP: no, PPP: yes, MPPE: unknown, Privileges: yes})
	err := some.Err(true)
	require.ErrorIs(t, err, gopptp.ErrNotSupported)
	require.EqualError(t, err, "kernel: PPTP driver: not supported: no such module (modprobe it); MPPE: could not tell: permission denied: unsupported operation")
	require.NotContains(t, some.Err(false).Error(), "MPPE", "which clear tunnels do not need")
	require.NoError(t, report(driver.Findings{PPTP: yes, PPP: yes, MPPE: no, Privileges: yes}).Err(false))
	require.NoError(t, report(driver.Findings{PPTP: yes, PPP: yes, MPPE: yes, Rates: no, Privileges: yes}).Err(true), "not all sessions have limits")
}

// Whatever the host is like, there is an answer about each ability, and a reason for
// each that is not yes.
func TestProbe(t *testing.T) {
	for _, a := range Probe().Abilities() {
		t.Log(a)
		require.NotEmpty(t, a.Name)
		require.Equal(t, a.Answer == Supported, a.Err == nil, "%v", a)
	}
}

func TestOptions(t *testing.T) {
	for _, good := range []Options{
		{}, {DeviceName: "vpn%d"}, {FirstCallID: 1, LastCallID: 1}, {LastCallID: 7}, {FirstCallID: 65535},
	} {
		require.NoError(t, good.Validate(), "%+v", good)
	}
	for field, bad := range map[string]Options{
		"DeviceName":  {DeviceName: "ppp0"},
		"FirstCallID": {FirstCallID: 9, LastCallID: 8},
	} {
		require.ErrorContains(t, bad.Validate(), "Options."+field)
		_, err := OpenDriver(nil, driver.Findings{}, bad)
		require.Error(t, err)
	}
	for _, name := range []string{"a/%d", "a %d", "%d%d", "%s%d", "an-unusually-long-%d", "%"} {
		o := Options{DeviceName: name}
		require.Error(t, o.Validate(), name)
	}
}
