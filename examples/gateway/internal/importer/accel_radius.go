package importer

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// accelRADIUS is what [radius] says.
type accelRADIUS struct {
	servers []accelServer
	timeout int
	tries   int
	daeAddr netip.AddrPort
	bound   bool   // there is a bind
	dae     string // the secret of orders
	orders  reader
}

type accelServer struct {
	host, secret string
	auth, acct   string // ports; empty: not for that
	weight       int
	backup       bool
}

func (m *accel) radiusLine(r reader, value string) {
	a := &m.radius
	switch r.key {
	case "nas-identifier":
		m.set("radius.nas_identifier", quoted(value))
	case "nas-ip-address":
		if addr, ok := r.address(value); ok {
			m.set("radius.nas_address", addr.String())
			if !a.bound { // there it is from where servers are asked, too
				m.set("radius.source", addr.String())
			}
		}
	case "bind":
		if addr, ok := r.address(value); ok {
			m.set("radius.source", addr.String())
			a.bound = true
		}
	case "gw-ip-address":
		m.gateway(r, value)
	case "server":
		m.radiusServer(r, value)
	case "auth-server", "acct-server":
		address, secret, ok := strings.Cut(value, ",")
		if !ok {
			r.note("not carried over: %s has no secret", r.key)
			return
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			host, port = address, map[string]string{"auth-server": "1812", "acct-server": "1813"}[r.key]
		}
		s := accelServer{host: host, secret: secret}
		if r.key == "auth-server" {
			s.auth = port
		} else {
			s.acct = port
		}
		a.servers = append(a.servers, s)
	case "dae-server":
		address, secret, _ := strings.Cut(value, ",")
		addr, err := netip.ParseAddrPort(address)
		if err != nil || !addr.Addr().Is4() || secret == "" {
			r.note("not carried over: dae-server is not an address, a port and a secret")
			return
		}
		a.daeAddr, a.dae, a.orders = addr, secret, r
	case "timeout":
		a.timeout, _ = r.number(value)
	case "max-try":
		a.tries, _ = r.number(value)
	case "acct-interim-interval":
		r.setSeconds("accounting.interval", value, 1e9, 24*3600e9)
	case "acct-interim-jitter":
		r.note("acct-interim-jitter is in percent here, see accounting.jitter")
	case "acct-timeout", "acct-on", "verbose", "interim-verbose", "acct-delay-time", "acct-delay-start", "attr-tunnel-type", "dictionary", "sid-in-auth", "require-nas-identification":
	default:
		key, _, _ := strings.Cut(strings.ReplaceAll(r.key, ",", " "), " ") // without a secret, if = is missing
		r.note("not carried over: [radius] %s is not known here", quoted(key))
	}
}

// radiusServer takes in a server with its options: address,secret,option=value and so on.
func (m *accel) radiusServer(r reader, value string) {
	fields := strings.Split(value, ",")
	if len(fields) < 2 {
		r.note("not carried over: server has no secret")
		return
	}
	s := accelServer{host: fields[0], secret: fields[1], auth: "1812", acct: "1813"}
	for _, f := range fields[2:] {
		key, v, _ := strings.Cut(strings.TrimSpace(f), "=")
		switch key {
		case "auth-port":
			s.auth = noPort(v)
		case "acct-port":
			s.acct = noPort(v)
		case "weight":
			s.weight, _ = r.number(v)
		case "backup":
			s.backup = true
		case "max-fail", "fail-timeout", "fail-time", "req-limit":
			// When a server is dead, radius.dead_after and hold_down say for all of them.
		default:
			r.note("not carried over: %s of a server is not known here", quoted(key))
		}
	}
	m.radius.servers = append(m.radius.servers, s)
}

// noPort is empty for 0, by which a server is not for that.
func noPort(port string) string {
	if port == "0" {
		return ""
	}
	return port
}

func (m *accel) finishRADIUS() {
	a := &m.radius
	render := func(port func(accelServer) string) (lines []string) {
		for _, s := range a.servers {
			if port(s) == "" {
				continue
			}
			e := radiusServer{address: net.JoinHostPort(s.host, port(s)), secret: s.secret, weight: min(s.weight, 1000), tries: min(a.tries, 10)}
			if s.backup {
				e.priority = 1
			}
			if a.timeout > 0 && a.timeout <= 60 && a.tries > 0 {
				e.timeout = strconv.Itoa(min(60, a.timeout*min(a.tries, 60))) + "s" // a try's there, of all tries here
			}
			lines = append(lines, e.String())
		}
		return lines
	}
	if lines := render(func(s accelServer) string { return s.auth }); len(lines) > 0 {
		m.list("radius.servers", lines)
	} else {
		m.note(m.file, 0, "the module radius is loaded, and there is no server for log-ins")
	}
	if lines := render(func(s accelServer) string { return s.acct }); len(lines) > 0 {
		m.list("accounting.servers", lines)
	}
	if !a.daeAddr.IsValid() {
		return
	}
	m.set("dynauth.listen", fmt.Sprintf("[%q]", a.daeAddr))
	var clients []string
	seen := make(map[netip.Addr]bool)
	for _, s := range a.servers {
		if addr, err := netip.ParseAddr(s.host); err == nil && addr.Is4() && !seen[addr] {
			seen[addr] = true
			clients = append(clients, fmt.Sprintf("{source: %v/32, secret: %s}", addr, quoted(a.dae)))
		}
	}
	a.orders.note("dae-server took orders from anywhere; dynauth.clients has the RADIUS servers alone")
	m.list("dynauth.clients", clients)
}
