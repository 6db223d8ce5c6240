package dataplane_test

import (
	"log"
	"log/slog"
	"net/netip"

	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

// A gateway's data plane: the kernel if it has the driver, else userspace. It needs
// CAP_NET_RAW and CAP_NET_ADMIN.
func ExampleOpen() {
	plane, err := dataplane.Open(dataplane.Options{
		Needs: dataplane.Needs{KeyLengths: mppe.AllowKey128},
		Userspace: userspace.Options{
			TUNName:  "vpn0",
			Prefixes: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")},
		},
		Logger: slog.Default(), // is told which it is, and why
	})
	if err != nil {
		log.Fatal(err)
	}
	defer plane.Close()

	stats := plane.Stats()
	log.Printf("%v: %d calls in the kernel, %d in userspace", plane.Mode(), stats.KernelCalls, stats.UserspaceCalls)
}
