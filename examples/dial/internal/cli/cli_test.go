package cli

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/dial/internal/explain"
	"github.com/gopptp/gopptp/examples/dial/internal/tunnel"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/userspace"
)

// parse runs a command line up to the point where it would dial.
func parse(args []string, stdin string) (o *tunnel.Options, err error) {
	cmd := command(func(host string, f *flags) error {
		o, err = f.options(host, strings.NewReader(stdin))
		return err
	})
	cmd.SetArgs(args)
	return o, cmd.Execute()
}

func TestOptions(t *testing.T) {
	t.Setenv(passwordVariable, "correct horse")
	o, err := parse([]string{"--user", `CORP\alice`, "--route", "192.168.7.0/24", "--route", "10.1.2.3", "--encryption", "prefer",
		"--mtu", "1400", "--tun", "vpn0", "--timeout", "5s", "--for", "2s", "--echo-interval", "20s", "--dns", "vpn.example.com:1724"}, "")
	require.NoError(t, err)
	hash := chap.NTPasswordHash("correct horse")
	assert.Equal(t, &tunnel.Options{
		Host:    "vpn.example.com:1724",
		Timeout: 5 * time.Second,
		For:     2 * time.Second,
		Client: gopptp.ClientConfig{
			User: `CORP\alice`, NTHash: &hash, Encryption: gopptp.EncryptionPrefer, MTU: 1400,
			AuthMethods: []ppp.AuthMethod{ppp.AuthMSCHAPv2}, KeyLengths: mppe.AllowKey128, EncryptionModes: mppe.AllowStateless,
			Routes:     []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24"), netip.MustParsePrefix("10.1.2.3/32")},
			RequestDNS: true, RequestNBNS: true,
			EchoInterval: 20 * time.Second, EchoFailures: gopptp.DefaultEchoFailures,
		},
	}, o)
	_, left := os.LookupEnv(passwordVariable)
	assert.False(t, left, "the environment is inherited")
}

func TestPlaneOptions(t *testing.T) {
	var got dataplane.Options
	strong := dataplane.Needs{KeyLengths: mppe.AllowKey128}
	for _, c := range []struct {
		args string
		want dataplane.Options
	}{
		{"", dataplane.Options{Needs: strong}},
		{"--tun vpn0 --mtu 1400 --xdp off --workers 1", dataplane.Options{
			Mode: dataplane.Userspace, Needs: strong,
			Userspace: userspace.Options{TUNName: "vpn0", MTU: 1400, XDP: userspace.XDPOff, Workers: 1},
		}},
		{"--xdp on --dataplane userspace", dataplane.Options{
			Mode: dataplane.Userspace, Needs: strong, Userspace: userspace.Options{XDP: userspace.XDPOn},
		}},
		{"--dataplane kernel --ipv6 --encryption allow --mppe-keys 56,40", dataplane.Options{
			Mode:  dataplane.Kernel,
			Needs: dataplane.Needs{Encryption: gopptp.EncryptionAllow, KeyLengths: mppe.AllowKey56 | mppe.AllowKey40, IPv6: true},
		}},
	} {
		cmd := command(func(host string, f *flags) error {
			o, err := f.options(host, nil)
			if err == nil {
				got = f.plane.options(&o.Client, nil)
			}
			return err
		})
		cmd.SetArgs(append(strings.Fields(c.args), "-u", "alice", "vpn"))
		t.Setenv(passwordVariable, "correct horse") // reading it removes it
		require.NoError(t, cmd.Execute(), c.args)
		assert.Equal(t, c.want, got, c.args)
	}
}

func TestPassword(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	want := chap.NTPasswordHash(" correct horse")
	for _, c := range []struct {
		name  string
		flags []string
		stdin string
	}{
		{"file", []string{"--password-file", file("a", " correct horse\nnot this\n")}, ""},
		{"file of DOS", []string{"--password-file", file("b", " correct horse\r\n")}, ""},
		{"file without a line's end", []string{"--password-file", file("c", " correct horse")}, ""},
		{"standard input", []string{"--password-file", "-"}, " correct horse\n"},
	} {
		o, err := parse(append(c.flags, "-u", "alice", "vpn"), c.stdin)
		require.NoError(t, err, c.name)
		assert.Equal(t, want, *o.Client.NTHash, c.name)
	}
	o, err := parse([]string{"-u", "alice", "vpn", "--nt-hash-file", file("h", "0123456789abcdef0123456789abcdef \n")}, "")
	require.NoError(t, err)
	assert.Equal(t, byte(0x23), o.Client.NTHash[1])
}

