package sqlsink

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database/databasetest"
)

func TestMain(m *testing.M) { os.Exit(databasetest.Main(m)) }

var begin = time.Unix(2_000_000_000, 0)

// record is one of a session that has been up for some time.
func record(kind accounting.Kind, session string, up time.Duration) accounting.Record {
	seconds := uint64(up / time.Second)
	return accounting.Record{
		Kind: kind, Session: session, Time: begin.Add(up), NAS: "gw", User: "alice", Group: "staff", Began: begin,
		Local: netip.MustParseAddrPort("192.0.2.1:1723"), Remote: netip.MustParseAddrPort("198.51.100.7:40000"),
		Address: netip.MustParseAddr("10.8.0.2"), Encryption: "MPPE-128",
		Usage: accounting.Usage{Duration: up, ReceivedOctets: 10 * seconds, ReceivedPackets: seconds, SentOctets: 20 * seconds, SentPackets: 2 * seconds},
	}
}

func stop(session string, up time.Duration) accounting.Record {
	r := record(accounting.Stop, session, up)
	r.Cause, r.Reason = accounting.UserRequest, "peer"
	return r
}

// got is a row.
type got struct {
	user, source, address, encryption string
	began, updated, duration          int64
	received, sent                    int64
	ended                             *int64
	prefix, cause, reason             *string
}

func read(t *testing.T, s *Sink, session string) (g got) {
	t.Helper()
	require.NoError(t, s.db.QueryRowContext(t.Context(), `SELECT user_name, source, address, encryption, began_at, updated_at, duration,
		received_octets, sent_octets, ended_at, ipv6_prefix, cause, reason FROM accounting WHERE session = $1`, session).Scan(
		&g.user, &g.source, &g.address, &g.encryption, &g.began, &g.updated, &g.duration,
		&g.received, &g.sent, &g.ended, &g.prefix, &g.cause, &g.reason))
	return g
}

// send delivers records, and fails if one is not.
func send(t *testing.T, s *Sink, records ...accounting.Record) {
	t.Helper()
	delivered := 0
	require.NoError(t, s.Send(t.Context(), records, func(_ int, err error) {
		require.NoError(t, err)
		delivered++
	}))
	require.Equal(t, len(records), delivered)
}

func open(t *testing.T, cfg *config.Database) *Sink {
	t.Helper()
	s, err := Open(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSession(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		s := open(t, cfg)
		send(t, s, record(accounting.Start, "1", 0))
		started := read(t, s, "1")
		assert.Equal(t, got{
			user: "alice", source: "198.51.100.7:40000", address: "10.8.0.2", encryption: "MPPE-128",
			began: begin.Unix(), updated: begin.Unix(),
		}, started)

		interim := record(accounting.Interim, "1", time.Minute)
		interim.IPv6Prefix = netip.MustParsePrefix("2001:db8::/64")
		send(t, s, interim)
		going := read(t, s, "1")
		assert.EqualValues(t, 60, going.duration)
		assert.EqualValues(t, 600, going.received)
		assert.EqualValues(t, 1200, going.sent)
		assert.Equal(t, "2001:db8::/64", *going.prefix)
		assert.Nil(t, going.ended)
		for _, r := range []accounting.Record{interim, record(accounting.Start, "1", 0)} { // again, and late
			send(t, s, r)
			assert.Equal(t, going, read(t, s, "1"), "%v", r.Kind)
		}

		send(t, s, stop("1", time.Hour))
		ended := read(t, s, "1")
		assert.Equal(t, begin.Add(time.Hour).Unix(), *ended.ended)
		assert.EqualValues(t, 3600, ended.duration)
		assert.Equal(t, "User-Request", *ended.cause)
		assert.Equal(t, "peer", *ended.reason)
		assert.Equal(t, "2001:db8::/64", *ended.prefix, "is not forgotten")
		again := stop("1", 2*time.Hour) // as after a crash, by what the disk knew
		again.Cause = accounting.NASReboot
		for _, r := range []accounting.Record{stop("1", time.Hour), again, record(accounting.Interim, "1", 3*time.Hour), record(accounting.Start, "1", 0)} {
			send(t, s, r)
			assert.Equal(t, ended, read(t, s, "1"), "%v", r.Kind)
		}
	})
}

// A clock that is set back in between changes what the times say, and no counter.
func TestClockStepped(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		s := open(t, cfg)
		send(t, s, record(accounting.Interim, "1", time.Hour)) // without a Start
		late := record(accounting.Interim, "1", 2*time.Hour)
		late.Time = begin.Add(-time.Hour)
		send(t, s, late)
		assert.EqualValues(t, 7200, read(t, s, "1").duration)
		end := stop("1", 2*time.Hour+time.Second)
		end.Time = begin.Add(-time.Minute)
		send(t, s, end)
		assert.EqualValues(t, 7201, read(t, s, "1").duration)
	})
}

// What the disk knew last before a crash may be less than what was delivered. No counter
// goes back for that, nor for a Start that comes late.
func TestCountersOnlyGrow(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		s := open(t, cfg)
		young := record(accounting.Interim, "1", 0)
		young.ReceivedOctets = 5
		send(t, s, young, record(accounting.Start, "1", 0))
		assert.EqualValues(t, 5, read(t, s, "1").received)
		send(t, s, record(accounting.Interim, "1", time.Hour), stop("1", time.Minute))
		g := read(t, s, "1")
		assert.NotNil(t, g.ended)
		assert.EqualValues(t, 3600, g.duration)
		assert.EqualValues(t, 36000, g.received)
		assert.EqualValues(t, 72000, g.sent)
	})
}

