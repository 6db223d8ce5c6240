package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kind of environment.
type kind int

const (
	umlKernel    kind = iota // User-Mode Linux
	namespaces               // the machine's own kernel
	emulated                 // Debian's kernel on an emulated processor that counts its instructions
	emulatedPair             // the same on two that do not, and are faster
)

type environment struct {
	kind  kind
	limit time.Duration // bounds the environment's life
	ours  bool          // the gateway and the client are wanted in it
	alone bool          // nothing else may run meanwhile: it measures time
	size  string        // memory of a kernel of its own; 1G if it is empty
}

// lab runs f inside an environment. Called outside, it makes one, in which the
// test binary runs the same test again, streams its output and reports each of
// its subtests as one of t; called inside, it runs f.
func lab(t *testing.T, e environment, f func(t *testing.T)) {
	if os.Getenv(envDir) != "" {
		f(t)
		return
	}
	need(t, e.kind)
	if !e.alone {
		t.Parallel()
	}
	e.run(t)
}

// need ends the test unless its environment can be made here: with a skip, or
// with a failure where everything must be there.
func need(t *testing.T, k kind) {
	missing := t.Skipf
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		missing = t.Fatalf
	}
	if testing.Short() {
		t.Skip("the lab takes long: not with -short")
	}
	if os.Geteuid() != 0 {
		missing("the lab needs root")
	}
	programs := []string{"ip", "nsenter", "ping", "ss", "tcpdump", "tshark"}
	if k == umlKernel {
		programs = append(programs, "linux.uml", "pptpd", "pppd", "pptp", "tc")
		if runtime.GOARCH != "amd64" {
			missing("User-Mode Linux runs on amd64 only")
		}
	} else if _, err := os.Stat("/dev/net/tun"); err != nil {
		missing("no TUN device: %v", err)
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			missing("the lab needs %s: run scripts/lab-deps.sh, or make lab", p)
		}
	}
	if k == umlKernel {
		if _, err := kernelModules(); err != nil {
			missing("User-Mode Linux: %v", err)
		}
	}
}

func (e environment) run(t *testing.T) {
	ours := ""
	if e.ours {
		ours = buildOurs(t)
	}
	self, err := os.Executable()
	require.NoError(t, err)
	dir := environmentDir(t)
	start := time.Now()
	res := e.boot(t, job{
		Dir:  dir,
		Args: []string{self, "-test.v", "-test.run=" + innerRun(t.Name()), "-test.count=1", "-test.timeout=" + e.limit.String()},
		Env:  []string{envOurs + "=" + ours},
	})
	test, subtests := res.of(t.Name())
	t.Logf("%d subtests in %.1f s", len(subtests), time.Since(start).Seconds())
	report(t, subtests)
	switch {
	case !res.ended(t):
	case test.verdict == "":
		t.Errorf("the test did not run inside (exit status %s)", res.exit)
	case res.exit != "0" || test.verdict == "FAIL":
		t.Errorf("the test failed inside (exit status %s)", res.exit)
	case test.verdict == "SKIP":
		t.Skip("skipped inside, see above")
	}
	checkCaptures(t, dir)
}

// environmentDir is where the test's environment keeps its logs.
func environmentDir(t *testing.T) string {
	t.Helper()
	keep := os.Getenv("LAB_KEEP")
	if keep == "" {
		return t.TempDir()
	}
	dir, err := filepath.Abs(filepath.Join(keep, t.Name()))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(dir))
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

// powerOffLimit is how long an environment may take to go after its job is done.
const powerOffLimit = 10 * time.Second

// boot makes the environment, does the job in it, and streams its output.
func (e environment) boot(t *testing.T, j job) results {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	j.Env = append([]string{searchPath, "HOME=" + j.Dir, "TMPDIR=" + j.Dir, "LANG=C", "GOTRACEBACK=all"}, j.Env...)
	j.OwnKernel = e.kind != namespaces
	switch e.kind {
	case umlKernel:
		j.Modules, err = kernelModules()
		require.NoError(t, err)
	case emulated, emulatedPair:
		_, j.Modules = debianKernel(t)
	}
	text, err := json.Marshal(j)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(j.Dir, jobFile), text, 0o600))

	// The inner test has its own deadline, after which it prints where it
	// hangs; only then, a little later, everything is killed.
	ctx, cancel := context.WithTimeout(context.Background(), e.limit+15*time.Second)
	defer cancel()
	var cmd *exec.Cmd
	switch role, dir := envRole+"=init", envDir+"="+j.Dir; e.kind {
	case umlKernel:
		uml := umlCommand(t, "mem="+e.memory(), "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "loglevel=1",
			"con=null", "con0=fd:0,fd:1", "init="+self, role, dir)
		cmd = exec.CommandContext(ctx, uml[0], uml[1:]...)
		cmd.Env = append(os.Environ(), "HOME="+j.Dir) // it keeps its sockets in ~/.uml
		// It is several processes, which end with the first of their namespace.
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Cloneflags: syscall.CLONE_NEWPID}
	case emulated, emulatedPair:
		qemu := emulatedCommand(t, e.kind, self, e.memory(), role, dir)
		cmd = exec.CommandContext(ctx, qemu[0], qemu[1:]...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	case namespaces:
		cmd = exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), role, dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Pdeathsig:  syscall.SIGKILL,
			Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		}
	}
	cmd.WaitDelay = 5 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	go func() {
		// The kernel kills the environment when the thread that made it ends,
		// so the thread must live as long as this process does.
		runtime.LockOSThread()
		err := cmd.Run()
		w.CloseWithError(cmp(err, io.EOF))
	}()
	var patience *time.Timer
	res := parse(r, t.Output(), func() { patience = time.AfterFunc(powerOffLimit, cancel) })
	if patience != nil && !patience.Stop() {
		t.Logf("its kernel did not power off in %v after that", powerOffLimit)
	}
	return res
}

