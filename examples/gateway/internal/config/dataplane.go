package config

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
)

// Dataplane says how packets are moved.
type Dataplane struct {
	Mode          dataplane.Mode `yaml:"mode"`
	Device        string         `yaml:"device"`
	Workers       int            `yaml:"workers"`
	XDP           XDP            `yaml:"xdp"`
	Offload       bool           `yaml:"offload"`
	MSSClamp      bool           `yaml:"mss_clamp"`
	Batch         int            `yaml:"batch"`
	Ring          int            `yaml:"ring"`
	ReceiveBuffer Size           `yaml:"receive_buffer"`
	SendBuffer    Size           `yaml:"send_buffer"`
}

func parseDataplaneMode(text string) (m dataplane.Mode, err error) {
	if m.UnmarshalText([]byte(text)) != nil {
		return m, notOneOf(text, "auto", "kernel", "userspace")
	}
	return m, nil
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
	if (&kernel.Options{DeviceName: d.Device}).Validate() != nil || d.Device == "" {
		k.bad("dataplane.device", "%q cannot be the name of network devices: it needs a %%d, for a number, and has at most 15 octets", d.Device)
	}
	k.kernel()
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

// kernel says what the kernel cannot do, if it has to.
func (k *checker) kernel() {
	c := k.cfg
	if c.Dataplane.Mode != dataplane.Kernel {
		return
	}
	const path = "dataplane.mode"
	if c.IPv6.Enabled() {
		k.bad(path, "the kernel carries no IPv6 in tunnels, which ipv6.prefix asks for")
	}
	if c.FlowControl {
		k.bad(path, "the kernel has no gre_flow_control")
	}
	if c.Dataplane.XDP == XDPOn {
		k.bad(path, "the kernel has no AF_XDP, which xdp: on insists on")
	}
	if l := c.KeyLengths(); c.Encryption != gopptp.EncryptionDeny && l.Has(mppe.Key56) && !l.Has(mppe.Key128) {
		k.bad(path, "the kernel has no keys of 56 bits, which are the best of mppe_key_lengths")
	}
}
