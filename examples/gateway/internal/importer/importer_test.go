package importer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
)

// files writes files into a directory of their own. DIR in them is that.
func files(t *testing.T, list map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range list {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600))
	}
	return dir
}

// body is a configuration without its comments.
func body(text []byte) string {
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// notes are those of a result, with the names of files alone, and are in the text, too.
func notes(t *testing.T, r *Result, dir string) (list []string) {
	t.Helper()
	for _, n := range r.Notes {
		assert.Contains(t, string(r.Text), "#   "+n.String()+"\n")
		list = append(list, strings.ReplaceAll(n.String(), dir+"/", ""))
	}
	return list
}

func TestPPTPD(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
		notes []string
	}{
		{"as Debian has it, filled in", map[string]string{
			"pptpd.conf": `###########
# TAG: speed
#speed 115200
option DIR/pptpd-options
#debug
# stimeout 10
logwtmp
#bcrelay eth1
localip 192.168.0.1
remoteip 192.168.0.234-238,192.168.0.245
`, "pptpd-options": `# Authentication
name pptpd
#chapms-strip-domain
refuse-pap
refuse-chap
refuse-mschap
require-mschap-v2
require-mppe-128
ms-dns 10.0.0.1
ms-dns 10.0.0.2
#ms-wins 10.0.0.3
proxyarp
nodefaultroute
lock
nobsdcomp
novj
novjccomp
nologfd
`, "chap-secrets": `# Secrets for authentication using CHAP
# client	server	secret			IP addresses
alice		pptpd	"correct horse"		*
bob		*	"battery staple\\"	192.168.0.240
hash		*	nthash:0123456789abcdef0123456789abcdef
CORP\\carol	pptpd	'it''s: {a} #secret'	*
dave		l2tpd	x			*
erin		pptpd	y			10.0.0.1 10.0.0.2
`}, `local_address: 192.168.0.1
pools:
  - 192.168.0.234-238
  - 192.168.0.245-245
name: "pptpd"
dns: [10.0.0.1, 10.0.0.2]
auth_methods: [ms-chapv2]
encryption: require
mppe_key_lengths: [128]
users:
  - {name: "alice", password: "correct horse"}
  - {name: "bob", password: "battery staple\\", address: 192.168.0.240}
  - {name: "hash", nt_hash: "0123456789abcdef0123456789abcdef"}
  - {name: "CORP\\carol", password: "its: {a} #secret"}
`, []string{
			"pptpd-options:12: not carried over: proxyarp: the gateway answers no ARP for its clients: route the pools to it, or have them in a network of their own",
			`chap-secrets:7: not carried over: "dave" is for the server "l2tpd"`,
			"chap-secrets:8: erin: not carried over: the secret must be followed by nothing, by * or by one IPv4 address; a secret with spaces needs quotes",
		}},
		{"an old one, with everything", map[string]string{
			"pptpd.conf": "option\tpptpd-options\nlisten 203.0.113.7\nlocalip 10.1.0.1-9\nremoteip 10.2.0-1.1-254\nconnections 500\nstimeout 30\ndebug\nbcrelay eth0\ndelegate\nnoipparam\nvrf blue\nfrobnicate yes\n",
			"pptpd-options": `auth +chapms-v2 +chap require-pap
nomppe-40 mppe-stateful
mtu 1400
mru 1490
lcp-echo-interval 20
lcp-echo-failure 3
idle 1800
maxconnect 86400
chap-interval 600
ip-up-script "/etc/ppp/my script"
plugin /usr/lib/pppd/2.4.9/radattr.so
plugin winbind.so
ntlm_auth-helper "/usr/bin/ntlm_auth --helper-protocol=ntlm-server-1"
10.0.0.1:10.0.0.2
wibble
`, "chap-secrets": "* * everybody *\na old x *\n",
		}, `listen: [203.0.113.7:1723]
local_address: 10.1.0.1
pools:
  - 10.2.0.1-254
  - 10.2.1.1-254
limits:
  sessions: 500
  handshake_timeout: 30s
log:
  level: debug
echo:
  interval: 20s
  failures: 3
policy:
  idle_timeout: 30m0s
  session_timeout: 24h0m0s
reauthenticate: 10m0s
mtu: 1400
auth_methods: [ms-chapv2, chap-md5, pap]
encryption: allow
mppe_key_lengths: [128]
mppe_modes: [stateless, stateful]
users:
  - {name: "a", password: "x"}
`, []string{
			"pptpd.conf:3: localip has several addresses; the gateway has one in all tunnels, 10.1.0.1",
			"pptpd.conf:8: not carried over: bcrelay: broadcasts are not relayed into tunnels",
			"pptpd.conf:9: delegate: pppd chose the addresses; here pools and users' addresses do",
			"pptpd.conf:11: not carried over: vrf blue: the gateway knows none; run it in the VRF, by ip vrf exec",
			`pptpd.conf:12: not carried over: "frobnicate" is not known here`,
			"pptpd-options:10: not carried over: ip-up-script: no scripts are run; gateway events tells of sessions",
			"pptpd-options:11: not carried over: plugin radattr.so: no files of attributes are written; gateway show tells what a session has",
			"pptpd-options:12: not carried over: plugin winbind.so: Windows domains are not asked; a RADIUS server can do that",
			"pptpd-options:13: not carried over: ntlm_auth-helper: Windows domains are not asked; a RADIUS server can do that",
			"pptpd-options:14: not carried over: 10.0.0.1:10.0.0.2: addresses are those of pptpd.conf",
			`pptpd-options:15: not carried over: "wibble" is not known here`,
			"chap-secrets:1: not carried over: the client * lets everybody in who knows the secret; a secrets_file can have that",
		}},
		{"with RADIUS", map[string]string{
			"pptpd.conf":        "option DIR/pptpd-options\nlocalip 10.1.0.1\nremoteip 10.2.0.1-254\n",
			"pptpd-options":     "require-mschap-v2\nrequire-mppe\nplugin radius.so\nplugin radattr.so\nradius-config-file DIR/radiusclient.conf\n",
			"radiusclient.conf": "auth_order\tradius\nauthserver \t192.0.2.10\nauthserver radius2.example.net:11812\nacctserver 192.0.2.10:1813\nservers DIR/servers\nradius_timeout\t10\nradius_retries\t3\nbindaddr 192.0.2.5\n",
			"servers":           "# hosts\n192.0.2.10\ta\"long\\secret\nradius2.example.net/gw\ts2\nbroken\n",
		}, `local_address: 10.1.0.1
pools:
  - 10.2.0.1-254
auth_methods: [ms-chapv2]
encryption: require
mppe_key_lengths: [128, 40]
radius:
  source: 192.0.2.5
  servers:
    - {address: "192.0.2.10:1812", secret: "a\"long\\secret", tries: 3, timeout: 10s}
    - {address: "radius2.example.net:11812", secret: "s2", priority: 1, tries: 3, timeout: 10s}
accounting:
  servers:
    - {address: "192.0.2.10:1813", secret: "a\"long\\secret", tries: 3, timeout: 10s}
`, []string{
			"pptpd-options:4: not carried over: plugin radattr.so: no files of attributes are written; gateway show tells what a session has",
			"pptpd: mppe_key_lengths has 40 bits, as before, which can be searched through in no time: leave them out if no client needs them",
			"servers:4: not carried over: is not a host and a secret",
		}},
		// That of the lab, which our own client is tested against.
		{"the lab", map[string]string{
			"pptpd.conf":    "option DIR/pptpd-options\nlocalip 10.9.0.1\nremoteip 10.9.1.1-250\nconnections 250\n",
			"pptpd-options": "name pptpd\nauth\nnodefaultroute\nrefuse-pap\nrefuse-chap\nrefuse-mschap\nrefuse-eap\nrequire-mschap-v2\nnobsdcomp\nnodeflate\nnovj\nrequire-mppe-128\n",
			"chap-secrets":  "\"alice\" * \"correct horse\" *\n",
		}, `local_address: 10.9.0.1
pools:
  - 10.9.1.1-250
limits:
  sessions: 250
name: "pptpd"
auth_methods: [ms-chapv2]
encryption: require
mppe_key_lengths: [128]
users:
  - {name: "alice", password: "correct horse"}
`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := files(t, c.files)
			r, err := FromPPTPD(PPTPD{Conf: dir + "/pptpd.conf", ChapSecrets: dir + "/chap-secrets"})
			require.NoError(t, err)
			assert.Equal(t, c.want, body(r.Text))
			assert.ElementsMatch(t, c.notes, notes(t, r, dir))
			assert.Empty(t, r.Problems.Errors())
		})
	}
}

