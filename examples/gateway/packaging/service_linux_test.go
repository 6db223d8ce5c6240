package packaging

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// output is what a process has written so far.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// process is one that the test has started.
type process struct {
	*exec.Cmd
	out  output
	done chan struct{}
	err  error
}

func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.Stdout, p.Stderr = &p.out, &p.out
	require.NoError(t, p.Start())
	go func() {
		defer close(p.done)
		p.err = p.Wait()
	}()
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.done
	})
	return p
}

// await waits for a line of the process.
func (p *process) await(t *testing.T, pattern string) {
	t.Helper()
	require.Eventually(t, func() bool { return regexp.MustCompile(pattern).MatchString(p.out.String()) },
		30*time.Second, 10*time.Millisecond, "%s in:\n%s", pattern, &p.out)
}

// ended waits for its end.
func (p *process) ended(t *testing.T) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatalf("does not end:\n%s", &p.out)
	}
}

// hosts are a server and a client, as network namespaces with a cable between them.
func hosts(t *testing.T) (server, client string) {
	t.Helper()
	server, client = fmt.Sprintf("gopptp-pkg-s%d", os.Getpid()), fmt.Sprintf("gopptp-pkg-c%d", os.Getpid())
	for _, ns := range []string{server, client} {
		run(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { run(t, "ip", "netns", "del", ns) })
		run(t, "ip", "-n", ns, "link", "set", "lo", "up")
	}
	run(t, "ip", "link", "add", "uplink", "netns", server, "type", "veth", "peer", "name", "uplink", "netns", client)
	for ns, addr := range map[string]string{server: "192.0.2.1/30", client: "192.0.2.2/30"} {
		run(t, "ip", "-n", ns, "address", "add", addr, "dev", "uplink")
		run(t, "ip", "-n", ns, "link", "set", "uplink", "up")
	}
	return server, client
}

// The gateway runs as the unit has it: as nobody, with two capabilities and no way to get
// more, on a socket that was open before it was, and says how it is. So it carries a
// session, takes another configuration, and stops in order.
func TestService(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "systemd-socket-activate", "systemd")
	needs(t, "ip", "iproute2")
	needs(t, "ping", "iputils-ping")
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skip("needs /dev/net/tun")
	}
	gateway, dial := program(t, "gateway"), program(t, "dial")
	dir, err := os.MkdirTemp("", "service")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	config := filepath.Join(dir, "gateway.yaml")
	write := func(more string) {
		text := "local_address: 10.9.0.1\npools: [10.9.1.0/24]\nusers: [{name: alice, password: correct horse}]\n" + more
		require.NoError(t, os.WriteFile(config, []byte(text), 0o644))
	}
	write("")
	password := filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(password, []byte("correct horse\n"), 0o600))
	notify := filepath.Join(dir, "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { manager.Close() })
	require.NoError(t, os.Chmod(notify, 0o777))
	hears := func() string {
		t.Helper()
		require.NoError(t, manager.SetReadDeadline(time.Now().Add(30*time.Second)))
		b := make([]byte, 512)
		n, err := manager.Read(b)
		require.NoError(t, err)
		return string(b[:n])
	}

	server, client := hosts(t)
	// The host's own device for tunnels is for root alone here and there. Debian's is not.
	script := `mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec setpriv --reuid=65534 --regid=65534 --clear-groups \
		--bounding-set=-all,+net_raw,+net_admin --inh-caps=-all,+net_raw,+net_admin --ambient-caps=-all,+net_raw,+net_admin --no-new-privs "$@"`
	g := start(t, "ip", "netns", "exec", server, "systemd-socket-activate", "--listen=0.0.0.0:1723",
		"--setenv=NOTIFY_SOCKET="+notify, "--setenv=PATH="+os.Getenv("PATH"),
		"unshare", "--mount", "sh", "-c", script, "sh", gateway, "serve", "--config", config)
	require.Eventually(t, func() bool { // the socket is open, and nobody accepts
		out, _ := exec.Command("ip", "netns", "exec", server, "ss", "-Hltn", "sport", "=", "1723").Output()
		return len(out) > 0
	}, 30*time.Second, 10*time.Millisecond)
	c := start(t, "ip", "netns", "exec", client, dial, "--user", "alice", "--password-file", password, "192.0.2.1")
	assert.Equal(t, "READY=1", hears())
	c.await(t, `(?m)^up: `)
	g.await(t, `msg="session up" .*user=alice`)
	run(t, "ip", "netns", "exec", client, "ping", "-c", "3", "-i", "0.2", "-W", "10", "10.9.0.1")

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.Process.Pid))
	require.NoError(t, err)
	for _, line := range []string{"Uid:\t65534", "Gid:\t65534", "CapEff:\t0000000000003000", "CapBnd:\t0000000000003000", "NoNewPrivs:\t1"} {
		assert.Contains(t, string(status), line)
	}

	write("dns: [10.9.0.53]\n")
	require.NoError(t, g.Process.Signal(syscall.SIGHUP))
	assert.True(t, strings.HasPrefix(hears(), "RELOADING=1\nMONOTONIC_USEC="))
	assert.Equal(t, "READY=1", hears())
	g.await(t, `change="dns: \[\], now \[10.9.0.53\]"`)
	run(t, "ip", "netns", "exec", client, "ping", "-c", "1", "-W", "10", "10.9.0.1")

	require.NoError(t, g.Process.Signal(syscall.SIGTERM))
	assert.Regexp(t, `^STOPPING=1\nEXTEND_TIMEOUT_USEC=[1-9]\d*$`, hears())
	g.ended(t)
	assert.NoError(t, g.err, "%s", &g.out)
	c.ended(t)
	g.await(t, `msg="session down" .*cause=shutdown .*received_packets=[1-9]`)
}
