package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
)

// client is one of the clients. Its fields are guarded by the run's mu unless they say
// otherwise.
type client struct {
	run   *run
	index int

	epoch    uint32 // of the present attempt
	failures int    // in a row
	state    state
	planned  bool // that the session ends
	everUp   bool
	place    int // among those that are up
	session  *gopptp.Session

	began, connected time.Time                                    // of the attempt
	entered          [gopptp.StateUp + 1]time.Time                // states
	opened           [2]struct{ sent, received, at atomic.Int64 } // of CCP and IPCP; set on the event loop
}

type state uint8

const (
	waiting  state = iota // for its turn to dial
	dialling              // from the TCP connection to a session that is up
	up
	ending
	over // not dialled again
)

// dial begins an attempt. It runs on a goroutine of its own until there is a TCP
// connection.
func (c *client) dial(ctx context.Context) {
	r := c.run
	ctx, cancel := context.WithTimeout(ctx, r.o.Timeout)
	defer cancel()
	nc, err := r.o.Dial(ctx, r.o.Source(c.index), r.o.Target)
	if err != nil {
		r.failed(c, "connect: "+short(err))
		return
	}
	r.mu.Lock()
	c.connected = time.Now()
	r.mu.Unlock()
	cfg := r.o.Client
	user := r.o.User(c.index)
	cfg.User, cfg.Password, cfg.NTHash = user.Name, user.Password, user.NTHash
	cfg.Dataplane = r.plane
	cfg.SetupTimeout = r.o.Timeout
	cfg.Observer, cfg.Trace = c, c.trace
	if _, err := r.dialer.Start(nc, cfg); err != nil {
		r.failed(c, short(err))
	}
}

// trace notes when CCP and IPCP are open: when each end has acked what the other asked
// for.
func (c *client) trace(e gopptp.TraceEvent) {
	if e.Kind != gopptp.TracePPP || len(e.Data) < 3 || ppp.Code(e.Data[2]) != ppp.ConfigureAck {
		return
	}
	which := 0
	switch ppp.Protocol(binary.BigEndian.Uint16(e.Data)) {
	case ppp.ProtocolCCP:
	case ppp.ProtocolIPCP:
		which = 1
	default:
		return
	}
	o := &c.opened[which]
	if e.Sent {
		o.sent.Store(1)
	} else {
		o.received.Store(1)
	}
	if o.sent.Load()&o.received.Load() == 1 && o.at.Load() == 0 {
		o.at.Store(e.Time.UnixNano())
	}
}

// SessionEvent implements gopptp.Observer.
func (c *client) SessionEvent(e gopptp.SessionEvent) {
	r := c.run
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.State <= gopptp.StateUp && c.entered[e.State].IsZero() {
		c.entered[e.State] = e.Time
	}
	switch e.State {
	case gopptp.StateControl:
		c.session = e.Session
	case gopptp.StateUp:
		if c.state == dialling {
			r.cameUp(c, e)
		}
	case gopptp.StateClosed:
		r.closed(c, e)
	}
}

// phases are how long the parts of a set-up took.
func (c *client) phases(add func(phase int, d time.Duration)) {
	at := c.entered[:]
	since := func(phase int, from, to time.Time) {
		if !from.IsZero() && !to.IsZero() {
			add(phase, to.Sub(from))
		}
	}
	authenticate := at[gopptp.StateAuthenticate]
	if authenticate.IsZero() { // the server wants none
		authenticate = at[gopptp.StateNetwork]
	}
	since(phaseTCP, c.began, c.connected)
	since(phaseControl, at[gopptp.StateControl], at[gopptp.StateCall])
	since(phaseCall, at[gopptp.StateCall], at[gopptp.StateEstablish])
	since(phaseLCP, at[gopptp.StateEstablish], authenticate)
	since(phaseAuthentication, at[gopptp.StateAuthenticate], at[gopptp.StateNetwork])
	// IPCP waits for CCP, if there is any.
	network := at[gopptp.StateNetwork]
	if ccp := c.opened[0].at.Load(); ccp != 0 {
		opened := time.Unix(0, ccp)
		since(phaseCCP, network, opened)
		network = opened
	}
	if ipcp := c.opened[1].at.Load(); ipcp != 0 {
		since(phaseIPCP, network, time.Unix(0, ipcp))
	}
	since(phaseTotal, c.began, at[gopptp.StateUp])
}

// The parts of a set-up.
const (
	phaseTCP = iota
	phaseControl
	phaseCall
	phaseLCP
	phaseAuthentication
	phaseCCP
	phaseIPCP
	phaseTotal
	phaseCount
)

var phaseNames = [phaseCount]string{"TCP", "control", "call", "LCP", "authentication", "CCP", "IPCP", "total"}

// backoff is how long to wait after so many failures in a row.
func backoff(first, most time.Duration, failures int) time.Duration {
	d := first
	for range failures - 1 {
		if d *= 2; d >= most {
			d = most
			break
		}
	}
	return d/2 + time.Duration(rand.Float64()*float64(d/2))
}

// cause names why a session ended, without what is different for each.
func cause(err error) string {
	var end *gopptp.SessionError
	if !errors.As(err, &end) {
		return short(err)
	}
	switch end.Cause {
	case gopptp.CauseCall, gopptp.CauseControl, gopptp.CauseNegotiation, gopptp.CauseDataplane:
		return fmt.Sprintf("%v: %s", end.Cause, short(end.Err))
	}
	return fmt.Sprintf("%v at %v", end.Cause, end.Stage)
}

// short is the part of an error that is the same for all clients.
func short(err error) string {
	var errno syscall.Errno
	var network net.Error
	switch {
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "timeout"
	}
	text := err.Error()
	const most = 120
	if len(text) > most {
		text = text[:most]
	}
	return text
}
