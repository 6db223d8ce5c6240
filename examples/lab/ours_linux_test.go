package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// program is the path of one of our programs.
func program(name string) string { return filepath.Join(os.Getenv(envOurs), name) }

// policy is how our programs are told about encryption.
func policy(mppe string) string {
	switch mppe {
	case mppe128:
		return "require"
	case noMPPE:
		return "deny"
	}
	return mppe // a policy already
}

// plane is a data plane of ours, as our programs are told of it.
type plane string

const (
	userspacePlane plane = "userspace"
	kernelPlane    plane = "kernel"
	autoPlane      plane = "auto" // each where it fits
)

// owns reports whether a tunnel's device is of this plane's kind. The userspace plane
// has one for all tunnels.
func (p plane) owns(dev string) bool {
	return p == autoPlane || strings.HasPrefix(dev, "ppp") == (p == kernelPlane)
}

// onEachPlane runs a test with either data plane on our side.
func onEachPlane(t *testing.T, f func(t *testing.T, p plane)) {
	for _, p := range []plane{userspacePlane, kernelPlane} {
		t.Run(string(p), func(t *testing.T) { f(t, p) })
	}
}

// gateway is ours.
type gateway struct {
	*process
	host  host
	plane plane
}

// startGateway starts our gateway in the host, with more lines of configuration
// if there are any.
func startGateway(t *testing.T, h host, p plane, mppe string, more ...string) *gateway {
	t.Helper()
	file := func(name, text string) string {
		path := filepath.Join(logDir(t), name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	file("secrets", secrets())
	config := []string{
		"local_address: " + tunnelServer,
		"pools: [" + tunnelPool + "]",
		"encryption: " + policy(mppe),
		"dataplane: {mode: " + string(p) + "}",
		"secrets_file: secrets",
		"stop_timeout: 5s",
	}
	path := file("gateway.yaml", strings.Join(append(config, more...), "\n")+"\n")
	g := &gateway{h.start(t, "gateway", program("gateway"), "serve", "--config", path), h, p}
	g.await(t, `msg=ready`, 10*time.Second)
	return g
}

// device is that of the tunnel to the address.
func (g *gateway) device(t *testing.T, addr string) string {
	t.Helper()
	m := regexp.MustCompile(` dev (\S+)`).FindStringSubmatch(g.host.ip(t, "-o", "route", "get", addr))
	require.NotNil(t, m, "a route to %s", addr)
	require.True(t, g.plane.owns(m[1]), "%s is not a device of the %s plane", m[1], g.plane)
	return m[1]
}

// ended waits until n sessions have ended, and returns the last one's line.
func (g *gateway) ended(t *testing.T, n int, in time.Duration) string {
	t.Helper()
	var lines []line
	eventually(t, in, fmt.Sprintf("the gateway reports the end of %d sessions", n), func() bool {
		lines = g.find(`msg="session (down|failed)"`)
		return len(lines) >= n
	})
	require.Len(t, lines, n, "ends of sessions")
	return lines[n-1].text
}

// descriptors counts the gateway's open files, but those that stay. For each interface
// that it has opened for AF_XDP that is a link, and the socket of the one queue; of the
// kernel plane, two channels with their sockets, by which it speaks to itself.
func (g *gateway) descriptors(t *testing.T) int {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", g.cmd.Process.Pid)
	open, err := os.ReadDir(dir)
	require.NoError(t, err)
	n, ppp := len(open), 0
	for _, fd := range open {
		switch what, _ := os.Readlink(filepath.Join(dir, fd.Name())); what { // it may be closed
		case "anon_inode:bpf_link":
			n -= 2
		case "anon_inode:[eventpoll]":
			n-- // one for each loop, from its first connection on
		case "/dev/ppp":
			ppp++
		}
	}
	if ppp == 2 {
		n -= 4
	}
	return n
}

// idle requires that the gateway holds nothing of its former sessions.
func (g *gateway) idle(t *testing.T, descriptors int) {
	t.Helper()
	g.host.noConnections(t, 5*time.Second)
	eventually(t, 5*time.Second, fmt.Sprintf("the gateway is back to %d descriptors", descriptors), func() bool {
		return g.descriptors(t) <= descriptors
	})
}

// shutdown stops the gateway in order.
func (g *gateway) shutdown(t *testing.T) {
	t.Helper()
	g.stop()
	require.Equal(t, 0, g.exitCode(t, time.Second), "the gateway's exit code")
	require.NotEmpty(t, g.find(`msg=stopped`))
	require.Empty(t, g.find(`^panic:|DATA RACE|level=ERROR`))
	require.Empty(t, g.host.tunnels(t), "devices after the gateway's end")
}

// goroutines counts the gateway's goroutines, at the price of its life.
func (g *gateway) goroutines(t *testing.T) int {
	t.Helper()
	g.signal(syscall.SIGQUIT)
	require.Equal(t, 2, g.exitCode(t, 10*time.Second), "the gateway's exit code after SIGQUIT")
	return len(g.find(`^goroutine \d+ .*\[`))
}

// dialler is our client.
type dialler struct {
	*process
	host    host
	plane   plane
	dev     string        // set by up
	addr    string        // of the tunnel, set by up
	elapsed time.Duration // of the set-up, set by up
}

type diallerConfig struct {
	name     string // of the log; "dial" if empty
	plane    plane
	mppe     string
	user     string // alice if empty
	password string // the right one if empty
	more     []string
}

// Exit codes of our client, from its help.
const (
	dialOK       = 0
	dialBadLogin = 6
	dialLost     = 11
)

// startDial starts our client in the host.
func startDial(t *testing.T, h host, c diallerConfig) *dialler {
	t.Helper()
	if c.name == "" {
		c.name = "dial"
	}
	if c.user == "" {
		c.user = user
	}
	if c.password == "" {
		c.password = password
	}
	secret := filepath.Join(logDir(t), c.name+".password")
	require.NoError(t, os.WriteFile(secret, []byte(c.password+"\n"), 0o600))
	argv := append([]string{program("dial"), "--user", c.user, "--password-file", secret, "--dataplane", string(c.plane), "--encryption", policy(c.mppe), "--verbose"}, c.more...)
	return &dialler{process: h.start(t, c.name, append(argv, serverAddr)...), host: h, plane: c.plane}
}

// up waits until the client's tunnel is up.
func (d *dialler) up(t *testing.T, in time.Duration) {
	t.Helper()
	require.NoError(t, d.upErr(in))
}

func (d *dialler) upErr(in time.Duration) error {
	m, _, err := d.awaitErr(`^up: local=(\S+) peer=(\S+) mtu=\d+ encryption="[^"]*" device=(\S+) elapsed=([\d.]+)ms`, in)
	if err != nil {
		return err
	}
	if m[2] != tunnelServer {
		return fmt.Errorf("the peer's address in the tunnel is %s", m[2])
	}
	if !d.plane.owns(m[3]) {
		return fmt.Errorf("%s is not a device of the %s plane", m[3], d.plane)
	}
	elapsed, err := strconv.ParseFloat(m[4], 64)
	d.addr, d.dev, d.elapsed = m[1], m[3], time.Duration(elapsed*float64(time.Millisecond))
	return err
}
