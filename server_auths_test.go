package gopptp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAuthGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g authGate
		g.setLimit(1)
		limits := &Limits{MaxAuthWaiting: 3, AuthWait: time.Minute}
		ctx := context.Background()
		var entered []string
		enter := func(ctx context.Context, name string, again bool) chan error {
			done := make(chan error, 1)
			go func() {
				err := g.enter(ctx, again, limits)
				if err == nil {
					entered = append(entered, name)
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		figures := func(running, waiting int) {
			t.Helper()
			synctest.Wait()
			gotRunning, newcomers, members := g.figures()
			require.Equal(t, [2]int{running, waiting}, [2]int{gotRunning, newcomers + members})
		}

		require.NoError(t, <-enter(ctx, "first", false))
		gone, leaves := context.WithCancel(ctx)
		second, third, fourth := enter(ctx, "second", false), enter(gone, "third", false), enter(ctx, "fourth", false)
		figures(1, 3)
		require.ErrorIs(t, <-enter(ctx, "fifth", false), errAuthQueue)
		in := enter(ctx, "one who is in", true)
		figures(1, 4)

		leaves()
		require.ErrorIs(t, <-third, context.Canceled)
		figures(1, 3)
		g.leave()
		require.NoError(t, <-second)
		figures(1, 2)

		time.Sleep(time.Minute)
		require.ErrorIs(t, <-fourth, errAuthWait)
		figures(1, 1)

		g.setLimit(2) // who waits has the new place at once
		require.NoError(t, <-in)
		figures(2, 0)
		g.setLimit(1) // nobody loses a place
		figures(2, 0)
		sixth := enter(ctx, "sixth", false)
		g.leave()
		figures(1, 1)
		g.leave()
		require.NoError(t, <-sixth)
		require.Equal(t, []string{"first", "second", "one who is in", "sixth"}, entered)
		g.leave()
		figures(0, 0)
	})
}

// Those who are in may be thousands when their Authenticator fails; newcomers whom another
// one knows still come in.
func TestAuthGateNewcomersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g authGate
		g.setLimit(1)
		limits := &Limits{MaxAuthWaiting: 2, AuthWait: time.Minute}
		require.NoError(t, g.enter(t.Context(), true, limits))
		var order []string
		enter := func(name string, again bool) {
			go func() {
				require.NoError(t, g.enter(t.Context(), again, limits))
				order = append(order, name)
				g.leave()
			}()
			synctest.Wait()
		}
		for range 3 {
			enter("in", true)
		}
		enter("one", false)
		enter("two", false)
		require.ErrorIs(t, g.enter(t.Context(), false, limits), errAuthQueue)
		g.leave()
		synctest.Wait()
		require.Equal(t, []string{"one", "two", "in", "in", "in"}, order)
	})
}
