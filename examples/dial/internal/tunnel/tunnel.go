// Package tunnel is the life of one tunnel, and what is printed about it.
package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/dial/internal/explain"
)

// Options is what Run needs.
type Options struct {
	Host    string
	Client  gopptp.ClientConfig // without data plane and observer
	Timeout time.Duration       // for the set-up
	For     time.Duration       // how long the tunnel is kept; zero: until told to end

	// End tells the tunnel to end, up or not.
	End context.Context

	// OpenDataplane opens the data plane. The function that it returns names the device
	// of a tunnel that is up.
	OpenDataplane func() (gopptp.Dataplane, func() string, error)

	Stdout, Stderr io.Writer
}

// Run brings the tunnel up, keeps it, and returns the exit code.
func Run(o Options) explain.Code {
	about := explain.Tunnel{
		Host: o.Host, User: o.Client.User, Encryption: o.Client.Encryption, AuthMethods: o.Client.AuthMethods,
		KeyLengths: o.Client.KeyLengths, Modes: o.Client.EncryptionModes,
	}
	plane, device, err := o.OpenDataplane()
	if err != nil {
		return o.fail(about.Setup(err))
	}
	defer plane.Close()

	p := newProgress(o.Stdout, o.Client.User)
	session, err := o.dial(plane, p)
	if err != nil {
		return o.fail(about.Error(err))
	}
	p.printUp(upLines(session, device()))
	ordered := o.keep(session)
	<-session.Done()
	<-p.closed
	p.printf("%s", downLine(session))
	if err := session.Err(); err != nil && !ordered {
		return o.fail(about.Error(err))
	}
	return explain.OK
}

// dial brings the tunnel up. All of its progress is printed when it returns.
func (o *Options) dial(plane gopptp.Dataplane, p *progress) (*gopptp.Session, error) {
	ctx, cancel := context.WithTimeout(o.End, o.Timeout)
	defer cancel()
	cfg := o.Client
	cfg.Dataplane = plane
	cfg.Observer = p
	cfg.SetupTimeout = o.Timeout
	connect := cfg.DialContext
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	cfg.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		p.connecting(addr)
		return connect(ctx, network, addr)
	}
	session, err := gopptp.Dial(ctx, o.Host, cfg)
	var end *gopptp.SessionError
	switch {
	case err == nil:
		<-p.up
	case errors.As(err, &end) && end.Stage > gopptp.StateConnect: // there was a session
		<-p.closed
	}
	return session, err
}

// keep waits for the end of the tunnel, and begins it if that was ordered.
func (o *Options) keep(session *gopptp.Session) (ordered bool) {
	var over <-chan time.Time
	if o.For > 0 {
		timer := time.NewTimer(o.For)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-session.Done():
		return false
	case <-o.End.Done():
	case <-over:
	}
	session.Close()
	return true
}

// upLines begin with the line that programs read. Its fields stay.
func upLines(s *gopptp.Session, device string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "up: local=%v peer=%v mtu=%d encryption=%q device=%s elapsed=%.1fms\n",
		address(s.Local()), address(s.Peer()), s.MTU(), s.Encryption(), device,
		milliseconds(s.UpAt().Sub(s.StartedAt())))
	for _, servers := range []struct {
		kind string
		list []netip.Addr
	}{{"name servers", s.DNS()}, {"NetBIOS name servers", s.NBNS()}} {
		if len(servers.list) > 0 {
			fmt.Fprintf(&b, "%s: %s (nothing is configured with them)\n", servers.kind, join(servers.list))
		}
	}
	return b.String()
}

// downLine has the counters, for programs to read. Its fields stay.
func downLine(s *gopptp.Session) string {
	c := s.Counters()
	dropped := c.DroppedSource + c.DroppedClear + c.DroppedEncrypted + c.DroppedMalformed + c.DroppedQueue + c.DroppedNetwork + c.DroppedRate + c.DroppedLink
	return fmt.Sprintf("down: cause=%v duration=%v received_packets=%d received_octets=%d sent_packets=%d sent_octets=%d lost=%d reordered=%d duplicates=%d dropped=%d\n",
		causeOf(s.Err()), time.Since(s.UpAt()).Round(time.Millisecond), c.ReceivedPackets, c.ReceivedOctets,
		c.SentPackets, c.SentOctets, c.Lost, c.Reordered, c.Duplicates, dropped)
}

func (o *Options) fail(e explain.Explanation) explain.Code {
	fmt.Fprintln(o.Stderr, "dial:", e.What)
	for _, c := range e.Check {
		fmt.Fprintln(o.Stderr, "  -", c)
	}
	return e.Code
}

// causeOf sorts the end of a session.
func causeOf(err error) gopptp.Cause {
	var end *gopptp.SessionError
	if errors.As(err, &end) {
		return end.Cause
	}
	return gopptp.CauseLocal // which has no error
}

func milliseconds(d time.Duration) float64 { return float64(max(d, 0).Microseconds()) / 1000 }

// address is "none" where there is none.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return "none"
	}
	return a.String()
}

func join(addrs []netip.Addr) string {
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.String()
	}
	return strings.Join(texts, " ")
}
