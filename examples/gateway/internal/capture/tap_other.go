//go:build !linux

package capture

import (
	"errors"
	"net/netip"
)

// Tap is not possible on this operating system.
func Tap(*Capture, netip.Addr, netip.Prefix) (stop func(), err error) {
	return nil, errors.ErrUnsupported
}
