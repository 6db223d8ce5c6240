package accounting

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// change has the world's accountant go by other options.
func (w *world) change(f func(o *Options)) {
	w.t.Helper()
	w.acct.mu.Lock()
	o := w.acct.opts
	w.acct.mu.Unlock()
	f(&o)
	c, err := w.acct.Prepare(o)
	require.NoError(w.t, err)
	c.Take()
	synctest.Wait()
}

// intervals are the times between the Interims of a session since a moment, and that of
// the first from it.
func intervals(list []Record, session string, since time.Time) (between []time.Duration) {
	for _, r := range list {
		if r.Session == session && r.Time.After(since) {
			between = append(between, r.Time.Sub(since))
			since = r.Time
		}
	}
	return between
}

// The Interims of sessions that are up follow another interval, not all at once, and none
// is later than it would have been.
func TestChangedInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t, func(o *Options) { o.Interval, o.MinInterval = time.Minute, time.Second })
		for i := range 4 {
			_, err := w.dial(fmt.Sprintf("192.0.2.%d", 10+i), "alice", "right", false)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		check := func(interval, spread time.Duration, want float64) {
			t.Helper()
			since := time.Now()
			time.Sleep(12 * time.Minute)
			synctest.Wait()
			firsts := make(map[time.Duration]bool)
			for _, s := range w.records(Start) {
				list := intervals(w.records(Interim), s.Session, since)
				assert.InDelta(t, want, len(list), want*0.1+1)
				assert.LessOrEqual(t, list[0], spread)
				firsts[list[0]] = true
				for _, d := range list[1:] {
					assert.InDelta(t, interval, d, float64(interval)*0.1+float64(time.Second))
				}
			}
			assert.Len(t, firsts, 4, "not all at once")
		}
		w.change(func(o *Options) { o.Interval = 30 * time.Second })
		check(30*time.Second, 30*time.Second, 24)
		w.change(func(o *Options) { o.Interval = 2 * time.Minute })
		check(2*time.Minute, 33*time.Second, 7)
		w.change(func(o *Options) { o.MinInterval, o.Jitter = 4*time.Minute, 0 })
		check(4*time.Minute, 133*time.Second, 3)

		w.change(func(o *Options) { o.Interval = 0 })
		before := len(w.records(Interim))
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, w.records(Interim), before)
		w.change(func(o *Options) { o.Interval, o.MinInterval = 6*time.Minute, time.Second })
		check(6*time.Minute, 6*time.Minute, 2)
		w.close()
		assert.Len(t, w.records(Start), 4)
		assert.Len(t, w.records(Stop), 4)
		assert.Len(t, w.records(On), 1)
	})
}

// How often usage goes to disk follows as well.
func TestChangedCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t)
		_, err := w.dial("192.0.2.7", "alice", "right", false)
		require.NoError(t, err)
		commits := func() uint64 {
			before := w.acct.Stats().Commits
			time.Sleep(100 * time.Second)
			synctest.Wait()
			return w.acct.Stats().Commits - before
		}
		assert.InDelta(t, 3, commits(), 1)
		w.change(func(o *Options) { o.Checkpoint, o.Interval = 2*time.Second, 0 })
		assert.InDelta(t, 50, commits(), 1)
		w.change(func(o *Options) { o.Checkpoint = time.Hour })
		assert.LessOrEqual(t, commits(), uint64(1))
		w.close()
	})
}

// A sink that comes is told of who is up, and one that goes that there is nothing more;
// the others do not notice.
func TestChangedSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t)
		old, err := w.dial("192.0.2.7", "alice", "right", false)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		late := &closingSink{fakeSink: fakeSink{name: "late"}}
		w.change(func(o *Options) { o.Sinks = append(o.Sinks, late) })
		require.Len(t, late.records(), 2)
		on, start := late.records()[0], late.records()[1]
		assert.Equal(t, On, on.Kind)
		assert.Equal(t, w.records(Start)[0], start, "as all have it")
		assert.WithinDuration(t, time.Now().Add(-time.Hour), start.Time, time.Second)
		_, err = w.dial("192.0.2.8", "alice", "right", false)
		require.NoError(t, err)
		time.Sleep(15 * time.Minute)
		old.Close()
		time.Sleep(time.Minute)
		w.change(func(o *Options) { o.Sinks = o.Sinks[:1] })
		assert.True(t, late.closed.Load())
		got := late.all()
		assert.Equal(t, "off "+on.Session, got[len(got)-1])
		assert.Contains(t, got, "stop "+start.Session)
		for _, r := range w.records(Interim) {
			if r.Time.After(on.Time) {
				assert.Contains(t, got, short(r))
			}
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.Len(t, late.all(), len(got))

		again := &closingSink{fakeSink: fakeSink{name: "late"}}
		w.change(func(o *Options) { o.Sinks = append(o.Sinks, again) })
		w.close()
		assert.True(t, again.closed.Load())
		second := w.records(Start)[1].Session
		got = again.all()
		assert.Equal(t, []string{"on " + again.records()[0].Session, "start " + second}, got[:2])
		assert.NotEqual(t, on.Session, again.records()[0].Session)
		assert.Equal(t, []string{"stop " + second, "off " + again.records()[0].Session}, got[len(got)-2:])
		assert.Len(t, w.records(On), 1)
		assert.Len(t, w.records(Off), 1)
		assert.Len(t, w.records(Start), 2)
		assert.Len(t, w.records(Stop), 2)
	})
}

