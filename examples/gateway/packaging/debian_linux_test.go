package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// build builds the package of the gateway that the tests have.
func build(t *testing.T) (file string) {
	t.Helper()
	needs(t, "dpkg-deb", "dpkg")
	needs(t, "git", "git")
	if err := exec.Command("git", "rev-parse", "HEAD").Run(); err != nil {
		t.Skip("needs a clone of the repository, which has the version")
	}
	cmd := exec.Command("debian/deb.sh", t.TempDir())
	cmd.Env = append(os.Environ(), "GATEWAY="+program(t, "gateway"), "PACKING=-Zgzip -z1")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return strings.TrimSpace(string(out))
}

// host is one whose files are those of this machine, until they are changed: what is
// written goes to a directory of its own.
type host struct {
	t     *testing.T
	root  string
	enter []string // begins a command that runs in its namespaces
}

func newHost(t *testing.T) *host {
	t.Helper()
	needs(t, "unshare", "util-linux")
	dir := t.TempDir()
	h := &host{t: t, root: filepath.Join(dir, "root")}
	// The namespace is kept by a process that waits for its standard input.
	script := `mount -t tmpfs none ` + dir + ` && cd ` + dir + ` && mkdir root changes work &&
		mount -t overlay none -o lowerdir=/,upperdir=changes,workdir=work root && mount -t proc none root/proc &&
		mount -t tmpfs none root/dev && mkdir root/dev/net && mknod -m 666 root/dev/net/tun c 10 200 && mknod -m 666 root/dev/null c 1 3 &&
		mount -t tmpfs none root/run && mount -t tmpfs -o mode=1777 none root/tmp && ip link set lo up && echo up && exec cat`
	keeper := exec.Command("unshare", "--mount", "--net", "sh", "-c", script)
	in, err := keeper.StdinPipe()
	require.NoError(t, err)
	var out output
	keeper.Stdout, keeper.Stderr = &out, &out
	require.NoError(t, keeper.Start())
	t.Cleanup(func() {
		in.Close()
		keeper.Wait()
	})
	require.Eventually(t, func() bool { return out.String() != "" }, 30*time.Second, 10*time.Millisecond)
	if out.String() != "up\n" {
		t.Skip("needs overlay mounts: " + out.String())
	}
	h.enter = []string{"nsenter", "--mount", "--net", "--target", strconv.Itoa(keeper.Process.Pid)}
	return h
}

// inside is a command line that runs on the host.
func (h *host) inside(args ...string) []string {
	return append(append(append([]string{}, h.enter...), "chroot", h.root), args...)
}

func (h *host) run(args ...string) string {
	h.t.Helper()
	return run(h.t, h.inside(args...)...)
}

// install installs a package, as nothing that is started.
func (h *host) install(file string) {
	h.t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(h.t, err)
	cmd := exec.Command(h.enter[0], append(h.enter[1:], "sh", "-c", "cat >"+h.root+"/tmp/package.deb")...)
	cmd.Stdin = strings.NewReader(string(text))
	require.NoError(h.t, cmd.Run())
	h.run("dpkg", "--install", "/tmp/package.deb")
}

// The package is well formed, installs, runs as its unit would have it, and leaves nothing.
func TestPackage(t *testing.T) {
	t.Parallel()
	root(t)
	needs(t, "setpriv", "util-linux")
	file := build(t)
	if _, err := exec.LookPath("lintian"); err == nil {
		// The gateway of the tests is not built as the package's is: with symbols, and libc.
		out, err := exec.Command("lintian", "--allow-root", "--fail-on", "error", "--suppress-tags", "unstripped-binary-or-object,missing-dependency-on-libc", file).CombinedOutput()
		assert.NoError(t, err, "%s", out)
	}
	h := newHost(t)
	h.install(file)
	assert.Equal(t, "640 root gopptp\n", h.run("stat", "-c", "%a %U %G", "/etc/gopptp/gateway.yaml"))
	assert.Equal(t, "700 gopptp gopptp\n", h.run("stat", "-c", "%a %U %G", "/var/lib/gopptp"))
	assert.Contains(t, h.run("/usr/sbin/gopptp-gateway", "check-config"), "good: users: 0")
	h.run("/usr/sbin/gopptp-gateway", "check-config", "-c", "/usr/share/doc/gopptp-gateway/examples/gateway.example.yaml")
	assert.Contains(t, h.run("dpkg-query", "--show", "--showformat=${Conffiles}", "gopptp-gateway"), "/etc/gopptp/gateway.yaml")

	h.run("install", "-d", "-o", "gopptp", "-g", "gopptp", "/run/gopptp")
	g := start(t, h.inside("setpriv", "--reuid=gopptp", "--regid=gopptp", "--clear-groups",
		"--bounding-set=-all,+net_raw,+net_admin", "--inh-caps=-all,+net_raw,+net_admin", "--ambient-caps=-all,+net_raw,+net_admin",
		"--no-new-privs", "/usr/sbin/gopptp-gateway", "serve")...)
	g.await(t, `msg=ready`)
	assert.Contains(t, h.run("/usr/sbin/gopptp-gateway", "stats", "--json"), `"sessions"`)
	assert.Contains(t, h.run("/usr/sbin/gopptp-gateway", "reload"), "changes: 0")
	require.NoError(t, g.Process.Signal(syscall.SIGTERM))
	g.ended(t)
	require.NoError(t, g.err, "%s", &g.out)

	// The configuration outlives removal, but not a purge.
	h.run("dpkg", "--remove", "gopptp-gateway")
	h.run("test", "!", "-e", "/usr/sbin/gopptp-gateway", "-a", "-e", "/etc/gopptp/gateway.yaml")
	h.run("dpkg", "--purge", "gopptp-gateway")
	left := run(t, append(h.enter, "find", filepath.Join(filepath.Dir(h.root), "changes"), "-name", "*gopptp*")...)
	assert.Empty(t, left)
	h.run("sh", "-c", "! getent passwd gopptp && ! getent group gopptp")
}
