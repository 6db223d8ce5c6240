package cli

import (
	"fmt"
	"log/slog"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/userspace"
)

// planeFlags say how packets are moved.
type planeFlags struct {
	dataplane string
	tun       string
	xdp       string
	workers   int

	mode dataplane.Mode // what dataplane says, when it is checked
}

var xdpModes = map[string]userspace.XDPMode{
	"auto": userspace.XDPAuto, "on": userspace.XDPOn, "off": userspace.XDPOff,
}

// check reports what is wrong with the flags.
func (f *planeFlags) check() error {
	if f.mode.UnmarshalText([]byte(f.dataplane)) != nil {
		return fmt.Errorf("--dataplane: %q is not one of auto, kernel, userspace", f.dataplane)
	}
	if _, ok := xdpModes[f.xdp]; !ok {
		return fmt.Errorf("--xdp: %q is not one of auto, on, off", f.xdp)
	}
	if (&userspace.Options{Workers: f.workers}).Validate() != nil {
		return fmt.Errorf("--workers: %d is neither 0 nor from 1 to 64", f.workers)
	}
	if (&userspace.Options{TUNName: f.tun}).Validate() != nil {
		return fmt.Errorf("--tun: %q cannot be the name of a network device", f.tun)
	}
	if f.tun != "" {
		// Who names the device wants to find it.
		switch f.mode {
		case dataplane.Kernel:
			return fmt.Errorf("--tun: the kernel names its devices pppN; --dataplane userspace has a TUN device")
		case dataplane.Auto:
			f.mode = dataplane.Userspace
		}
	}
	return nil
}

// options are those of flags that are checked.
func (f *planeFlags) options(c *gopptp.ClientConfig, log *slog.Logger) dataplane.Options {
	return dataplane.Options{
		Mode:      f.mode,
		Needs:     dataplane.Needs{Encryption: c.Encryption, KeyLengths: c.KeyLengths, IPv6: c.IPv6},
		Userspace: userspace.Options{TUNName: f.tun, MTU: c.MTU, XDP: xdpModes[f.xdp], Workers: f.workers},
		Logger:    log,
	}
}

// plane is a data plane for one call.
type plane struct {
	*dataplane.Plane
	call gopptp.Call
}

// Open implements gopptp.Dataplane.
func (p *plane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (c gopptp.Call, err error) {
	p.call, err = p.Plane.Open(cfg, h)
	return p.call, err
}

// device is that of the call, when it is up.
func (p *plane) device() string { return dataplane.DeviceName(p.call) }
