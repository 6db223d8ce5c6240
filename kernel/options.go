package kernel

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
)

// Options say how [Open] makes a data plane. The zero value is useful.
type Options struct {
	// DeviceName names the device of each session, in at most 15 octets. It has a "%d"
	// in it, for the first number that is free. Empty: "ppp%d", as pppd's are named.
	DeviceName string
	// FirstCallID and LastCallID bound the call IDs that are used, both included. Other
	// programs on the host that use the kernel's driver, such as pppd, choose theirs from
	// all. Zero: 1, and 65535.
	FirstCallID, LastCallID uint16
	// Logger is told what goes wrong outside of any call. Nil: silent.
	Logger *slog.Logger
}

const (
	defaultName = "ppp%d"
	maxNameLen  = 15 // IFNAMSIZ without its NUL
)

// Validate reports everything that is wrong with o; each error names its field. Open
// does it first.
func (o *Options) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("kernel: Options.%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if name := o.DeviceName; name != "" {
		pattern := strings.Replace(name, "%d", "", 1)
		switch {
		case len(name) > maxNameLen:
			bad("DeviceName", "%q has %d octets, at most %d fit", name, len(name), maxNameLen)
		case pattern == name:
			bad("DeviceName", "%q has no %%d in it, and each session has a device", name)
		case strings.ContainsAny(pattern, "/: \t\n\v\f\r\x00%"):
			bad("DeviceName", "%q cannot be the name of a device", name)
		}
	}
	if first, last := o.callIDs(); first > last {
		bad("FirstCallID", "%d is beyond LastCallID, %d", first, last)
	}
	return errors.Join(errs...)
}

func (o *Options) callIDs() (first, last uint16) {
	first, last = o.FirstCallID, o.LastCallID
	if first == 0 {
		first = 1
	}
	if last == 0 {
		last = math.MaxUint16
	}
	return first, last
}

func (o Options) withDefaults() Options {
	if o.DeviceName == "" {
		o.DeviceName = defaultName
	}
	o.FirstCallID, o.LastCallID = o.callIDs()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
