package tunnel

import (
	"fmt"
	"io"
	"net/netip"
	"sync"

	"github.com/gopptp/gopptp"
)

// progress prints the phases of a tunnel as they pass, each with the time since
// the TCP connection was there.
type progress struct {
	user   string
	up     chan struct{} // closed when the tunnel has come up
	closed chan struct{} // closed when all has been printed

	once sync.Once // closes up

	// Only the goroutine of events touches these.
	last gopptp.State
	ipv6 netip.Addr // as printed

	mu   sync.Mutex
	w    io.Writer
	held []string // lines that come after those of upLines
	done bool     // upLines are printed
}

func newProgress(w io.Writer, user string) *progress {
	return &progress{w: w, user: user, up: make(chan struct{}), closed: make(chan struct{})}
}

// SessionEvent implements gopptp.Observer.
func (p *progress) SessionEvent(e gopptp.SessionEvent) {
	last := p.last
	p.last = e.State
	if last == gopptp.StateUp && e.State == gopptp.StateUp {
		p.addressed(e.Session)
		return
	}
	text := ""
	switch e.State {
	case gopptp.StateControl:
		text = fmt.Sprintf("connected to %v; opening the PPTP control connection", e.Session.RemoteAddr())
	case gopptp.StateCall:
		text = fmt.Sprintf("control connection is open%s; placing the call", vendor(e.Session))
	case gopptp.StateEstablish:
		text = "call is placed; negotiating the link over GRE (LCP)"
	case gopptp.StateAuthenticate:
		text = fmt.Sprintf("link is open; authenticating as %q", p.user)
	case gopptp.StateNetwork:
		text = "authenticated; negotiating encryption and addresses (CCP, IPCP)"
	case gopptp.StateUp:
		text = "tunnel is up"
		defer p.once.Do(func() { close(p.up) })
	case gopptp.StateTerminate:
		text = "ending"
	case gopptp.StateClosed:
		close(p.closed)
		return
	default:
		return
	}
	p.printf("%9.1f ms  %s\n", milliseconds(e.Time.Sub(e.Session.StartedAt())), text)
}

// addressed prints the IPv6 address, which comes when the tunnel is up.
func (p *progress) addressed(s *gopptp.Session) {
	a := s.IPv6Address()
	if a == p.ipv6 {
		return
	}
	p.ipv6 = a
	line := fmt.Sprintf("ipv6: address=%v prefix=%v peer=%v\n", address(a), s.IPv6Prefix(), address(s.PeerIPv6()))
	if !a.IsValid() {
		line = "ipv6: address=none\n"
	}
	if servers := s.IPv6DNS(); len(servers) > 0 && a.IsValid() {
		line += fmt.Sprintf("IPv6 name servers: %s (nothing is configured with them)\n", join(servers))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done {
		io.WriteString(p.w, line)
		return
	}
	p.held = append(p.held, line)
}

// printUp prints the lines of a tunnel that is up, and what has waited for them.
func (p *progress) printUp(lines string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = true
	for _, line := range append([]string{lines}, p.held...) {
		io.WriteString(p.w, line)
	}
	p.held = nil
}

// connecting prints the line before there is a session, and a time.
func (p *progress) connecting(addr string) { p.printf("%12s  connecting to %s\n", "", addr) }

// printf prints whole lines. Events come on a goroutine of their own.
func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, format, args...)
}

// vendor is what the server calls itself, which tells one kind from another.
func vendor(s *gopptp.Session) string {
	if v := s.PeerInfo().VendorString; v != "" {
		return fmt.Sprintf(", to %q", v)
	}
	return ""
}
