package kerneltest

import (
	"errors"

	"github.com/gopptp/gopptp/kernel/internal/driver"
)

var (
	errMissing = errors.New("kerneltest: the kernel has none")
	errUnclear = errors.New("kerneltest: could not tell")
)

// findings are what a probe of the host finds out.
func (h *Host) findings() driver.Findings {
	return driver.Findings{
		PPTP:       h.opts.PPTP.finding(),
		PPP:        h.opts.PPP.finding(),
		MPPE:       h.opts.MPPE.finding(),
		Rates:      h.opts.Rates.finding(),
		Privileges: h.opts.Privileges.finding(),
	}
}

func (p Presence) finding() driver.Finding {
	switch p {
	case Present:
		return driver.Finding{Answer: driver.Supported}
	case Missing:
		return driver.Finding{Answer: driver.NotSupported, Err: errMissing, Advice: "see kerneltest.Options"}
	}
	return driver.Finding{Answer: driver.Unknown, Err: errUnclear}
}
