package accounting

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/memory"
)

// world is a server whose sessions are accounted for.
type world struct {
	t      *testing.T
	net    *memory.Network
	host   *memory.Host
	server *gopptp.Server
	sink   *fakeSink
	file   string
	acct   *Accountant
}

var userGrant = &grant.Grant{Group: "staff", Backend: "radius", Class: [][]byte{{1}}}

func startWorld(t *testing.T, options ...func(*Options)) *world {
	w := &world{t: t, net: memory.NewNetwork(), sink: &fakeSink{name: "sink"}, file: filepath.Join(t.TempDir(), "queue")}
	var err error
	o := Options{
		QueueOptions: QueueOptions{File: w.file, Sinks: []Sink{w.sink}, MaxRecords: 1000, Log: slog.New(slog.DiscardHandler)},
		NAS:          "gw", Interval: 10 * time.Minute, MinInterval: time.Minute, Jitter: 10, Checkpoint: 30 * time.Second,
		Patience: 5 * time.Second,
	}
	for _, option := range options {
		option(&o)
	}
	w.acct, err = Open(o)
	require.NoError(t, err)
	live := sessions.New()
	live.Watch(w.acct.Observe)
	w.host = w.net.Host(netip.MustParseAddr("192.0.2.1"))
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.0.0.0/24"))})
	require.NoError(t, err)
	six, err := gopptp.NewIPv6Pool(netip.MustParsePrefix("2001:db8::/56"))
	require.NoError(t, err)
	local := gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
		return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("right")}, nil
	})
	w.server, err = gopptp.NewServer(gopptp.ServerConfig{
		Dataplane:    w.host.Dataplane(),
		LocalAddress: netip.MustParseAddr("10.0.1.1"),
		Pool:         pool,
		IPv6:         &gopptp.IPv6Config{Pool: six},
		Observer:     live,
		Authenticator: gopptp.AuthenticatorFunc(func(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
			r, err := local.Authenticate(ctx, req)
			if err == nil {
				g := *userGrant
				if req.Name == "eager" {
					g.InterimInterval = time.Second
				}
				r.Attributes = &g
			}
			return r, err
		}),
	})
	require.NoError(t, err)
	l, err := w.host.Listen(gopptp.DefaultPort)
	require.NoError(t, err)
	go w.server.Serve(t.Context(), l)
	return w
}

func (w *world) dial(from, user, password string, six bool) (*gopptp.Session, error) {
	host := w.net.Host(netip.MustParseAddr(from))
	s, err := gopptp.Dial(w.t.Context(), "192.0.2.1", gopptp.ClientConfig{
		Dataplane: host.Dataplane(), DialContext: host.DialContext, User: user, Password: password, IPv6: six,
	})
	synctest.Wait()
	return s, err
}

func (w *world) close() {
	w.server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(w.t, w.acct.Close(ctx))
	w.net.Close()
}

// records are those of a kind.
func (w *world) records(k Kind) (list []Record) {
	for _, r := range w.sink.records() {
		if r.Kind == k {
			list = append(list, r)
		}
	}
	return list
}

// packet is an IPv4 packet of n octets.
func packet(from, to netip.Addr, n int) []byte {
	b := make([]byte, n)
	b[0], b[2], b[3], b[8], b[9] = 0x45, byte(n>>8), byte(n), 64, 17
	copy(b[12:], from.AsSlice())
	copy(b[16:], to.AsSlice())
	return b
}

func TestAccountant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t)
		begin := time.Now()
		s, err := w.dial("192.0.2.7", "alice", "right", false)
		require.NoError(t, err)
		_, err = w.dial("192.0.2.8", "mallory", "wrong", false)
		require.Error(t, err)
		w.host.Send(packet(s.Peer(), s.Local(), 100))
		time.Sleep(time.Hour + time.Minute)
		synctest.Wait()
		w.host.Send(packet(s.Peer(), s.Local(), 200))
		time.Sleep(time.Second)
		s.Close()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.close()

		require.Len(t, w.records(On), 1)
		starts := w.records(Start)
		require.Len(t, starts, 1, "who was never up is not accounted for")
		r := starts[0]
		assert.Equal(t, "alice", r.User)
		assert.Equal(t, "staff", r.Group)
		assert.Equal(t, "radius", r.Backend)
		assert.Equal(t, userGrant.Class, r.Class)
		assert.Equal(t, s.Local(), r.Address)
		assert.Equal(t, "192.0.2.7", r.Remote.Addr().String())
		assert.Equal(t, "192.0.2.1:1723", r.Local.String())
		assert.Equal(t, "MPPE 128-bit stateless", r.Encryption)
		assert.Zero(t, r.Usage)
		assert.NotEmpty(t, r.Session)

		interims := w.records(Interim)
		assert.InDelta(t, 6, len(interims), 1)
		last := begin
		for _, i := range interims {
			assert.InDelta(t, 10*time.Minute, i.Time.Sub(last), float64(time.Minute+time.Second))
			assert.InDelta(t, i.Time.Sub(begin), i.Duration, float64(time.Second))
			assert.EqualValues(t, 100, i.SentOctets)
			last = i.Time
		}
		stops := w.records(Stop)
		require.Len(t, stops, 1)
		assert.Equal(t, r.Session, stops[0].Session)
		assert.Equal(t, UserRequest, stops[0].Cause)
		assert.Equal(t, "peer", stops[0].Reason)
		assert.InDelta(t, time.Hour+time.Minute+time.Second, stops[0].Duration, float64(time.Second))
		assert.EqualValues(t, 300, stops[0].SentOctets)
		assert.EqualValues(t, 2, stops[0].SentPackets)
		off := w.records(Off)
		require.Len(t, off, 1)
		assert.Equal(t, w.records(On)[0].Session, off[0].Session)
		all := w.sink.all()
		assert.Equal(t, "off "+off[0].Session, all[len(all)-1])
	})
}

