package accounting

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// childDir is the environment variable that makes the test a process to be killed.
const childDir = "ACCOUNTING_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := killed(dir); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// fileSink appends records to a file, which has them whatever happens to the process.
type fileSink struct{ file *os.File }

func (fileSink) Name() string { return "file" }

func (s fileSink) Send(_ context.Context, records []Record, done func(int, error)) error {
	for i := range records {
		line, err := json.Marshal(&records[i])
		if err != nil {
			return err
		}
		if _, err := s.file.Write(append(line, '\n')); err != nil {
			return err
		}
		done(i, nil)
	}
	return nil
}

func openFileQueue(dir string) (*Queue, error) {
	file, err := os.OpenFile(filepath.Join(dir, "delivered"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return OpenQueue(QueueOptions{File: filepath.Join(dir, "queue"), Sinks: []Sink{fileSink{file}}, MaxRecords: 10_000, Log: slog.New(slog.DiscardHandler)})
}

// killed has sessions come, tell of themselves, and go, until it is killed. It says when
// the first of them is on disk.
func killed(dir string) error {
	q, err := openFileQueue(dir)
	if err != nil {
		return err
	}
	var up []string
	for i := 0; ; i++ {
		switch n := rand.IntN(10); {
		case n < 4 || len(up) == 0:
			session := fmt.Sprintf("%d-%d", os.Getpid(), i)
			q.Put(Record{Kind: Start, Session: session, Time: time.Now()})
			up = append(up, session)
		case n < 6:
			q.Put(Record{Kind: Interim, Session: up[rand.IntN(len(up))], Time: time.Now(), Usage: Usage{SentOctets: uint64(i)}})
		case n == 6:
			q.Checkpoint(time.Now(), map[string]Usage{up[0]: {SentOctets: uint64(i)}})
		default:
			j := rand.IntN(len(up))
			q.Put(Record{Kind: Stop, Session: up[j], Time: time.Now(), Cause: UserRequest})
			up = append(up[:j], up[j+1:]...)
		}
		if i == 400 {
			fmt.Println("busy")
		}
		if i%50 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
}

// A process that is killed at any moment owes no session its Stop, and pays none in two
// ways. What it had delivered and could not note any more comes twice, as it was.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		ready := bufio.NewScanner(out)
		require.True(t, ready.Scan())
		require.Equal(t, "busy", ready.Text())
		time.Sleep(rand.N(100 * time.Millisecond)) // any moment will do
		require.NoError(t, cmd.Process.Kill())
		cmd.Wait()
	}
	q, err := openFileQueue(dir)
	require.NoError(t, err)
	closeQueue(t, q)

	f, err := os.Open(filepath.Join(dir, "delivered"))
	require.NoError(t, err)
	defer f.Close()
	starts, stops, repeats := make(map[string]Record), make(map[string]Record), 0
	lines := json.NewDecoder(f)
	for lines.More() {
		var r Record
		require.NoError(t, lines.Decode(&r))
		stop, ended := stops[r.Session]
		switch r.Kind {
		case Start:
			if first, again := starts[r.Session]; again {
				assert.Equal(t, first, r, "the same record")
				repeats++
			}
			starts[r.Session] = r
		case Interim:
			assert.False(t, ended, "Interim after Stop")
		case Stop:
			if ended {
				assert.Equal(t, stop, r, "the same record")
				repeats++
			}
			stops[r.Session] = r
		}
	}
	assert.Greater(t, len(starts), 50)
	for session := range starts {
		assert.Contains(t, stops, session)
	}
	assert.Len(t, stops, len(starts))
	t.Logf("%d sessions, %d records came twice", len(starts), repeats)
}
