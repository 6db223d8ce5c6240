package cli

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/loadgen/internal/load"
	"github.com/gopptp/gopptp/examples/loadgen/internal/traffic"
	"github.com/gopptp/gopptp/ppp"
)

// The test binary is also the program.
func TestMain(m *testing.M) {
	if os.Getenv("LOADGEN") != "" {
		os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// parse runs a command line up to the point where it would dial.
func parse(t *testing.T, args string) (o *load.Options, err error) {
	t.Helper()
	t.Setenv(passwordVariable, "correct horse") // reading it removes it
	cmd := command(func(_ string, f *flags) error {
		o, err = f.options(strings.NewReader(""))
		return err
	})
	cmd.SetArgs(append(strings.Fields(args), "127.0.0.1"))
	return o, cmd.Execute()
}

func TestOptions(t *testing.T) {
	o, err := parse(t, "-n 5000 -r 250.5 --ramp 5s -d 3m --hold 1m --churn 0.02 --redial=false --backoff 2s --max-backoff 1m --timeout 9s "+
		"--user CORP\\u%d --encryption prefer --auth eap --echo-interval 1m --traffic idle=3,bulk=1 --bulk-rate 2.5M --via udp --port 9000 --to 10.1.2.3")
	require.NoError(t, err)
	hash := chap.NTPasswordHash("correct horse")
	require.Equal(t, load.User{Name: `CORP\u7`, NTHash: &hash}, o.User(6))
	o.User = nil
	require.Equal(t, &load.Options{
		Tunnels: 5000, Rate: 250.5, Ramp: 5 * time.Second, Duration: 3 * time.Minute, Hold: time.Minute, Churn: 0.02,
		Backoff: 2 * time.Second, MaxBackoff: time.Minute, MaxDialling: 4096, Timeout: 9 * time.Second,
		Client: gopptp.ClientConfig{
			Encryption: gopptp.EncryptionPrefer, AuthMethods: []ppp.AuthMethod{ppp.AuthEAP}, EchoInterval: time.Minute,
			Routes: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")},
		},
		Mix: traffic.Mix{
			Share: [traffic.Kinds]int{traffic.Idle: 3, traffic.Bulk: 1}, SmallRate: 50, LargeRate: 10, BulkRate: 2.5e6,
			Via: traffic.UDP, Port: 9000, To: netip.MustParseAddr("10.1.2.3"),
		},
	}, o)
	_, left := os.LookupEnv(passwordVariable)
	require.False(t, left, "the environment is inherited")
}

func TestUsersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	require.NoError(t, os.WriteFile(file, []byte("# names\nalice one\n\nbob\ttwo words \n"), 0o600))
	o, err := parse(t, "--users-file "+file)
	require.NoError(t, err)
	one, two := chap.NTPasswordHash("one"), chap.NTPasswordHash("two words")
	for i, want := range []load.User{{Name: "alice", NTHash: &one}, {Name: "bob", NTHash: &two}, {Name: "alice", NTHash: &one}} {
		require.Equal(t, want, o.User(i))
	}
	// PAP has no use for a hash.
	o, err = parse(t, "--auth pap --encryption deny --users-file "+file)
	require.NoError(t, err)
	require.Equal(t, load.User{Name: "alice", Password: "one"}, o.User(0))
}

func TestUsage(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	odd := filepath.Join(t.TempDir(), "odd")
	require.NoError(t, os.WriteFile(odd, []byte("alice\n"), 0o600))
	t.Setenv(passwordVariable, "hunter2")
	for _, c := range []struct{ args, want string }{
		{"", "needs one HOST, not 0"},
		{"a b", "needs one HOST, not 2"},
		{"-n 0 a", "--tunnels: 0 is not from 1 to 1000000"},
		{"-r 0 a", "--rate: 0 is not above 0, or above 100000"},
		{"-r NaN a", "--rate: NaN is not above 0, or above 100000"},
		{"-d 0s a", "--duration: 0s is not from 1s to a week"},
		{"-d 10s --ramp 11s a", "--ramp: 11s is not within --duration"},
		{"--hold 10ms a", "--hold: 10ms is neither 0 nor from 1s"},
		{"--churn 1.5 a", "--churn: 1.5 is not from 0 to 1"},
		{"--backoff 40s a", "--backoff: 40s is below 10ms or above --max-backoff"},
		{"--timeout 0s a", "--timeout: 0s is below 1s"},
		{"--max-dialling 0 a", "--max-dialling: 0 is below 1"},
		{"--echo-interval 1ms a", "--echo-interval: 1ms is below 1s"},
		{"--add-sources a", "--add-sources needs --source"},
		{"--source here a", `--source: "here" is not an IPv4 address or a network like 10.1.0.0/16`},
		{"--xdp yes a", `--xdp: "yes" is not one of auto, on, off`},
		{"--workers 65 a", "--workers: 65 is neither 0 nor from 1 to 64"},
		{"--encryption yes a", `--encryption: "yes" is not one of require, prefer, allow, deny`},
		{"--auth mschap a", `--auth: "mschap" is not one of ms-chapv2, ms-chapv1, chap-md5, pap, eap`},
		{"--auth pap a", "--auth: there are no keys from pap for the MPPE that --encryption require demands"},
		{"--traffic ping=0 a", `--traffic: "ping=0" is not a share, like ping=20`},
		{"--traffic ping=1,ping=2 a", "--traffic: ping is there twice"},
		{"--traffic web=1 a", `--traffic: "web" is not one of idle, ping, small, large, bulk`},
		{"--via tcp a", `--via: "tcp" is not one of icmp, udp, sink`},
		{"--port 0 a", "--port: 0 is none"},
		{"--bulk-rate 1 a", `--bulk-rate: "1" is not a rate from 1k to 10G`},
		{"--bulk-rate 1T a", `--bulk-rate: "1T" is not a rate from 1k to 10G`},
		{"--small-rate 0 a", "--small-rate: 0 is not from 0.01 to 100000"},
		{"--to ::1 a", `--to: "::1" is not an IPv4 address`},
		{"--user u%s a", `--user: "u%s" is not a name in which %d may stand for the client's number`},
		{"--users-file /nowhere a", "--users-file: /nowhere: no such file or directory"},
		{"--users-file " + empty + " a", "--users-file: has no users"},
		{"--users-file " + odd + " a", "--users-file: line 1 is not a name and a password"},
		{"--users-file x --password-file y a", "--users-file and --password-file exclude each other"},
		{"--password hunter2 a", "unknown flag: --password"},
	} {
		var stdout, stderr strings.Builder
		require.Equal(t, usage, Main(strings.Fields(c.args), strings.NewReader(""), &stdout, &stderr), c.args)
		require.Equal(t, "loadgen: "+c.want+"; see loadgen --help\n", stderr.String())
	}
	os.Unsetenv(passwordVariable)
	var stdout, stderr strings.Builder
	require.Equal(t, usage, Main([]string{"a"}, strings.NewReader(""), &stdout, &stderr))
	require.Contains(t, stderr.String(), "a password is missing: --password-file, --users-file or GOPPTP_PASSWORD")
}

func TestHelp(t *testing.T) {
	var stdout, stderr strings.Builder
	require.Zero(t, Main([]string{"--help"}, nil, &stdout, &stderr))
	require.Contains(t, stdout.String(), codeTable())
	cmd := command(nil)
	require.NotEmpty(t, cmd.Flags().Lookup("i-have-permission-of").Usage)
}

func TestParseHost(t *testing.T) {
	lookup := func(_ context.Context, network, name string) ([]netip.Addr, error) {
		require.Equal(t, "ip4", network)
		if name == "vpn.example.com" {
			return []netip.Addr{netip.MustParseAddr("::ffff:192.0.2.7")}, nil
		}
		return nil, errors.New("no such host")
	}
	for _, c := range []struct{ host, want, problem string }{
		{"192.0.2.1", "192.0.2.1:1723", ""},
		{"192.0.2.1:1724", "192.0.2.1:1724", ""},
		{"vpn.example.com", "192.0.2.7:1723", ""},
		{"vpn.example.com:99", "192.0.2.7:99", ""},
		{"elsewhere", "", "no such host"},
		{"192.0.2.1:0", "", `"0" is not a port`},
		{"192.0.2.1:x", "", `"x" is not a port`},
		{"192.0.2.1:65536", "", `"65536" is not a port`},
	} {
		got, err := parseHost(t.Context(), c.host, lookup)
		if c.problem != "" {
			require.EqualError(t, err, c.problem)
			require.Equal(t, usage, codeOf(err))
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.want, got.String())
	}
}

// Nothing is sent to who has not agreed. The addresses are for documentation, or
// public; the second is refused in any namespace.
func TestRefusal(t *testing.T) {
	for _, host := range []string{"192.0.2.1", "8.8.8.8"} {
		if host != "8.8.8.8" && !ownNetwork(t) {
			continue
		}
		t.Setenv(passwordVariable, "correct horse")
		var stdout, stderr strings.Builder
		require.Equal(t, refused, Main([]string{host}, nil, &stdout, &stderr))
		require.Contains(t, stderr.String(), host+" is not loaded")
		require.Contains(t, stderr.String(), "--i-have-permission-of OWNER")
		require.Empty(t, stdout.String())
	}
}
