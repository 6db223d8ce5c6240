package accounting

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// smallDisk mounts one with little room.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for a small disk to fill")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("needs to mount a small disk: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fill takes all the room that there is.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	require.NoError(t, err)
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			require.ErrorIs(t, err, syscall.ENOSPC)
			return
		}
	}
}

// soon is when tests in real time try again what has failed.
const soon = 10 * time.Millisecond

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 5*time.Millisecond)
}

// On a full disk nothing stands still: records go out from memory, and what cannot be
// delivered either is on disk as soon as there is room.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "1m")
	var log logBuffer
	well, dead := &fakeSink{name: "well"}, &fakeSink{name: "dead", down: true}
	file := filepath.Join(dir, "queue")
	live := func() []Record { return []Record{sample(Interim, "up")} }
	q, err := OpenQueue(QueueOptions{File: file, Sinks: []Sink{well, dead}, MaxRecords: 100_000, Log: log.logger(), Live: live, rest: soon})
	require.NoError(t, err)
	q.Put(sample(Start, "up"), sample(Start, "before"), sample(Stop, "before"))
	eventually(t, func() bool { return len(well.all()) == 3 && q.Stats().Unwritten == 0 })
	fill(t, filepath.Join(dir, "other"))

	const n = 200
	for i := range n {
		q.Put(sample(Start, fmt.Sprint(i)), sample(Stop, fmt.Sprint(i)))
	}
	eventually(t, func() bool { return len(well.all()) == 3+2*n })
	s := q.Stats()
	assert.True(t, s.DiskFails)
	assert.NotZero(t, s.CommitErrors)
	assert.NotZero(t, s.Unwritten)
	assert.Contains(t, log.String(), "the disk fails")
	assert.Contains(t, log.String(), "no space left on device")
	assert.Equal(t, 3+2*n, s.Lines[1].Waiting)

	// There is room again, as if the operator had made some.
	require.NoError(t, syscall.Mount("", dir, "", syscall.MS_REMOUNT, "size=64m"))
	eventually(t, func() bool { s := q.Stats(); return !s.DiskFails && s.Unwritten == 0 })
	assert.Contains(t, log.String(), "the disk works again")
	left := crash(t, file)
	dead.set(false)
	closeQueue(t, q)
	assert.Len(t, dead.all(), 3+2*n)

	// The one who is up is known to be, and nobody else.
	after := &fakeSink{name: "dead"}
	q = openQueue(t, left, after, &fakeSink{name: "well"})
	closeQueue(t, q)
	got := after.all()
	assert.Len(t, got, 3+2*n+1)
	assert.Contains(t, got, "stop up")
}

// A gateway starts on a full disk, and makes the file when there is room.
func TestDiskFullFromTheStart(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "1m")
	fill(t, filepath.Join(dir, "other"))
	sink := &fakeSink{name: "sink"}
	q, err := OpenQueue(QueueOptions{File: filepath.Join(dir, "queue"), Sinks: []Sink{sink}, MaxRecords: 1000, Log: (&logBuffer{}).logger(), rest: soon})
	require.NoError(t, err)
	q.Put(sample(Start, "a"))
	eventually(t, func() bool { return len(sink.all()) == 1 })
	assert.True(t, q.Stats().DiskFails)
	require.NoError(t, os.Remove(filepath.Join(dir, "other")))
	eventually(t, func() bool { return !q.Stats().DiskFails })
	closeQueue(t, q)
	assert.Equal(t, []string{"start a"}, sink.all())
}

// A queue that was there before the disk was full is used.
func TestDiskFullWithQueue(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "1m")
	sink := &fakeSink{name: "sink", down: true}
	q := openQueue(t, filepath.Join(dir, "queue"), sink)
	q.Put(sample(Start, "a"), sample(Start, "b"), sample(Stop, "b"))
	eventually(t, func() bool { return q.Stats().Unwritten == 0 })
	left := crash(t, filepath.Join(dir, "queue"))
	sink.set(false)
	closeQueue(t, q)

	again := smallDisk(t, "1m")
	file := filepath.Join(again, "queue")
	b, err := os.ReadFile(left)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, b, 0o600))
	fill(t, filepath.Join(again, "other"))
	sink = &fakeSink{name: "sink"}
	q = openQueue(t, file, sink)
	eventually(t, func() bool { return len(sink.all()) == 4 })
	assert.ElementsMatch(t, []string{"start a", "start b", "stop a", "stop b"}, sink.all())
	q.Close(t.Context())
}

