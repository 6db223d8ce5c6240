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
	umlKernel  kind = iota // User-Mode Linux
	namespaces             // the machine's own kernel
)

type environment struct {
	kind  kind
	limit time.Duration // bounds the environment's life
	ours  bool          // the gateway and the client are wanted in it
	alone bool          // nothing else may run meanwhile: it measures time
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
	dir := t.TempDir()
	if keep := os.Getenv("LAB_KEEP"); keep != "" {
		var err error
		dir, err = filepath.Abs(filepath.Join(keep, t.Name()))
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(dir))
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	self, err := os.Executable()
	require.NoError(t, err)
	j := job{
		Dir:  dir,
		Args: []string{self, "-test.v", "-test.run=" + innerRun(t.Name()), "-test.count=1", "-test.timeout=" + e.limit.String()},
		Env: []string{
			searchPath, "HOME=" + dir, "TMPDIR=" + dir, "LANG=C",
			"GOTRACEBACK=all", envOurs + "=" + ours,
		},
		UML: e.kind == umlKernel,
	}
	if j.UML {
		j.Modules, err = kernelModules()
		require.NoError(t, err)
	}
	text, err := json.Marshal(j)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, jobFile), text, 0o600))

	// The inner test has its own deadline, after which it prints where it
	// hangs; only then, a little later, everything is killed.
	ctx, cancel := context.WithTimeout(context.Background(), e.limit+15*time.Second)
	defer cancel()
	var cmd *exec.Cmd
	if j.UML {
		cmd = exec.CommandContext(ctx, "linux.uml", "mem=1G", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "rw", "loglevel=1",
			"con=null", "con0=fd:0,fd:1", "init="+self, envRole+"=init", envDir+"="+dir)
		cmd.Env = append(os.Environ(), "HOME="+dir) // it keeps its sockets in ~/.uml
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	} else {
		cmd = exec.CommandContext(ctx, self)
		cmd.Env = append(os.Environ(), envRole+"=init", envDir+"="+dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Pdeathsig:  syscall.SIGKILL,
			Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS,
		}
	}
	cmd.WaitDelay = 5 * time.Second
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w

	start := time.Now()
	go func() {
		// The kernel kills the environment when the thread that made it ends,
		// so the thread must live as long as this process does.
		runtime.LockOSThread()
		err := cmd.Run()
		w.CloseWithError(cmp(err, io.EOF))
	}()
	res := parse(r, t)
	t.Logf("%d subtests in %.1f s", len(res.subtests), time.Since(start).Seconds())
	res.report(t)
	checkCaptures(t, dir)
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
	own := ""
	if f := flag.Lookup("test.run"); f != nil {
		own = f.Value.String()
	}
	var patterns []string
	for _, p := range alternatives(own) {
		first, sub, ok := strings.Cut(p, "/")
		if matched, err := regexp.MatchString(first, name); err != nil || !matched {
			continue
		}
		if !ok {
			return test
		}
		patterns = append(patterns, test+"/"+sub)
	}
	return strings.Join(patterns, "|")
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

type result struct {
	name, verdict, duration string
}

type results struct {
	test     result // the test itself
	subtests []result
	boot     []string // what was said before the program started
	exit     string   // the program's exit status, "" if it was never printed
	err      error    // of the environment
}

var verdictLine = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+) \((.*)\)$`)

// parse reads the output of the test inside until it ends, and copies it to t's.
func parse(r io.Reader, t *testing.T) results {
	var res results
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	out := t.Output()
	for booting := true; in.Scan(); {
		line := strings.TrimRight(in.Text(), "\r")
		if booting {
			booting = line != bootMark
			res.boot = append(res.boot, line)
			continue
		}
		if m := verdictLine.FindStringSubmatch(line); m != nil {
			r := result{name: m[2], verdict: m[1], duration: m[3]}
			if sub, ok := strings.CutPrefix(r.name, t.Name()+"/"); ok {
				r.name = sub
				res.subtests = append(res.subtests, r)
			} else if r.name == t.Name() {
				res.test = r
			}
		}
		if res.exit != "" {
			continue // the kernel's last words
		}
		if status, ok := strings.CutPrefix(line, exitMark); ok {
			res.exit = status
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

func (r results) report(t *testing.T) {
	for _, s := range r.subtests {
		t.Run(s.name, func(t *testing.T) {
			switch s.verdict {
			case "FAIL":
				t.Errorf("failed inside after %s, see above", s.duration)
			case "SKIP":
				t.Skip("skipped inside, see above")
			}
		})
	}
	switch {
	case r.exit == "":
		t.Errorf("the environment ended early: %v; it began with:\n%s", r.err, strings.Join(r.boot, "\n"))
	case r.test.verdict == "":
		t.Errorf("the test did not run inside (exit status %s)", r.exit)
	case r.exit != "0" || r.test.verdict == "FAIL":
		t.Errorf("the test failed inside (exit status %s)", r.exit)
	case r.test.verdict == "SKIP":
		t.Skip("skipped inside, see above")
	}
}
