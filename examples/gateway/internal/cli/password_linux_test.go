package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what is typed goes into master, and what is seen comes out
// of it.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("needs pseudo-terminals: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// screen keeps what is seen.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// watched is a terminal of which is kept what is seen.
func watched(t *testing.T) (slave *os.File, typing func(text string), seen *screen) {
	master, slave := terminal(t)
	seen = new(screen)
	go func() {
		b := make([]byte, 1024)
		for {
			n, err := master.Read(b)
			seen.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	return slave, func(text string) {
		_, err := master.WriteString(text)
		require.NoError(t, err)
	}, seen
}

// Who interrupts the question for a password has a terminal that shows what is typed.
func TestInterruptedPassword(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "gw.yaml"), "database: {url: 'sqlite:"+dir+"/gateway.db'}\n")
	slave, typing, seen := watched(t)
	code := make(chan int, 1)
	go func() { code <- execute([]string{"user", "add", "alice", "-c", file}, slave, slave, slave) }()
	require.Eventually(t, func() bool { return strings.HasSuffix(seen.String(), "Password: ") && !echoes(slave) }, time.Minute, time.Millisecond)
	require.NoError(t, unix.Kill(os.Getpid(), unix.SIGINT))
	assert.Equal(t, ExitFailure, <-code)
	assert.True(t, echoes(slave), "as it was before")
	require.Eventually(t, func() bool { return strings.Contains(seen.String(), "gateway: the terminal: interrupted") }, time.Minute, time.Millisecond)
	typing("\n") // to whoever reads still
	c, _, _ := gateway("user", "show", "alice", "-c", file)
	assert.Equal(t, ExitNotFound, c)
}

// A password is asked for twice, and not seen.
func TestTypedPassword(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "gw.yaml"), "database: {url: 'sqlite:"+dir+"/gateway.db'}\n")
	for _, test := range []struct {
		first, second string
		code          int
		says          string
	}{
		{"hidden one", "hidden two", ExitUsage, "the two are not the same"},
		{"hidden one", "hidden one", ExitOK, `user "alice" added`},
	} {
		slave, typing, seen := watched(t)
		code := make(chan int, 1)
		go func() { code <- execute([]string{"user", "add", "alice", "-c", file}, slave, slave, slave) }()
		for _, step := range []struct{ prompt, word string }{{"Password: ", test.first}, {"Once more: ", test.second}} {
			require.Eventually(t, func() bool { return strings.HasSuffix(seen.String(), step.prompt) && !echoes(slave) }, time.Minute, time.Millisecond)
			typing(step.word + "\n")
		}
		assert.Equal(t, test.code, <-code)
		require.Eventually(t, func() bool { return strings.Contains(seen.String(), test.says) }, time.Minute, time.Millisecond)
		assert.NotContains(t, seen.String(), "hidden")
		assert.True(t, echoes(slave), "as it was before")
	}
}

func echoes(f *os.File) bool {
	mode, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil && mode.Lflag&unix.ECHO != 0
}