// Many sessions that end at once.
func TestMany(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		s := open(t, cfg)
		var records []accounting.Record
		for i := range 500 {
			records = append(records, stop(fmt.Sprint(i), time.Minute))
		}
		send(t, s, records...)
		send(t, s, records...)
		var rows, octets int
		require.NoError(t, s.db.QueryRow("SELECT COUNT(*), SUM(received_octets) FROM accounting").Scan(&rows, &octets))
		assert.Equal(t, len(records), rows)
		assert.Equal(t, 600*len(records), octets)
	})
}

// What peers say, and counters beyond all measure, are no trouble.
func TestStrange(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		s := open(t, cfg)
		r := stop("1", time.Minute)
		r.User, r.Group, r.ReceivedOctets = "\xff\x00'; DROP TABLE accounting; --", "", math.MaxUint64
		send(t, s, r)
		g := read(t, s, "1")
		assert.Equal(t, "\uFFFD\uFFFD'; DROP TABLE accounting; --", g.user)
		assert.Equal(t, int64(math.MaxInt64), g.received)
		send(t, s, accounting.Record{Kind: accounting.Stop, Session: "2", Time: begin})
	})
}

// A row that the table cannot hold is reported, and the others are kept.
func TestImpossible(t *testing.T) {
	s := open(t, databasetest.Postgres(t))
	send(t, s)
	databasetest.Exec(t, s.db.DB, "ALTER TABLE accounting ADD CHECK (user_name <> 'bob')")
	bob := stop("2", time.Minute)
	bob.User = "bob"
	results := make(map[int]error)
	require.NoError(t, s.Send(t.Context(), []accounting.Record{stop("1", time.Minute), bob, stop("3", time.Minute)}, func(i int, err error) { results[i] = err }))
	assert.Len(t, results, 3)
	assert.NoError(t, results[0])
	assert.ErrorContains(t, results[1], "violates check constraint")
	assert.NoError(t, results[2])
	read(t, s, "1")
	read(t, s, "3")
}

// One that the database does not take, for whatever reason, is in the way of none.
func TestRefused(t *testing.T) {
	for name, trigger := range map[string]string{
		"sqlite": "CREATE TRIGGER no BEFORE INSERT ON accounting WHEN new.user_name = 'bob' BEGIN SELECT RAISE(ABORT, 'no bobs'); END",
		"postgres": "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no bobs'; END $$ LANGUAGE plpgsql; " +
			"CREATE TRIGGER no BEFORE INSERT ON accounting FOR EACH ROW WHEN (new.user_name = 'bob') EXECUTE FUNCTION no()",
	} {
		t.Run(name, func(t *testing.T) {
			cfg := databasetest.SQLite(t)
			if name == "postgres" {
				cfg = databasetest.Postgres(t)
			}
			s := open(t, cfg)
			send(t, s)
			databasetest.Exec(t, s.db.DB, trigger)
			bob := stop("2", time.Minute)
			bob.User = "bob"
			delivered := make(map[int]error)
			err := s.Send(t.Context(), []accounting.Record{stop("1", time.Minute), bob, stop("3", time.Minute)}, func(i int, err error) { delivered[i] = err })
			assert.ErrorContains(t, err, "no bobs")
			assert.Equal(t, map[int]error{0: nil, 2: nil}, delivered)
			read(t, s, "3")
		})
	}
}

func TestRuns(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		s := open(t, cfg)
		on := accounting.Record{Kind: accounting.On, Session: "run", NAS: "gw", Time: begin}
		off := on
		off.Kind, off.Time = accounting.Off, begin.Add(time.Hour)
		for range 2 {
			send(t, s, on)
			send(t, s, off)
		}
		var n int
		var from, to int64
		require.NoError(t, s.db.QueryRow("SELECT COUNT(*), MIN(began_at), MAX(ended_at) FROM accounting_runs WHERE run = 'run'").Scan(&n, &from, &to))
		assert.Equal(t, 1, n)
		assert.Equal(t, begin.Unix(), from)
		assert.Equal(t, begin.Add(time.Hour).Unix(), to)
	})
}

// The drill: with the database down nothing is delivered, and nothing lost.
func TestDown(t *testing.T) {
	server := databasetest.Start(t)
	cfg := server.Config()
	cfg.Timeout = 2 * time.Second
	s := open(t, cfg)
	send(t, s, record(accounting.Start, "1", 0))
	server.Stop()
	never := func(int, error) { t.Error("nothing has been delivered") }
	err := s.Send(t.Context(), []accounting.Record{stop("1", time.Minute)}, never)
	assert.ErrorContains(t, err, "accounting database: ")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.Send(ended, []accounting.Record{stop("1", time.Minute)}, never)
	assert.True(t, errors.Is(err, context.Canceled), "%v", err)
	server.Start(t)
	require.Eventually(t, func() bool {
		return s.Send(t.Context(), []accounting.Record{stop("1", time.Minute)}, func(int, error) {}) == nil
	}, time.Minute, 10*time.Millisecond)
	assert.NotNil(t, read(t, s, "1").ended)
}
