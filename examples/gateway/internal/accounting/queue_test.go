package accounting

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var errDown = errors.New("down")

// fakeSink keeps what it gets.
type fakeSink struct {
	name string

	mu     sync.Mutex
	down   bool
	refuse func(Record) bool // these are not taken
	reject func(Record) bool // these never can be
	got    []Record
	sends  int
}

func (s *fakeSink) Name() string { return s.name }

func (s *fakeSink) Send(_ context.Context, records []Record, done func(int, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends++
	if s.down {
		return errDown
	}
	seen := make(map[string]bool)
	for i, r := range records {
		if seen[r.Session] || !r.Kind.OfSession() && len(records) > 1 {
			panic("not a batch that a sink may expect")
		}
		seen[r.Session] = true
		switch {
		case s.refuse != nil && s.refuse(r):
		case s.reject != nil && s.reject(r):
			done(i, errors.New("no"))
		default:
			s.got = append(s.got, r)
			done(i, nil)
		}
	}
	return nil
}

func (s *fakeSink) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// short is what a record is, in a few letters.
func short(r Record) string { return r.Kind.String() + " " + r.Session }

// records are what it has got.
func (s *fakeSink) records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func (s *fakeSink) all() (list []string) {
	for _, r := range s.records() {
		list = append(list, short(r))
	}
	return list
}

// logBuffer is a log that a test can read.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

func openQueue(t testing.TB, file string, sinks ...Sink) *Queue {
	t.Helper()
	q, err := OpenQueue(QueueOptions{File: file, Sinks: sinks, MaxRecords: 1000, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return q
}

// crash is what a gateway leaves that is killed now: the file as it is.
func crash(t testing.TB, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	copied := filepath.Join(t.TempDir(), "crashed")
	require.NoError(t, os.WriteFile(copied, b, 0o600))
	return copied
}

func closeQueue(t testing.TB, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, q.Close(ctx))
}

// Records go to each sink once, those of a session in order, those of the gateway where
// they belong.
func TestQueue(t *testing.T) {
	file := filepath.Join(t.TempDir(), "new", "queue")
	one, two := &fakeSink{name: "one"}, &fakeSink{name: "two"}
	q := openQueue(t, file, one, two)
	q.Put(sample(On, "run"), sample(Start, "a"), sample(Stop, "a"), sample(Start, "b"), sample(Off, "run"))
	closeQueue(t, q)
	for _, s := range []*fakeSink{one, two} {
		got := s.all()
		require.Len(t, got, 5)
		assert.Equal(t, "on run", got[0])
		assert.ElementsMatch(t, []string{"start a", "start b"}, got[1:3])
		assert.Equal(t, "stop a", got[3])
		assert.Equal(t, "off run", got[4])
	}
	assert.Equal(t, sample(Stop, "a"), one.got[3], "as it was")
	q.Put(sample(Start, "late"))

	q = openQueue(t, file, one, two)
	closeQueue(t, q)
	assert.Equal(t, "stop b", one.all()[5], "it was up, as far as the queue knows")
	assert.Len(t, one.all(), 6)
	q = openQueue(t, file, one, two)
	assert.Zero(t, q.Stats().Lines[0].Waiting)
	closeQueue(t, q)
	assert.Len(t, two.all(), 6)
}

// What a dead server does not get is on disk, less what nobody will need.
func TestQueueOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue")
		dead, well := &fakeSink{name: "dead", down: true}, &fakeSink{name: "well"}
		q := openQueue(t, file, dead, well)
		q.Put(sample(Start, "a"), sample(Start, "b"))
		for i := range 10 {
			q.Put(sample(Interim, "a"), sample(Interim, "b"))
			time.Sleep(time.Minute)
			synctest.Wait()
			assert.Len(t, well.all(), 2*i+4, "is not held up")
		}
		q.Put(sample(Stop, "a"))
		time.Sleep(time.Minute)
		synctest.Wait()
		s := q.Stats()
		assert.Equal(t, 4, s.Lines[0].Waiting)
		assert.EqualValues(t, 9+10, s.Lines[0].Superseded)
		assert.True(t, s.Lines[0].Down)
		assert.Less(t, s.Lines[0].Failures, uint64(20), "is not asked all the time")
		assert.Zero(t, s.Lines[1].Waiting)
		assert.Zero(t, s.Unwritten)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, q.Close(ctx))
		dead.set(false)
		q = openQueue(t, file, dead, well)
		closeQueue(t, q)
		assert.ElementsMatch(t, []string{"start a", "start b", "stop a", "stop b"}, dead.all(), "the last Interim of b is old news")
		assert.Equal(t, NASReboot, well.got[len(well.got)-1].Cause)
	})
}

