package radius

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"layeh.com/radius"
)

// ServerConfig describes one RADIUS server.
type ServerConfig struct {
	// Address is "host:port".
	Address string
	// Secret is shared with the server; with TLS it is "radsec" unless set.
	Secret string
	// TLS has RADIUS go over it (RFC 6614). Nil: over UDP.
	TLS *tls.Config
	// Priority sorts the servers: those of the lowest are asked, and others only when
	// these do not answer. Within a priority each gets requests in proportion to its
	// Weight, 1 if zero.
	Priority, Weight int
	// Timeout is how long the server may take before another one is asked too. Within it
	// a request is sent Tries times, at intervals that double; once with TLS.
	// Defaults: 3 s and 3.
	Timeout time.Duration
	Tries   int
}

// Server is one of a Client's servers.
type Server struct {
	client *Client
	cfg    ServerConfig
	secret []byte
	count  counters
	log    *slog.Logger
	// connect replaces net.Dialer, for tests in virtual time.
	connect func() (net.Conn, error)

	mu        sync.Mutex
	links     []*link
	closed    bool
	dead      bool
	probing   bool
	silent    int       // requests without an answer, since the last answer
	lastHeard time.Time // when the last answer came
	retry     time.Time // when a dead one may be tried again
	warned    time.Time // when an answer that was not taken was last reported
}

// Name is the address of the server, as configured.
func (s *Server) Name() string { return s.cfg.Address }

// reliable reports whether what is sent arrives, or the connection breaks.
func (s *Server) reliable() bool { return s.cfg.TLS != nil }

// maxLinks bounds the links to a server, so that all requests of the client fit.
func (s *Server) maxLinks() int { return s.client.cfg.InFlight/identifiers + 2 }

func (s *Server) dial() (net.Conn, error) {
	if s.connect != nil {
		return s.connect()
	}
	ctx, cancel := context.WithTimeout(s.client.life, s.cfg.Timeout)
	defer cancel()
	var d net.Dialer
	from := netip.AddrPortFrom(s.client.cfg.Source, 0)
	if s.reliable() {
		if from.IsValid() {
			d.LocalAddr = net.TCPAddrFromAddrPort(from)
		}
		return (&tls.Dialer{NetDialer: &d, Config: s.cfg.TLS}).DialContext(ctx, "tcp", s.cfg.Address)
	}
	if from.IsValid() {
		d.LocalAddr = net.UDPAddrFromAddrPort(from)
	}
	return d.DialContext(ctx, "udp", s.cfg.Address)
}

// link returns a link with room, which may be new; nil if all that there may be are full.
func (s *Server) link() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.links {
		if l.room() {
			return l
		}
	}
	if s.closed || len(s.links) >= s.maxLinks() {
		return nil
	}
	l := newLink(s)
	s.links = append(s.links, l)
	return l
}

// drop has a link carry nothing new.
func (s *Server) drop(l *link) (closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.links = slices.DeleteFunc(s.links, func(other *link) bool { return other == l })
	return s.closed
}

// lost is told that a link is gone.
func (s *Server) lost(l *link, err error) {
	if closed := s.drop(l); closed || errors.Is(err, errRetired) {
		return
	}
	s.count.linkFailures.Add(1)
	s.log.Debug("RADIUS server: connection ended", "err", err)
}

func (s *Server) close() {
	s.mu.Lock()
	s.closed = true
	links := slices.Clone(s.links)
	s.mu.Unlock()
	for _, l := range links {
		l.close(net.ErrClosed)
	}
}

// answered notes an authentic answer. That to a probe, which is an Access-Accept, too,
// tells nothing but that the server is there.
func (s *Server) answered(request, code radius.Code, took time.Duration) {
	if request != radius.CodeStatusServer {
		switch code {
		case radius.CodeAccessAccept:
			s.count.accepts.Add(1)
		case radius.CodeAccessReject:
			s.count.rejects.Add(1)
		case radius.CodeAccessChallenge:
			s.count.challenges.Add(1)
		case radius.CodeAccountingResponse:
			s.count.accounting.Add(1)
		}
		s.count.latency.Observe(took)
	}
	s.mu.Lock()
	s.silent, s.lastHeard = 0, time.Now()
	back := s.dead
	s.dead = false
	s.mu.Unlock()
	if back {
		s.log.Info("RADIUS server answers again")
	}
}