// The times that durations are made of have the reading of a clock that nobody can set,
// which those of synctest do not.
func TestMonotonic(t *testing.T) {
	w := startWorld(t)
	host := w.net.Host(netip.MustParseAddr("192.0.2.7"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := gopptp.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
		Dataplane: host.Dataplane(), DialContext: host.DialContext, User: "alice", Password: "right",
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(w.acct.sessions()) == 1 }, time.Minute, time.Millisecond)
	s := w.acct.sessions()[0]
	assert.Contains(t, s.UpAt().String(), "m=")
	w.acct.end(sessions.Event{Session: s, Time: time.Now(), Cause: gopptp.CauseShutdown})
	require.Eventually(t, func() bool { return len(w.records(Stop)) == 1 }, time.Minute, time.Millisecond)
	ended := s.UpAt().Add(w.records(Stop)[0].Duration)
	assert.WithinRange(t, ended, s.UpAt(), time.Now())
	// As if the clock had been set back by a year: a time without that reading.
	assert.Zero(t, usageOf(s, time.Now().Round(0).AddDate(-1, 0, 0)).Duration, "never negative")
	assert.Equal(t, AdminReboot, w.records(Stop)[0].Cause)
	w.close()
}

// A server may ask for Interims more often, but not too often.
func TestInterimInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t)
		_, err := w.dial("192.0.2.7", "eager", "right", false)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		synctest.Wait()
		assert.InDelta(t, 60, len(w.records(Interim)), 7)
		w.close()
	})
}

// An IPv6 prefix that comes after the Start is told of at once.
func TestIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t)
		s, err := w.dial("192.0.2.7", "alice", "right", true)
		require.NoError(t, err)
		time.Sleep(time.Second)
		synctest.Wait()
		require.True(t, s.IPv6Prefix().IsValid())
		told := append(w.records(Start), w.records(Interim)...)
		last := told[len(told)-1]
		assert.Equal(t, s.IPv6Prefix(), last.IPv6Prefix)
		assert.Equal(t, s.LocalIPv6(), last.InterfaceID)
		assert.LessOrEqual(t, len(told), 2)
		w.close()
	})
}

// What a killed gateway was last seen to have carried is in the Stops after it.
func TestAccountantCrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWorld(t)
		s, err := w.dial("192.0.2.7", "alice", "right", false)
		require.NoError(t, err)
		w.host.Send(packet(s.Peer(), s.Local(), 100))
		time.Sleep(65 * time.Second)
		synctest.Wait()
		left := crash(t, w.file)
		w.close()

		sink := &fakeSink{name: "sink"}
		again, err := Open(Options{
			QueueOptions: QueueOptions{File: left, Sinks: []Sink{sink}, MaxRecords: 1000, Log: slog.New(slog.DiscardHandler)},
			NAS:          "gw", Checkpoint: time.Second,
		})
		require.NoError(t, err)
		require.NoError(t, again.Close(t.Context()))
		require.Len(t, sink.got, 3)
		stop := sink.got[0]
		assert.Equal(t, "stop "+w.records(Start)[0].Session, short(stop))
		assert.Equal(t, NASReboot, stop.Cause)
		assert.Equal(t, time.Minute, stop.Duration.Round(time.Second))
		assert.EqualValues(t, 100, stop.SentOctets)
		assert.Equal(t, On, sink.got[1].Kind)
		assert.NotEqual(t, w.records(On)[0].Session, sink.got[1].Session)
	})
}

// BenchmarkOpenSessions has what is kept in memory of each session that is up, and the time
// that a checkpoint of them takes.
func BenchmarkOpenSessions(b *testing.B) {
	const n = 10_000
	a := &Accountant{opts: Options{Jitter: 10}, live: make(map[gopptp.SessionID]*account)}
	var before, after runtime.MemStats
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%016x", i) // the session has it anyway
	}
	runtime.GC()
	runtime.ReadMemStats(&before)
	now := time.Now()
	for _, id := range ids {
		acc := &account{interval: time.Minute}
		a.live[gopptp.SessionID(id)] = acc
		a.agenda.Set(gopptp.SessionID(id), now.Add(acc.interval))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)

	q := openQueue(b, filepath.Join(b.TempDir(), "queue"), &fakeSink{name: "sink"})
	usage := make(map[string]Usage, n)
	for _, id := range ids {
		q.Put(sample(Start, id))
		usage[id] = Usage{}
	}
	for q.Stats().Unwritten > 0 {
		time.Sleep(time.Millisecond)
	}
	for b.Loop() {
		commits := q.Stats().Commits
		q.Checkpoint(now, usage)
		for q.Stats().Commits == commits {
			time.Sleep(time.Millisecond)
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "octets/session")
	runtime.KeepAlive(a)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	q.Close(ctx)
}