// slowSink takes a while to find out that the other side is down.
type slowSink struct{ fakeSink }

func (s *slowSink) Send(ctx context.Context, records []Record, done func(int, error)) error {
	time.Sleep(10 * time.Second)
	return s.fakeSink.Send(ctx, records, done)
}

// What is superseded while it is on its way has not been delivered: the server is down.
func TestQueueSupersededOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &slowSink{fakeSink{name: "sink", down: true}}
		q := openQueue(t, filepath.Join(t.TempDir(), "queue"), sink)
		q.Put(sample(Start, "patient"))
		for range 200 {
			q.Put(sample(Interim, "busy"))
			time.Sleep(7 * time.Second)
		}
		s := q.Stats().Lines[0]
		assert.True(t, s.Down)
		assert.EqualValues(t, sink.sends, s.Failures)
		assert.Less(t, sink.sends, 30, "its rest is respected")
		sink.set(false)
		time.Sleep(2 * maxRetry)
		closeQueue(t, q)
		assert.ElementsMatch(t, []string{"start patient", "interim busy"}, sink.all())
	})
}

// A gateway that is killed has told of every session, and its Stop comes at the next
// start, once, with what was known last.
func TestQueueCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue")
		sink := &fakeSink{name: "sink"}
		q := openQueue(t, file, sink)
		q.Put(sample(Start, "a"), sample(Start, "b"), sample(Start, "c"), sample(Start, "d"))
		synctest.Wait()
		later := sample(Interim, "d")
		later.Usage = Usage{SentOctets: 3}
		q.Put(later, sample(Stop, "b"))
		synctest.Wait()
		seen := time.Unix(2e9, 0).UTC()
		q.Checkpoint(seen, map[string]Usage{"a": {time.Hour, 1, 2, 3, 4}, "b": {Duration: 1}, "gone": {}})
		synctest.Wait()
		left := crash(t, file)
		closeQueue(t, q)

		for range 3 { // again and again, while nobody listens
			dead := &fakeSink{name: "sink", down: true}
			q = openQueue(t, left, dead)
			synctest.Wait()
			next := crash(t, left)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			require.NoError(t, q.Close(ctx))
			cancel()
			left = next
		}
		sink = &fakeSink{name: "sink"}
		q = openQueue(t, left, sink)
		q.Put(sample(On, "run"))
		closeQueue(t, q)
		got := sink.all()
		require.Len(t, got, 4, "%v", got)
		assert.ElementsMatch(t, []string{"stop a", "stop c", "stop d"}, got[:3])
		assert.Equal(t, "on run", got[3])
		for _, r := range sink.got[:3] {
			assert.Equal(t, NASReboot, r.Cause)
			switch r.Session {
			case "a":
				assert.Equal(t, Usage{time.Hour, 1, 2, 3, 4}, r.Usage)
				assert.Equal(t, seen, r.Time)
			case "c":
				assert.Equal(t, sample(Start, "c").Usage, r.Usage)
			case "d":
				assert.Equal(t, later.Usage, r.Usage)
			}
		}
	})
}

func TestQueueFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue")
		sink := &fakeSink{name: "sink", down: true}
		q, err := OpenQueue(QueueOptions{File: file, Sinks: []Sink{sink}, MaxRecords: 4, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		q.Put(sample(Interim, "a"), sample(Interim, "b"), sample(Interim, "c"), sample(Interim, "d"), sample(Interim, "e"))
		synctest.Wait()
		q.Put(sample(Start, "f"), sample(Start, "g"), sample(Stop, "f"), sample(Stop, "g"), sample(Stop, "h"), sample(Interim, "i"))
		synctest.Wait()
		s := q.Stats().Lines[0]
		assert.EqualValues(t, 6, s.Dropped)
		assert.Equal(t, 5, s.Waiting)
		sink.set(false)
		time.Sleep(2 * maxRetry)
		closeQueue(t, q)
		assert.ElementsMatch(t, []string{"start f", "start g", "stop f", "stop g", "stop h"}, sink.all())
	})
}

