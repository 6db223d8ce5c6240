package child

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a process has used is what it says itself at its end.
func TestCPU(t *testing.T) {
	cmd := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo; read end")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = stdout.Read(make([]byte, 1))
	require.NoError(t, err)
	cpu, err := (&Process{cmd: cmd}).CPU()
	require.NoError(t, err)
	require.NoError(t, stdin.Close())
	_ = cmd.Wait() // read has failed
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	require.InDelta(t, used.Seconds(), cpu.Seconds(), 0.02)

	_, err = (&Process{cmd: cmd}).CPU()
	require.Error(t, err, "it has ended")
}

func TestTail(t *testing.T) {
	var l tail
	for range 1000 {
		_, err := l.Write([]byte("1234567890\n"))
		require.NoError(t, err)
	}
	require.Less(t, len(l.String()), 5<<10)
}