// Memory for records that cannot be written has its bound: Interims go first, then Starts.
func TestDiskFullForLong(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "1m")
	fill(t, filepath.Join(dir, "other"))
	dead := &fakeSink{name: "dead", down: true}
	q, err := OpenQueue(QueueOptions{File: filepath.Join(dir, "queue"), Sinks: []Sink{dead}, MaxRecords: 1e9, Log: (&logBuffer{}).logger(), rest: soon})
	require.NoError(t, err)
	eventually(t, func() bool { return q.Stats().DiskFails })
	const room = 4000
	q.mu.Lock()
	q.room = room
	q.mu.Unlock()
	for i := range room / 2 {
		q.Put(Record{Kind: Start, Session: fmt.Sprint(i)}, Record{Kind: Interim, Session: fmt.Sprint(i)})
	}
	for i := range room / 2 {
		q.Put(Record{Kind: Stop, Session: fmt.Sprint(i)})
		if q.Stats().Unwritten > 2*room {
			t.Fatal("there is no bound")
		}
	}
	s := q.Stats().Lines[0]
	assert.NotZero(t, s.Dropped+s.Superseded)
	dead.set(false)
	eventually(t, func() bool { return q.Stats().Lines[0].Waiting == 0 })
	stops := 0
	for _, r := range dead.got {
		if r.Kind == Stop {
			stops++
		}
	}
	assert.Equal(t, room/2, stops)
	require.NoError(t, os.Remove(filepath.Join(dir, "other")))
	closeQueue(t, q)
}

// A file that something else writes into, or cuts off, while it is open does not end the
// gateway.
func TestDamagedWhileOpen(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(f *os.File, size int64) error{
		"noise": func(f *os.File, size int64) error {
			b := make([]byte, size)
			rand.NewChaCha8([32]byte{}).Read(b)
			_, err := f.WriteAt(b, 0)
			return err
		},
		"zeros":   func(f *os.File, size int64) error { _, err := f.WriteAt(make([]byte, size), 0); return err },
		"cut off": func(f *os.File, _ int64) error { return f.Truncate(0) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "queue")
			var log logBuffer
			sink := &fakeSink{name: "sink", down: true}
			q, err := OpenQueue(QueueOptions{File: file, Sinks: []Sink{sink}, MaxRecords: 10_000, Log: log.logger(), Live: func() []Record { return nil }, rest: soon})
			require.NoError(t, err)
			for i := range maxWindow + 100 {
				q.Put(sample(Start, fmt.Sprint(i)))
			}
			eventually(t, func() bool { return q.Stats().Unwritten == 0 && q.Stats().Lines[0].Down })
			q.mu.Lock()
			inMemory := len(q.lines[0].window)
			q.mu.Unlock()
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			require.NoError(t, err)
			info, err := f.Stat()
			require.NoError(t, err)
			require.NoError(t, damage(f, info.Size()))
			f.Close()
			sink.set(false)
			q.Put(sample(Start, "new"))
			eventually(t, func() bool { return q.Stats().Lines[0].Waiting == 0 && q.Stats().Unwritten == 0 })
			closeQueue(t, q)
			got := sink.all()
			assert.Contains(t, got, "start new")
			assert.GreaterOrEqual(t, len(got), inMemory+1, "what was in memory is not lost")
			assert.Contains(t, log.String(), "was damaged and is put aside")
			q = openQueue(t, file, sink) // the new file is as good as any
			closeQueue(t, q)
			assert.Len(t, sink.all(), len(got)+strings.Count(strings.Join(sink.all()[len(got):], "\n"), "stop"), "nothing comes twice")
		})
	}
}