// The password itself is used where a hash of it is not enough, and nowhere else.
func TestSecurity(t *testing.T) {
	dir := t.TempDir()
	password, hash := filepath.Join(dir, "password"), filepath.Join(dir, "hash")
	require.NoError(t, os.WriteFile(password, []byte("hunter2\n"), 0o600))
	require.NoError(t, os.WriteFile(hash, []byte("0123456789abcdef0123456789abcdef\n"), 0o600))
	const short = mppe.AllowKey40 | mppe.AllowKey56
	for _, c := range []struct {
		args    string
		methods []ppp.AuthMethod
		lengths mppe.KeyLengths
		modes   mppe.Modes
		clear   bool
		noHash  string // the usage error with --nt-hash-file
	}{
		{"", []ppp.AuthMethod{ppp.AuthMSCHAPv2}, mppe.AllowKey128, mppe.AllowStateless, false, ""},
		{"--auth ms-chapv2,eap,ms-chapv1 --mppe-modes stateful,stateless",
			[]ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthEAP, ppp.AuthMSCHAPv1}, mppe.AllowKey128, mppe.AllowStateful | mppe.AllowStateless, false, ""},
		{"--auth eap --mppe-keys 40,56 --mppe-modes stateful", []ppp.AuthMethod{ppp.AuthEAP}, short, mppe.AllowStateful, false, ""},
		{"--auth ms-chapv1 --mppe-keys 40,128", []ppp.AuthMethod{ppp.AuthMSCHAPv1}, mppe.AllowKey40 | mppe.AllowKey128, mppe.AllowStateless, true, ""},
		{"--auth ms-chapv1 --mppe-keys 40,56", []ppp.AuthMethod{ppp.AuthMSCHAPv1}, short, mppe.AllowStateless, true,
			"--nt-hash-file: ms-chapv1 with keys shorter than 128 bits needs the password itself"},
		{"--auth eap,pap", []ppp.AuthMethod{ppp.AuthEAP, ppp.AuthPAP}, mppe.AllowKey128, mppe.AllowStateless, true,
			"--nt-hash-file: pap needs the password itself"},
		{"--auth chap-md5 --encryption prefer", []ppp.AuthMethod{ppp.AuthCHAPMD5}, mppe.AllowKey128, mppe.AllowStateless, true,
			"--nt-hash-file: chap-md5 needs the password itself"},
	} {
		args := append(strings.Fields(c.args), "-u", "alice", "vpn")
		o, err := parse(append(args, "--password-file", password), "")
		require.NoError(t, err, c.args)
		assert.Equal(t, c.methods, o.Client.AuthMethods, c.args)
		assert.Equal(t, c.lengths, o.Client.KeyLengths, c.args)
		assert.Equal(t, c.modes, o.Client.EncryptionModes, c.args)
		assert.Equal(t, c.clear, o.Client.Password == "hunter2", c.args)
		assert.Equal(t, c.clear, o.Client.NTHash == nil, c.args)

		o, err = parse(append(args, "--nt-hash-file", hash), "")
		if c.noHash != "" {
			assert.EqualError(t, err, c.noHash)
			continue
		}
		require.NoError(t, err, c.args)
		assert.NotNil(t, o.Client.NTHash)
		assert.Empty(t, o.Client.Password)
	}
}

