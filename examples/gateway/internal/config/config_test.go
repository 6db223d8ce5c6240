package config

import (
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/hours"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

const example = "../../gateway.example.yaml"

// parse returns the configuration in text, which must be without a problem.
func parse(t *testing.T, text string) *Config {
	t.Helper()
	cfg, problems := Parse("gw.yaml", []byte(text))
	require.Empty(t, problems)
	return cfg
}

func TestExampleIsDefaults(t *testing.T) {
	text, err := os.ReadFile(example)
	require.NoError(t, err)
	got, want := parse(t, string(text)), Default()
	got.source = want.source
	assert.Equal(t, want, got)
}

func TestDefaultsAreTheLibrarys(t *testing.T) {
	d := Default()
	assert.Equal(t, gopptp.Limits{
		MaxSessions:        gopptp.DefaultMaxSessions,
		MaxHalfOpen:        gopptp.DefaultMaxHalfOpen,
		MaxPerSource:       gopptp.DefaultMaxPerSource,
		MaxCalls:           gopptp.DefaultMaxCalls,
		Connections:        gopptp.Rate{PerSecond: math.Inf(1)},
		MaxAuthentications: gopptp.DefaultMaxAuthentications,
		MaxAuthWaiting:     gopptp.DefaultMaxAuthWaiting,
		AuthWait:           gopptp.DefaultAuthWait,
		HandshakeTimeout:   gopptp.DefaultHandshakeTimeout,
		SetupTimeout:       gopptp.DefaultSetupTimeout,
		GRETimeout:         gopptp.DefaultGRETimeout,
	}, d.Limits.Server())
	assert.Equal(t, Echo{Interval: gopptp.DefaultEchoInterval, Failures: gopptp.DefaultEchoFailures}, d.Echo)
	assert.Equal(t, gopptp.DefaultName, d.Name)
}

// Every key of Config is in the example: those of lists of structs in its
// comments, all others set.
func TestExampleHasEveryKey(t *testing.T) {
	text, err := os.ReadFile(example)
	require.NoError(t, err)
	set := parse(t, string(text)).source.lines
	var walk func(t reflect.Type, prefix string)
	walk = func(typ reflect.Type, prefix string) {
		for i := range typ.NumField() {
			field := typ.Field(i)
			name, ok := field.Tag.Lookup("yaml")
			if field.Anonymous {
				walk(field.Type, prefix)
				continue
			}
			if !ok {
				assert.False(t, field.IsExported(), "%s has no key", field.Name)
				continue
			}
			assert.Contains(t, set, prefix+name, "key is missing in the example")
			if _, scalar := scalars[field.Type]; scalar {
				continue
			}
			switch {
			case field.Type.Kind() == reflect.Struct:
				walk(field.Type, prefix+name+".")
			case field.Type.Kind() == reflect.Slice && hasKeys(field.Type.Elem()):
				list := commented(string(text), prefix+name)
				_, keys := fieldsOf(field.Type.Elem())
				for _, key := range keys {
					assert.Regexp(t, `(?m)^#  (-| ) `+key+`: `, list, name)
				}
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

// commented returns the lines of a list in the example that is commented out, as if it
// were in no section.
func commented(text, list string) string {
	if section, name, nested := strings.Cut(list, "."); nested {
		_, text, _ = strings.Cut(text, "\n"+section+":\n")
		text, list = regexp.MustCompile(`(?m)^  #`).ReplaceAllString(text, "#"), name
	}
	return regexp.MustCompile(`(?m)^#` + list + `:\n(#  .*\n)*`).FindString(text)
}

// What is commented out in the example is valid.
func TestExampleComments(t *testing.T) {
	text, err := os.ReadFile(example)
	require.NoError(t, err)
	active := string(text)
	for _, list := range []string{"pools", "users", "groups"} {
		comment := commented(active, list)
		require.NotEmpty(t, comment, list)
		active = regexp.MustCompile(`(?m)^`+list+`:.*\n(  - .*\n)*`).ReplaceAllString(active, "")
		active = strings.Replace(active, comment, strings.ReplaceAll(comment[1:], "\n#", "\n"), 1)
	}
	cfg := parse(t, active)
	require.Len(t, cfg.Pools, 2)
	assert.Equal(t, "overflow", cfg.Pools[0].Next)
	require.Len(t, cfg.Groups, 1)
	assert.Equal(t, "[Mon,Tue,Wed,Thu,Fri 07:00-20:00 Sat 09:00-13:00]", fmt.Sprint(cfg.Groups[0].Hours))
	require.Len(t, cfg.Users, 3)
	assert.Equal(t, "staff", cfg.Users[2].Group)
	assert.Equal(t, "overflow", cfg.Users[2].Pool)
	assert.Equal(t, Octets(20<<30), cfg.Users[2].Quota)
	assert.Equal(t, gopptp.BitRate{BitsPerSecond: 20e6}, cfg.Users[2].Rates().ToPeer)
	assert.Equal(t, Secret("correct horse"), *cfg.Users[0].Password)
	assert.Equal(t, netip.MustParseAddr("10.8.0.20"), cfg.Users[1].Address)
	assert.NotNil(t, cfg.Users[1].NTHash)
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")}, cfg.Users[1].Routes)
}

func TestEverythingSet(t *testing.T) {
	cfg := parse(t, `
listen: [192.0.2.1:1723, 192.0.2.2:1723]
name: vpn.example.com
local_address: 10.9.0.1
pools: [10.9.1.0/30, 10.9.2.10-10.9.2.12, 10.9.3.1-9]
dns: [10.9.0.53]
wins: [10.9.0.54, 10.9.0.55]
ipv6: {prefix: "2001:db8:1::/48", dns: ["2001:db8::53"]}
auth_methods: [ms-chapv2, MS-CHAPv1, chap-md5, pap, eap]
encryption: prefer
mppe_key_lengths: [40, 128, 56]
mppe_modes: [stateful, stateless]
mtu: 1_400
secrets_file: chap-secrets
users:
  - {name: 'CORP\bob', nt_hash: 0123456789ABCDEF0123456789abcdef}
  - name: "007"
    password: 0123
    group: staff
    pool: default
    max_sessions: 3
groups:
  - {name: staff, pool: default, denied_sources: [192.0.2.0/24], rate_to_peer: 512k}
policy:
  max_sessions: 1
  on_excess: replace
  max_sessions_per_source: 20
  sources: [198.51.100.0/24, 203.0.113.7/32]
  denied_sources: [198.51.100.128/25]
  hours: [Mon-Fri 08:00-18:00]
  time_zone: UTC
  session_timeout: 8h
  idle_timeout: 10m
  rate_from_peer: 10M
  rate_to_peer: 1G
  quota: 2TiB
echo: {interval: 1m30s, failures: 2}
limits:
  sessions: 10
  half_open: 20
  per_source: 30
  calls: 5
  connections: 60/s burst 70
  source_connections: unlimited
  authentications: 40
  authentications_waiting: 50
  authentication_wait: 4s
  handshake_timeout: 1s
  setup_timeout: 2s
  gre_timeout: 1500ms
tun: vpn
gre_flow_control: true
dataplane:
  mode: userspace
  device: vpn%d
  workers: 2
  xdp: off
  offload: false
  mss_clamp: false
  batch: 16
  ring: 256
  receive_buffer: 512KiB
  send_buffer: 1GiB
loops: 3
stop_timeout: 0s
admin: {listen: "unix:/run/gopptp/admin.sock"}
metrics: {listen: ['192.0.2.1:9723'], full_is_ready: true}
log: {level: debug, format: json, output: syslog, syslog: "udp://192.0.2.5:514"}
`)
	password, hash := Secret("0123"), chap.NTHash{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}
	office, err := hours.Parse("Mon-Fri 08:00-18:00")
	require.NoError(t, err)
	addr := netip.MustParseAddr
	want := &Config{
		Listen:       []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1723"), netip.MustParseAddrPort("192.0.2.2:1723")},
		Name:         "vpn.example.com",
		LocalAddress: addr("10.9.0.1"),
		Pools: []Pool{
			plainPool(Range{Range: gopptp.PoolRange{First: addr("10.9.1.1"), Last: addr("10.9.1.2")}, network: netip.MustParsePrefix("10.9.1.0/30")}),
			plainPool(Range{Range: gopptp.PoolRange{First: addr("10.9.2.10"), Last: addr("10.9.2.12")}}),
			plainPool(Range{Range: gopptp.PoolRange{First: addr("10.9.3.1"), Last: addr("10.9.3.9")}}),
		},
		DNS:            []netip.Addr{addr("10.9.0.53")},
		WINS:           []netip.Addr{addr("10.9.0.54"), addr("10.9.0.55")},
		IPv6:           IPv6{IPv6Network{netip.MustParsePrefix("2001:db8:1::/48")}, []IPv6Addr{{addr("2001:db8::53")}}},
		AuthMethods:    []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1, ppp.AuthCHAPMD5, ppp.AuthPAP, ppp.AuthEAP},
		Encryption:     gopptp.EncryptionPrefer,
		MPPEKeyLengths: []mppe.KeyLength{mppe.Key40, mppe.Key128, mppe.Key56},
		MPPEModes:      []MPPEMode{MPPEStateful, MPPEStateless},
		MTU:            1400,
		SecretsFile:    "chap-secrets",
		Users:          []User{{Name: `CORP\bob`, NTHash: &hash}, {Name: "007", Password: &password, Group: "staff", Pool: "default", Rules: Rules{MaxSessions: 3}}},
		Groups: []Group{{
			Name: "staff", Pool: "default", DeniedSources: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			Rules: Rules{RateToPeer: 512e3},
		}},
		Policy: Policy{
			Rules: Rules{
				MaxSessions:    1,
				Sources:        []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.7/32")},
				Hours:          []hours.Window{office},
				SessionTimeout: 8 * time.Hour,
				IdleTimeout:    10 * time.Minute,
				RateFromPeer:   10e6,
				RateToPeer:     1e9,
				Quota:          2 << 40,
			},
			OnExcess:      ExcessReplace,
			MaxPerSource:  20,
			DeniedSources: []netip.Prefix{netip.MustParsePrefix("198.51.100.128/25")},
			TimeZone:      time.UTC,
		},
		Echo:        Echo{Interval: 90 * time.Second, Failures: 2},
		Database:    defaultDatabase(), // has a test of its own
		RADIUS:      defaultRADIUS(),
		DynAuth:     defaultDynAuth(),
		Accounting:  defaultAccounting(), // so does this
		Bans:        defaultBans(),       // and this
		Firewall:    defaultFirewall(),   // and this
		Limits:      Limits{10, 20, 30, 5, Rate{60, 70}, Rate{PerSecond: math.Inf(1)}, 40, 50, 4 * time.Second, time.Second, 2 * time.Second, 1500 * time.Millisecond},
		TUN:         "vpn",
		FlowControl: true,
		Dataplane:   Dataplane{Mode: dataplane.Userspace, Device: "vpn%d", Workers: 2, XDP: XDPOff, Batch: 16, Ring: 256, ReceiveBuffer: 512 << 10, SendBuffer: 1 << 30},
		Loops:       3,
		Admin:       Admin{Listen: AdminAddr{"unix", "/run/gopptp/admin.sock"}},
		Metrics:     Metrics{Listen: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:9723")}, FullIsReady: true},
		Log:         Log{Level: slog.LevelDebug, Format: LogJSON, Output: LogSyslog, Syslog: SyslogAddr{"udp", "192.0.2.5:514"}},
	}
	cfg.source = want.source
	assert.Equal(t, want, cfg)
	assert.Equal(t, mppe.AllKeyLengths, cfg.KeyLengths())
	assert.Equal(t, mppe.AllowStateless|mppe.AllowStateful, cfg.Modes())
	assert.Equal(t, "auth_methods[2]", cfg.MethodPath(ppp.AuthCHAPMD5))
}

// What a gateway does that nobody has configured stays as safe as it is.
func TestDefaultSecurity(t *testing.T) {
	d := Default()
	assert.Equal(t, []ppp.AuthMethod{ppp.AuthMSCHAPv2}, d.AuthMethods)
	assert.Equal(t, gopptp.EncryptionRequire, d.Encryption)
	assert.Equal(t, mppe.AllowKey128, d.KeyLengths())
	assert.Equal(t, mppe.AllowStateless, d.Modes())
	assert.Zero(t, d.Reauthenticate)
}

func TestEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "users:\nlimits:\n"} {
		got, want := parse(t, text), Default()
		got.source = want.source
		assert.Equal(t, want, got, "%q", text)
	}
}

// Each problem is one line that says where and what.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "listne: []\n", []string{`gw.yaml:1: listne: unknown key; did you mean listen?`}},
		{"unknown key, like none", "\nfoo_bar: 1\n", []string{`gw.yaml:2: foo_bar: unknown key`}},
		{"unknown key within", "limits:\n  half_opne: 3\n", []string{`gw.yaml:2: limits.half_opne: unknown key; did you mean half_open?`}},
		{"unknown key of a user", "users:\n  - name: a\n    password: b\n    color: c\n", []string{`gw.yaml:4: users[0].color: unknown key`}},
		{"twice", "mtu: 1400\nloops: 1\nmtu: 1300\n", []string{`gw.yaml:3: mtu: is given twice, first in line 1`}},
		{"no value", "mtu:\n", []string{`gw.yaml:1: mtu: has no value`}},
		{"not a number", "mtu: many\n", []string{`gw.yaml:1: mtu: "many" is not a whole number`}},
		{"not a whole number", "mtu: 1400.5\n", []string{`gw.yaml:1: mtu: "1400.5" is not a whole number`}},
		{"large number", "mtu: 99999999999999999999\n", []string{`gw.yaml:1: mtu: 99999999999999999999 is too large a number`}},
		{"list for a value", "mtu: [1400]\n", []string{`gw.yaml:1: mtu: must be a single value, not a list`}},
		{"keys for a value", "mtu: {a: 1}\n", []string{`gw.yaml:1: mtu: must be a single value, not a set of keys`}},
		{"value for a list", "pools: 10.8.0.0/24\n", []string{`gw.yaml:1: pools: must be a list, like [a, b], not a single value`}},
		{"value for keys", "limits: 5\n", []string{`gw.yaml:1: limits: must be keys with values, not a single value`}},
		{"list for keys", "- mtu: 5\n", []string{`gw.yaml:1: must be keys with values, not a list`}},
		{"anchor", "mtu: &x 1400\n", []string{`gw.yaml:1: mtu: anchors, aliases and tags of YAML are not supported`}},
		{"not YAML", "mtu: 1400\nlisten: [\n", []string{`gw.yaml:2: not YAML: sequence end token ']' not found`}},
		{"two documents", "mtu: 1400\n---\nmtu: 1300\n", []string{`gw.yaml:3: a second YAML document begins here; there can be only one`}},

		{"duration without unit", "stop_timeout: 30\n", []string{`gw.yaml:1: stop_timeout: "30" is not a duration: write it with its unit, like 30s or 1m30s`}},
		{"listen", "listen:\n  - localhost:1723\n  - '[::1]:1723'\n  - 192.0.2.1\n", []string{
			`gw.yaml:2: listen[0]: "localhost:1723" is not an IPv4 address and port, like 0.0.0.0:1723`,
			`gw.yaml:3: listen[1]: "[::1]:1723" is not an IPv4 address and port, like 0.0.0.0:1723`,
			`gw.yaml:4: listen[2]: "192.0.2.1" is not an IPv4 address and port, like 0.0.0.0:1723`,
		}},
		{"listen nowhere", "listen: []\n", []string{`gw.yaml:1: listen: must have at least one address`}},
		{"listen twice", "listen: [\":1723\",\n  0.0.0.0:1723]\n", []string{`gw.yaml:2: listen[1]: 0.0.0.0:1723 is listen[0] already`}},
		{"listen to all and one", "listen: [192.0.2.1:1723, 192.0.2.2:1723,\n  \":1723\"]\n", []string{
			`gw.yaml:2: listen[2]: 0.0.0.0:1723 cannot be open beside listen[0], 192.0.2.1:1723`,
		}},
		{"listen port", "listen: [\":1724\"]\n", []string{`gw.yaml:1: warning: listen[0]: most clients know no other port than 1723`}},
		{"listen in pool", "listen: [10.8.0.7:1723]\n", []string{`gw.yaml:1: listen[0]: 10.8.0.7 is within the pool 10.8.0.0/24: packets to the gateway would go into a tunnel`}},
		{"local address", "local_address: ::1\n", []string{`gw.yaml:1: local_address: "::1" is not an IPv4 address`}},
		{"local address of no host", "local_address: 224.0.0.1\n", []string{`gw.yaml:1: local_address: 224.0.0.1 cannot be the address of a host`}},
		{"pools", "pools:\n- 10.8.0.0\n- 10.8.0.1/24\n- 10.8.0.9-10.8.0.8\n- fd00::/64\n- 10.8.0.1-x\n", []string{
			`gw.yaml:2: pools[0]: "10.8.0.0" is neither a network like 10.8.0.0/24 nor a range like 10.8.0.10-10.8.0.99`,
			`gw.yaml:3: pools[1]: "10.8.0.1/24" has bits set behind its prefix: did you mean 10.8.0.0/24?`,
			`gw.yaml:4: pools[2]: "10.8.0.9-10.8.0.8" ends before it begins`,
			`gw.yaml:5: pools[3]: "fd00::/64" is not an IPv4 network, like 10.8.0.0/24`,
			`gw.yaml:6: pools[4]: "10.8.0.1-x" is neither a network like 10.8.0.0/24 nor a range like 10.8.0.10-10.8.0.99`,
		}},
		{"addresses file", "addresses_file: a.json\n", []string{`gw.yaml:1: addresses_file: "a.json" is not an absolute name, like /var/lib/gopptp/addresses.json`}},
		{"pools overlap", "pools: [10.8.0.0/24, 10.8.0.254-10.8.1.9]\n", []string{`gw.yaml:1: pools[1]: 10.8.0.254-10.8.1.9 overlaps 10.8.0.0/24`}},
		{"large pool", "pools: [10.0.0.0-11.0.0.0]\nlisten: [127.0.0.1:1723]\n", []string{`gw.yaml:1: pools[0]: 10.0.0.0-11.0.0.0 has 16777217 addresses, more than 16777216`}},
		{"pool of no host", "pools: [224.0.0.0/24]\n", []string{`gw.yaml:1: pools[0]: 224.0.0.0/24 has addresses that no host can have`}},
		{"nothing to give", "pools: [10.8.0.1-10.8.0.1]\n", []string{`gw.yaml:1: pools: holds no address but the gateway's own`}},
		{"three name servers", "dns: [10.0.0.1, 10.0.0.2, 10.0.0.3]\n", []string{`gw.yaml:1: dns: has 3 addresses; clients can be told two`}},
		{"named pools", `pools:
- {name: a, ranges: [10.8.0.0/24], next: b, sticky: 1h, quarantine: 0s}
- name: b
  ranges:
  - 10.9.0.0/24
  next: a
- 10.10.0.0/24
- {name: default, ranges: [10.11.0.0/24]}
- {name: c, ranges: [10.9.0.7-8], next: nowhere, sticky: -1s}
- {ranges: [10.12.0.0/24]}
- {name: d}
- {name: "e f", ranges: [10.13.0.0/24], quarantine: 10000h}
- {name: a, ranges: [10.14.0.0/24, 10.15.0.0]}
`, []string{
			`gw.yaml:2: pools[0].next: goes round: "a" comes after itself`,
			`gw.yaml:6: pools[1].next: goes round: "b" comes after itself`,
			`gw.yaml:8: pools[3].name: ranges without a name, as in line 7, are the pool default already`,
			`gw.yaml:9: pools[4].next: there is no pool "nowhere"`,
			`gw.yaml:9: pools[4].ranges[0]: 10.9.0.7-10.9.0.8 overlaps 10.9.0.0/24`,
			`gw.yaml:9: pools[4].sticky: -1s is not from 0s to 720h0m0s`,
			`gw.yaml:10: pools[5]: has no name`,
			`gw.yaml:11: pools[6]: has no ranges`,
			`gw.yaml:12: pools[7].name: "e f" is not a name of 1 to 63 letters, digits, dots, dashes and underscores`,
			`gw.yaml:12: pools[7].quarantine: 10000h0m0s is not from 0s to 720h0m0s`,
			`gw.yaml:13: pools[8].name: "a" is in line 2 already`,
			`gw.yaml:13: pools[8].ranges[1]: "10.15.0.0" is neither a network like 10.8.0.0/24 nor a range like 10.8.0.10-10.8.0.99`,
		}},
		{"a named pool before ranges", "pools:\n- {name: default, ranges: [10.8.0.0/24]}\n- 10.9.0.0/24\n", []string{
			`gw.yaml:3: pools[1]: ranges without a name are the pool default, which is defined in line 2`,
		}},
		{"policy", `policy:
  max_sessions: -1
  max_sessions_per_source: -1
  on_excess: kick
  sources: [192.0.2.7]
  hours: [Mon-Fri, weekend, 08:00-08:00]
  time_zone: Mars/Olympus
  session_timeout: -1s
  idle_timeout: 10ms
  rate_from_peer: 10m
  rate_to_peer: 99999999999G
  quota: 20GB
`, []string{
			`gw.yaml:2: policy.max_sessions: -1 is negative; 0 is no limit of its own`,
			`gw.yaml:3: policy.max_sessions_per_source: -1 is negative; 0 is no limit`,
			`gw.yaml:4: policy.on_excess: "kick" is not one of refuse, replace`,
			`gw.yaml:5: policy.sources[0]: "192.0.2.7" is not an IPv4 network, like 10.8.0.0/24`,
			`gw.yaml:6: policy.hours[1]: "weekend" is not a time of the week, like Mon-Fri 08:00-18:00, Sat,Sun or 22:00-06:00`,
			`gw.yaml:6: policy.hours[2]: "08:00-08:00" ends when it begins; a whole day is 00:00-24:00`,
			`gw.yaml:7: policy.time_zone: "Mars/Olympus" is not a time zone of this host, like Local, UTC or Europe/Berlin`,
			`gw.yaml:8: policy.session_timeout: -1s is neither 0s nor at least 1s`,
			`gw.yaml:9: policy.idle_timeout: 10ms is neither 0s nor at least 1s`,
			`gw.yaml:10: policy.rate_from_peer: "10m" is not a rate in bits per second, like 512k, 10M or 1G; 0 is no limit`,
			`gw.yaml:11: policy.rate_to_peer: 99999999999G is too much`,
			`gw.yaml:12: policy.quota: "20GB" is not an amount of data, like 500MiB or 20GiB; 0 is no limit`,
		}},
		{"groups", `groups:
- {name: a, pool: nowhere, max_sessions: -2}
- {pool: default}
- {name: a b}
- {name: a, idle_timeout: 1ns}
users:
- {name: x, password: x, group: nobody, pool: none}
- {name: y, password: y, address: 10.8.0.9, pool: default, max_sessions: 2}
- {name: z, password: z, address: 10.8.0.10, group: a, max_sessions: 1}
`, []string{
			`gw.yaml:2: groups[0].max_sessions: -2 is negative; 0 is no limit of its own`,
			`gw.yaml:2: groups[0].pool: there is no pool "nowhere"`,
			`gw.yaml:3: groups[1]: has no name`,
			`gw.yaml:4: groups[2].name: "a b" is not a name of 1 to 63 letters, digits, dots, dashes and underscores`,
			`gw.yaml:5: groups[3].name: "a" is in line 2 already`,
			`gw.yaml:5: groups[3].idle_timeout: 1ns is neither 0s nor at least 1s`,
			`gw.yaml:7: users[0].group: there is no group "nobody"`,
			`gw.yaml:7: users[0].pool: there is no pool "none"`,
			`gw.yaml:8: warning: users[1].pool: means nothing to a user with an address`,
			`gw.yaml:8: warning: users[1].max_sessions: means nothing to a user with an address: only one session can have that`,
		}},
		{"a list for a pool", "pools: [[10.8.0.0/24]]\n", []string{`gw.yaml:1: pools[0]: must be a single value, not a list`}},
		{"an unknown key of a pool", "pools:\n- {name: a, range: [10.8.0.0/24]}\n", []string{`gw.yaml:2: pools[0].range: unknown key; did you mean ranges?`}},
		{"no name server", "wins:\n  - 10.0.0.1\n  - 0.0.0.0\n", []string{`gw.yaml:3: wins[1]: 0.0.0.0 cannot be the address of a server`}},
		{"IPv6 prefix", "ipv6:\n  prefix: 10.0.0.0/8\n", []string{`gw.yaml:2: ipv6.prefix: "10.0.0.0/8" is not an IPv6 network, like 2001:db8:1::/48`}},
		{"IPv6 host bits", "ipv6: {prefix: '2001:db8::1/48'}\n", []string{`gw.yaml:1: ipv6.prefix: "2001:db8::1/48" has bits set behind its prefix: did you mean 2001:db8::/48?`}},
		{"IPv6 prefix too short", "ipv6: {prefix: '2001:db8::/32'}\n", []string{`gw.yaml:1: ipv6.prefix: 2001:db8::/32 has 32 bits, not 40 to 63: each session gets one of 64, and so does the gateway`}},
		{"IPv6 prefix too long", "ipv6: {prefix: '2001:db8::/64'}\n", []string{`gw.yaml:1: ipv6.prefix: 2001:db8::/64 has 64 bits, not 40 to 63: each session gets one of 64, and so does the gateway`}},
		{"IPv6 of a link", "ipv6: {prefix: 'fe80::/48'}\n", []string{`gw.yaml:1: ipv6.prefix: hosts cannot have addresses in fe80::/48`}},
		{"IPv6 MTU", "ipv6: {prefix: '2001:db8::/48'}\nmtu: 1279\n", []string{`gw.yaml:2: mtu: 1279 is below 1280, which IPv6 needs`}},
		{"IPv6 name server", "ipv6:\n  prefix: 2001:db8::/48\n  dns: [10.0.0.1, 'ff02::1']\n", []string{
			`gw.yaml:3: ipv6.dns[0]: "10.0.0.1" is not an IPv6 address`,
			`gw.yaml:3: ipv6.dns[1]: ff02::1 cannot be the address of a server`,
		}},
		{"IPv6 name servers", "ipv6: {prefix: '2001:db8::/48', dns: ['fd00::1', 'fd00::2', 'fd00::3', 'fd00::4', 'fd00::5', 'fd00::6', 'fd00::7', 'fd00::8', 'fd00::9']}\n", []string{
			`gw.yaml:1: ipv6.dns: has 9 addresses; clients can be told 8`,
		}},
		{"IPv6 name server for nobody", "ipv6: {dns: ['fd00::1']}\n", []string{`gw.yaml:1: warning: ipv6.dns: is told to nobody without ipv6.prefix`}},
		{"encryption", "encryption: yes\n", []string{`gw.yaml:1: encryption: "yes" is not one of require, prefer, allow, deny`}},
		{"methods", "auth_methods: [mschap, pap,\n pap]\n", []string{
			`gw.yaml:1: auth_methods[0]: "mschap" is not one of ms-chapv2, ms-chapv1, chap-md5, pap, eap`,
			`gw.yaml:2: auth_methods[2]: pap is listed twice`,
		}},
		{"no methods", "auth_methods: []\n", []string{`gw.yaml:1: auth_methods: must have at least one entry`}},
		{"methods as text", "auth_methods: pap\n", []string{`gw.yaml:1: auth_methods: must be a list, like [a, b], not a single value`}},
		{"key lengths", "mppe_key_lengths: [128, 64, 128]\n", []string{
			`gw.yaml:1: mppe_key_lengths[1]: "64" is not one of 128, 56, 40`,
			`gw.yaml:1: mppe_key_lengths[2]: 128-bit is listed twice`,
		}},
		{"no key lengths", "mppe_key_lengths:\n", []string{`gw.yaml:1: mppe_key_lengths: must have at least one entry`}},
		{"modes", "mppe_modes: [stateful, both, stateful]\n", []string{
			`gw.yaml:1: mppe_modes[1]: "both" is not one of stateless, stateful`,
			`gw.yaml:1: mppe_modes[2]: stateful is listed twice`,
		}},
		{"no modes", "mppe_modes: []\n", []string{`gw.yaml:1: mppe_modes: must have at least one entry`}},
		{"reauthenticate", "reauthenticate: 1s\n", []string{`gw.yaml:1: reauthenticate: 1s is neither 0s nor from 10s to 24h0m0s`}},
		{"reauthenticate without a unit", "reauthenticate: 60\n", []string{`gw.yaml:1: reauthenticate: "60" is not a duration: write it with its unit, like 30s or 1m30s`}},
		{"reauthenticate by pap", "reauthenticate: 1m\nencryption: deny\nauth_methods: [pap]\n", []string{
			`gw.yaml:3: warning: auth_methods[0]: has no way to reauthenticate: who comes in by it is never asked again`,
		}},
		{"encryption without keys", "auth_methods: [pap, chap-md5]\n", []string{
			`gw.yaml:1: auth_methods: nobody can come in, as encryption is required: pap gives no keys for MPPE, chap-md5 gives no keys for MPPE`,
		}},
		{"encryption without long keys", "mppe_key_lengths: [40, 56]\nauth_methods: [ms-chapv1]\n", []string{
			`gw.yaml:2: auth_methods: nobody can come in, as encryption is required: ms-chapv1 gives keys of 128 bits only`,
		}},
		{"encryption without keys for some", "auth_methods:\n- eap\n- pap\n- ms-chapv1\nmppe_key_lengths: [56]\n", []string{
			`gw.yaml:3: warning: auth_methods[1]: pap gives no keys for MPPE: who comes in by it is turned away, as encryption is required`,
			`gw.yaml:4: warning: auth_methods[2]: ms-chapv1 gives keys of 128 bits only: who comes in by it is turned away, as encryption is required`,
		}},
		{"encryption that comes to nothing", "auth_methods: [pap]\nencryption: prefer\n", []string{
			`gw.yaml:2: warning: encryption: prefer comes to nothing: pap gives no keys for MPPE`,
		}},
		{"no keys and no encryption", "auth_methods: [pap, chap-md5]\nencryption: deny\n", nil},
		{"keys for some", "auth_methods: [ms-chapv2, pap]\nencryption: prefer\n", nil},
		{"one problem for one mistake", "auth_methods: [pap]\nencryption: yes\n", []string{
			`gw.yaml:2: encryption: "yes" is not one of require, prefer, allow, deny`,
		}},
		{"mtu", "mtu: 100\n", []string{`gw.yaml:1: mtu: 100 is neither 0 nor from 576 to 1500`}},
		{"limits", "limits:\n  sessions: 0\n  half_open: -1\n  setup_timeout: 1ms\n", []string{
			`gw.yaml:2: limits.sessions: 0 is not from 1 to 65535`,
			`gw.yaml:3: limits.half_open: -1 is not from 1 to 1048576`,
			`gw.yaml:4: limits.setup_timeout: 1ms is not from 1s to 1h0m0s`,
		}},
		{"calls", "limits: {calls: 65536, authentications_waiting: 0, authentication_wait: 2h}\n", []string{
			`gw.yaml:1: limits.calls: 65536 is not from 1 to 65535`,
			`gw.yaml:1: limits.authentications_waiting: 0 is not from 1 to 1048576`,
			`gw.yaml:1: limits.authentication_wait: 2h0m0s is not from 1s to 1h0m0s`,
		}},
		{"rates", "limits:\n  connections: fast\n  source_connections: 0/s\n", []string{
			`gw.yaml:2: limits.connections: "fast" is not a rate, like 200/s or 200/s burst 400, nor unlimited`,
			`gw.yaml:3: limits.source_connections: "0/s" is not from 0.01/s to 1000000/s`,
		}},
		{"no auto", "limits: {connections: auto}\n", []string{`gw.yaml:1: limits.connections: has no auto: write unlimited, or a rate like 200/s`}},
		{"timeouts", "limits:\n  gre_timeout: 9s\n  setup_timeout: 8s\n", []string{`gw.yaml:2: warning: limits.gre_timeout: never comes to pass: setup_timeout, 8s, is shorter`}},
		{"name", "name: ''\n", []string{`gw.yaml:1: name: must have 1 to 63 octets, not 0`}},
		{"name with a space", "name: a b\n", []string{`gw.yaml:1: name: "a b" has other characters than printable ASCII ones`}},
		{"flow control", "gre_flow_control: yes\n", []string{`gw.yaml:1: gre_flow_control: "yes" is neither true nor false`}},
		{"dataplane", "dataplane:\n  workers: 65\n  batch: 0\n  ring: 1000\n  receive_buffer: 100KiB\n  send_buffer: 1536MiB\n", []string{
			`gw.yaml:2: dataplane.workers: 65 is not from 0 to 64`,
			`gw.yaml:3: dataplane.batch: 0 is not from 1 to 256`,
			`gw.yaml:4: dataplane.ring: 1000 is not a power of two from 64 to 65536`,
			`gw.yaml:5: dataplane.receive_buffer: 100KiB is not from 256KiB to 1GiB`,
			`gw.yaml:6: dataplane.send_buffer: 1536MiB is not from 256KiB to 1GiB`,
		}},
		{"dataplane, no values", "dataplane:\n  workers: many\n  xdp: native\n  offload: on\n  receive_buffer: 4194304\n  send_buffer: 9999999999GiB\n", []string{
			`gw.yaml:2: dataplane.workers: "many" is not a whole number`,
			`gw.yaml:3: dataplane.xdp: "native" is not one of auto, on, off`,
			`gw.yaml:4: dataplane.offload: "on" is neither true nor false`,
			`gw.yaml:5: dataplane.receive_buffer: "4194304" is not a size: write it with its unit, like 512KiB or 4MiB`,
			`gw.yaml:6: dataplane.send_buffer: 9999999999GiB is too large a size`,
		}},
		{"dataplane.mode", "dataplane: {mode: fast}\n", []string{`gw.yaml:1: dataplane.mode: "fast" is not one of auto, kernel, userspace`}},
		{"dataplane.device", "dataplane: {device: ppp0}\n", []string{`gw.yaml:1: dataplane.device: "ppp0" cannot be the name of network devices: it needs a %d, for a number, and has at most 15 octets`}},
		{"no dataplane.device", "dataplane: {device: ''}\n", []string{`gw.yaml:1: dataplane.device: "" cannot be the name of network devices: it needs a %d, for a number, and has at most 15 octets`}},
		{"what the kernel cannot do", "dataplane: {mode: kernel, xdp: on}\nipv6: {prefix: '2001:db8::/48'}\ngre_flow_control: true\nmppe_key_lengths: [56, 40]\n", []string{
			`gw.yaml:1: dataplane.mode: the kernel carries no IPv6 in tunnels, which ipv6.prefix asks for`,
			`gw.yaml:1: dataplane.mode: the kernel has no gre_flow_control`,
			`gw.yaml:1: dataplane.mode: the kernel has no AF_XDP, which xdp: on insists on`,
			`gw.yaml:1: dataplane.mode: the kernel has no keys of 56 bits, which are the best of mppe_key_lengths`,
		}},
		{"what auto leaves to userspace", "dataplane: {mode: auto}\nipv6: {prefix: '2001:db8::/48'}\ngre_flow_control: true\nmppe_key_lengths: [56, 40]\n", nil},
		{"what the kernel can do", "dataplane: {mode: kernel}\nmppe_key_lengths: [128, 56, 40]\n", nil},
		{"size", "dataplane: {receive_buffer: -1MiB, send_buffer: 5GiB}\n", []string{
			`gw.yaml:1: dataplane.receive_buffer: "-1MiB" is not a size: write it with its unit, like 512KiB or 4MiB`,
			`gw.yaml:1: dataplane.send_buffer: 5GiB is too large a size`,
		}},
		{"tun", "tun: a/b\n", []string{`gw.yaml:1: tun: "a/b" cannot be the name of a network device`}},
		{"log", "log:\n  level: loud\n  format: xml\n", []string{
			`gw.yaml:2: log.level: "loud" is not one of debug, info, warn, error`,
			`gw.yaml:3: log.format: "xml" is not one of text, json`,
		}},
		{"a hash is not repeated", "users:\n  - name: a\n    nt_hash: hunter2\n", []string{`gw.yaml:3: users[0].nt_hash: an NT hash has 32 hexadecimal digits`}},
		{"a password is not repeated", "users:\n  - name: a\n    password: [hunter2]\n", []string{`gw.yaml:3: users[0].password: must be a single value, not a list`}},
		{"routes", "users:\n  - name: a\n    password: b\n    routes: [192.168.7.1/24]\n", []string{`gw.yaml:4: users[0].routes[0]: "192.168.7.1/24" has bits set behind its prefix: did you mean 192.168.7.0/24?`}},

		{"all at once", "mtu: abc\nfoo: 1\nlimits: {sessions: 0}\nencryption: no\n", []string{
			`gw.yaml:1: mtu: "abc" is not a whole number`,
			`gw.yaml:2: foo: unknown key`,
			`gw.yaml:3: limits.sessions: 0 is not from 1 to 65535`,
			`gw.yaml:4: encryption: "no" is not one of require, prefer, allow, deny`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, problems := Parse("gw.yaml", []byte(c.text))
			var got []string
			for _, p := range problems {
				got = append(got, p.String())
			}
			assert.ElementsMatch(t, c.want, got)
			for i, p := range problems[:max(len(problems)-1, 0)] {
				assert.LessOrEqual(t, p.Line, problems[i+1].Line)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "gw.yaml")

	_, problems := Load(file)
	require.Len(t, problems, 1)
	assert.Equal(t, file+": cannot be read: no such file or directory", problems[0].String())

	require.NoError(t, os.WriteFile(file, []byte("secrets_file: users\nusers: [{name: a, password: b}]\n"), 0o644))
	cfg, problems := Load(file)
	assert.Equal(t, filepath.Join(dir, "users"), cfg.SecretsFile, "relative to the configuration")
	require.Len(t, problems, 1)
	assert.Equal(t, file+": warning: holds secrets and can be read by everybody: chmod 600 it", problems[0].String())
	assert.Empty(t, problems.Errors())

	require.NoError(t, os.Chmod(file, 0o640))
	_, problems = Load(file)
	assert.Empty(t, problems)
	require.NoError(t, os.Chmod(file, 0o644))
	for text, secret := range map[string]bool{
		"database: {url: 'postgres://gateway:hunter2@db.example.net/gateway'}\n":          true,
		"database: {url: 'postgres://gateway@db.example.net/gateway?password=hunter2'}\n": true,
		"database: {url: 'postgres://gateway@db.example.net/gateway'}\n":                  false,
		"database: {url: 'sqlite:/var/lib/gopptp/gateway.db'}\n":                          false,
		"database: {cache: {redis: 'rediss://:hunter2@cache.example.net/0'}}\n":           true,
		"database: {cache: {redis: 'unix:///run/redis.sock'}}\n":                          false,
	} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		_, problems = Load(file)
		assert.Equal(t, secret, len(problems) == 1, "%s: %v", text, problems)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	cfg := parse(t, "users: [{name: a, password: hunter2}]\n")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "user", cfg.Users[0], "password", *cfg.Users[0].Password)
	text := log.String() + fmt.Sprintf("%v %+v %#v %s", cfg.Users, cfg.Users[0], *cfg.Users[0].Password, cfg.Users[0].Password)
	assert.NotContains(t, text, "hunter2")
}

func TestNamedPools(t *testing.T) {
	cfg := parse(t, `
pools:
- {name: a, ranges: [10.8.0.0/24], next: default, sticky: 1h, quarantine: 0s}
- 10.9.0.0/24
- {name: b, ranges: [10.10.0.0/30, 10.10.1.1-1]}
- 10.9.1.0/24
`)
	pools := cfg.NamedPools()
	assert.Equal(t, "[a=10.8.0.0/24 10.9.0.0/24,10.9.1.0/24 b=10.10.0.0/30,10.10.1.1-10.10.1.1]", fmt.Sprint(pools))
	assert.Equal(t, []int{254, 508, 3}, []int{pools[0].Size(), pools[1].Size(), pools[2].Size()})
	assert.Equal(t, "default", pools[0].Next)
	assert.Equal(t, []time.Duration{time.Hour, 0}, []time.Duration{pools[0].Sticky, pools[0].Quarantine})
	for _, p := range pools[1:] {
		assert.Equal(t, []time.Duration{24 * time.Hour, time.Minute}, []time.Duration{p.Sticky, p.Quarantine})
	}
	assert.True(t, cfg.HasPool("default"))
	assert.False(t, cfg.HasPool("c"))
	assert.True(t, cfg.PoolContains(netip.MustParseAddr("10.10.1.1")))
	assert.Len(t, cfg.Networks(), 5)
	assert.Len(t, cfg.Pools[1].Ranges, 1, "as it was")
}

func TestPoolPrefixes(t *testing.T) {
	for text, want := range map[string]string{
		"10.8.0.0/24":             "[10.8.0.0/24]",
		"10.8.0.4-10.8.0.7":       "[10.8.0.4/30]",
		"10.8.0.1-10.8.0.1":       "[10.8.0.1/32]",
		"10.8.0.1-8":              "[10.8.0.1/32 10.8.0.2/31 10.8.0.4/30 10.8.0.8/32]",
		"0.0.0.0-255.255.255.255": "[0.0.0.0/0]",
	} {
		p, err := parseRange(text)
		require.NoError(t, err)
		assert.Equal(t, want, fmt.Sprint(p.Prefixes()), text)
	}
}

// FuzzParse wants no panic, and a line that exists with every problem.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("users:\n  - name: a\n    password: b\n")
	f.Add("listen: [1, {a: b}]\nmtu: !!x &a *b\n<<: 3\n? [a]\n: b")
	f.Fuzz(func(t *testing.T, text string) {
		_, problems := Parse("gw.yaml", []byte(text))
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + 1
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines {
				t.Errorf("%v: there are %d lines", p, lines)
			}
		}
	})
}

func TestIPv6(t *testing.T) {
	cfg := parse(t, "ipv6: {prefix: '2001:db8:1::/48', dns: ['2001:db8::53']}\n")
	assert.True(t, cfg.IPv6.Enabled())
	assert.Equal(t, "2001:db8:1::/64", cfg.IPv6.Own().String())
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("2001:db8::53")}, cfg.IPv6.Servers())
	assert.Equal(t, []netip.Addr{cfg.LocalAddress, netip.MustParseAddr("2001:db8:1::1")}, cfg.Addresses())
	assert.Equal(t, []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("2001:db8:1::/48")}, cfg.Networks())

	none := parse(t, "ipv6: {prefix: ''}\n")
	assert.False(t, none.IPv6.Enabled())
	assert.Len(t, none.Addresses(), 1)
	assert.Len(t, none.Networks(), 1)
}
