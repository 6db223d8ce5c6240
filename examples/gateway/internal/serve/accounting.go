package serve

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting/radiussink"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting/sqlsink"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/quota"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// accounts have sessions accounted for, if anybody wants to know.
type accounts struct {
	accountant *accounting.Accountant // nil: nobody does
	client     *exchanger             // nil: no RADIUS server does
	database   *sqlsink.Sink          // nil: the database does not
}

// exchanger is a client that another can be put in the place of. What the last one was in
// the middle of goes out again.
type exchanger struct{ now atomic.Pointer[radius.Client] }

// Exchange implements radiussink.Client.
func (e *exchanger) Exchange(ctx context.Context, r *radius.Request) (*radius.Reply, error) {
	return e.now.Load().Exchange(ctx, r)
}

func startAccounting(o Options, live *sessions.Registry) (*accounts, error) {
	cfg := &o.Config.Accounting
	a := new(accounts)
	var sinks []accounting.Sink
	if len(cfg.Servers) > 0 {
		client, err := accountingClient(o.Config, o.Log)
		if err != nil {
			return nil, err
		}
		a.client = new(exchanger)
		a.client.now.Store(client)
		sinks = append(sinks, radiussink.New(a.client, o.Config.RADIUS.Address()))
	}
	if cfg.SQL {
		sink, err := sqlsink.Open(&o.Config.Database)
		if err != nil {
			a.stop(o.Config, o.Log)
			return nil, err
		}
		a.database = sink
		sinks = append(sinks, sink)
	}
	if len(sinks) == 0 {
		return a, nil
	}
	accountant, err := accounting.Open(accounting.Options{
		QueueOptions: accounting.QueueOptions{File: cfg.File(), Sinks: sinks, MaxRecords: cfg.MaxRecords, Log: o.Log},
		NAS:          o.Config.NAS(),
		Interval:     cfg.Interval, MinInterval: cfg.MinInterval, Jitter: cfg.Jitter,
		Checkpoint: cfg.Checkpoint,
	})
	if err != nil {
		a.stop(o.Config, o.Log)
		return nil, err
	}
	a.accountant = accountant
	live.Watch(accountant.Observe)
	return a, nil
}

// stop tells that the gateway is off, and says what it could tell nobody.
func (a *accounts) stop(cfg *config.Config, log *slog.Logger) {
	if a.accountant != nil {
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
	if a.client != nil {
		a.client.now.Load().Close()
	}
	if a.database != nil {
		a.database.Close()
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

// prepare makes what tells the servers of another configuration, if these differ.
func (a *accounts) prepare(cfg *config.Config, differs bool, log *slog.Logger) (*asked, error) {
	if !differs || a.client == nil {
		return nil, nil
	}
	client, err := accountingClient(cfg, log)
	return &asked{client: client}, err
}

// replace has the servers told of what was prepared.
func (a *accounts) replace(next *asked) {
	if next != nil {
		a.client.now.Swap(next.client).Close()
	}
}