// A record that the other side cannot cope with holds up nothing for ever.
func TestQueueRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logBuffer
		sink := &fakeSink{name: "sink"}
		q, err := OpenQueue(QueueOptions{File: filepath.Join(t.TempDir(), "queue"), Sinks: []Sink{sink}, MaxRecords: 1000, Log: log.logger()})
		require.NoError(t, err)
		sink.refuse = func(r Record) bool { return short(r) == "start bad" || r.Kind == On }
		sink.reject = func(r Record) bool { return r.Session == "worse" }
		q.Put(sample(Start, "bad"), sample(Start, "good"), sample(Stop, "bad"), sample(Start, "worse"), sample(On, "run"), sample(Start, "next"))
		for i := range 200 {
			time.Sleep(10 * time.Second)
			q.Put(sample(Interim, "good"))
			if synctest.Wait(); i == 2 {
				assert.NotContains(t, sink.all(), "stop bad", "its turn comes after the Start")
				assert.NotContains(t, sink.all(), "start next", "On is before it")
			}
		}
		assert.Contains(t, sink.all(), "stop bad")
		assert.Contains(t, sink.all(), "start next")
		s := q.Stats().Lines[0]
		assert.Equal(t, 1, s.Waiting)
		assert.EqualValues(t, 2, s.Rejected)
		assert.Contains(t, log.String(), "can never be delivered")
		assert.Contains(t, log.String(), "it is tried now and then")

		sink.mu.Lock()
		sink.refuse = nil
		sink.mu.Unlock()
		time.Sleep(2 * maxAsideTry)
		synctest.Wait()
		assert.Contains(t, sink.all(), "start bad")
		assert.NotContains(t, sink.all(), "on run", "it would end the sessions that have begun since")
		closeQueue(t, q)
	})
}

// A file that is damaged, however, is put aside, and nobody is the worse for it who has
// come since.
func TestQueueDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "queue")
	down := &fakeSink{name: "sink", down: true}
	q := openQueue(t, file, down)
	for i := range 400 {
		q.Put(sample(Start, fmt.Sprint(i)))
	}
	require.Eventually(t, func() bool { return q.Stats().Unwritten == 0 }, time.Minute, time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, q.Close(ctx))
	whole, err := os.ReadFile(file)
	require.NoError(t, err)

	for name, damage := range map[string]func(b []byte) []byte{
		"not one":   func([]byte) []byte { return []byte("accounting") },
		"truncated": func(b []byte) []byte { return b[:len(b)/3] },
		"zeros":     func(b []byte) []byte { return make([]byte, len(b)) },
		"pages of zeros": func(b []byte) []byte {
			clear(b[4*os.Getpagesize():])
			return b
		},
		"noise": func(b []byte) []byte {
			r := rand.NewChaCha8([32]byte{})
			r.Read(b[2*os.Getpagesize():])
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "queue")
			require.NoError(t, os.WriteFile(file, damage(bytes.Clone(whole)), 0o600))
			var log logBuffer
			sink := &fakeSink{name: "sink"}
			q, err := OpenQueue(QueueOptions{File: file, Sinks: []Sink{sink}, MaxRecords: 1000, Log: log.logger()})
			require.NoError(t, err)
			q.Put(sample(Start, "new"))
			closeQueue(t, q)
			assert.Contains(t, sink.all(), "start new")
			assert.Contains(t, log.String(), "was damaged and is put aside")
			aside, _ := filepath.Glob(file + ".damaged-*")
			assert.Len(t, aside, 1)
		})
	}
	// As it was, it is fine.
	sink := &fakeSink{name: "sink"}
	q = openQueue(t, file, sink)
	closeQueue(t, q)
	assert.Len(t, sink.all(), 800)
}

