package userspace

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/mppe"
)

// A packet on its way from host to host, through two planes and back, allocates
// nothing.
func TestPathsAllocateNothing(t *testing.T) {
	for name, opts := range map[string]Options{
		"raw":               {XDP: XDPOff, NoOffload: true, Workers: 1},
		"raw with offload":  {XDP: XDPOff, Workers: 2, Batch: 8},
		"XDP":               {XDP: XDPOn, NoOffload: true, Workers: 1, Batch: 1},
		"XDP with offload":  {XDP: XDPOn, Workers: 2},
		"XDP, many workers": {XDP: XDPOn, Workers: 4, Batch: 256},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _ := newCabled(t)
			n := newTunnelWith(t, a, b, outerB, opts)
			n.encryptWith(t, mppe.Params{KeyLength: mppe.Key128})
			if opts.XDP != XDPOff {
				n.warm(t)
			}
			n.attach(t, 1400)
			client, server := a.listenUDP(t, "10.99.0.2:0"), b.listenUDP(t, "10.99.0.1:0")
			to, from := server.LocalAddr().(*net.UDPAddr).AddrPort(), client.LocalAddr().(*net.UDPAddr).AddrPort()
			buf := make([]byte, 1000)
			const packets = 50
			exchange := func() {
				for range packets {
					if _, err := client.WriteToUDPAddrPort(buf, to); err != nil {
						panic(err)
					}
				}
				for range packets {
					if _, err := server.Read(buf); err != nil {
						panic(err)
					}
					if _, err := server.WriteToUDPAddrPort(buf, from); err != nil {
						panic(err)
					}
				}
				for range packets {
					if _, err := client.Read(buf); err != nil {
						panic(err)
					}
				}
			}
			exchange()
			// What there is has nothing to do with packets: timers, and the runtime.
			allocs := testing.AllocsPerRun(20, exchange)
			require.Less(t, allocs, packets/5.0, "for %d packets each way", packets)
		})
	}
}