func (e environment) memory() string {
	if e.size != "" {
		return e.size
	}
	return "1G"
}

func cmp(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// innerRun is the -test.run pattern for the environment: this one test, and
// those parts of the caller's own pattern that choose among its subtests.
func innerRun(name string) string {
	test := "^" + regexp.QuoteMeta(name) + "$"
	below := runBelow(name)
	if below == nil {
		return test
	}
	for i, p := range below {
		below[i] = test + "/" + p
	}
	return strings.Join(below, "|")
}

// runBelow is what the caller's own -test.run pattern says of what is below the test:
// the alternatives, or none if all of it is to run.
func runBelow(name string) []string {
	own := ""
	if f := flag.Lookup("test.run"); f != nil {
		own = f.Value.String()
	}
	var below []string
next:
	for _, p := range alternatives(own) {
		for _, element := range strings.Split(name, "/") {
			first, rest, more := strings.Cut(p, "/")
			if matched, err := regexp.MatchString(first, element); err != nil || !matched {
				continue next
			}
			if !more {
				return nil
			}
			p = rest
		}
		below = append(below, p)
	}
	return below
}

// alternatives splits a pattern at the bars that are outside of all brackets,
// as package testing does.
func alternatives(pattern string) []string {
	var found []string
	depth, start := 0, 0
	for i, c := range pattern {
		switch c {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case '|':
			if depth == 0 {
				found = append(found, pattern[start:i])
				start = i + 1
			}
		}
	}
	return append(found, pattern[start:])
}

// result of a test.
type result struct {
	name, verdict, duration string

	said []string // by a test that failed, at first
}

// results of what ran in an environment.
type results struct {
	tests []result // with their subtests, in the order in which they ended
	boot  []string // what was said before the program started
	exit  string   // the program's exit status, "" if it was never printed
	err   error    // of the environment
}

var (
	verdictLine = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \((.*)\)$`)
	speakerLine = regexp.MustCompile(`^=== (?:RUN|CONT|NAME)\s+(\S+)$`)
)

// maxSaid is how many lines of a failed test are repeated with its verdict: its first
// ones, which tell what failed. All are in what was copied.
const maxSaid = 20

// parse reads the output of the tests inside until it ends, and copies it. It calls exited
// when the program inside has ended.
func parse(r io.Reader, out io.Writer, exited func()) results {
	var res results
	said, speaker := make(map[string][]string), ""
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for booting := true; in.Scan(); {
		line := strings.TrimRight(in.Text(), "\r")
		if booting {
			booting = line != bootMark
			res.boot = append(res.boot, line)
			continue
		}
		if m := verdictLine.FindStringSubmatch(line); m != nil {
			res.tests = append(res.tests, result{name: m[2], verdict: m[1], duration: m[3], said: said[m[2]]})
		} else if m := speakerLine.FindStringSubmatch(line); m != nil {
			speaker = m[1]
		} else if line != "" && len(said[speaker]) < maxSaid {
			said[speaker] = append(said[speaker], line)
		}
		if res.exit != "" {
			continue // the kernel's last words
		}
		if status, ok := strings.CutPrefix(line, exitMark); ok {
			res.exit = status
			exited()
			continue
		}
		if line == "" || strings.HasPrefix(line, "=== ") {
			continue
		}
		fmt.Fprintln(out, "|", line)
	}
	res.err = in.Err()
	return res
}

// of returns the result of one test, and those of its subtests.
func (r results) of(name string) (test result, subtests []result) {
	for _, s := range r.tests {
		if sub, ok := strings.CutPrefix(s.name, name+"/"); ok {
			s.name = sub
			subtests = append(subtests, s)
		} else if s.name == name {
			test = s
		}
	}
	return test, subtests
}

// ended reports whether the program inside ran to its end.
func (r results) ended(t *testing.T) bool {
	t.Helper()
	if r.exit == "" {
		t.Errorf("the environment ended early: %v; it began with:\n%s", r.err, strings.Join(r.boot, "\n"))
	}
	return r.exit != ""
}

// report makes subtests of t of the tests that ran inside.
func report(t *testing.T, tests []result) {
	for _, s := range tests {
		t.Run(s.name, func(t *testing.T) {
			switch s.verdict {
			case "FAIL":
				t.Errorf("failed inside after %s, see above; it began with:\n%s", s.duration, strings.Join(s.said, "\n"))
			case "SKIP":
				t.Skip("skipped inside, see above")
			}
		})
	}
}