const accelConf = `[modules]
log_file
pptp
l2tp
auth_mschap_v2
auth_mschap_v1
radius
ippool
chap-secrets
connlimit
shaper

[core]
log-error=/var/log/accel-ppp/core.log
thread-count=4

[common]
single-session=replace
max-sessions=5000

[ppp]
verbose=1
min-mtu=1280
mtu=1400
mru=1400
mppe=require
ipv4=require
ipv6=deny
lcp-echo-interval=20
lcp-echo-timeout=120
unit-cache=1

[pptp]
verbose=1
bind=203.0.113.7
ip-pool=second
ifname=pptp%d

[l2tp]
verbose=1

[dns]
dns1=10.0.0.1
#dns2=10.0.0.2

[wins]
wins1=10.0.0.3

[radius]
nas-identifier=accel-ppp
bind=203.0.113.8
nas-ip-address=203.0.113.7
gw-ip-address=192.168.100.1
server=192.0.2.10,swordfish,auth-port=1812,acct-port=1813,req-limit=50,fail-timeout=0,max-fail=10,weight=2
server=192.0.2.11,sword#2,auth-port=1812,acct-port=0,backup
dae-server=203.0.113.7:3799,testing123
timeout=3
max-try=3
acct-interim-interval=300
verbose=1

[client-ip-range]
198.51.100.0/24
203.0.113.0/24

[ip-pool]
gw-ip-address=192.168.0.1
attr=Framed-Pool
192.168.0.2-255
192.168.1.1-255,name=first,next=second
192.168.2.0/24,name=second
10.5.4.0/22,third

[log]
log-file=/var/log/accel-ppp/accel-ppp.log
level=3

[shaper]
attr=Filter-Id

[cli]
telnet=127.0.0.1:2000
tcp=127.0.0.1:2001

[chap-secrets]
gw-ip-address=192.168.100.1
chap-secrets=DIR/chap-secrets

[connlimit]
limit=10/min
burst=3
timeout=60
`

