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

// A server lets a user with an expired password choose another.
func ExampleVerifyPasswordChange() {
	stored := chap.NTPasswordHash("last year's")
	server := chap.NewAuthenticator(chap.AuthenticatorConfig{Name: "gateway"})
	client := chap.NewPeer(chap.PeerConfig{Name: "alice", NTHash: stored, Prompt: true})

	judge := func(req *ppp.AuthRequest) ppp.AuthVerdict {
		if req.PasswordChange == nil {
			return ppp.AuthVerdict{ID: req.ID, ErrorCode: int(chap.PasswordExpired), ChangePassword: true}
		}
		change, ok := chap.VerifyPasswordChange(req, stored)
		if !ok || len(change.Password) < 8 {
			return ppp.AuthVerdict{ID: req.ID, ErrorCode: int(chap.ChangingPassword)}
		}
		stored = change.NTHash
		result, _ := chap.VerifyMSCHAPv2(req, stored)
		return ppp.AuthVerdict{ID: req.ID, Accepted: true, AuthenticatorResponse: result.AuthenticatorResponse}
	}

	var fromServer, fromClient ppp.Output
	now := time.Now()
	server.Start(now, &fromServer)
	for sent, heard := 0, 0; sent < fromServer.Len() || heard < fromClient.Len(); {
		for ; sent < fromServer.Len(); sent++ {
			if req, ok := fromServer.At(sent).Event.(ppp.AuthRequest); ok {
				server.Verdict(judge(&req), now, &fromServer)
			} else if client.Input(fromServer.At(sent).Frame[2:], now, &fromClient) == ppp.SignalUp {
				fmt.Println("the client is in")
			}
		}
		for ; heard < fromClient.Len(); heard++ {
			if ask, ok := fromClient.At(heard).Event.(chap.CredentialsNeeded); ok {
				fmt.Println(ask.Failure.Code)
				if err := client.ChangePassword("correct horse", now, &fromClient); err != nil {
					fmt.Println(err)
				}
			} else {
				server.Input(fromClient.At(heard).Frame[2:], now, &fromServer)
			}
		}
	}
	// Output:
	// password expired
	// the client is in
}
