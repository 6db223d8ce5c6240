package serve

import (
	"context"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting/radiussink"
	"github.com/gopptp/gopptp/examples/gateway/internal/accounting/sqlsink"
	"github.com/gopptp/gopptp/examples/gateway/internal/quota"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// accounts have sessions accounted for, if anybody wants to know.
type accounts struct {
	accountant *accounting.Accountant // nil: nobody does
	client     *radius.Client         // nil: no RADIUS server does
	database   *sqlsink.Sink          // nil: the database does not
}

func startAccounting(o Options, live *sessions.Registry) (*accounts, error) {
	cfg := &o.Config.Accounting
	a := new(accounts)
	var sinks []accounting.Sink
	if len(cfg.Servers) > 0 {
		client, err := accountingClient(o)
		if err != nil {
			return nil, err
		}
		a.client = client
		sinks = append(sinks, radiussink.New(client, o.Config.RADIUS.Address()))
	}
	if cfg.SQL {
		sink, err := sqlsink.Open(&o.Config.Database)
		if err != nil {
			a.stop(o)
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
		a.stop(o)
		return nil, err
	}
	a.accountant = accountant
	live.Watch(accountant.Observe)
	return a, nil
}

// stop tells that the gateway is off, and says what it could tell nobody.
func (a *accounts) stop(o Options) {
	if a.accountant != nil {
		ctx, cancel := context.WithTimeout(context.Background(), o.Config.Accounting.StopTimeout)
		defer cancel()
		if err := a.accountant.Close(ctx); err != nil {
			o.Log.Error("accounting: the queue", "error", err)
		}
		for _, l := range a.accountant.Stats().Lines {
			if l.Waiting > 0 {
				o.Log.Warn("accounting: these records are delivered after the next start", "sink", l.Sink, "records", l.Waiting)
			}
		}
	}
	if a.client != nil {
		a.client.Close()
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
func accountingClient(o Options) (*radius.Client, error) {
	return radius.NewClient(radius.ClientConfig{
		Servers: radiusServers(o.Config.Accounting.Servers), Patience: 10 * time.Second, Log: o.Log,
	})
}