func TestAccelPPP(t *testing.T) {
	dir := files(t, map[string]string{"accel-ppp.conf": accelConf, "chap-secrets": "alice * \"correct horse\" *\nbob * x 192.168.2.9\n"})
	r, err := FromAccelPPP(AccelPPP{Conf: dir + "/accel-ppp.conf"})
	require.NoError(t, err)
	assert.Equal(t, `policy:
  max_sessions: 1
  on_excess: replace
  sources:
    - 198.51.100.0/24
    - 203.0.113.0/24
limits:
  sessions: 5000
  source_connections: 0.167/s burst 3
listen: [203.0.113.7:1723]
dataplane:
  device: "pptp%d"
radius:
  nas_identifier: "accel-ppp"
  source: 203.0.113.8
  nas_address: 203.0.113.7
  servers:
    - {address: "192.0.2.10:1812", secret: "swordfish", weight: 2, tries: 3, timeout: 9s}
    - {address: "192.0.2.11:1812", secret: "sword#2", priority: 1, tries: 3, timeout: 9s}
local_address: 192.168.100.1
accounting:
  interval: 5m0s
  servers:
    - {address: "192.0.2.10:1813", secret: "swordfish", weight: 2, tries: 3, timeout: 9s}
log:
  level: info
auth_methods: [ms-chapv2, ms-chapv1]
encryption: require
mppe_key_lengths: [128, 40]
dns: [10.0.0.1]
wins: [10.0.0.3]
mtu: 1400
echo:
  interval: 20s
  failures: 6
pools:
  - {name: "second", ranges: [192.168.2.0/24]}
  - {name: "default", ranges: [192.168.0.2-255]}
  - {name: "first", ranges: [192.168.1.1-255], next: "second"}
  - {name: "third", ranges: [10.5.4.0/22]}
dynauth:
  listen: ["203.0.113.7:3799"]
  clients:
    - {source: 192.0.2.10/32, secret: "testing123"}
    - {source: 192.0.2.11/32, secret: "testing123"}
users:
  - {name: "alice", password: "correct horse"}
  - {name: "bob", password: "x", address: 192.168.2.9}
`, body(r.Text))
	assert.Empty(t, r.Problems.Errors())
	for _, want := range []string{
		"accel-ppp.conf:4: not carried over: l2tp: the gateway speaks PPTP alone",
		"[l2tp]: the gateway speaks PPTP alone",
		"lcp-echo-timeout is echo.failures times echo.interval here: 6 times 20s",
		"gw-ip-address is there again",
		"dae-server took orders from anywhere; dynauth.clients has the RADIUS servers alone",
		`rates are taken from Mikrotik-Rate-Limit and WISPr-Bandwidth-Max-Up and -Down, not from "Filter-Id"`,
		"[cli]: see section admin",
	} {
		assert.Contains(t, strings.Join(notes(t, r, dir), "\n"), want)
	}
	assert.NotContains(t, r.Notes.Error(), "swordfish")
	assert.NotContains(t, r.Notes.Error(), "testing123")
}

