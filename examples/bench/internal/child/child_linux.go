// Package child runs parts of the benchmark in processes of their own, in other
// network namespaces: the program starts itself again in another role, and asks it
// by lines of JSON.
package child

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/examples/bench/internal/netns"
)

// Process is a process that we have started.
type Process struct {
	cmd    *exec.Cmd
	done   chan struct{} // closed when it has ended
	stderr tail

	// Of a role only.
	requests *json.Encoder
	answers  *json.Decoder
	stdin    io.Closer
}

// Start starts a program in a namespace. Output is what it writes to where nobody else
// reads it.
func Start(ns *netns.Namespace, cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{})}
	if cmd.Stderr == nil {
		cmd.Stderr = &p.stderr
	}
	if cmd.Stdout == nil {
		cmd.Stdout = &p.stderr
	}
	// Whoever has inherited the pipe does not hold us up.
	cmd.WaitDelay = time.Second
	if err := ns.Start(cmd); err != nil {
		return nil, err
	}
	go func() { _ = cmd.Wait(); close(p.done) }()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Output is the end of what it has written.
func (p *Process) Output() string { return p.stderr.String() }

// Stop ends the process: politely, then not.
func (p *Process) Stop() {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		_ = p.cmd.Process.Signal(signal)
		select {
		case <-p.done:
			return
		case <-time.After(2 * time.Second):
		}
	}
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// CPU is the time that processors have spent on the process, in user space and in
// the kernel. It fails once the process has ended.
func (p *Process) CPU() (time.Duration, error) {
	// The clock of another process, as of clock_getcpuclockid(3): its number inverted,
	// and that the scheduler's count is meant, which is finer than /proc/PID/stat.
	const scheduler = 2
	var t unix.Timespec
	if err := unix.ClockGettime(^int32(p.PID())<<3|scheduler, &t); err != nil {
		return 0, fmt.Errorf("processor time of %d: %w", p.PID(), err)
	}
	return time.Duration(t.Nano()), nil
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}

type request struct {
	Method string
	Arg    json.RawMessage `json:",omitempty"`
}

type answer struct {
	Err   string          `json:",omitempty"`
	Value json.RawMessage `json:",omitempty"`
}

// envRole says which role a process has.
const envRole = "GOPPTP_BENCH_ROLE"

// StartRole starts this program anew, in a role, and waits until it is ready. What
// the role returns goes to value, if that is not nil.
func StartRole(ns *netns.Namespace, role string, config, value any) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envRole+"="+role)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	// Not StdoutPipe, which Wait closes while we read.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	p, err := Start(ns, cmd)
	w.Close()
	if err != nil {
		r.Close()
		return nil, err
	}
	go func() { <-p.done; r.Close() }()
	p.requests, p.answers, p.stdin = json.NewEncoder(stdin), json.NewDecoder(r), stdin
	if err := p.Call("start", config, value); err != nil {
		p.Stop()
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	return p, nil
}

// Call asks the process. Calls follow each other.
func (p *Process) Call(method string, arg, value any) error {
	text, err := json.Marshal(arg)
	if err != nil {
		return err
	}
	var a answer
	if err := p.requests.Encode(request{method, text}); err != nil {
		return fmt.Errorf("process has ended: %s", p.Output())
	}
	if err := p.answers.Decode(&a); err != nil {
		return fmt.Errorf("process has ended: %s", p.Output())
	}
	if a.Err != "" {
		return errors.New(a.Err)
	}
	if value == nil {
		return nil
	}
	return json.Unmarshal(a.Value, value)
}

// Profile returns a CPU profile of the process while f runs.
func (p *Process) Profile(f func() error) ([]byte, error) {
	if err := p.Call("profile", true, nil); err != nil {
		return nil, err
	}
	err := f()
	var profile []byte
	return profile, errors.Join(err, p.Call("profile", false, &profile))
}

// Role is what a process can be started as. It returns what StartRole is told, when
// it is ready, and goes on until the process is stopped, or ends it by an error.
type Role func(config json.RawMessage) (value any, failed <-chan error, err error)

// Main does not return if this process has been started in a role.
func Main(roles map[string]Role) {
	name := os.Getenv(envRole)
	if name == "" {
		return
	}
	if role, ok := roles[name]; ok {
		serve(role)
	}
	fmt.Fprintln(os.Stderr, "no such role:", name)
	os.Exit(2)
}

func serve(role Role) {
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	var profile bytes.Buffer
	for {
		var r request
		if in.Decode(&r) != nil {
			os.Exit(0) // who has started us is gone
		}
		var value any
		var err error
		switch r.Method {
		case "start":
			var failed <-chan error
			if value, failed, err = role(r.Arg); err == nil {
				go func() {
					fmt.Fprintln(os.Stderr, <-failed)
					os.Exit(1)
				}()
			}
		case "profile":
			if string(r.Arg) == "true" {
				profile.Reset()
				err = pprof.StartCPUProfile(&profile)
			} else {
				pprof.StopCPUProfile()
				value = profile.Bytes()
			}
		default:
			err = fmt.Errorf("no such method: %s", r.Method)
		}
		var a answer
		if err == nil {
			a.Value, err = json.Marshal(value)
		}
		if err != nil {
			a.Err = err.Error()
		}
		if out.Encode(a) != nil {
			os.Exit(0)
		}
	}
}