func TestUsage(t *testing.T) {
	t.Setenv(passwordVariable, "hunter2")
	hash := filepath.Join(t.TempDir(), "hash")
	require.NoError(t, os.WriteFile(hash, []byte("hunter2\n"), 0o600))
	for _, c := range []struct{ args, want string }{
		{"", "needs one HOST, not 0"},
		{"-u alice a b", "needs one HOST, not 2"},
		{"vpn", "--user is missing"},
		{"-u alice --password hunter2 vpn", "unknown flag: --password"},
		{"-u alice --mtu 100 vpn", "--mtu: 100 is neither 0 nor from 576 to 1500"},
		{"-u alice --echo-interval 900ms vpn", "--echo-interval: 900ms is less than 1s"},
		{"-u alice --echo-failures 0 vpn", "--echo-failures: 0 is less than 1"},
		{"-u alice --timeout 0s vpn", "--timeout: 0s is not a time to wait"},
		{"-u alice --for -1s vpn", "--for: -1s is negative"},
		{"-u alice --tun a/b vpn", `--tun: "a/b" cannot be the name of a network device`},
		{"-u alice --dataplane fast vpn", `--dataplane: "fast" is not one of auto, kernel, userspace`},
		{"-u alice --dataplane kernel --tun vpn0 vpn", "--tun: the kernel names its devices pppN; --dataplane userspace has a TUN device"},
		{"--probe a b", "needs one HOST, not 2"},
		{"-u alice --xdp native vpn", `--xdp: "native" is not one of auto, on, off`},
		{"-u alice --workers 65 vpn", "--workers: 65 is neither 0 nor from 1 to 64"},
		{"-u alice --workers -1 vpn", "--workers: -1 is neither 0 nor from 1 to 64"},
		{"-u alice --encryption yes vpn", `--encryption: "yes" is not one of require, prefer, allow, deny`},
		{"-u alice --auth mschap vpn", `--auth: "mschap" is not one of ms-chapv2, ms-chapv1, chap-md5, pap, eap`},
		{"-u alice --auth pap,pap vpn", "--auth: pap is there twice"},
		{"-u alice --auth= vpn", `--auth: "" is not one of ms-chapv2, ms-chapv1, chap-md5, pap, eap`},
		{"-u alice --auth pap,chap-md5 vpn", "--auth: there are no keys from pap or chap-md5 for the MPPE that --encryption require demands"},
		{"-u alice --mppe-keys 128,64 vpn", `--mppe-keys: "64" is not one of 128, 56, 40`},
		{"-u alice --mppe-modes stateless,stateless vpn", "--mppe-modes: stateless is there twice"},
		{"-u alice --mppe-modes both vpn", `--mppe-modes: "both" is not one of stateless, stateful`},
		{"-u alice --route fd00::/8 vpn", "--route: fd00::/8 needs --ipv6"},
		{"-u alice --route fd00::1 vpn", "--route: fd00::1/128 needs --ipv6"},
		{"-u alice --route here vpn", `--route: "here" is not a network, like 192.168.7.0/24`},
		{"-u alice --ipv6 --mtu 1279 vpn", "--mtu: 1279 is below 1280, which --ipv6 needs"},
		{"-u alice --password-file /nowhere vpn", "--password-file: /nowhere: no such file or directory"},
		{"-u alice --password-file a --nt-hash-file b vpn", "--password-file and --nt-hash-file exclude each other"},
		{"-u alice --nt-hash-file " + hash + " vpn", "--nt-hash-file: its first line is not 32 hexadecimal digits"},
	} {
		var stdout, stderr strings.Builder
		code := Main(strings.Fields(c.args), strings.NewReader(""), &stdout, &stderr)
		assert.Equal(t, int(explain.Usage), code, c.args)
		assert.Equal(t, "dial: "+c.want+"; see dial --help\n", stderr.String())
		assert.NotContains(t, strings.Replace(stderr.String(), "--password", "", 1), "hunter2")
	}
	os.Unsetenv(passwordVariable)
	_, err := parse([]string{"-u", "alice", "vpn"}, "")
	assert.EqualError(t, err, "a password is missing: --password-file, --nt-hash-file or GOPPTP_PASSWORD")
}

func TestHelpHasExitCodes(t *testing.T) {
	var stdout, stderr strings.Builder
	assert.Zero(t, Main([]string{"--help"}, nil, &stdout, &stderr))
	assert.Contains(t, stdout.String(), explain.Table())
}

func TestProbe(t *testing.T) {
	var stdout, stderr strings.Builder
	assert.Zero(t, Main([]string{"--probe"}, nil, &stdout, &stderr))
	assert.Equal(t, kernel.Probe().String()+"\n", stdout.String())
	assert.Empty(t, stderr.String())
}