// Whatever a secret is, it is the same afterwards.
func FuzzSecret(f *testing.F) {
	for _, s := range []string{"a", "correct horse", `back\slash`, `"quoted"`, "'", "#", ": {}[]", "%d", "\u2028", "\x01", "nthash:", "ünï", "@", "123", "true", "~", "- x", "\x7f", "\u0085", "\ufeff", "\U000e0001", "\ufffe"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		dir := files(t, map[string]string{"pptpd.conf": "localip 10.1.0.1\nremoteip 10.2.0.1-9\noption DIR/options\n", "options": "require-pap\nrequire-chap\nnomppe\n"})
		escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(secret)
		require.NoError(t, os.WriteFile(dir+"/chap-secrets", []byte(`u * "`+escaped+"\" *\n"), 0o600))
		r, err := FromPPTPD(PPTPD{Conf: dir + "/pptpd.conf", ChapSecrets: dir + "/chap-secrets"})
		require.NoError(t, err)
		if len(r.Notes) > 0 {
			return // was said not to be carried over
		}
		require.Empty(t, r.Problems.Errors(), "%s", r.Text)
		cfg, _ := config.Parse("gw.yaml", r.Text)
		store, _ := users.Load(cfg)
		u, err := store.Lookup(t.Context(), "u")
		require.NoError(t, err)
		require.NotNil(t, u)
		assert.Equal(t, secret, string(u.Secret), "%s", r.Text)
	})
}

// Secrets of RADIUS are carried over as they are, or not at all, and not told.
func TestRADIUSSecrets(t *testing.T) {
	dir := files(t, map[string]string{"accel-ppp.conf": "[modules]\npptp\nauth_mschap_v2\nradius\n[ip-pool]\n10.0.0.2-254\n[radius]\n" +
		"server=192.0.2.1,hunter2\x7f\u00fc\"\\\nserver 192.0.2.2,hunter2\nserver,hunter2\nserver=192.0.2.3,hunter2\xfc\n"})
	r, err := FromAccelPPP(AccelPPP{Conf: dir + "/accel-ppp.conf"})
	require.NoError(t, err)
	assert.Empty(t, r.Problems.Errors(), "%s", r.Text)
	cfg, _ := config.Parse("gw.yaml", r.Text)
	require.NotNil(t, cfg)
	require.Len(t, cfg.RADIUS.Servers, 1)
	assert.Equal(t, "hunter2\x7f\u00fc\"\\", string(cfg.RADIUS.Servers[0].Secret))
	told := notes(t, r, dir)
	assert.Contains(t, told, `accel-ppp.conf:9: not carried over: [radius] "server" is not known here`)
	assert.Contains(t, told, `accel-ppp.conf:10: not carried over: [radius] "server" is not known here`)
	assert.Contains(t, told, "accel-ppp.conf:11: not carried over: the line is not UTF-8")
	assert.NotContains(t, r.Notes.Error(), "hunter2")
}

// Files of options that name each other, any number of times, are read to an end.
func TestOptionsInCircles(t *testing.T) {
	dir := files(t, map[string]string{"pptpd.conf": "option DIR/options\n", "options": strings.Repeat("file DIR/options\n", 100)})
	r, err := FromPPTPD(PPTPD{Conf: dir + "/pptpd.conf", ChapSecrets: dir + "/none"})
	require.NoError(t, err)
	assert.Contains(t, notes(t, r, dir), "options: not carried over: it is one file of options too many, as when they name each other")
}

// Whatever the files are, what is made of them is YAML, and each note is a line.
func FuzzImport(f *testing.F) {
	f.Add("option DIR/options\nlocalip 10.1.0.1-9\nremoteip 10.2.0-1.1-254\nconnections 500\n", "auth +chap mtu 1400\nms-dns 10.0.0.1\nplugin radius.so radius-config-file DIR/radius\n", "a * b *\n")
	f.Add(accelConf, "authserver 192.0.2.1\nservers DIR/secrets\n", "192.0.2.1 secret\n")
	f.Fuzz(func(t *testing.T, conf, options, secrets string) {
		dir := files(t, map[string]string{"conf": conf, "options": options, "radius": options, "secrets": secrets})
		for _, from := range []func() (*Result, error){
			func() (*Result, error) {
				return FromPPTPD(PPTPD{Conf: dir + "/conf", Options: dir + "/options", ChapSecrets: dir + "/secrets", RADIUS: dir + "/radius"})
			},
			func() (*Result, error) {
				return FromAccelPPP(AccelPPP{Conf: dir + "/conf", ChapSecrets: dir + "/secrets"})
			},
		} {
			r, err := from()
			if err != nil {
				assert.Contains(t, conf, "\x00")
				continue
			}
			cfg, problems := config.Parse("gw.yaml", r.Text)
			require.NotNil(t, cfg, "%v\n%s", problems, r.Text)
			for _, n := range append(r.Notes, r.Problems...) {
				assert.NotRegexp(t, `[\x00-\x1f\x7f]`, n.String())
			}
		}
	})
}

func TestMissing(t *testing.T) {
	_, err := FromPPTPD(PPTPD{Conf: "/nowhere/pptpd.conf"})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = FromAccelPPP(AccelPPP{Conf: "/nowhere/accel-ppp.conf"})
	require.ErrorIs(t, err, os.ErrNotExist)
}