// refused notes an answer that was not taken, and reports it now and then.
func (s *Server) refused(err error) {
	switch {
	case errors.Is(err, errForged):
		s.count.forged.Add(1)
	case errors.Is(err, errUnsigned):
		s.count.unsigned.Add(1)
	default:
		s.count.malformed.Add(1)
	}
	s.mu.Lock()
	now := time.Now()
	due := now.Sub(s.warned) > time.Minute
	if due {
		s.warned = now
	}
	s.mu.Unlock()
	if due {
		s.log.Warn("RADIUS server: answers are ignored", "err", err)
	}
}

// silence notes that a request that was sent at a time was not answered in time.
func (s *Server) silence(sent time.Time) {
	s.mu.Lock()
	died := false
	if !s.lastHeard.After(sent) {
		s.silent++
		died = !s.dead && s.silent >= s.client.cfg.DeadAfter
		s.dead = s.dead || died
		if s.dead {
			s.retry = time.Now().Add(s.client.cfg.HoldDown)
		}
	}
	if died && s.client.cfg.StatusServer && !s.probing && !s.closed {
		s.probing = true
		s.client.running.Go(s.probe)
	}
	s.mu.Unlock()
	if died {
		s.log.Warn("RADIUS server is dead: it has not answered, as one that is down, that does not know this gateway, or that has another secret", "requests", s.client.cfg.DeadAfter)
	}
}

// due reports whether the server is dead, and the next request has to find out whether it
// still is: one each HoldDown, where there are no probes.
func (s *Server) due() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !s.dead || s.client.cfg.StatusServer || now.Before(s.retry) {
		return false
	}
	s.retry = now.Add(s.client.cfg.HoldDown)
	return true
}

// isDead reports whether the server is taken for dead.
func (s *Server) isDead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dead
}

// stillDead is isDead, and the end of the probes where that is not so.
func (s *Server) stillDead() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.probing = s.dead
	return s.dead
}

// probe asks a dead server how it is (RFC 5997), each HoldDown, until it answers that, or
// anything else.
func (s *Server) probe() {
	for s.stillDead() {
		select {
		case <-s.client.life.Done():
			return
		case <-time.After(s.client.cfg.HoldDown):
		}
		s.count.probes.Add(1)
		a := newAttempt(s, &Request{Code: radius.CodeStatusServer, Attributes: s.client.cfg.Identity}, make(chan *Reply, 1))
		a.count = new(counters) // it is no request
		a.turn(s.client.life, true)
		a.end()
	}
}

func (s *Server) stats() ServerStats {
	s.mu.Lock()
	st := ServerStats{Server: s.cfg.Address, Priority: s.cfg.Priority, Alive: !s.dead, Links: len(s.links)}
	for _, l := range s.links {
		st.Waiting += l.waiting()
	}
	s.mu.Unlock()
	c := &s.count
	st.Requests, st.Retransmits = c.requests.Load(), c.retransmits.Load()
	st.Accepts, st.Rejects, st.Challenges = c.accepts.Load(), c.rejects.Load(), c.challenges.Load()
	st.AccountingReplies, st.Timeouts = c.accounting.Load(), c.timeouts.Load()
	st.BadAuthenticators, st.Unsigned, st.Malformed = c.forged.Load(), c.unsigned.Load(), c.malformed.Load()
	st.Unexpected, st.Probes, st.LinkFailures = c.unexpected.Load(), c.probes.Load(), c.linkFailures.Load()
	st.Latency = c.latency.Snapshot()
	return st
}

// check says what is wrong with a configuration, and completes it.
func (c *ServerConfig) check() error {
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		return err
	}
	if c.Secret == "" && c.TLS != nil {
		c.Secret = "radsec" // RFC 6614 §2.3
	}
	if strings.TrimSpace(c.Secret) == "" {
		return errors.New("there is no secret")
	}
	if c.Weight == 0 {
		c.Weight = 1
	}
	if c.Timeout == 0 {
		c.Timeout = 3 * time.Second
	}
	if c.Tries == 0 {
		c.Tries = 3
	}
	if c.Weight < 0 || c.Timeout < 0 || c.Tries < 0 || c.Tries > 10 {
		return errors.New("weight, timeout or tries is out of range")
	}
	return nil
}
