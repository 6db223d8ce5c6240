// Package radiussink delivers accounting records to RADIUS servers, as Accounting-Requests
// (RFC 2866, RFC 2869).
//
// An Accounting-Request goes out until a server has answered, so one of which only the
// answer is lost comes twice. A server can tell by Acct-Session-Id, Acct-Status-Type and
// Event-Timestamp, which are the same then; Acct-Delay-Time is not.
package radiussink

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"layeh.com/radius"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	gatewayradius "github.com/gopptp/gopptp/examples/gateway/internal/radius"
)

// maxInFlight bounds the requests at a time. The queue has no more at a time, either.
const maxInFlight = 64

// Client is what asks the servers: a *radius.Client of the gateway.
type Client interface {
	Exchange(ctx context.Context, r *gatewayradius.Request) (*gatewayradius.Reply, error)
	Close() error
}

// Sink is an accounting.Sink over a Client, which is one of its own: what waits for a slow
// server of accounting is then in nobody's way who wants to log in.
type Sink struct {
	client  Client
	address netip.Addr
}

// New returns a Sink. The address is the NAS-IP-Address; if it is not valid, that is the
// one which a session's peer has connected to.
func New(client Client, address netip.Addr) *Sink { return &Sink{client, address} }

// Close closes the client.
func (s *Sink) Close() error { return s.client.Close() }

// Name implements accounting.Sink.
func (*Sink) Name() string { return "radius" }

// Send implements accounting.Sink. Once a request has gone unanswered, and none has been
// answered, it begins no other.
func (s *Sink) Send(ctx context.Context, records []accounting.Record, done func(int, error)) error {
	var (
		next     atomic.Int64
		answered atomic.Bool
		mu       sync.Mutex
		failed   error
		workers  sync.WaitGroup
	)
	work := func() {
		for ctx.Err() == nil {
			mu.Lock()
			hopeless := failed != nil && !answered.Load()
			mu.Unlock()
			i := int(next.Add(1)) - 1
			if i >= len(records) || hopeless {
				return
			}
			_, err := s.client.Exchange(ctx, &gatewayradius.Request{
				Code:       radius.CodeAccountingRequest,
				Attributes: attributes(&records[i], s.address, time.Now()),
			})
			if err == nil {
				answered.Store(true)
				done(i, nil)
				continue
			}
			mu.Lock()
			failed = err
			mu.Unlock()
		}
	}
	for range min(maxInFlight, len(records)) {
		workers.Go(work)
	}
	workers.Wait()
	if failed == nil {
		return ctx.Err()
	}
	return failed
}
