package cli

import (
	"fmt"
	"log/slog"

	"github.com/gopptp/gopptp/userspace"
)

// planeFlags say how packets are moved.
type planeFlags struct {
	tun     string
	xdp     string
	workers int
}

var xdpModes = map[string]userspace.XDPMode{
	"auto": userspace.XDPAuto, "on": userspace.XDPOn, "off": userspace.XDPOff,
}

// check reports what is wrong with the flags.
func (f *planeFlags) check() error {
	if _, ok := xdpModes[f.xdp]; !ok {
		return fmt.Errorf("--xdp: %q is not one of auto, on, off", f.xdp)
	}
	if (&userspace.Options{Workers: f.workers}).Validate() != nil {
		return fmt.Errorf("--workers: %d is neither 0 nor from 1 to 64", f.workers)
	}
	if (&userspace.Options{TUNName: f.tun}).Validate() != nil {
		return fmt.Errorf("--tun: %q cannot be the name of a network device", f.tun)
	}
	return nil
}

// options are those of flags that are checked.
func (f *planeFlags) options(mtu int, log *slog.Logger) userspace.Options {
	return userspace.Options{TUNName: f.tun, MTU: mtu, XDP: xdpModes[f.xdp], Workers: f.workers, Logger: log}
}
