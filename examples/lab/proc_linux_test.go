package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// line of a program's output.
type line struct {
	at   time.Time
	text string
}

// output collects a program's lines as they come.
type output struct {
	mu      sync.Mutex
	lines   []line
	changed chan struct{} // closed and replaced at each line, and at the end
	ended   bool
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// collect reads r to its end, and copies it with times to w.
func (o *output) collect(r io.Reader, w io.Writer) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		l := line{time.Now(), in.Text()}
		fmt.Fprintf(w, "%s %s\n", l.at.Format("15:04:05.000000"), l.text)
		o.mu.Lock()
		o.lines = append(o.lines, l)
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
	}
	o.mu.Lock()
	o.ended = true
	close(o.changed)
	o.changed = make(chan struct{})
	o.mu.Unlock()
}

// snapshot returns the lines so far, and what is closed when there are more.
func (o *output) snapshot() (lines []line, changed <-chan struct{}, ended bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.lines[:len(o.lines):len(o.lines)], o.changed, o.ended
}

// find returns the lines so far that match.
func (o *output) find(pattern string) []line {
	re := regexp.MustCompile(pattern)
	lines, _, _ := o.snapshot()
	var found []line
	for _, l := range lines {
		if re.MatchString(l.text) {
			found = append(found, l)
		}
	}
	return found
}

// process is a program that a test has started, and stops when it ends.
type process struct {
	*output
	name string
	cmd  *exec.Cmd
	done chan struct{} // closed when the program has ended and all is collected
	dull bool          // its output is not worth showing
}

// start starts a program. Its output goes to a log file and is shown if the
// test fails.
func start(t *testing.T, name string, argv ...string) *process {
	t.Helper()
	p := &process{output: newOutput(), name: name, cmd: exec.Command(argv[0], argv[1:]...), done: make(chan struct{})}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	log, err := os.Create(filepath.Join(logDir(t), name+".log"))
	require.NoError(t, err)
	p.cmd.Stdout, p.cmd.Stderr = w, w
	err = p.cmd.Start()
	w.Close()
	require.NoError(t, err, "start %v", argv)
	collected := make(chan struct{})
	go func() { p.collect(r, log); log.Close(); close(collected) }()
	go func() {
		_ = p.cmd.Wait()
		// A child may hold the pipe: then its output is not waited for.
		select {
		case <-collected:
		case <-time.After(time.Second):
		}
		r.Close()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.stop()
		if t.Failed() && !p.dull {
			p.show(t)
		}
	})
	return p
}

// logDir is the directory of the test's logs.
func logDir(t *testing.T) string {
	dir := filepath.Join(os.Getenv(envDir), "logs", t.Name())
	require.NoError(t, os.MkdirAll(dir, 0o755))
	return dir
}

// show prints the end of the program's output.
func (p *process) show(t *testing.T) {
	lines, _, _ := p.snapshot()
	const most = 60
	if cut := len(lines) - most; cut > 0 {
		lines = lines[cut:]
	}
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "\n    %s %s", l.at.Format("05.000"), l.text)
	}
	t.Logf("output of %s:%s", p.name, b.String())
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// terminate asks the program to end.
func (p *process) terminate() { p.signal(syscall.SIGTERM) }

// stop ends the program: politely, then not.
func (p *process) stop() {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		p.signal(s)
		if p.ends(5 * time.Second) {
			return
		}
	}
}

// ends waits for the program's end, and reports whether it came in time.
func (p *process) ends(in time.Duration) bool {
	select {
	case <-p.done:
		return true
	case <-time.After(in):
		return false
	}
}

// exitCode waits for the program's end and returns its exit code.
func (p *process) exitCode(t *testing.T, in time.Duration) int {
	t.Helper()
	require.True(t, p.ends(in), "%s has not ended within %v", p.name, in)
	return p.cmd.ProcessState.ExitCode()
}

// await waits until a line matches, and returns its submatches and when it came.
func (p *process) await(t *testing.T, pattern string, in time.Duration) ([]string, time.Time) {
	t.Helper()
	m, at, err := p.awaitErr(pattern, in)
	require.NoError(t, err)
	return m, at
}

func (p *process) awaitErr(pattern string, in time.Duration) ([]string, time.Time, error) {
	re := regexp.MustCompile(pattern)
	deadline := time.After(in)
	for next := 0; ; {
		lines, changed, ended := p.snapshot()
		for ; next < len(lines); next++ {
			if m := re.FindStringSubmatch(lines[next].text); m != nil {
				return m, lines[next].at, nil
			}
		}
		if ended {
			return nil, time.Time{}, fmt.Errorf("%s has ended without %q", p.name, pattern)
		}
		select {
		case <-changed:
		case <-deadline:
			return nil, time.Time{}, fmt.Errorf("%s has not said %q within %v", p.name, pattern, in)
		}
	}
}

// run runs a program to its end and returns its output.
func run(argv ...string) (string, error) {
	out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), err
}

// together runs f n times at once and requires that none fails.
func together(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				errs[i] = fmt.Errorf("%d: %w", i+1, err)
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

// eventually waits until cond holds.
func eventually(t *testing.T, in time.Duration, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(in); !cond(); time.Sleep(10 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "not within %v: %s", in, what)
	}
}
