package kerneltest

import (
	"fmt"
	"syscall"
	"time"

	"github.com/gopptp/gopptp/kernel/internal/driver"
)

// Rate is a limit of a device, in one direction.
type Rate struct {
	BitsPerSecond uint64
	Burst         int // octets
}

// police drops what is above a rate, as the kernel's action does: what is in the bucket
// has to be enough for a packet. It is guarded by host.mu.
type police struct {
	rate   driver.Rate
	octets float64 // in the bucket
	filled time.Time
}

func newPolice(r driver.Rate) police {
	return police{rate: r, octets: float64(r.Burst), filled: time.Now()}
}

func (p *police) allows(octets int) bool {
	if p.rate == (driver.Rate{}) {
		return true
	}
	now := time.Now()
	p.octets += now.Sub(p.filled).Seconds() * float64(p.rate.BitsPerSecond) / 8
	p.octets, p.filled = min(p.octets, float64(p.rate.Burst)), now
	if p.octets < float64(octets) {
		return false
	}
	p.octets -= float64(octets)
	return true
}

// SetRates implements driver.Unit.
func (u *unit) SetRates(fromPeer, toPeer driver.Rate) error {
	leave, err := u.enter(OpSetRates)
	defer leave()
	switch {
	case err != nil:
		return err
	case u.host.opts.Rates == Missing && (fromPeer != driver.Rate{} || toPeer != driver.Rate{}):
		return fmt.Errorf("set rates: %w", syscall.ENOENT)
	}
	u.from, u.to = newPolice(fromPeer), newPolice(toPeer)
	return nil
}
