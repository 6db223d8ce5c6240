package lcp_test

import (
	"fmt"
	"time"

	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/ppp"
)

// A server that wants MS-CHAPv2 and a client that can do it come to terms.
// Frames go from hand to hand.
func Example() {
	server := lcp.New(lcp.Config{
		MRU:          1460,
		PeerAuth:     []ppp.AuthMethod{ppp.AuthMSCHAPv2},
		EchoInterval: 30 * time.Second,
	})
	client := lcp.New(lcp.Config{
		MRU:     1400,
		OwnAuth: []ppp.AuthMethod{ppp.AuthMSCHAPv2},
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

	fmt.Println(server.State(), client.State())
	fmt.Println("the client proves itself by", server.PeerAuth())
	fmt.Println("the client receives", server.PeerMRU(), "octets")
	fmt.Println("the next echo is due in", server.Deadline().Sub(now))
	// Output:
	// Opened Opened
	// the client proves itself by MS-CHAPv2
	// the client receives 1400 octets
	// the next echo is due in 30s
}
