package dataplane

import (
	"fmt"
	"strings"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

// against says what keeps the kernel from moving the packets, with advice; nil: nothing
// does. The kernel is asked only if it has a chance.
func (o *Options) against(probe func() kernel.Report) error {
	encrypts := o.Needs.Encryption != gopptp.EncryptionDeny
	lengths := o.Needs.KeyLengths
	var lacks []string
	for _, n := range []struct {
		name   string
		needed bool
	}{
		{"IPv6", o.Needs.IPv6},
		{"flow control", o.Userspace.FlowControl},
		{"AF_XDP", o.Userspace.XDP == userspace.XDPOn}, // who insists on that has chosen
		// Some sessions may move. Most should not.
		{"MPPE with keys of 56 bits", encrypts && lengths.Has(mppe.Key56) && (o.NoSpill || !lengths.Has(mppe.Key128))},
	} {
		if n.needed {
			lacks = append(lacks, n.name)
		}
	}
	if len(lacks) > 0 {
		return fmt.Errorf("the kernel has no %s for tunnels: %w", strings.Join(lacks, " and no "), gopptp.ErrNotSupported)
	}
	return probe().Err(encrypts)
}
