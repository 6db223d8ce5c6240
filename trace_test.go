package gopptp_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// messageType is that of a control message (RFC 2637 §1.4).
func messageType(msg []byte) pptp.MessageType {
	return pptp.MessageType(binary.BigEndian.Uint16(msg[8:]))
}

// One session is looked at, from when somebody wants to until nobody does.
func TestTraceOfOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		s := w.dial(nil)
		theirs := w.session(server)
		other, err := w.tryDialFrom(netip.MustParseAddr("198.51.100.2"), nil)
		require.NoError(t, err)

		var mu sync.Mutex
		var messages []pptp.MessageType
		frames := 0
		stop := theirs.Trace(func(e gopptp.TraceEvent) {
			mu.Lock()
			defer mu.Unlock()
			require.Equal(t, theirs.ID(), e.Session)
			require.Equal(t, theirs.RemoteAddr(), e.Remote)
			require.Equal(t, time.Now(), e.Time)
			switch e.Kind {
			case gopptp.TracePPP:
				p, _, err := ppp.DecodeFrame(e.Data)
				require.NoError(t, err)
				require.Equal(t, ppp.ProtocolLCP, p)
				frames++
			case gopptp.TraceControl:
				messages = append(messages, messageType(e.Data))
			}
		})
		look := func() (int, []pptp.MessageType) {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return frames, slices.Clone(messages)
		}
		second := 0
		var stopSecond func()
		stopSecond = theirs.Trace(func(gopptp.TraceEvent) {
			if second++; second == 3 {
				stopSecond()
			}
		})
		w.exchange(s, 10)
		w.exchangeFrom(netip.MustParseAddr("198.51.100.2"), other, 10)
		seen, _ := look()
		require.Zero(t, seen, "users' packets are not control traffic")

		time.Sleep(3 * gopptp.DefaultEchoInterval)
		seen, heard := look()
		require.NotZero(t, seen)
		require.Contains(t, heard, pptp.TypeEchoRequest)
		require.Equal(t, 3, second, "it wanted no more")

		stop()
		stop()
		time.Sleep(3 * gopptp.DefaultEchoInterval)
		seenLater, heardLater := look()
		require.Equal(t, seen, seenLater)
		require.Equal(t, heard, heardLater)

		// The end of a session is traced to the last word about it.
		var last []pptp.MessageType
		theirs.Trace(func(e gopptp.TraceEvent) {
			if e.Kind == gopptp.TraceControl {
				last = append(last, messageType(e.Data))
			}
		})
		theirs.End(gopptp.CauseAdmin, nil)
		<-theirs.Done()
		require.Equal(t, []pptp.MessageType{pptp.TypeCallDisconnectNotify}, last)
		require.Equal(t, gopptp.StateUp, other.State())
		theirs.Trace(func(gopptp.TraceEvent) { t.Error("there is nothing to see") })()
	})
}

// A client's trace names its session in all of it, and those of one session and of the
// configuration do not get in each other's way.
func TestTraceOfAClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(nil)
		all := map[gopptp.TraceKind]int{}
		own := map[gopptp.TraceKind]int{}
		var ids []gopptp.SessionID
		s := w.dial(func(c *gopptp.ClientConfig) {
			c.Trace = func(e gopptp.TraceEvent) {
				all[e.Kind]++
				ids = append(ids, e.Session)
			}
		})
		require.Equal(t, 4, all[gopptp.TraceControl], "two requests, two replies")
		for _, id := range ids {
			require.Equal(t, s.ID(), id)
		}
		clear(all)
		stop := s.Trace(func(e gopptp.TraceEvent) { own[e.Kind]++ })
		defer stop()
		s.Close()
		<-s.Done()
		require.Equal(t, all, own)
		require.Equal(t, 4, own[gopptp.TraceControl], "the call is cleared, the connection stopped")
		require.NotZero(t, own[gopptp.TracePPP])
	})
}
