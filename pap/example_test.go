package pap_test

import (
	"fmt"
	"time"

	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
)

// A server authenticates a client; frames go from hand to hand.
func Example() {
	server := pap.NewAuthenticator(pap.AuthenticatorConfig{})
	client := pap.NewPeer(pap.PeerConfig{Name: "alice", Password: ppp.Secret("correct horse")})

	var fromServer, fromClient ppp.Output
	now := time.Now()
	packet := func(a ppp.Action) []byte { return a.Frame[2:] } // behind the protocol number

	server.Start(now, &fromServer)
	client.Start(now, &fromClient)
	server.Input(packet(fromClient.At(0)), now, &fromServer) // Authenticate-Request

	request := fromServer.At(0).Event.(ppp.AuthRequest)
	fmt.Println(request.Name, request.Password)
	verdict := ppp.AuthVerdict{ID: request.ID, Accepted: request.Password.Equal(ppp.Secret("correct horse"))}
	fmt.Println("server:", server.Verdict(verdict, now, &fromServer) == ppp.SignalUp)

	signal := client.Input(packet(fromServer.At(1)), now, &fromClient) // Authenticate-Ack
	fmt.Println("client:", signal == ppp.SignalUp)
	// Output:
	// alice [redacted]
	// server: true
	// client: true
}