// One file is for one gateway.
func TestQueueInUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "queue")
	q := openQueue(t, file, &fakeSink{name: "sink"})
	defer closeQueue(t, q)
	_, err := OpenQueue(QueueOptions{File: file, Log: slog.New(slog.DiscardHandler)})
	assert.ErrorIs(t, err, errInUse)
	_, err = OpenQueue(QueueOptions{File: filepath.Join(file, "below"), Log: slog.New(slog.DiscardHandler)})
	assert.ErrorContains(t, err, "not a directory")
}

// Whatever fails, and whenever the gateway is killed: each session that began and ended
// has its Start and its Stop, in order, and what was not delivered twice by a crash comes
// once.
func TestQueueChaos(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue")
		flaky := &fakeSink{name: "sink", refuse: func(Record) bool { return rand.IntN(3) == 0 }}
		q := openQueue(t, file, flaky)
		next, up := 0, []string{}
		for range 1000 {
			switch n := rand.IntN(100); {
			case n < 40 || len(up) == 0:
				next++
				up = append(up, fmt.Sprint(next))
				q.Put(sample(Start, up[len(up)-1]))
			case n < 80:
				i := rand.IntN(len(up))
				q.Put(sample(Stop, up[i]))
				up = append(up[:i], up[i+1:]...)
			case n < 97:
				q.Put(sample(Interim, up[rand.IntN(len(up))]))
			case n == 97:
				flaky.set(rand.IntN(2) == 0)
			case n == 98:
				q.Begin(flaky) // in the place of itself
			default:
				time.Sleep(time.Duration(rand.IntN(100)) * time.Second)
			}
			if rand.IntN(300) == 0 {
				synctest.Wait() // all is on disk, and what is delivered is noted there
				copied := crash(t, file)
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				q.Close(ctx) // of the past; it does not count
				file, up = copied, nil
				q = openQueue(t, file, flaky)
			}
		}
		for _, s := range up {
			q.Put(sample(Stop, s))
		}
		flaky.set(false)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Hour)
		defer cancel()
		require.NoError(t, q.Close(ctx))
		starts, stops := make(map[string]int), make(map[string]int)
		for i, r := range flaky.got {
			switch r.Kind {
			case Start:
				assert.Zero(t, starts[r.Session])
				starts[r.Session] = i + 1
			case Interim:
				assert.Zero(t, stops[r.Session], "Interim after Stop")
			case Stop:
				assert.Zero(t, stops[r.Session], "Stop twice")
				stops[r.Session] = i + 1
			}
		}
		assert.Len(t, starts, next)
		assert.Len(t, stops, next)
	})
}

func BenchmarkQueue(b *testing.B) {
	sink := &fakeSink{name: "sink"}
	q, err := OpenQueue(QueueOptions{File: filepath.Join(b.TempDir(), "queue"), Sinks: []Sink{sink}, MaxRecords: 1e6, Log: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	r := sample(Stop, "")
	for i := range b.N {
		r.Session = fmt.Sprint(i)
		q.Put(r)
		for i%1000 == 0 && q.Stats().Unwritten > maxUnwritten/2 {
			time.Sleep(time.Millisecond)
		}
	}
	closeQueue(b, q)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(q.Stats().Commits), "commits")
	if len(sink.got) != b.N {
		b.Fatal("records are missing")
	}
}

// A disk that hangs has what it is given in hand, which makes no room: Stops are not given
// up for that.
func TestDiskHangs(t *testing.T) {
	const room = 100
	q := &Queue{room: room, max: 1e9, wake: make(chan struct{}, 1), log: slog.New(slog.DiscardHandler), failing: true}
	q.line("sink").on = true
	put := func(kind Kind, n int) {
		for i := range n {
			q.Put(sample(kind, fmt.Sprint(kind, i)))
		}
	}
	put(Interim, room)
	b, _ := q.collect()
	require.Len(t, b.entries, room)
	put(Stop, room/2)
	assert.Zero(t, q.Stats().Lines[0].Lost)
	assert.Zero(t, q.Stats().Lines[0].Dropped)
	put(Interim, room)
	assert.LessOrEqual(t, q.Stats().Unwritten, 2*room, "there is a bound")
	q.committed(b, errDown)
	put(Start, 1)
	s := q.Stats()
	assert.LessOrEqual(t, s.Unwritten, room, "what failed makes room")
	assert.Zero(t, s.Lines[0].Lost)
}
