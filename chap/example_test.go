package chap_test

import (
	"fmt"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// A server authenticates a client; frames go from hand to hand.
func Example() {
	hash := chap.NTPasswordHash("correct horse")
	server := chap.NewAuthenticator(chap.AuthenticatorConfig{Name: "gateway"})
	client := chap.NewPeer(chap.PeerConfig{Name: "alice", NTHash: hash})

	var fromServer, fromClient ppp.Output
	now := time.Now()
	server.Start(now, &fromServer)
	packet := func(a ppp.Action) []byte { return a.Frame[2:] } // behind the protocol number

	client.Input(packet(fromServer.At(0)), now, &fromClient) // Challenge
	server.Input(packet(fromClient.At(0)), now, &fromServer) // Response

	request := fromServer.At(1).Event.(ppp.AuthRequest)
	result, ok := chap.VerifyMSCHAPv2(&request, hash)
	if !ok {
		fmt.Println("wrong password")
		return
	}
	verdict := ppp.AuthVerdict{ID: request.ID, Accepted: true, AuthenticatorResponse: result.AuthenticatorResponse}
	fmt.Println("server:", server.Verdict(verdict, now, &fromServer) == ppp.SignalUp)

	signal := client.Input(packet(fromServer.At(2)), now, &fromClient) // Success
	fmt.Println("client:", signal == ppp.SignalUp)
	fmt.Println(request.Name, hash)
	// Output:
	// server: true
	// client: true
	// alice [redacted]
}
