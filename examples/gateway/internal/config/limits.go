package config

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
)

// Limits protect the gateway.
type Limits struct {
	Sessions               int           `yaml:"sessions"`
	HalfOpen               int           `yaml:"half_open"`
	PerSource              int           `yaml:"per_source"`
	Calls                  int           `yaml:"calls"`
	Connections            Rate          `yaml:"connections"`
	SourceConnections      Rate          `yaml:"source_connections"`
	Authentications        int           `yaml:"authentications"`
	AuthenticationsWaiting int           `yaml:"authentications_waiting"`
	AuthenticationWait     time.Duration `yaml:"authentication_wait"`
	HandshakeTimeout       time.Duration `yaml:"handshake_timeout"`
	SetupTimeout           time.Duration `yaml:"setup_timeout"`
	GRETimeout             time.Duration `yaml:"gre_timeout"`
}

func defaultLimits() Limits {
	return Limits{
		Sessions:               65535,
		HalfOpen:               1024,
		PerSource:              256,
		Calls:                  16,
		Connections:            Rate{PerSecond: math.Inf(1)},
		SourceConnections:      Rate{},
		Authentications:        256,
		AuthenticationsWaiting: 1024,
		AuthenticationWait:     20 * time.Second,
		HandshakeTimeout:       10 * time.Second,
		SetupTimeout:           60 * time.Second,
		GRETimeout:             12 * time.Second,
	}
}

// Server is the limits as the library takes them.
func (l *Limits) Server() gopptp.Limits {
	return gopptp.Limits{
		MaxSessions:        l.Sessions,
		MaxHalfOpen:        l.HalfOpen,
		MaxPerSource:       l.PerSource,
		MaxCalls:           l.Calls,
		Connections:        gopptp.Rate(l.Connections),
		SourceConnections:  gopptp.Rate(l.SourceConnections),
		MaxAuthentications: l.Authentications,
		MaxAuthWaiting:     l.AuthenticationsWaiting,
		AuthWait:           l.AuthenticationWait,
		HandshakeTimeout:   l.HandshakeTimeout,
		SetupTimeout:       l.SetupTimeout,
		GRETimeout:         l.GRETimeout,
	}
}

// Rate is how often something may happen: an infinite PerSecond is no limit, and the
// zero Rate leaves it to the library.
type Rate gopptp.Rate

const (
	rateAuto      = "auto"
	rateUnlimited = "unlimited"

	minRate, maxRate = 0.01, 1e6 // a second
	maxBurst         = 1 << 20
)

// String is the rate as it may be written.
func (r Rate) String() string {
	switch {
	case r == Rate{}:
		return rateAuto
	case math.IsInf(r.PerSecond, 1):
		return rateUnlimited
	}
	text := strconv.FormatFloat(r.PerSecond, 'f', -1, 64) + "/s"
	if r.Burst > 0 {
		text += " burst " + strconv.Itoa(r.Burst)
	}
	return text
}

// parseRate reads 200/s, 200/s burst 400, unlimited, or auto.
func parseRate(text string) (Rate, error) {
	switch text {
	case rateAuto:
		return Rate{}, nil
	case rateUnlimited:
		return Rate{PerSecond: math.Inf(1)}, nil
	}
	number, rest, found := strings.Cut(text, "/s")
	perSecond, err := strconv.ParseFloat(number, 64)
	burst := 0
	if words := strings.Fields(rest); len(words) == 2 && words[0] == "burst" && rest[0] == ' ' {
		if burst, err = strconv.Atoi(words[1]); err == nil && (burst < 1 || burst > maxBurst) {
			return Rate{}, fmt.Errorf("the burst of %q is not from 1 to %d", text, maxBurst)
		}
	} else if rest != "" {
		found = false
	}
	switch {
	case !found || err != nil:
		return Rate{}, fmt.Errorf("%q is not a rate, like 200/s or 200/s burst 400, nor %s", text, rateUnlimited)
	case !(perSecond >= minRate && perSecond <= maxRate):
		return Rate{}, fmt.Errorf("%q is not from %v/s to %.0f/s", text, minRate, maxRate)
	}
	return Rate{PerSecond: perSecond, Burst: burst}, nil
}

func (k *checker) limits() {
	l := &k.cfg.Limits
	const many = 1 << 20
	for _, n := range []struct {
		key        string
		value, max int
	}{
		{"sessions", l.Sessions, 65535},
		{"half_open", l.HalfOpen, many},
		{"per_source", l.PerSource, many},
		{"calls", l.Calls, 65535},
		{"authentications", l.Authentications, many},
		{"authentications_waiting", l.AuthenticationsWaiting, many},
	} {
		inRange(k, "limits."+n.key, n.value, 1, n.max)
	}
	for _, n := range []struct {
		key   string
		value time.Duration
	}{
		{"authentication_wait", l.AuthenticationWait},
		{"handshake_timeout", l.HandshakeTimeout},
		{"setup_timeout", l.SetupTimeout},
		{"gre_timeout", l.GRETimeout},
	} {
		inRange(k, "limits."+n.key, n.value, time.Second, time.Hour)
	}
	if l.Connections == (Rate{}) {
		k.bad("limits.connections", "has no %s: write %s, or a rate like 200/s", rateAuto, rateUnlimited)
	}
	if l.GRETimeout > l.SetupTimeout && len(k.problems.Errors()) == 0 {
		k.warn("limits.gre_timeout", "never comes to pass: setup_timeout, %v, is shorter", l.SetupTimeout)
	}
}

// inRange reports a value that is not from least to most.
func inRange[T cmp.Ordered](k *checker, path string, value, least, most T) {
	if value < least || value > most {
		k.bad(path, "%v is not from %v to %v", value, least, most)
	}
}
