package config

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
)

// Dataplane says how packets are moved.
type Dataplane struct {
	Workers       int  `yaml:"workers"`
	XDP           XDP  `yaml:"xdp"`
	Offload       bool `yaml:"offload"`
	MSSClamp      bool `yaml:"mss_clamp"`
	Batch         int  `yaml:"batch"`
	Ring          int  `yaml:"ring"`
	ReceiveBuffer Size `yaml:"receive_buffer"`
	SendBuffer    Size `yaml:"send_buffer"`
}

// XDP says when AF_XDP is used.
type XDP string

// The choices.
const (
	XDPAuto XDP = "auto"
	XDPOn   XDP = "on"
	XDPOff  XDP = "off"
)

func parseXDP(text string) (XDP, error) {
	switch x := XDP(text); x {
	case XDPAuto, XDPOn, XDPOff:
		return x, nil
	}
	return "", notOneOf(text, string(XDPAuto), string(XDPOn), string(XDPOff))
}

// Size is a number of octets, written with its unit.
type Size int

// units are those of sizes, and how many bits of zeros they stand for.
var units = []struct {
	name  string
	shift int
}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}}

func parseSize(text string) (Size, error) {
	for _, u := range units {
		digits, found := strings.CutSuffix(text, u.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		switch {
		case errors.Is(err, strconv.ErrRange), n<<u.shift > math.MaxInt32:
			return 0, fmt.Errorf("%s is too large a size", text)
		case err == nil:
			return Size(n << u.shift), nil
		}
	}
	return 0, fmt.Errorf("%q is not a size: write it with its unit, like 512KiB or 4MiB", text)
}

// String is the size as it may be written.
func (s Size) String() string {
	for _, u := range units {
		if s != 0 && bits.TrailingZeros64(uint64(s)) >= u.shift {
			return strconv.Itoa(int(s)>>u.shift) + u.name
		}
	}
	return strconv.Itoa(int(s))
}

func (k *checker) dataplane() {
	d := &k.cfg.Dataplane
	for _, n := range []struct {
		path            string
		value, min, max int
	}{
		{"dataplane.workers", d.Workers, 0, 64},
		{"dataplane.batch", d.Batch, 1, 256},
	} {
		if n.value < n.min || n.value > n.max {
			k.bad(n.path, "%d is not from %d to %d", n.value, n.min, n.max)
		}
	}
	const minRing, maxRing = 64, 1 << 16
	if r := d.Ring; r < minRing || r > maxRing || r&(r-1) != 0 {
		k.bad("dataplane.ring", "%d is not a power of two from %d to %d", r, minRing, maxRing)
	}
	const minBuffer, maxBuffer Size = 256 << 10, 1 << 30
	for _, b := range []struct {
		path  string
		value Size
	}{
		{"dataplane.receive_buffer", d.ReceiveBuffer},
		{"dataplane.send_buffer", d.SendBuffer},
	} {
		if b.value < minBuffer || b.value > maxBuffer {
			k.bad(b.path, "%v is not from %v to %v", b.value, minBuffer, maxBuffer)
		}
	}
}
