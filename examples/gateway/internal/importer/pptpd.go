package importer

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// PPTPD says where the configuration of pptpd is.
type PPTPD struct {
	Conf        string // pptpd.conf
	Options     string // of pppd; empty: as Conf has it
	ChapSecrets string
	RADIUS      string // radiusclient.conf; empty: as Options has it
}

// pptpd is an import under way.
type pptpd struct {
	importing
	conf    string
	options string // as pptpd.conf has it
	link    pppd
}

// FromPPTPD imports the configuration of pptpd. The error is that Conf cannot be read.
func FromPPTPD(p PPTPD) (*Result, error) {
	m := &pptpd{importing: importing{source: "pptpd"}, conf: p.Conf}
	lines, err := m.lines(p.Conf)
	if err != nil {
		return nil, err
	}
	for _, l := range lines {
		m.line(l)
	}
	options := p.Options
	if options == "" {
		options = m.options
	}
	if options == "" {
		options = "/etc/ppp/options"
	}
	m.link.m = &m.importing
	m.link.read(options)
	m.link.finish()
	if m.link.radius {
		file := p.RADIUS
		if file == "" {
			file = m.link.radiusFile
		}
		m.radiusClient(file)
	} else {
		m.secrets(p.ChapSecrets, m.link.name)
	}
	if !m.has("local_address") {
		m.note(p.Conf, 0, "there is no localip, which local_address is made of: it is 10.8.0.1 unless you change it")
	}
	if !m.has("pools") {
		m.note(p.Conf, 0, "there is no remoteip, which pools is made of: it is 10.8.0.0/24 unless you change it")
	}
	return m.result(), nil
}

// line is one of pptpd.conf: a keyword and what it has.
func (m *pptpd) line(l line) {
	key, value, _ := strings.Cut(strings.ReplaceAll(l.text, "\t", " "), " ")
	value = strings.TrimSpace(value)
	r := reader{&m.importing, m.conf, l.number, key}
	switch key {
	case "option":
		m.options = value
		if !filepath.IsAbs(value) {
			m.options = filepath.Join(filepath.Dir(m.conf), value)
		}
	case "listen":
		if a, ok := r.address(value); ok {
			m.set("listen", "["+netip.AddrPortFrom(a, 1723).String()+"]")
		}
	case "localip":
		ranges, first, err := parsePptpdAddresses(value)
		if err != nil {
			r.note("not carried over: localip: %v", err)
			return
		}
		m.set("local_address", first.String())
		if len(ranges) > 1 || !strings.HasSuffix(ranges[0], fmt.Sprintf("-%d", first.As4()[3])) {
			r.note("localip has several addresses; the gateway has one in all tunnels, %v", first)
		}
	case "remoteip":
		ranges, _, err := parsePptpdAddresses(value)
		if err != nil {
			r.note("not carried over: remoteip: %v", err)
			return
		}
		m.list("pools", ranges)
	case "connections":
		r.setNumber("limits.sessions", value, 1, 65535)
	case "stimeout":
		r.setSeconds("limits.handshake_timeout", value, 1e9, 3600e9)
	case "debug":
		m.set("log.level", "debug")
	case "bcrelay":
		r.note("not carried over: bcrelay: broadcasts are not relayed into tunnels")
	case "delegate":
		r.note("delegate: pppd chose the addresses; here pools and users' addresses do")
	case "noipparam":
		// The peer's address goes to scripts of pppd, which there are none of.
	case "vrf":
		r.note("not carried over: vrf %s: the gateway knows none; run it in the VRF, by ip vrf exec", value)
	case "ppp", "pidfile", "speed", "logwtmp", "nodaemon":
	default:
		r.note("not carried over: %s is not known here", quoted(key))
	}
}

// unreadable notes a file that cannot be read.
func (m *importing) unreadable(file string, err error) {
	m.note(file, 0, "not carried over: %s", config.Unreadable(file, err).Text)
}
