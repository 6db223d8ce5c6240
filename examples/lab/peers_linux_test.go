package lab

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Account of every test, and the addresses inside the tunnels.
const (
	user     = "alice"
	password = "correct horse"

	tunnelServer = "10.9.0.1"
	tunnelPool   = "10.9.1.1-250"
)

// The kinds of encryption that tests go through.
const (
	mppe128 = "MPPE-128"
	noMPPE  = "no MPPE"
)

// secrets is a chap-secrets file that lets the account in everywhere.
func secrets() string {
	return fmt.Sprintf("%q * %q *\n", user, password)
}

// writePPP writes one of pppd's files. /etc/ppp is empty and in memory here.
func writePPP(t *testing.T, name, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join("/etc/ppp", name), []byte(text), 0o600))
}

// syslog prints what the daemons say to syslog, into the test's logs.
func syslog(t *testing.T) {
	t.Helper()
	const path = "/dev/log"
	_ = os.Remove(path)
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	require.NoError(t, err)
	file, err := os.Create(filepath.Join(logDir(t), "syslog.log"))
	require.NoError(t, err)
	go func() {
		defer file.Close()
		b := make([]byte, 8192)
		for {
			n, err := l.Read(b)
			if err != nil {
				return
			}
			fmt.Fprintf(file, "%s %s\n", time.Now().Format("15:04:05.000000"), strings.TrimSpace(string(b[:n])))
		}
	}()
	t.Cleanup(func() { l.Close() })
}

// pptpdServer is pptpd with pppd.
type pptpdServer struct {
	*process
	host host
}

// startPPTPD starts pptpd with pppd in the host. Its options are the defaults,
// so it asks for more than it needs: BSD and Deflate compression, VJ.
func startPPTPD(t *testing.T, h host, mppe string) *pptpdServer {
	t.Helper()
	opts := []string{"refuse-pap", "refuse-chap", "refuse-mschap", "refuse-eap", "require-mschap-v2"}
	if mppe == mppe128 {
		opts = append(opts, "require-mppe-128")
	} else {
		opts = append(opts, "nomppe")
	}
	return startPPTPDWith(t, h, opts...)
}

// pppdServerLog is what the pppd of startPPTPD says.
func pppdServerLog(t *testing.T) string { return filepath.Join(logDir(t), "pppd-server.log") }

// startPPTPDWith is startPPTPD with other options about authentication and
// encryption.
func startPPTPDWith(t *testing.T, h host, opts ...string) *pptpdServer {
	t.Helper()
	opts = append([]string{"name pptpd", "auth", "nodefaultroute", "lock", "debug", "logfile " + pppdServerLog(t)}, opts...)
	writePPP(t, "chap-secrets", secrets())
	writePPP(t, "pap-secrets", secrets())
	writePPP(t, "options", "")
	writePPP(t, "pptpd-options", strings.Join(opts, "\n")+"\n")
	writePPP(t, "pptpd.conf", fmt.Sprintf("option /etc/ppp/pptpd-options\nlocalip %s\nremoteip %s\n", tunnelServer, tunnelPool))
	p := h.start(t, "pptpd", "pptpd", "-f", "-c", "/etc/ppp/pptpd.conf")
	h.awaitPort(t, 1723, 10*time.Second)
	return &pptpdServer{p, h}
}

// hangUp makes the server end its one session.
func (s *pptpdServer) hangUp(t *testing.T) {
	t.Helper()
	pids := descendants(s.cmd.Process.Pid, "pppd")
	require.Len(t, pids, 1, "pppd below pptpd")
	require.NoError(t, syscall.Kill(pids[0], syscall.SIGTERM))
}

// descendants returns the processes below pid that run the program.
func descendants(pid int, program string) []int {
	var found []int
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, field := range strings.Fields(string(text)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		if comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child)); strings.TrimSpace(string(comm)) == program {
			found = append(found, child)
		}
		found = append(found, descendants(child, program)...)
	}
	return found
}

// Exit codes of pppd, from its manual.
const (
	pppdUserRequest = 5  // by SIGTERM, SIGINT or SIGHUP
	pppdHungUp      = 16 // the other side ended it
	pppdAuthFailed  = 19 // it could not authenticate itself
)

// pppClient is a pptp-linux client with pppd.
type pppClient struct {
	*process
	host host
	dev  string // set by up
	addr string // of the tunnel, set by up
}

// terminated waits until the client has ended, as terminate told it to. pppd passes the
// signal on, and its pptp may be gone before pppd has said goodbye, as its log tells then:
// that is hanging up, to it.
func (c *pppClient) terminated(t *testing.T, limit time.Duration) {
	t.Helper()
	code, want := c.exitCode(t, limit), pppdUserRequest
	if len(c.find(`^Child process pptp .* terminated with signal 15`)) > 0 && code == pppdHungUp {
		want = pppdHungUp
	}
	require.Equal(t, want, code, "pppd's exit code")
}

type pppClientConfig struct {
	name     string // of the log; "pppd" if empty
	mppe     string
	password string   // the right one if empty
	user     string   // likewise
	shared   bool     // use the control connection of another client on this host that does
	options  []string // about authentication and encryption, instead of those for mppe
	more     []string // further options, which win
}

// startPPPClient starts a client in the host, which calls the server. Its
// options are the defaults: see startPPTPD.
func startPPPClient(t *testing.T, h host, c pppClientConfig) *pppClient {
	t.Helper()
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.name, "pppd")
	def(&c.user, user)
	def(&c.password, password)
	argv := []string{
		"pppd", "pty", "pptp " + serverAddr + " --nolaunchpppd --nobuffer --nohostroute",
		"user", c.user, "password", c.password, "noauth", "nodefaultroute",
		"debug", "hide-password", "nodetach", "maxfail", "1", "nopersist",
	}
	switch {
	case c.options != nil:
	case c.mppe == mppe128:
		c.options = []string{"refuse-eap", "require-mppe-128"}
	default:
		c.options = []string{"refuse-eap", "nomppe"}
	}
	argv = append(append(argv, c.options...), c.more...)
	// The pptp programs of a machine share a control connection to a server.
	// They find it by a socket in /run, whose name has both addresses.
	if c.shared {
		argv[2] += " --localbind " + h.addr
	} else {
		argv = append([]string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs tmpfs /run && exec "$@"`, "sh"}, argv...)
	}
	writePPP(t, "options", "")
	return &pppClient{process: h.start(t, c.name, argv...), host: h}
}

// up waits until the client's tunnel is up.
func (c *pppClient) up(t *testing.T, in time.Duration) {
	t.Helper()
	require.NoError(t, c.upErr(in))
}

func (c *pppClient) upErr(in time.Duration) error {
	m, _, err := c.awaitErr(`^Using interface (ppp\d+)`, in)
	if err != nil {
		return err
	}
	c.dev = m[1]
	if m, _, err = c.awaitErr(`^local +IP address (\S+)`, in); err != nil {
		return err
	}
	c.addr = m[1]
	_, _, err = c.awaitErr(`^remote IP address (\S+)`, in)
	return err
}
