package cli

import (
	"fmt"
	"io"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/loadgen/internal/host"
	"github.com/gopptp/gopptp/examples/loadgen/internal/load"
	"github.com/gopptp/gopptp/examples/loadgen/internal/traffic"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/userspace"
)

// planFlags say who dials when, and from where.
type planFlags struct {
	tunnels             int
	rate, churn         float64
	ramp, duration      time.Duration
	hold, timeout, echo time.Duration
	redial              bool
	backoff, maxBackoff time.Duration
	maxDialling         int
	sources             []string
	addSources          bool
	encryption, auth    string
	xdp                 string
	workers             int
}

// trafficFlags say what is sent through the tunnels.
type trafficFlags struct {
	shares, bulkRate, via, to string
	smallRate, largeRate      float64
	port                      uint16
}

var (
	xdpModes = map[string]userspace.XDPMode{"auto": userspace.XDPAuto, "on": userspace.XDPOn, "off": userspace.XDPOff}
	ways     = map[string]traffic.Via{"icmp": traffic.ICMP, "udp": traffic.UDP, "sink": traffic.Sink}
)

// options checks the flags.
func (f *flags) options(stdin io.Reader) (*load.Options, error) {
	o := &load.Options{
		Tunnels: f.tunnels, Rate: f.rate, Ramp: f.ramp, Duration: f.duration, Hold: f.hold, Churn: f.churn,
		Redial: f.redial, Backoff: f.backoff, MaxBackoff: f.maxBackoff, MaxDialling: f.maxDialling, Timeout: f.timeout,
	}
	const maxTunnels, maxRate = 1e6, 1e5
	switch {
	case f.tunnels < 1 || f.tunnels > maxTunnels:
		return nil, fmt.Errorf("--tunnels: %d is not from 1 to 1000000", f.tunnels)
	case !(f.rate > 0 && f.rate <= maxRate):
		return nil, fmt.Errorf("--rate: %v is not above 0, or above 100000", f.rate)
	case f.duration < time.Second || f.duration > 7*24*time.Hour:
		return nil, fmt.Errorf("--duration: %v is not from 1s to a week", f.duration)
	case f.ramp < 0 || f.ramp > f.duration:
		return nil, fmt.Errorf("--ramp: %v is not within --duration", f.ramp)
	case f.hold < 0 || f.hold > 0 && f.hold < time.Second:
		return nil, fmt.Errorf("--hold: %v is neither 0 nor from 1s", f.hold)
	case !(f.churn >= 0 && f.churn <= 1):
		return nil, fmt.Errorf("--churn: %v is not from 0 to 1", f.churn)
	case f.backoff < 10*time.Millisecond || f.maxBackoff < f.backoff:
		return nil, fmt.Errorf("--backoff: %v is below 10ms or above --max-backoff", f.backoff)
	case f.timeout < time.Second:
		return nil, fmt.Errorf("--timeout: %v is below 1s", f.timeout)
	case f.maxDialling < 1:
		return nil, fmt.Errorf("--max-dialling: %d is below 1", f.maxDialling)
	case f.echo < time.Second:
		return nil, fmt.Errorf("--echo-interval: %v is below 1s", f.echo)
	case f.addSources && len(f.sources) == 0:
		return nil, fmt.Errorf("--add-sources needs --source")
	}
	if _, ok := xdpModes[f.xdp]; !ok {
		return nil, fmt.Errorf("--xdp: %q is not one of auto, on, off", f.xdp)
	}
	if (&userspace.Options{Workers: f.workers}).Validate() != nil {
		return nil, fmt.Errorf("--workers: %d is neither 0 nor from 1 to 64", f.workers)
	}
	if _, err := f.sourceList(); err != nil {
		return nil, err
	}
	c := &o.Client
	c.EchoInterval = f.echo
	if c.Encryption.UnmarshalText([]byte(f.encryption)) != nil {
		return nil, fmt.Errorf("--encryption: %q is not one of require, prefer, allow, deny", f.encryption)
	}
	var clear bool
	for _, m := range []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1, ppp.AuthCHAPMD5, ppp.AuthPAP, ppp.AuthEAP} {
		if strings.ToLower(m.String()) == f.auth {
			c.AuthMethods = []ppp.AuthMethod{m}
			clear = m == ppp.AuthPAP || m == ppp.AuthCHAPMD5
		}
	}
	switch {
	case c.AuthMethods == nil:
		return nil, fmt.Errorf("--auth: %q is not one of ms-chapv2, ms-chapv1, chap-md5, pap, eap", f.auth)
	case clear && c.Encryption == gopptp.EncryptionRequire:
		return nil, fmt.Errorf("--auth: there are no keys from %s for the MPPE that --encryption require demands", f.auth)
	}
	var err error
	if o.Mix, err = f.mix(); err != nil {
		return nil, err
	}
	if o.Mix.To.IsValid() {
		c.Routes = []netip.Prefix{netip.PrefixFrom(o.Mix.To, 32)}
	}
	o.User, err = f.users(stdin, clear)
	return o, err
}

func (f *trafficFlags) mix() (m traffic.Mix, err error) {
	if m.Share, err = traffic.ParseShares(f.shares); err != nil {
		return m, fmt.Errorf("--traffic: %w", err)
	}
	var known bool
	if m.Via, known = ways[f.via]; !known {
		return m, fmt.Errorf("--via: %q is not one of icmp, udp, sink", f.via)
	}
	if m.Port = f.port; m.Port == 0 {
		return m, fmt.Errorf("--port: 0 is none")
	}
	if m.BulkRate, err = parseRate(f.bulkRate); err != nil {
		return m, fmt.Errorf("--bulk-rate: %w", err)
	}
	const maxRate = 1e5
	for _, r := range []struct {
		flag string
		rate float64
	}{{"small", f.smallRate}, {"large", f.largeRate}} {
		if !(r.rate >= 0.01 && r.rate <= maxRate) {
			return m, fmt.Errorf("--%s-rate: %v is not from 0.01 to 100000", r.flag, r.rate)
		}
	}
	m.SmallRate, m.LargeRate = f.smallRate, f.largeRate
	if f.to != "" {
		if m.To, err = netip.ParseAddr(f.to); err != nil || !m.To.Is4() {
			return m, fmt.Errorf("--to: %q is not an IPv4 address", f.to)
		}
	}
	return m, nil
}

// parseRate reads bits a second.
func parseRate(text string) (float64, error) {
	number, scale := text, 1.0
	if n := len(text); n > 0 {
		if s, ok := map[byte]float64{'k': 1e3, 'M': 1e6, 'G': 1e9}[text[n-1]]; ok {
			number, scale = text[:n-1], s
		}
	}
	rate, err := strconv.ParseFloat(number, 64)
	if rate *= scale; err != nil || math.IsNaN(rate) || rate < 1e3 || rate > 1e10 {
		return 0, fmt.Errorf("%q is not a rate from 1k to 10G", text)
	}
	return rate, nil
}

// sourceList reads --source.
func (f *planFlags) sourceList() (list host.Sources, err error) {
	for _, text := range f.sources {
		p, err := host.ParseSource(text)
		if err != nil {
			return nil, fmt.Errorf("--source: %w", err)
		}
		list = append(list, p)
	}
	return list, nil
}