// While nobody wants to know there is no file, and no work. Who then does knows all, and
// so does the file.
func TestNobodyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t, func(o *Options) { o.Sinks = nil })
		s, err := w.dial("192.0.2.7", "alice", "right", false)
		require.NoError(t, err)
		w.host.Send(packet(s.Peer(), s.Local(), 100))
		time.Sleep(time.Hour)
		assert.NoFileExists(t, w.file)
		assert.False(t, w.acct.HasQueue())
		assert.Zero(t, w.acct.Stats())

		sink := &fakeSink{name: "sink"}
		w.change(func(o *Options) { o.Sinks = []Sink{sink} })
		require.Len(t, sink.all(), 2)
		assert.Equal(t, Start, sink.records()[1].Kind)
		left := crash(t, w.file)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.InDelta(t, 2+6, len(sink.all()), 1)

		w.change(func(o *Options) { o.Sinks = nil })
		s.Close()
		time.Sleep(time.Hour)
		synctest.Wait()
		got := sink.all()
		assert.Equal(t, Off, sink.records()[len(got)-1].Kind)
		assert.NotContains(t, got, "stop "+sink.records()[1].Session, "it went when nobody was told")
		ended := crash(t, w.file)
		w.close()
		assert.Len(t, sink.all(), len(got))

		for file, want := range map[string]int{left: 1, ended: 0} {
			after := &fakeSink{name: "sink"}
			closeQueue(t, openQueue(t, file, after))
			stops := slices.DeleteFunc(after.records(), func(r Record) bool { return r.Kind != Stop })
			require.Len(t, stops, want)
			for _, r := range stops {
				assert.EqualValues(t, 100, r.SentOctets)
				assert.Equal(t, time.Hour, r.Duration.Round(time.Second))
			}
		}
	})
}

// A change that cannot be leaves all as it was, and closes what was brought for it.
func TestChangeFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t, func(o *Options) { o.Sinks = nil })
		blocked := filepath.Join(filepath.Dir(w.file), "blocked")
		require.NoError(t, os.WriteFile(blocked, nil, 0o600))
		one, two := &closingSink{fakeSink: fakeSink{name: "one"}}, &closingSink{fakeSink: fakeSink{name: "one"}}
		options := func(file string, s Sink) Options {
			o := w.acct.opts
			o.QueueOptions = QueueOptions{File: file, Sinks: []Sink{s}, MaxRecords: 1000, Log: slog.New(slog.DiscardHandler)}
			return o
		}
		_, err := w.acct.Prepare(options(filepath.Join(blocked, "queue"), one))
		assert.ErrorContains(t, err, "not a directory")
		assert.True(t, one.closed.Load())

		c, err := w.acct.Prepare(options(w.file, two)) // and something else fails
		require.NoError(t, err)
		c.Drop()
		assert.True(t, two.closed.Load())
		assert.Empty(t, two.all())
		assert.False(t, w.acct.HasQueue())

		sink := &closingSink{fakeSink: fakeSink{name: "one"}}
		w.change(func(o *Options) { *o = options(w.file, sink) })
		other := &closingSink{fakeSink: fakeSink{name: "one"}}
		c, err = w.acct.Prepare(options(w.file, other))
		require.NoError(t, err)
		c.Drop()
		assert.True(t, other.closed.Load())
		assert.False(t, sink.closed.Load())
		w.close()
		assert.Len(t, sink.all(), 2)
	})
}
