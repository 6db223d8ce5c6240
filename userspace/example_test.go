package userspace_test

import (
	"fmt"
	"log"
	"net/netip"

	"github.com/gopptp/gopptp/userspace"
)

// A gateway's data plane. It needs CAP_NET_RAW and CAP_NET_ADMIN.
func ExampleOpen() {
	plane, err := userspace.Open(userspace.Options{
		TUNName:  "vpn0",
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.8.0.0/16")},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer plane.Close()

	stats := plane.Stats()
	log.Printf("%s: %d calls, %d packets dropped on the way out",
		plane.DeviceName(), stats.Calls, stats.GRE.SendQueueFull)
}

// What is wrong is told before anything is opened, all at once.
func ExampleOptions_Validate() {
	opts := userspace.Options{
		TUNName:  "the-users-of-our-vpn",
		MTU:      9000,
		Prefixes: []netip.Prefix{netip.MustParsePrefix("10.8.0.1/16")},
	}
	fmt.Println(opts.Validate())
	// Output:
	// userspace: Options.TUNName: "the-users-of-our-vpn" has 20 octets, at most 15 fit
	// userspace: Options.MTU: 9000 is not within 576 and 1500
	// userspace: Options.Prefixes[0]: 10.8.0.1/16 has bits set behind its length, as in 10.8.0.0/16
}
