package accounting

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// closingSink is one that takes a while, and can be closed.
type closingSink struct {
	fakeSink
	takes  time.Duration
	closed atomic.Bool
}

func (s *closingSink) Send(ctx context.Context, records []Record, done func(int, error)) error {
	if s.closed.Load() {
		panic("closed, and asked")
	}
	select {
	case <-time.After(s.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.fakeSink.Send(ctx, records, done)
}

func (s *closingSink) Close() error {
	if s.closed.Swap(true) {
		panic("closed twice")
	}
	return nil
}

// A sink that takes the place of another goes on where that was: nothing is lost, and
// nothing comes to both.
func TestSinkReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := &closingSink{fakeSink: fakeSink{name: "sink"}, takes: 10 * time.Second}
		two := &closingSink{fakeSink: fakeSink{name: "sink"}}
		q := openQueue(t, filepath.Join(t.TempDir(), "queue"), one)
		q.Put(sample(Start, "a"), sample(Start, "b"))
		time.Sleep(time.Second)
		q.Begin(two)
		q.Put(sample(Stop, "a"))
		synctest.Wait()
		assert.False(t, one.closed.Load(), "its Send is under way")
		assert.Empty(t, two.all())
		time.Sleep(10 * time.Second)
		synctest.Wait()
		assert.True(t, one.closed.Load())
		assert.ElementsMatch(t, []string{"start a", "start b"}, one.all())
		assert.Equal(t, []string{"stop a"}, two.all())
		assert.Len(t, q.Stats().Lines, 1)
		closeQueue(t, q)
		assert.True(t, two.closed.Load())
		three := &closingSink{fakeSink: fakeSink{name: "sink"}}
		q.Begin(three)
		assert.True(t, three.closed.Load(), "it is not needed any more")
	})
}

// Whoever replaces a sink that is down does not want to wait for it.
func TestDownSinkReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, at := range []time.Duration{
			5*time.Minute + 5*time.Second, 5*time.Minute + 45*time.Second, // it sends, or rests
		} {
			one := &closingSink{fakeSink: fakeSink{name: "sink", down: true}, takes: 30 * time.Second}
			two := &closingSink{fakeSink: fakeSink{name: "sink"}}
			q := openQueue(t, filepath.Join(t.TempDir(), "queue"), one)
			q.Put(sample(Start, "a"))
			time.Sleep(at)
			require.True(t, q.Stats().Lines[0].Down)
			q.Begin(two)
			synctest.Wait()
			assert.Equal(t, []string{"start a"}, two.all())
			assert.True(t, one.closed.Load())
			assert.False(t, q.Stats().Lines[0].Down)
			closeQueue(t, q)
		}
	})
}

// A sink that is given up has what waits for it, and no more. What it cannot take in time
// it has when it is back.
func TestSinkGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue")
		other := &fakeSink{name: "other"}
		well := &closingSink{fakeSink: fakeSink{name: "well"}, takes: time.Second}
		dead := &closingSink{fakeSink: fakeSink{name: "dead", down: true}}
		q := openQueue(t, file, other, well, dead)
		q.Put(sample(Start, "a"))
		q.Put(sample(Stop, "a"))
		for _, s := range []Sink{well, dead} {
			q.PutFor(s.Name(), sample(Off, "run"))
			q.End(s.Name(), 5*time.Second)
		}
		q.End("dead", time.Hour) // is none any more
		q.Put(sample(Start, "b"))
		time.Sleep(4 * time.Second)
		synctest.Wait()
		assert.Equal(t, []string{"start a", "stop a", "off run"}, well.all())
		assert.True(t, well.closed.Load())
		assert.False(t, dead.closed.Load())
		time.Sleep(time.Second)
		synctest.Wait()
		assert.True(t, dead.closed.Load())
		s := q.Stats()
		require.Len(t, s.Lines, 2, "who has all, and is none any more, is not shown")
		assert.Equal(t, LineStats{Sink: "dead", Waiting: 3, Oldest: sample(Start, "a").Time, Down: true, Failures: s.Lines[1].Failures}, s.Lines[1])

		again := func(name string) *fakeSink {
			sink := &fakeSink{name: name}
			q.Begin(sink)
			q.PutFor(name, sample(On, "next run"))
			synctest.Wait()
			return sink
		}
		assert.Equal(t, []string{"start a", "stop a", "off run", "on next run"}, again("dead").all())
		assert.Equal(t, []string{"on next run"}, again("well").all())
		closeQueue(t, q)
		assert.ElementsMatch(t, []string{"start a", "stop a", "start b"}, other.all())
	})
}

// What waits for a sink that there is not is kept over a restart as well.
func TestSinkMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue")
		q := openQueue(t, file, &fakeSink{name: "missing", down: true})
		q.Put(sample(Start, "a"), sample(Interim, "a"))
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, q.Close(ctx))

		q = openQueue(t, file)
		q.Put(sample(Start, "b"))
		synctest.Wait()
		assert.Equal(t, 2, q.Stats().Lines[0].Waiting)
		late := &fakeSink{name: "missing"}
		q.Begin(late)
		q.PutFor("missing", sample(Interim, "a"))
		closeQueue(t, q)
		assert.Equal(t, []string{"start a", "interim a"}, late.all(), "of two Interims the later one")
	})
}

// The end of the gateway is no time to rest: a server that is back has what waits for it.
func TestLastTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{name: "sink", down: true}
		q := openQueue(t, filepath.Join(t.TempDir(), "queue"), sink)
		q.Put(sample(Stop, "a"))
		time.Sleep(10 * time.Minute)
		sink.set(false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, q.Close(ctx))
		assert.Equal(t, []string{"stop a"}, sink.all())
	})
}

// A sink that is told late of a session that has had much does not make the file forget
// that; nor does a checkpoint that is older than the last Interim.
func TestUsageIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "queue")
		q := openQueue(t, file, &fakeSink{name: "sink"})
		start, interim := sample(Start, "seen"), sample(Interim, "told")
		start.Usage = Usage{}
		q.Put(start, sample(Start, "told"))
		q.Checkpoint(start.Time.Add(time.Hour), map[string]Usage{"seen": {Duration: time.Hour, SentOctets: 9}})
		interim.Usage = Usage{Duration: 2 * time.Hour, SentOctets: 7}
		q.Put(interim)
		synctest.Wait()
		q.Checkpoint(interim.Time, map[string]Usage{"told": {Duration: time.Hour, SentOctets: 6}})
		q.Begin(&fakeSink{name: "late"})
		q.PutFor("late", start)
		synctest.Wait()
		left := crash(t, file)
		closeQueue(t, q)

		sink := &fakeSink{name: "sink"}
		closeQueue(t, openQueue(t, left, sink))
		octets := make(map[string]uint64)
		for _, r := range sink.records() {
			octets[short(r)] = r.SentOctets
		}
		assert.Equal(t, map[string]uint64{"stop seen": 9, "stop told": 7}, octets)
	})
}
