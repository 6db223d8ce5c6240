package dataplane

import (
	"errors"
	"fmt"
	"log/slog"
	"math"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

// lastKernelID ends the range of call IDs that the kernel has, unless [Options] say
// otherwise. Most calls are its, and the others' number is not bounded by a range for
// all peers together.
const lastKernelID = 49151

// Options say how [Open] makes a [Plane]. The zero value is useful.
type Options struct {
	Mode Mode
	// Needs is what sessions may ask of the plane.
	Needs Needs
	// NoSpill has a call that the kernel cannot carry fail, so that no TUN device and no
	// raw socket is ever made beside it.
	NoSpill bool
	// Kernel and Userspace are for the planes. Their Logger is that below, if they have
	// none. Their ranges of call IDs are 1 to 49151 and the rest, where there are both
	// planes and neither says otherwise.
	Kernel    kernel.Options
	Userspace userspace.Options
	// Logger is told which plane was chosen, and why. Nil: silent.
	Logger *slog.Logger
}

// Needs is what sessions may ask of a data plane, beyond carrying IPv4. The zero value is
// what those of a zero gopptp.ServerConfig or ClientConfig do. That a transmit window is
// to be kept is in Options.Userspace.
type Needs struct {
	Encryption gopptp.EncryptionPolicy
	// KeyLengths are those that CCP may agree on; zero: 128 bits.
	KeyLengths mppe.KeyLengths
	IPv6       bool
}

// Validate reports everything that is wrong with o; each error names its field. Open
// does it first.
func (o *Options) Validate() error {
	var errs []error
	if o.Mode > Userspace {
		errs = append(errs, fmt.Errorf("dataplane: Options.Mode: %d is none of the modes", o.Mode))
	}
	errs = append(errs, o.Kernel.Validate(), o.Userspace.Validate())
	if o.Mode != Userspace && !o.NoSpill && o.hasRange() && overlapping(&o.Kernel, &o.Userspace) {
		errs = append(errs, errors.New("dataplane: Options: the ranges of call IDs of Kernel and Userspace overlap"))
	}
	return errors.Join(errs...)
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Kernel.Logger == nil {
		o.Kernel.Logger = o.Logger
	}
	if o.Userspace.Logger == nil {
		o.Userspace.Logger = o.Logger
	}
	if o.Needs.KeyLengths == 0 {
		o.Needs.KeyLengths = mppe.AllowKey128
	}
	return o
}

// mixed returns o with ranges of call IDs for both planes at once.
func (o Options) mixed() Options {
	if !o.hasRange() {
		o.Kernel.LastCallID, o.Userspace.FirstCallID = lastKernelID, lastKernelID+1
	}
	return o
}

// hasRange reports whether a range of call IDs was given to either plane.
func (o *Options) hasRange() bool {
	return o.Kernel.FirstCallID|o.Kernel.LastCallID|o.Userspace.FirstCallID|o.Userspace.LastCallID != 0
}

func overlapping(k *kernel.Options, u *userspace.Options) bool {
	last := func(id uint16) uint16 {
		if id == 0 {
			return math.MaxUint16
		}
		return id
	}
	return k.FirstCallID <= last(u.LastCallID) && u.FirstCallID <= last(k.LastCallID)
}
