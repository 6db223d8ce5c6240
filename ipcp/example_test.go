package ipcp_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/ppp"
)

// A server gives a client an address and a name server. Frames go from hand to
// hand.
func Example() {
	server := ipcp.New(ipcp.Config{})
	client := ipcp.New(ipcp.Config{RequestDNS: true})

	// The addresses come with the user.
	server.Configure(ipcp.Config{
		Local: netip.MustParseAddr("10.0.0.1"),
		Peer:  netip.MustParseAddr("10.0.0.2"),
		DNS:   [2]netip.Addr{netip.MustParseAddr("192.0.2.53")},
	})

	now := time.Now()
	var fromServer, fromClient ppp.Output
	server.Open(now, &fromServer)
	server.Up(now, &fromServer)
	client.Open(now, &fromClient)
	client.Up(now, &fromClient)
	for s, c := 0, 0; s < fromServer.Len() || c < fromClient.Len(); {
		for ; s < fromServer.Len(); s++ {
			client.Input(fromServer.At(s).Frame[2:], now, &fromClient) // behind the protocol number
		}
		for ; c < fromClient.Len(); c++ {
			server.Input(fromClient.At(c).Frame[2:], now, &fromServer)
		}
	}

	fmt.Println(client.Opened(), client.Local(), "to", client.Peer(), "name servers", client.DNS())
	fmt.Println(server.Opened(), server.Local(), "to", server.Peer())
	// Output:
	// true 10.0.0.2 to 10.0.0.1 name servers [192.0.2.53]
	// true 10.0.0.1 to 10.0.0.2
}
