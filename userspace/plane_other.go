//go:build !linux

package userspace

import (
	"fmt"
	"net/netip"
	"runtime"

	"github.com/gopptp/gopptp"
)

var errSystem = fmt.Errorf("userspace: not on %s: %w", runtime.GOOS, gopptp.ErrNotSupported)

// Plane is a data plane, on Linux. Here, Open makes none.
type Plane struct{ _ [0]func() }

var _ gopptp.Nudged = (*Plane)(nil)

// Open returns an error that wraps [gopptp.ErrNotSupported].
func Open(opts Options) (*Plane, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	return nil, errSystem
}

// Open returns an error that wraps [gopptp.ErrNotSupported].
func (p *Plane) Open(gopptp.CallConfig, gopptp.CallHandler) (gopptp.Call, error) {
	return nil, errSystem
}

// Adopt returns an error that wraps [gopptp.ErrNotSupported].
func (p *Plane) Adopt(gopptp.CallConfig, Adopted, gopptp.CallHandler) (gopptp.Call, error) {
	return nil, errSystem
}

// Nudge does nothing.
func (p *Plane) Nudge() {}

// SetPrefixes returns an error that wraps [gopptp.ErrNotSupported].
func (p *Plane) SetPrefixes([]netip.Prefix) error { return errSystem }

// Send does nothing.
func (p *Plane) Send(packets [][]byte) {}

// Headroom is what Send wants in front of a packet, in octets.
const Headroom = 32

// Close does nothing.
func (p *Plane) Close() error { return nil }

// DeviceName returns "".
func (p *Plane) DeviceName() string { return "" }

// Stats returns zeros.
func (p *Plane) Stats() Stats { return Stats{} }
