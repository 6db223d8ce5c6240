package lab

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mode is a way to authenticate and to encrypt, as both sides are told of it and
// as they say that it came about.
type mode struct {
	name string

	ours       []string // what our gateway or our client is told
	policy     string   // on encryption, likewise
	pppd       []string // options of pppd
	auth       string   // what LCP agrees on, in pppd's words
	proof      string   // how pppd writes what is said then
	encryption string   // in our words
}

// noEncryption is how we call it.
const noEncryption = "none"

// gatewayModes are those in which pppd calls our gateway. "ours" are lines of its
// configuration.
var gatewayModes = []mode{
	{
		"128 stateful", []string{"mppe_modes: [stateful]"}, "require",
		[]string{"refuse-eap", "require-mppe-128", "mppe-stateful"},
		"chap MS-v2", `rcvd \[CHAP Challenge`, "MPPE 128-bit stateful",
	},
	{
		"40", []string{"mppe_key_lengths: [128, 56, 40]"}, "require",
		[]string{"refuse-eap", "require-mppe-40", "nomppe-128"},
		"chap MS-v2", `rcvd \[CHAP Challenge`, "MPPE 40-bit stateless",
	},
	{
		"40 stateful", []string{"mppe_key_lengths: [40]", "mppe_modes: [stateful]"}, "prefer",
		[]string{"refuse-eap", "require-mppe", "mppe-stateful"},
		"chap MS-v2", `rcvd \[CHAP Challenge`, "MPPE 40-bit stateful",
	},
	{
		"MPPE refused", nil, "prefer",
		[]string{"refuse-eap", "nomppe"},
		"chap MS-v2", `rcvd \[CHAP Challenge`, noEncryption,
	},
	{
		"MPPE allowed", nil, "allow",
		[]string{"refuse-eap", "require-mppe-128"},
		"chap MS-v2", `rcvd \[CHAP Challenge`, "MPPE 128-bit stateless",
	},
	{
		"MS-CHAPv1", []string{"auth_methods: [ms-chapv1]"}, "require",
		[]string{"refuse-eap", "require-mppe-128"},
		"chap MS", `rcvd \[CHAP Challenge`, "MPPE 128-bit stateless",
	},
	{
		"CHAP-MD5", []string{"auth_methods: [chap-md5]"}, "prefer",
		[]string{"refuse-eap"},
		"chap MD5", `rcvd \[CHAP Challenge`, noEncryption,
	},
	{
		"PAP", []string{"auth_methods: [ms-chapv2, ms-chapv1, chap-md5, pap]"}, "prefer",
		[]string{"refuse-eap", "refuse-mschap-v2", "refuse-mschap", "refuse-chap"},
		"pap", `rcvd \[PAP AuthAck`, noEncryption,
	},
	{
		"EAP-MSCHAPv2", []string{"auth_methods: [eap]"}, "require",
		[]string{"require-mppe-128"},
		"eap", `rcvd \[EAP Request id=\S+ MSCHAPv2`, "MPPE 128-bit stateless",
	},
}

// need skips what this pppd cannot do.
func (m *mode) need(t *testing.T) {
	if m.name != "EAP-MSCHAPv2" {
		return
	}
	path, err := exec.LookPath("pppd")
	require.NoError(t, err)
	image, err := os.ReadFile(path)
	require.NoError(t, err)
	if !bytes.Contains(image, []byte("peer proposes MSCHAPv2")) {
		t.Skip("this pppd knows no EAP-MSCHAPv2")
	}
}

// TestGatewayModes has pptp-linux and pppd call our gateway in every mode.
func TestGatewayModes(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 8 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, gatewayInEveryMode)
		t.Run("EAP-TLS", gatewayByCertificate)
	})
}

func gatewayInEveryMode(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	client := clients[0]
	server.serveBulk(t)
	capture := client.capture(t, "eth0")
	var ran []mode
	for _, m := range gatewayModes {
		t.Run(m.name, func(t *testing.T) {
			m.need(t)
			ran = append(ran, m)
			g := startGateway(t, server, p, m.policy, m.ours...)
			before := g.descriptors(t)
			c := startPPPClient(t, client, pppClientConfig{options: m.pppd})
			c.up(t, 20*time.Second)
			g.await(t, fmt.Sprintf(`msg="session up" .*user=alice .*encryption="?%s"? `, m.encryption), time.Second)
			require.NotEmpty(t, c.find(`^sent \[LCP ConfAck .*<auth `+m.auth+`>`), "what LCP agreed on")
			require.NotEmpty(t, c.find(m.proof), "how pppd has proved itself")
			require.NoError(t, client.echoOf(p, c.dev, tunnelServer))
			require.NoError(t, server.echo(g.device(t, c.addr), c.addr))
			t.Log(client.bulk(t, c.dev, tunnelServer, 256<<10))
			c.stop()
			c.terminated(t, time.Second)
			require.Regexp(t, `msg="session down" .*cause=peer `, g.ended(t, 1, 5*time.Second))
			require.Empty(t, g.find(`correct horse`), "a secret in the log")
			g.idle(t, before)
			g.shutdown(t)
		})
	}
	modesOnTheWire(t, capture, ran)
}

