//go:build !linux

package driver

import (
	"errors"
	"fmt"
	"runtime"
)

var errSystem = fmt.Errorf("the PPTP driver is Linux's, this is %s: %w", runtime.GOOS, errors.ErrUnsupported)

// New returns an error that wraps errors.ErrUnsupported.
func New() (Driver, error) { return nil, errSystem }

// Probe finds nothing.
func Probe() Findings {
	f := Finding{Answer: NotSupported, Err: errSystem}
	return Findings{PPTP: f, PPP: f, MPPE: f, Rates: f, Privileges: f}
}
