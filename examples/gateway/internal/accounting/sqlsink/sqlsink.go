// Package sqlsink keeps accounting in an SQL database: a row for each session, in the
// table accounting, and one for each run of a gateway, in accounting_runs.
//
// A record that comes twice, or late, changes nothing: a session that has ended stays as
// it ended, and its counters never go back.
package sqlsink

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
)

// Sink is an accounting.Sink.
type Sink struct{ db *database.DB }

var _ accounting.Sink = (*Sink)(nil)

// Open returns the sink of a configuration's database. It has a connection of its own, so
// that log-ins do not wait for it. The database need not answer yet.
func Open(cfg *config.Database) (*Sink, error) {
	own := *cfg
	own.Connections = 1
	db, err := database.Open(&own)
	if err != nil {
		return nil, err
	}
	return &Sink{db}, nil
}

// Close closes the connection.
func (s *Sink) Close() error { return s.db.Close() }

// Name implements accounting.Sink.
func (*Sink) Name() string { return "sql" }

// Send implements accounting.Sink.
func (s *Sink) Send(ctx context.Context, records []accounting.Record, done func(i int, err error)) error {
	err := s.db.Prepare(ctx)
	if err == nil {
		if err = s.write(ctx, records); err == nil {
			for i := range records {
				done(i, nil)
			}
			return nil
		}
		if ctx.Err() == nil && !s.db.Unreachable(err) { // it is one of them, most likely
			err = s.oneByOne(ctx, records, done)
		}
	}
	if err != nil {
		return fmt.Errorf("accounting database: %w", err)
	}
	return nil
}

// oneByOne writes what can be written, whatever is wrong with the rest.
func (s *Sink) oneByOne(ctx context.Context, records []accounting.Record, done func(i int, err error)) (failed error) {
	for i := range records {
		err := s.write(ctx, records[i:i+1])
		switch {
		case err == nil, impossible(err):
			done(i, err)
		case ctx.Err() != nil, s.db.Unreachable(err):
			return err
		default:
			failed = err
		}
	}
	return failed
}

// impossible is true of what a database says of a row that it cannot hold.
func impossible(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && (strings.HasPrefix(said.Code, "22") || strings.HasPrefix(said.Code, "23"))
}

// upsert adds a session, or writes what it has had since. SET reads the row as it was.
var upsert = `INSERT INTO accounting (session, nas, user_name, group_name, began_at, updated_at, ended_at, source, server,
	address, ipv6_prefix, encryption, duration, received_octets, received_packets, sent_octets, sent_packets, cause, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
ON CONFLICT (session) DO UPDATE SET
	updated_at = excluded.updated_at, ended_at = excluded.ended_at,
	ipv6_prefix = COALESCE(excluded.ipv6_prefix, accounting.ipv6_prefix), encryption = excluded.encryption,
	` + grows("duration", "received_octets", "received_packets", "sent_octets", "sent_packets") + `,
	cause = excluded.cause, reason = excluded.reason
WHERE accounting.ended_at IS NULL AND (excluded.ended_at IS NOT NULL OR excluded.duration >= accounting.duration)`

// grows sets columns to what is greater. The databases have no word for it in common.
func grows(columns ...string) string {
	for i, c := range columns {
		columns[i] = fmt.Sprintf("%[1]s = CASE WHEN excluded.%[1]s > accounting.%[1]s THEN excluded.%[1]s ELSE accounting.%[1]s END", c)
	}
	return strings.Join(columns, ", ")
}

const (
	began = `INSERT INTO accounting_runs (run, nas, began_at) VALUES ($1, $2, $3)
ON CONFLICT (run) DO UPDATE SET began_at = excluded.began_at`
	ended = `INSERT INTO accounting_runs (run, nas, ended_at) VALUES ($1, $2, $3)
ON CONFLICT (run) DO UPDATE SET ended_at = excluded.ended_at`
)

// write writes records, all or none.
func (s *Sink) write(ctx context.Context, records []accounting.Record) error {
	ctx, cancel := s.db.Context(ctx)
	defer cancel()
	return s.db.Tx(ctx, func(tx *sql.Tx) error {
		session, err := tx.PrepareContext(ctx, upsert)
		if err != nil {
			return err
		}
		defer session.Close()
		for i := range records {
			r := &records[i]
			switch r.Kind {
			case accounting.On:
				_, err = tx.ExecContext(ctx, began, text(r.Session), text(r.NAS), r.Time.Unix())
			case accounting.Off:
				_, err = tx.ExecContext(ctx, ended, text(r.Session), text(r.NAS), r.Time.Unix())
			default:
				_, err = session.ExecContext(ctx, row(r)...)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// row is a record as upsert takes it.
func row(r *accounting.Record) []any {
	var end, cause any
	if r.Kind == accounting.Stop {
		end, cause = r.Time.Unix(), r.Cause.String()
	}
	begin := r.Began
	if begin.IsZero() {
		begin = r.Time
	}
	return []any{
		text(r.Session), text(r.NAS), text(r.User), orNull(r.Group), begin.Unix(), r.Time.Unix(), end,
		known(r.Remote.IsValid(), r.Remote), known(r.Local.IsValid(), r.Local),
		known(r.Address.IsValid(), r.Address), known(r.IPv6Prefix.IsValid(), r.IPv6Prefix), orNull(r.Encryption),
		int64(r.Duration.Seconds()), counter(r.ReceivedOctets), counter(r.ReceivedPackets), counter(r.SentOctets), counter(r.SentPackets),
		cause, orNull(r.Reason),
	}
}

// counter is a number as SQL has it. 8 EiB do for a session.
func counter(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// text is what a peer may have said, such as a name, as any database can hold it.
func text(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return text(s)
}

func known[T interface {
	netip.Addr | netip.AddrPort | netip.Prefix
	String() string
}](valid bool, v T) any {
	if !valid {
		return nil
	}
	return v.String()
}
