package gopptp_test

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// A session can be ended in any state, by either side, and the reason is the first
// that was given.
func TestEndInEveryState(t *testing.T) {
	for state := gopptp.StateControl; state <= gopptp.StateTerminate; state++ {
		for _, side := range []string{"server", "client"} {
			if side == "server" && state == gopptp.StateControl {
				continue // it has no session yet
			}
			t.Run(side+" "+state.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					ended := make(chan *gopptp.Session, 1)
					observer := gopptp.ObserverFunc(func(e gopptp.SessionEvent) {
						switch e.State {
						case gopptp.StateUp:
							if state == gopptp.StateTerminate {
								e.Session.End(gopptp.CauseReplaced, nil)
							}
						case gopptp.StateClosed:
							e.Session.End(gopptp.CauseAdmin, nil) // nothing is left to be ended
							ended <- e.Session
						}
						if e.State == state {
							e.Session.End(gopptp.CauseReplaced, nil)
							e.Session.End(gopptp.CauseQuota, nil)
						}
					})
					server := w.serve(func(c *gopptp.ServerConfig) {
						if side == "server" {
							c.Observer = observer
						}
					})
					_, _ = w.tryDial(func(c *gopptp.ClientConfig) {
						if side == "client" {
							c.Observer = observer
						}
					})
					s := <-ended
					<-s.Done()
					var why *gopptp.SessionError
					require.ErrorAs(t, s.Err(), &why)
					require.Equal(t, gopptp.CauseReplaced.String(), why.Cause.String())
					require.ErrorIs(t, why, gopptp.ErrReplaced)
					require.GreaterOrEqual(t, why.Stage, min(state, gopptp.StateUp))
					time.Sleep(time.Minute)
					synctest.Wait()
					require.Empty(t, server.Sessions())
					require.Equal(t, w.poolSize, w.pool.Free())
				})
			})
		}
	}
}

func TestEndReasons(t *testing.T) {
	own := errors.New("asked for by telephone")
	for _, c := range []struct {
		cause   gopptp.Cause
		err     error
		want    gopptp.Cause
		wantErr error
	}{
		{gopptp.CauseAdmin, nil, gopptp.CauseAdmin, gopptp.ErrAdmin},
		{gopptp.CauseAdmin, own, gopptp.CauseAdmin, own},
		{gopptp.CauseReplaced, nil, gopptp.CauseReplaced, gopptp.ErrReplaced},
		{gopptp.CauseQuota, nil, gopptp.CauseQuota, gopptp.ErrQuota},
		{gopptp.CauseSessionTimeout, nil, gopptp.CauseSessionTimeout, gopptp.ErrSessionTimeout},
		{gopptp.CauseLocal, own, gopptp.CauseLocal, own},
		{gopptp.CauseLocal, nil, gopptp.CauseNone, nil},
		{gopptp.CauseNegotiation, nil, gopptp.CauseNegotiation, nil}, // but some error
		{gopptp.CauseNone, own, gopptp.CauseAdmin, own},
		{gopptp.CauseNone, nil, gopptp.CauseAdmin, gopptp.ErrAdmin},
		{99, nil, gopptp.CauseAdmin, gopptp.ErrAdmin},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			server := w.serve(nil)
			s := w.dial(nil)
			theirs := w.session(server)
			theirs.End(c.cause, c.err)
			<-theirs.Done()
			if c.want == gopptp.CauseNone {
				require.NoError(t, theirs.Err())
			} else {
				requireCause(t, theirs.Err(), c.want, gopptp.StateUp)
			}
			if c.wantErr != nil {
				require.ErrorIs(t, theirs.Err(), c.wantErr)
			}
			<-s.Done()
			requireCause(t, s.Err(), gopptp.CausePeer, gopptp.StateUp)
		})
	}
}

// Whoever calls, from wherever, and however often.
func TestEndConcurrently(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		w.dial(nil)
		theirs := w.session(server)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { theirs.End(gopptp.CauseAdmin, nil) })
			wg.Go(func() { theirs.Close() })
		}
		wg.Wait()
		<-theirs.Done()
		theirs.End(gopptp.CauseQuota, nil)
		synctest.Wait()
		require.NotErrorIs(t, theirs.Err(), gopptp.ErrQuota)
		require.Equal(t, w.poolSize, w.pool.Free())
	})
}

// A session that is ended while its user's password is looked at ends without waiting
// for what comes of that.
func TestEndWhileAuthenticating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		asked := make(chan struct{})
		server := w.serve(func(c *gopptp.ServerConfig) {
			c.Authenticator = gopptp.AuthenticatorFunc(func(ctx context.Context, _ *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
				close(asked)
				<-ctx.Done()
				return nil, ctx.Err()
			})
		})
		go w.tryDial(nil)
		<-asked
		theirs := server.Sessions()[0]
		theirs.End(gopptp.CauseAdmin, nil)
		<-theirs.Done()
		requireCause(t, theirs.Err(), gopptp.CauseAdmin, gopptp.StateAuthenticate)
	})
}

// failingPlane opens no call, and has something happen meanwhile.
type failingPlane struct {
	gopptp.Dataplane
	meanwhile func()
}

func (p failingPlane) Open(gopptp.CallConfig, gopptp.CallHandler) (gopptp.Call, error) {
	p.meanwhile()
	return nil, errors.New("no call is free")
}

// A session may be found, and ended, before it turns out that it can have no call.
func TestEndWithoutACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var server *gopptp.Server
		var found *gopptp.Session
		server = w.serve(func(c *gopptp.ServerConfig) {
			c.Dataplane = failingPlane{c.Dataplane, func() {
				found = server.Sessions()[0]
				found.End(gopptp.CauseAdmin, nil)
			}}
		})
		_, err := w.tryDial(nil)
		requireCause(t, err, gopptp.CauseCall, gopptp.StateCall)
		<-found.Done()
		requireCause(t, found.Err(), gopptp.CauseDataplane, gopptp.StateControl)
		require.Equal(t, gopptp.StateClosed, found.State())
		require.EqualValues(t, 1, server.Stats().RefusedOpen)
		require.Zero(t, server.Stats().Sessions)
	})
}

// recordingPool keeps what it was asked.
type recordingPool struct {
	*gopptp.Pool
	asked chan gopptp.PoolRequest
}

func (p recordingPool) Acquire(ctx context.Context, req gopptp.PoolRequest) (netip.Addr, error) {
	p.asked <- req
	return p.Pool.Acquire(ctx, req)
}

// A pool may go by what the Authenticator has attached, and by where the peer is.
func TestPoolKnowsWhoAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.users["alice"].Result.Attributes = "the pool of the north"
		pool := recordingPool{w.pool, make(chan gopptp.PoolRequest, 1)}
		server := w.serve(func(c *gopptp.ServerConfig) { c.Pool = pool })
		s := w.dial(nil)
		require.Equal(t, gopptp.PoolRequest{
			Session:    w.session(server).ID(),
			User:       "alice",
			Remote:     s.LocalAddr(),
			Attributes: "the pool of the north",
		}, <-pool.asked)
	})
}
