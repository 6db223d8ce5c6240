package importer

import (
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// radiusClient takes in the servers of a radiusclient.conf.
func (m *importing) radiusClient(file string) {
	var lines []line
	err := error(nil)
	candidates := []string{file}
	if file == "" {
		candidates = []string{"/etc/radcli/radiusclient.conf", "/etc/radiusclient/radiusclient.conf", "/etc/radiusclient-ng/radiusclient.conf"}
	}
	for _, file = range candidates {
		if lines, err = m.lines(file); err == nil {
			break
		}
	}
	if err != nil {
		m.unreadable(file, err)
		return
	}
	type server struct {
		address string
		at      reader
	}
	var logins, accounts []server
	var timeout, tries int
	secretsFile := ""
	for _, l := range lines {
		fields := strings.Fields(l.text)
		if len(fields) < 2 {
			continue
		}
		r, value := reader{m, file, l.number, fields[0]}, fields[1]
		switch r.key {
		case "authserver", "acctserver":
			for one := range strings.SplitSeq(value, ",") {
				if s := (server{withPort(one, "1812"), r}); r.key == "authserver" {
					logins = append(logins, s)
				} else {
					s.address = withPort(one, "1813")
					accounts = append(accounts, s)
				}
			}
		case "servers":
			secretsFile = value
			if !filepath.IsAbs(value) {
				secretsFile = filepath.Join(filepath.Dir(file), value)
			}
		case "radius_timeout":
			timeout, _ = r.number(value)
		case "radius_retries":
			tries, _ = r.number(value)
		case "nas_identifier", "nas-identifier":
			m.set("radius.nas_identifier", quoted(value))
		case "bindaddr":
			if addr, err := netip.ParseAddr(value); err == nil {
				m.set("radius.source", addr.String())
			} else if value != "*" {
				r.note("not carried over: bindaddr is not an address")
			}
		}
	}
	secrets := m.serverSecrets(secretsFile)
	render := func(list []server) (lines []string) {
		for i, s := range list {
			host, _, _ := net.SplitHostPort(s.address)
			secret := secrets[host]
			if secret == "" {
				s.at.note("not carried over: %s has no secret in %s", s.address, quoted(secretsFile))
				continue
			}
			e := radiusServer{address: s.address, secret: secret, priority: i}
			if timeout > 0 && timeout <= 60 {
				e.timeout = strconv.Itoa(timeout) + "s"
			}
			e.tries = min(tries, 10)
			lines = append(lines, e.String())
		}
		return lines
	}
	if lines := render(logins); len(lines) > 0 {
		m.list("radius.servers", lines)
	} else {
		m.note(file, 0, "there is no RADIUS server for log-ins left: nobody can come in")
	}
	if lines := render(accounts); len(lines) > 0 {
		m.list("accounting.servers", lines)
	}
}

// serverSecrets reads the file of radiusclient that has a host, or two, and a secret.
func (m *importing) serverSecrets(file string) map[string]string {
	secrets := make(map[string]string)
	if file == "" {
		return secrets
	}
	lines, err := m.lines(file)
	if err != nil {
		m.unreadable(file, err)
		return secrets
	}
	for _, l := range lines {
		fields := strings.Fields(l.text)
		if len(fields) != 2 {
			m.note(file, l.number, "not carried over: is not a host and a secret")
			continue
		}
		for host := range strings.SplitSeq(fields[0], "/") {
			secrets[host] = fields[1]
		}
	}
	return secrets
}

// withPort is a server with a port.
func withPort(server, port string) string {
	if host, p, err := net.SplitHostPort(server); err == nil && host != "" && p != "" {
		return server
	}
	return net.JoinHostPort(strings.TrimSuffix(server, ":"), port)
}

// radiusServer is an entry of radius.servers or accounting.servers.
type radiusServer struct {
	address, secret  string
	priority, weight int
	timeout          string
	tries            int
}

// String is the entry in YAML.
func (s radiusServer) String() string {
	list := []string{"address: " + quoted(s.address), "secret: " + quoted(s.secret)}
	for _, n := range []struct {
		key   string
		value int
	}{{"priority", s.priority}, {"weight", s.weight}, {"tries", s.tries}} {
		if n.value > 0 {
			list = append(list, n.key+": "+strconv.Itoa(n.value))
		}
	}
	if s.timeout != "" {
		list = slices.Insert(list, len(list), "timeout: "+s.timeout)
	}
	return "{" + strings.Join(list, ", ") + "}"
}
