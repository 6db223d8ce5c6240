package importer

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// AccelPPP says where the configuration of accel-ppp is.
type AccelPPP struct {
	Conf        string // accel-ppp.conf
	ChapSecrets string // empty: as Conf has it
}

// accel is an import under way.
type accel struct {
	importing
	file    string
	modules []string
	users   string // the file of them
	dns     []netip.Addr
	wins    []netip.Addr
	mppe    string
	echo    struct {
		interval, failures int
		timeout            int
		at                 reader
	}
	pools  []*accelPool
	byName map[string]*accelPool
	first  string // the pool of [pptp]
	radius accelRADIUS
	mtu    int
	limit  string // of connections of a source
	burst  int
	ranges []string // that clients come from
}

// FromAccelPPP imports the configuration of accel-ppp. The error is that Conf cannot be read.
func FromAccelPPP(a AccelPPP) (*Result, error) {
	m := &accel{importing: importing{source: "accel-ppp"}, file: a.Conf, users: a.ChapSecrets, byName: make(map[string]*accelPool)}
	lines, err := m.lines(a.Conf)
	if err != nil {
		return nil, err
	}
	m.modules = modulesOf(lines)
	section, skipped := "", make(map[string]bool)
	for _, l := range lines {
		if strings.HasPrefix(l.text, "[") && strings.HasSuffix(l.text, "]") {
			section = strings.Trim(l.text, "[]")
			continue
		}
		if strings.HasPrefix(l.text, ";") {
			continue
		}
		key, value, _ := strings.Cut(l.text, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		r := reader{&m.importing, a.Conf, l.number, key}
		if reason, is := otherSections[section]; is {
			if !skipped[section] && reason != "" {
				r.note("not carried over: [%s]: %s", section, reason)
			}
			skipped[section] = true
			continue
		}
		m.line(section, r, value, l.text)
	}
	m.finish(a)
	return m.result(), nil
}

// otherSections are those of which nothing is carried over, and why; without a reason, as
// nothing is lost.
var otherSections = map[string]string{
	"core": "", "log-file": "", "log-pgsql": "the log goes to standard error, and what it has to a journal or syslog",
	"log-tcp": "the log goes to standard error", "l2tp": "the gateway speaks PPTP alone", "pppoe": "the gateway speaks PPTP alone",
	"sstp": "the gateway speaks PPTP alone", "ipoe": "the gateway speaks PPTP alone", "openvpn": "the gateway speaks PPTP alone",
	"snmp": "there is no SNMP; section metrics is for Prometheus", "pppd-compat": "no scripts are run; gateway events tells of sessions",
	"ipv6-pool": "see ipv6.prefix: each session gets a /64", "ipv6-dns": "see ipv6.dns", "ipv6-dhcp": "prefixes are not delegated by DHCPv6",
	"ipv6-nd": "", "accel-dp": "see section dataplane", "net-snmp": "there is no SNMP; section metrics is for Prometheus",
	"cli": "see section admin, by which gateway sessions and the like ask",
}

func modulesOf(lines []line) (list []string) {
	in := false
	for _, l := range lines {
		if strings.HasPrefix(l.text, "[") {
			in = l.text == "[modules]"
		} else if in {
			list = append(list, l.text)
		}
	}
	return list
}

func (m *accel) loaded(module string) bool { return slices.Contains(m.modules, module) }

func (m *accel) line(section string, r reader, value, text string) {
	switch section {
	case "modules":
		m.module(r)
	case "common":
		m.common(r, value)
	case "ppp":
		if !m.common(r, value) {
			m.ppp(r, value)
		}
	case "pptp":
		m.pptp(r, value)
	case "auth":
		switch r.key {
		case "any-login", "noauth":
			if value != "0" {
				r.note("not carried over: %s: users always prove themselves here", r.key)
			}
		}
	case "dns":
		r.addServer(&m.dns, value)
	case "wins":
		r.addServer(&m.wins, value)
	case "ip-pool":
		m.pool(r, value, text)
	case "radius":
		m.radiusLine(r, value)
	case "chap-secrets":
		m.chapSecrets(r, value)
	case "log":
		m.log(r, value)
	case "connlimit":
		m.connlimit(r, value)
	case "client-ip-range":
		m.clientRange(r, text)
	case "shaper":
		m.shaper(r, value)
	default:
		r.note("not carried over: [%s] %s is not known here", section, quoted(r.key))
	}
}

func (m *accel) module(r reader) {
	switch r.key {
	case "pptp", "auth_pap", "auth_chap_md5", "auth_mschap_v1", "auth_mschap_v2", "radius", "chap-secrets", "ippool", "ipv6pool",
		"log_file", "log_syslog", "log_tcp", "log_pgsql", "shaper", "connlimit", "net-snmp", "logwtmp", "sigchld", "pppd_compat", "ipv6_nd", "ipv6_dhcp":
	case "l2tp", "pppoe", "sstp", "ipoe":
		r.note("not carried over: %s: the gateway speaks PPTP alone", r.key)
	default:
		r.note("not carried over: the module %s is not known here", quoted(r.key))
	}
}

// common has what newer versions have moved from [ppp] to [common].
func (m *accel) common(r reader, value string) bool {
	switch r.key {
	case "single-session":
		switch value {
		case "replace":
			m.set("policy.max_sessions", "1")
			m.set("policy.on_excess", "replace")
		case "deny":
			m.set("policy.max_sessions", "1")
			m.set("policy.on_excess", "refuse")
		default:
			r.note("not carried over: single-session: %s is neither replace nor deny", quoted(value))
		}
	case "single-session-ignore-case":
		r.note("names of users differ by case here, but for those of RADIUS")
	case "max-sessions":
		if value != "0" {
			r.setNumber("limits.sessions", value, 1, 65535)
		}
	case "max-starting":
		if value != "0" {
			r.setNumber("limits.half_open", value, 1, 1<<20)
		}
	case "check-ip", "sid-case", "sid-source", "session-timeout-limit", "max-wait":
		// An address is of one session at a time here anyway.
	default:
		return false
	}
	return true
}

func (m *accel) ppp(r reader, value string) {
	switch r.key {
	case "mtu", "mru":
		if n, ok := r.number(value); ok && n >= 576 && n <= 1500 && (m.mtu == 0 || n < m.mtu) {
			m.mtu = n
		} else if ok && (n < 576 || n > 1500) {
			r.note("not carried over: %s %d: mtu is from 576 to 1500", r.key, n)
		}
	case "mppe":
		m.encryption(r, value)
	case "lcp-echo-interval":
		m.echo.interval, _ = r.number(value)
	case "lcp-echo-failure":
		m.echo.failures, _ = r.number(value)
	case "lcp-echo-timeout":
		m.echo.timeout, _ = r.number(value)
		m.echo.at = r
	case "ipv4":
		if value == "deny" {
			r.note("not carried over: ipv4=deny: tunnels always carry IPv4")
		}
	case "ipv6":
		if value != "deny" {
			r.note("not carried over: ipv6=%s: see ipv6.prefix", value)
		}
	case "min-mtu", "verbose", "ccp", "ccp-max-configure", "unit-cache", "unit-preallocate", "ipv6-intf-id", "ipv6-peer-intf-id", "ipv6-accept-peer-intf-id",
		"max-mtu", "accept-any-ipaddr", "ip-to-ifname":
	default:
		r.note("not carried over: [ppp] %s is not known here", quoted(r.key))
	}
}

func (m *accel) encryption(r reader, value string) {
	switch value {
	case "require", "prefer", "deny", "allow":
		m.mppe = value
	default:
		r.note("not carried over: mppe: %s is none of require, prefer, allow and deny", quoted(value))
	}
}

func (m *accel) pptp(r reader, value string) {
	switch r.key {
	case "bind":
		if a, ok := r.address(value); ok {
			m.set("listen", "["+netip.AddrPortFrom(a, 1723).String()+"]")
		}
	case "port":
		if value != "1723" {
			r.note("not carried over: port: clients know no other than 1723; see listen")
		}
	case "mppe":
		m.encryption(r, value)
	case "ppp-max-mtu":
		m.ppp(reader{r.m, r.file, r.line, "mtu"}, value)
	case "timeout":
		r.setSeconds("limits.handshake_timeout", value, time.Second, time.Hour)
	case "ip-pool":
		m.first = value
	case "ifname":
		m.set("dataplane.device", quoted(value))
	case "verbose", "echo-interval", "echo-failure", "session-timeout":
	case "ipv6-pool", "ipv6-pool-delegate", "dpv6-pool":
		r.note("not carried over: %s: see ipv6.prefix", r.key)
	default:
		r.note("not carried over: [pptp] %s is not known here", quoted(r.key))
	}
}

func (m *accel) chapSecrets(r reader, value string) {
	switch r.key {
	case "gw-ip-address":
		m.gateway(r, value)
	case "chap-secrets":
		if m.users == "" {
			m.users = value
		}
	case "encrypted", "username-hash":
		if value != "0" && value != "" {
			r.note("not carried over: %s: passwords are in clear here, or NT hashes", r.key)
		}
	}
}

// gateway is the gateway's own address in the tunnels, a prefix behind it or not.
func (m *accel) gateway(r reader, value string) {
	text, _, _ := strings.Cut(value, "/")
	if a, ok := r.address(text); ok {
		if m.has("local_address") {
			r.note("gw-ip-address is there again: the gateway has one address in all tunnels, and this one counts")
		}
		m.set("local_address", a.String())
	}
}

func (m *accel) log(r reader, value string) {
	if r.key != "level" {
		return // where it goes: to standard error here
	}
	if n, ok := r.number(value); ok {
		levels := []string{"error", "error", "warn", "info", "debug", "debug"}
		m.set("log.level", levels[min(n, len(levels)-1)])
	}
}

// connlimit is how many connections one source may make.
func (m *accel) connlimit(r reader, value string) {
	const path = "limits.source_connections"
	switch r.key {
	case "limit":
		count, unit, _ := strings.Cut(value, "/")
		n, err := strconv.ParseFloat(count, 64)
		per := map[string]float64{"s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600}[unit]
		if err != nil || per == 0 || n/per < 0.01 || n/per > 1e6 {
			r.note("not carried over: connlimit: %s is not a rate that %s has", quoted(value), path)
			return
		}
		m.limit = strconv.FormatFloat(n/per, 'f', 3, 64) + "/s"
	case "burst":
		m.burst, _ = r.number(value)
	}
}

func (m *accel) clientRange(r reader, text string) {
	if text == "disable" || text == "0.0.0.0/0" {
		return
	}
	network, err := netip.ParsePrefix(text)
	if err != nil || network != network.Masked() || !network.Addr().Is4() {
		r.note("not carried over: [client-ip-range] %s is not a network; see policy.sources", quoted(text))
		return
	}
	m.ranges = append(m.ranges, network.String())
}

func (m *accel) shaper(r reader, value string) {
	switch r.key {
	case "attr", "attr-up", "attr-down":
		if value != "Mikrotik-Rate-Limit" && !strings.HasPrefix(value, "WISPr-Bandwidth-Max-") {
			r.note("not carried over: rates are taken from Mikrotik-Rate-Limit and WISPr-Bandwidth-Max-Up and -Down, not from %s", quoted(value))
		}
	case "vendor", "verbose", "up-limiter", "down-limiter", "burst-factor", "up-burst-factor", "down-burst-factor", "latency", "mpu", "mtu", "quantum", "cburst", "r2q", "fwmark", "ifb":
	default:
		r.note("not carried over: [shaper] %s: see policy.rate_to_peer and rate_from_peer", r.key)
	}
}

// finish sets what several lines together say.
func (m *accel) finish(a AccelPPP) {
	var allowed []string
	for module, method := range map[string]string{"auth_pap": "pap", "auth_chap_md5": "chap-md5", "auth_mschap_v1": "ms-chapv1", "auth_mschap_v2": "ms-chapv2"} {
		if m.loaded(module) {
			allowed = append(allowed, method)
		}
	}
	m.security(allowed, m.mppe, false, false, false)
	if len(m.dns) > 0 {
		m.set("dns", flow(m.dns))
	}
	if len(m.wins) > 0 {
		m.set("wins", flow(m.wins))
	}
	if m.mtu != 0 {
		m.setInt("mtu", m.mtu)
	}
	if e := m.echo; e.interval > 0 && e.interval <= 24*3600 {
		m.set("echo.interval", fmt.Sprintf("%ds", e.interval))
		failures := e.failures
		if e.timeout > 0 {
			failures = max(1, (e.timeout+e.interval-1)/e.interval)
			e.at.note("lcp-echo-timeout is echo.failures times echo.interval here: %d times %ds", failures, e.interval)
		}
		if failures > 0 {
			m.setInt("echo.failures", min(failures, 100))
		}
	}
	if m.limit != "" && m.burst > 0 {
		m.limit += fmt.Sprintf(" burst %d", m.burst)
	}
	if m.limit != "" {
		m.set("limits.source_connections", m.limit)
	}
	if len(m.ranges) > 0 {
		m.list("policy.sources", m.ranges)
	}
	m.finishPools()
	if m.loaded("radius") {
		m.finishRADIUS()
	}
	if m.loaded("chap-secrets") {
		file := m.users
		if file == "" {
			file = "/etc/ppp/chap-secrets"
		}
		m.secrets(file, "")
	}
	if !m.loaded("pptp") {
		m.note(a.Conf, 0, "the module pptp is not loaded there: check that this is the right file")
	}
}
