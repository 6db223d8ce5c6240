package serve

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting/radiussink"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting/sqlsink"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/quota"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// accounts have sessions accounted for, if anybody wants to know.
type accounts struct {
	accountant *accounting.Accountant
	told       told                          // only changed by a reload
	client     atomic.Pointer[radius.Client] // that of told, for who looks at it meanwhile
}

// told is who wants to know; nil: nobody of this kind.
type told struct {
	radius   *radiussink.Sink
	client   *radius.Client // of radius
	database *sqlsink.Sink
}

func startAccounting(o Options, live *sessions.Registry) (*accounts, error) {
	a := new(accounts)
	next, err := a.wanted(o.Config, true, o.Log)
	if err != nil {
		return nil, err
	}
	if a.accountant, err = accounting.Open(accountingOptions(o.Config, next, o.Log)); err != nil {
		return nil, err
	}
	a.hold(next)
	live.Watch(a.accountant.Observe)
	return a, nil
}

func accountingOptions(all *config.Config, sinks told, log *slog.Logger) accounting.Options {
	cfg := &all.Accounting
	return accounting.Options{
		QueueOptions: accounting.QueueOptions{File: cfg.File(), Sinks: sinks.list(), MaxRecords: cfg.MaxRecords, Log: log},
		NAS:          all.NAS(),
		Interval:     cfg.Interval, MinInterval: cfg.MinInterval, Jitter: cfg.Jitter,
		Checkpoint: cfg.Checkpoint, Patience: cfg.StopTimeout,
	}
}

// wanted is who wants to know by a configuration: those who did already, or others.
func (a *accounts) wanted(cfg *config.Config, serversDiffer bool, log *slog.Logger) (next told, err error) {
	if len(cfg.Accounting.Servers) > 0 {
		next.radius, next.client = a.told.radius, a.told.client
		if serversDiffer || next.radius == nil {
			if next.client, err = accountingClient(cfg, log); err != nil {
				return told{}, err
			}
			next.radius = radiussink.New(next.client, cfg.RADIUS.Address())
		}
	}
	if cfg.Accounting.SQL {
		if next.database = a.told.database; next.database == nil {
			if next.database, err = sqlsink.Open(&cfg.Database); err != nil {
				if next.client != a.told.client {
					next.client.Close()
				}
				return told{}, err
			}
		}
	}
	return next, nil
}

func (t told) list() (sinks []accounting.Sink) {
	if t.radius != nil {
		sinks = append(sinks, t.radius)
	}
	if t.database != nil {
		sinks = append(sinks, t.database)
	}
	return sinks
}

// hold notes who wants to know now.
func (a *accounts) hold(t told) {
	a.told = t
	a.client.Store(t.client)
}

// prepare does what can fail of another configuration; take has it hold.
func (a *accounts) prepare(cfg *config.Config, serversDiffer bool, log *slog.Logger) (c *accounting.Change, take func(), err error) {
	next, err := a.wanted(cfg, serversDiffer, log)
	if err != nil {
		return nil, nil, err
	}
	if c, err = a.accountant.Prepare(accountingOptions(cfg, next, log)); err != nil {
		return nil, nil, err
	}
	return c, func() { c.Take(); a.hold(next) }, nil
}

// section is what operators can see of it.
func (a *accounts) section() admin.Section {
	type sink struct {
		Sink                                string
		Waiting                             int
		Oldest                              time.Duration // the age of what is next
		Down                                bool
		Delivered, Failures                 uint64
		Superseded, Dropped, Rejected, Lost uint64
	}
	type figures struct {
		Unwritten int
		DiskFails bool
		Sinks     []sink
		Servers   []radius.ServerStats
	}
	return admin.Section{Name: "accounting", Snapshot: func() any {
		stats := a.accountant.Stats()
		f := figures{Unwritten: stats.Unwritten, DiskFails: stats.DiskFails}
		for _, l := range stats.Lines {
			one := sink{Sink: l.Sink, Waiting: l.Waiting, Down: l.Down, Delivered: l.Delivered, Failures: l.Failures,
				Superseded: l.Superseded, Dropped: l.Dropped, Rejected: l.Rejected, Lost: l.Lost}
			if !l.Oldest.IsZero() {
				one.Oldest = max(0, time.Since(l.Oldest))
			}
			f.Sinks = append(f.Sinks, one)
		}
		if client := a.client.Load(); client != nil {
			f.Servers = client.Stats().Servers
		}
		return f
	}}
}

// stop tells that the gateway is off, and says what it could tell nobody.
func (a *accounts) stop(cfg *config.Config, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Accounting.StopTimeout)
	defer cancel()
	if err := a.accountant.Close(ctx); err != nil {
		log.Error("accounting: the queue", "error", err)
	}
	for _, l := range a.accountant.Stats().Lines {
		if l.Waiting > 0 {
			log.Warn("accounting: these records are delivered after the next start", "sink", l.Sink, "records", l.Waiting)
		}
	}
}

// startQuotas has sessions end that have used up their quota.
func startQuotas(o Options, live *sessions.Registry) (stop func()) {
	guard := quota.New(o.Log)
	live.Watch(guard.Observe)
	ctx, cancel := context.WithCancel(context.Background())
	go guard.Run(ctx)
	return cancel
}

// accountingClient is one that log-ins do not share, so that they never wait for a server
// of accounting.
func accountingClient(cfg *config.Config, log *slog.Logger) (*radius.Client, error) {
	return radius.NewClient(radius.ClientConfig{
		Servers: radiusServers(cfg.Accounting.Servers), Patience: 10 * time.Second, Source: cfg.RADIUS.From(), Log: log,
	})
}
