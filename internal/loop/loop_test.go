package loop

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPostRunsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		var got []int
		l.Post(func() { // so that nothing runs until all are queued
			for i := range 100 {
				l.Post(func() {
					got = append(got, i)
					if i == 50 {
						l.Post(func() { got = append(got, 100) })
					}
				})
			}
		})
		synctest.Wait()
		l.Close()
		<-l.Done()
		require.Len(t, got, 101)
		for i, v := range got {
			require.Equal(t, i, v)
		}
	})
}

func TestPostAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		l.Close()
		require.False(t, l.Post(func() { t.Error("ran on a closed loop") }))
		<-l.Done()
	})
}

func TestPostFromManyGoroutines(t *testing.T) {
	l := New()
	var wg sync.WaitGroup
	sum := 0
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				l.Post(func() { sum++ })
			}
		})
	}
	wg.Wait()
	l.Close()
	<-l.Done()
	require.Equal(t, 8000, sum)
}

func TestTimersFireInOrderAndOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		start := time.Now()
		var fired []time.Duration
		l.Post(func() {
			for _, i := range rand.Perm(200) {
				at := time.Duration(i) * time.Millisecond
				l.NewTimer(func(now time.Time) {
					require.Equal(t, at, now.Sub(start))
					fired = append(fired, at)
				}).Set(start.Add(at))
			}
		})
		time.Sleep(time.Second)
		l.Close()
		<-l.Done()
		require.Len(t, fired, 200)
		require.IsIncreasing(t, fired)
	})
}

func TestTimerMovedAndStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		start := time.Now()
		var fired []time.Duration
		l.Post(func() {
			note := func(now time.Time) { fired = append(fired, now.Sub(start)) }
			later, sooner, stopped := l.NewTimer(note), l.NewTimer(note), l.NewTimer(note)
			for _, timer := range []*Timer{later, sooner, stopped} {
				timer.Set(start.Add(2 * time.Second))
			}
			later.Set(start.Add(3 * time.Second))
			sooner.Set(start.Add(time.Second))
			stopped.Set(time.Time{})
		})
		time.Sleep(time.Minute)
		l.Close()
		<-l.Done()
		require.Equal(t, []time.Duration{time.Second, 3 * time.Second}, fired)
	})
}

// A timer that fires may stop another that is due in the same instant, and may
// set itself again without starving the loop.
func TestTimersTouchEachOtherWhileFiring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		at := time.Now().Add(time.Second)
		count := 0
		l.Post(func() {
			var first, second *Timer
			stop := func(other **Timer) func(time.Time) {
				return func(time.Time) {
					count++
					(*other).Set(time.Time{})
				}
			}
			first, second = l.NewTimer(stop(&second)), l.NewTimer(stop(&first))
			first.Set(at)
			second.Set(at)

			again := 0
			var self *Timer
			self = l.NewTimer(func(now time.Time) {
				if again++; again < 3 {
					self.Set(now)
				}
			})
			self.Set(at)
		})
		time.Sleep(2 * time.Second)
		l.Close()
		<-l.Done()
		require.Equal(t, 1, count, "of two timers that stop each other one fires")
	})
}

func BenchmarkTimerMove(b *testing.B) {
	l := &Loop{}
	now := time.Now()
	timers := make([]*Timer, 50_000)
	for i := range timers {
		timers[i] = l.NewTimer(func(time.Time) {})
		timers[i].Set(now.Add(time.Duration(i) * time.Millisecond))
	}
	b.ReportAllocs()
	for i := range b.N {
		timers[i%len(timers)].Set(now.Add(time.Duration(i*7919%1_000_000) * time.Millisecond))
	}
}

func BenchmarkPost(b *testing.B) {
	l := New()
	f := func() {}
	b.ReportAllocs()
	for range b.N {
		l.Post(f)
	}
	l.Close()
	<-l.Done()
}

func TestFarDeadlinesShareWakeUps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		begin := time.Now()
		fired := make(map[time.Duration]int) // timers, by when they fired
		near := time.Duration(0)
		l.Post(func() {
			for i := range 1000 {
				at := begin.Add(30*time.Second + time.Duration(i)*time.Millisecond)
				l.NewTimer(func(now time.Time) {
					require.False(t, now.Before(at))
					require.LessOrEqual(t, now.Sub(at), grain)
					fired[now.Sub(begin)]++
				}).Set(at)
			}
			l.NewTimer(func(now time.Time) { near = now.Sub(begin) }).Set(begin.Add(7 * time.Millisecond))
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		l.Close()
		<-l.Done()
		require.Equal(t, 7*time.Millisecond, near)
		require.Len(t, fired, 21)
	})
}

// A loop that is busy gives others a turn, again and again, and none that is not.
func TestYield(t *testing.T) {
	turns := 0
	l := NewYielding(func() { turns++ })
	defer l.Close()
	spin := func() {
		for began := time.Now(); time.Since(began) < 100*time.Microsecond; {
		}
	}
	after := make(chan int)
	l.Post(func() {
		for range 60 {
			l.Post(spin)
		}
		l.Post(func() { after <- turns })
	})
	require.GreaterOrEqual(t, <-after, 60/3)

	var fired int
	l.Post(func() {
		turns = 0
		for range 60 {
			l.NewTimer(func(time.Time) { fired++; spin() }).Set(time.Now().Add(time.Microsecond))
		}
		l.NewTimer(func(time.Time) { after <- turns }).Set(time.Now().Add(20 * time.Millisecond))
	})
	require.GreaterOrEqual(t, <-after, 60/3)
	l.Post(func() { after <- fired })
	require.Equal(t, 60, <-after)
}