// clientModes are those in which our client calls pptpd. "ours" are its flags.
var clientModes = []mode{
	{
		"128 stateful", []string{"--mppe-modes", "stateful"}, "require",
		[]string{"require-mschap-v2", "require-mppe-128", "mppe-stateful"},
		"chap MS-v2", `sent \[CHAP Success`, "MPPE 128-bit stateful",
	},
	{
		"40", []string{"--mppe-keys", "128,56,40"}, "require",
		[]string{"require-mschap-v2", "require-mppe-40", "nomppe-128"},
		"chap MS-v2", `sent \[CHAP Success`, "MPPE 40-bit stateless",
	},
	{
		"40 stateful", []string{"--mppe-keys", "40", "--mppe-modes", "stateful"}, "prefer",
		[]string{"require-mschap-v2", "require-mppe", "mppe-stateful"},
		"chap MS-v2", `sent \[CHAP Success`, "MPPE 40-bit stateful",
	},
	{
		"MPPE refused", nil, "prefer",
		[]string{"require-mschap-v2", "nomppe"},
		"chap MS-v2", `sent \[CHAP Success`, noEncryption,
	},
	{
		"MPPE allowed", nil, "allow",
		[]string{"require-mschap-v2", "require-mppe-128"},
		"chap MS-v2", `sent \[CHAP Success`, "MPPE 128-bit stateless",
	},
	{
		"MS-CHAPv1", []string{"--auth", "ms-chapv1"}, "require",
		[]string{"require-mschap", "require-mppe-128"},
		"chap MS", `sent \[CHAP Success`, "MPPE 128-bit stateless",
	},
	{
		"CHAP-MD5", []string{"--auth", "ms-chapv2,chap-md5"}, "prefer",
		[]string{"require-chap"},
		"chap MD5", `sent \[CHAP Success`, noEncryption,
	},
	{
		"PAP", []string{"--auth", "ms-chapv2,chap-md5,pap"}, "prefer",
		[]string{"require-pap"},
		"pap", `sent \[PAP AuthAck`, noEncryption,
	},
	{
		// pppd proposes MD5-Challenge, which we do not want.
		"EAP-MSCHAPv2", []string{"--auth", "eap"}, "require",
		[]string{"require-eap", "require-mppe-128"},
		"eap", `sent \[EAP Request id=\S+ MSCHAPv2`, "MPPE 128-bit stateless",
	},
	{
		"EAP-MD5", []string{"--auth", "eap,chap-md5"}, "prefer",
		[]string{"require-eap"},
		"eap", `sent \[EAP Request id=\S+ MD5`, noEncryption,
	},
}

// TestClientModes has our client call pptpd in every mode.
func TestClientModes(t *testing.T) {
	lab(t, environment{kind: umlKernel, limit: 8 * time.Minute, ours: true}, func(t *testing.T) {
		onEachPlane(t, clientInEveryMode)
	})
}

func clientInEveryMode(t *testing.T, p plane) {
	syslog(t)
	server, clients := network(t, 1)
	client := clients[0]
	server.serveBulk(t)
	capture := client.capture(t, "eth0")
	var ran []mode
	for _, m := range clientModes {
		t.Run(m.name, func(t *testing.T) {
			m.need(t)
			ran = append(ran, m)
			s := startPPTPDWith(t, server, m.pppd...)
			d := startDial(t, client, diallerConfig{plane: p, mppe: m.policy, more: m.ours})
			d.up(t, 20*time.Second)
			require.NotEmpty(t, d.find(fmt.Sprintf(`^up: .* encryption="%s" `, m.encryption)), "what we have agreed on")
			require.NoError(t, client.echoOfPPPD(d.dev, tunnelServer))
			t.Log(client.bulk(t, d.dev, tunnelServer, 256<<10))
			d.terminate()
			require.Equal(t, dialOK, d.exitCode(t, 5*time.Second), "our client's exit code")
			client.noTunnels(t, time.Second)
			server.noTunnels(t, 5*time.Second)
			said, err := os.ReadFile(pppdServerLog(t))
			require.NoError(t, err)
			require.Regexp(t, `(?m)^rcvd \[LCP ConfAck .*<auth `+m.auth+`>`, string(said), "what LCP agreed on")
			require.Regexp(t, `(?m)^`+m.proof, string(said), "how we have proved ourselves")
			s.stop()
		})
	}
	modesOnTheWire(t, capture, ran)
}

// modesOnTheWire finds the sessions in a capture and requires that users' packets
// were encrypted in those that should be, and in no other.
func modesOnTheWire(t *testing.T, c *capture, modes []mode) {
	t.Run("on the wire", func(t *testing.T) {
		var sessions [][]packet
		for _, p := range c.packets(t) {
			if connects.MatchString(p.text) {
				sessions = append(sessions, nil)
			}
			if n := len(sessions); n > 0 {
				sessions[n-1] = append(sessions[n-1], p)
			}
		}
		require.Len(t, sessions, len(modes), "sessions captured")
		for i, m := range modes {
			mppe := noMPPE
			if strings.HasPrefix(m.encryption, "MPPE") {
				mppe = mppe128
			}
			t.Run(m.name, func(t *testing.T) { checkPrivacy(t, sessions[i], mppe) })
		}
	})
}

// connects is the first packet of a control connection.
var connects = regexp.MustCompile(`\.1723: Flags \[S\],`)
