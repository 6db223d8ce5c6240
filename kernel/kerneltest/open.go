package kerneltest

import "github.com/gopptp/gopptp/kernel"

// Open opens the data plane of the host's kernel, as [kernel.Open] does on the machine
// that it runs on. A host may have several, which share its call IDs. Each is closed
// before the network is.
func (h *Host) Open(opts kernel.Options) (*kernel.Plane, error) {
	d := h.driver()
	p, err := kernel.OpenDriver(d, h.findings(), opts)
	if err != nil {
		_ = d.Close()
	}
	return p, err
}
