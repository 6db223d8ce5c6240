package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/xdp"
)

// boot returns a host like newHost's, in a network namespace, whose process 1 is systemd.
func boot(t *testing.T, network string) *host {
	t.Helper()
	needs(t, "unshare", "util-linux")
	const systemd = "/lib/systemd/systemd"
	if _, err := os.Stat(systemd); err != nil {
		t.Skip("needs systemd: scripts/apt.sh systemd")
	}
	dir := t.TempDir()
	h := &host{t: t, root: filepath.Join(dir, "root")}
	// A control group of its own, in which systemd sees the top of all.
	group := fmt.Sprintf("gopptp-pkg-%d", os.Getpid())
	outer := `mount -t tmpfs none ` + dir + ` && cd ` + dir + ` && mkdir cgroup root changes work && mount -t cgroup2 none cgroup &&
		mkdir cgroup/` + group + ` && echo $$ >cgroup/` + group + `/cgroup.procs && exec unshare --cgroup --pid --fork --kill-child sh -c "$0"`
	inner := `mount -t overlay none -o lowerdir=/,upperdir=changes,workdir=work root &&
		mount -t proc none root/proc && mount -t sysfs -o ro none root/sys && mount -t cgroup2 none root/sys/fs/cgroup &&
		mount -t tmpfs -o mode=755 none root/dev && mkdir root/dev/net && mknod -m 666 root/dev/net/tun c 10 200 &&
		mknod -m 666 root/dev/null c 1 3 && mknod -m 666 root/dev/urandom c 1 9 &&
		mount -t tmpfs -o mode=755 none root/run && mount -t tmpfs -o mode=1777 none root/tmp && : >root/etc/fstab &&
		echo up && exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot root ` + systemd + ` --unit=sysinit.target`
	t.Cleanup(func() { // after the end of all that is in it
		_ = exec.Command("unshare", "--mount", "sh", "-c", `mount -t cgroup2 none "$1" && cd "$1" && for i in $(seq 100); do
			find "$0" -depth -type d -exec rmdir {} + && break; sleep 0.1; done`, group, os.TempDir()).Run()
	})
	p := start(t, "ip", "netns", "exec", network, "unshare", "--mount", "--uts", "--ipc", "sh", "-c", outer, inner)
	require.Eventually(t, func() bool { return p.out.String() != "" }, 30*time.Second, 10*time.Millisecond)
	if !strings.HasPrefix(p.out.String(), "up\n") {
		t.Skip("needs overlay and cgroup mounts: " + p.out.String())
	}
	children := fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", p.Process.Pid)
	text, err := os.ReadFile(children)
	require.NoError(t, err)
	h.enter = []string{"nsenter", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--pid", "--target", strings.TrimSpace(string(text))}
	require.Eventually(t, func() bool {
		out, _ := exec.Command(h.enter[0], h.inside("systemctl", "is-active", "sysinit.target")[1:]...).CombinedOutput()
		return string(out) == "active\n"
	}, 60*time.Second, 50*time.Millisecond, "%s", &p.out)
	return h
}

// fails runs what has to fail, and returns what it says.
func (h *host) fails(args ...string) string {
	h.t.Helper()
	all := h.inside(args...)
	out, err := exec.Command(all[0], all[1:]...).CombinedOutput()
	require.Error(h.t, err, "%s", out)
	return string(out)
}

// systemd itself runs the package's unit, with all that it keeps from it: a session passes
// traffic, a reload is taken or refused, a gateway that is killed comes back, one that is
// stopped leaves nothing behind.
func TestUnderSystemd(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "ip", "iproute2")
	needs(t, "ping", "iputils-ping")
	needs(t, "nft", "nftables")
	file := build(t)
	dial := program(t, "dial")
	server, client := hosts(t)
	h := boot(t, server)
	h.install(file)
	write := func(more string) {
		t.Helper()
		h.run("sh", "-c", `cat >/etc/gopptp/gateway.yaml <<.
local_address: 10.9.0.1
pools: [10.9.1.0/24]
users: [{name: alice, password: correct horse}]
admin: {listen: unix:/run/gopptp/admin.sock}
bans: {file: /var/lib/gopptp/bans.json}
`+more+"\n.\n")
	}
	write("")
	h.run("systemctl", "enable", "--now", "gopptp-gateway")
	assert.Equal(t, "active\nactive\n", h.run("systemctl", "is-active", "gopptp-gateway.service", "gopptp-gateway.socket"))
	const property = "StartLimitIntervalUSec"
	assert.Equal(t, property+"=0\n", h.run("systemctl", "show", "--property="+property, "gopptp-gateway"), "it comes back however often it ends")

	password := filepath.Join(t.TempDir(), "password")
	require.NoError(t, os.WriteFile(password, []byte("correct horse\n"), 0o600))
	c := start(t, "ip", "netns", "exec", client, dial, "--user", "alice", "--password-file", password, "192.0.2.1")
	c.await(t, `(?m)^up: `)
	ping := func() {
		t.Helper()
		run(t, "ip", "netns", "exec", client, "ping", "-c", "2", "-i", "0.2", "-W", "10", "10.9.0.1")
	}
	ping()

	// All that a firewall takes, while somebody is in.
	journal := func() string {
		return h.run("journalctl", "--no-pager", "--output=cat", "--unit=gopptp-gateway.service")
	}
	assert.Equal(t, "0\n", h.run("cat", "/proc/sys/net/ipv4/ip_forward"))
	write("firewall: {enabled: true, forwarding: true, nat: {masquerade: true}}")
	h.run("systemctl", "reload", "gopptp-gateway")
	require.Eventually(t, func() bool { return strings.Contains(journal(), `msg="configuration taken anew"`) }, 30*time.Second, 50*time.Millisecond)
	assert.Equal(t, "1\n", h.run("cat", "/proc/sys/net/ipv4/ip_forward"))
	ping()
	h.run("/usr/sbin/gopptp-gateway", "ban", "--source", "192.0.2.77")
	require.Eventually(t, func() bool {
		return strings.Contains(h.run("nft", "list", "table", "inet", "gopptp"), "192.0.2.77 timeout")
	}, 30*time.Second, 50*time.Millisecond)
	write("mtu: 99")
	h.fails("systemctl", "reload", "gopptp-gateway")
	assert.Contains(t, journal(), "mtu: 99 is neither 0 nor from 576 to 1500")
	ping()

	// Killed, it is there again for who comes.
	pid := func() int {
		n, err := strconv.Atoi(strings.TrimSpace(h.run("systemctl", "show", "--property=MainPID", "--value", "gopptp-gateway")))
		require.NoError(t, err)
		return n
	}
	more := "firewall: {enabled: true, forwarding: true}"
	fast := xdp.Probe() == nil
	if fast { // with what it is kept from no longer, by the file that comes with it
		more += "\ndataplane: {xdp: on, ring: 256}" // without CAP_SYS_RESOURCE, systemd cannot raise a limit
		h.run("install", "-D", "-m", "644", "/usr/share/doc/gopptp-gateway/examples/xdp.conf", "/etc/systemd/system/gopptp-gateway.service.d/xdp.conf")
		h.run("systemctl", "daemon-reload")
	}
	write(more)
	h.run("sh", "-c", "until test -s /var/lib/gopptp/bans.json; do sleep 0.1; done")
	before := pid()
	h.run("systemctl", "kill", "--signal=KILL", "gopptp-gateway")
	c.Process.Kill()
	<-c.done
	again := start(t, "ip", "netns", "exec", client, dial, "--user", "alice", "--password-file", password, "192.0.2.1")
	again.await(t, `(?m)^up: `)
	assert.NotEqual(t, before, pid())
	if fast {
		run(t, "ip", "netns", "exec", client, "ping", "-c", "100", "-i", "0.002", "-W", "10", "10.9.0.1")
		require.Eventually(t, func() bool { return strings.Contains(journal(), `msg="userspace: AF_XDP" `) }, 30*time.Second, 50*time.Millisecond)
	}
	ping()
	h.run("systemctl", "stop", "gopptp-gateway.socket", "gopptp-gateway.service")
	again.ended(t)
	assert.Contains(t, journal(), "cause=shutdown")
	assert.NotContains(t, h.run("nft", "list", "tables"), "gopptp")
	assert.Contains(t, h.run("cat", "/var/lib/gopptp/bans.json"), "192.0.2.77")
	h.run("test", "!", "-e", "/run/gopptp")

	h.run("rm", "-rf", "/etc/systemd/system/gopptp-gateway.service.d")
	h.run("dpkg", "--purge", "gopptp-gateway")
	assert.Empty(t, h.run("find", "/etc", "/lib/systemd", "/usr/sbin", "/var/lib", "/run", "-name", "*gopptp*", "-not", "-path", "/var/lib/systemd/*"))
}
