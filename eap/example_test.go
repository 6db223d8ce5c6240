package eap_test

import (
	"fmt"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/ppp"
)

// A server passes packets between a client and whoever knows the method: here
// MD5-Challenge in a few lines, elsewhere a RADIUS server.
func Example() {
	secret := ppp.Secret("correct horse")
	server := eap.NewAuthenticator(eap.AuthenticatorConfig{})
	client := eap.NewPeer(eap.PeerConfig{
		Name:    "alice",
		Methods: []eap.Method{eap.NewMD5("alice", secret)},
	})

	challenge := []byte("sixteen octets..") // random, elsewhere
	judge := func(req *ppp.AuthRequest) ppp.AuthVerdict {
		var p ppp.Packet
		var m eap.Message
		var v chap.Value
		verdict := ppp.AuthVerdict{ID: req.ID}
		if _, err := p.Decode(req.EAP); err != nil {
			return verdict
		}
		if _, err := m.Decode(p.Data); err != nil {
			return verdict
		}
		fmt.Println(req.Name, m.Type)
		switch m.Type {
		case eap.TypeIdentity:
			v.Value = challenge
			m = eap.Message{Type: eap.TypeMD5, Data: v.Append(nil)}
			p = ppp.Packet{Code: eap.CodeRequest, ID: p.ID + 1, Data: m.Append(nil)}
			verdict.EAP = p.Append(nil)
		case eap.TypeMD5:
			if _, err := v.Decode(m.Data); err == nil {
				verdict.Accepted = chap.VerifyMD5(&ppp.AuthRequest{
					Method: ppp.AuthCHAPMD5, ID: p.ID, Challenge: challenge, Response: v.Value,
				}, secret)
			}
		}
		return verdict
	}

	var fromServer, fromClient ppp.Output
	now := time.Now()
	client.Start(now, &fromClient)
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
			server.Input(fromClient.At(heard).Frame[2:], now, &fromServer)
		}
	}
	// Output:
	// alice Identity
	// alice MD5-Challenge
	// the client is in
}

// A Server has the methods for who has the users in a store. Its Verdict goes to
// the Authenticator as it is.
func ExampleServer() {
	hash := chap.NTPasswordHash("correct horse")
	users := map[string]*eap.User{"alice": {NTHash: hash}}
	methods := eap.Server{Methods: []eap.ServerMethod{&eap.MSCHAPv2Server{Name: "gateway"}}}

	server := eap.NewAuthenticator(eap.AuthenticatorConfig{})
	client := eap.NewPeer(eap.PeerConfig{
		Name:    "alice",
		Methods: []eap.Method{eap.NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: hash})},
	})
	var fromServer, fromClient ppp.Output
	now := time.Now()
	client.Start(now, &fromClient)
	server.Start(now, &fromServer)
	for sent, heard := 0, 0; sent < fromServer.Len() || heard < fromClient.Len(); {
		for ; sent < fromServer.Len(); sent++ {
			if req, ok := fromServer.At(sent).Event.(ppp.AuthRequest); ok {
				v := methods.Next(&req, users[req.Name])
				fmt.Println("goes on:", v.Continue, "accepted:", v.Accepted, "keys:", v.Proof != nil)
				server.Verdict(v.AuthVerdict, now, &fromServer)
			} else if client.Input(fromServer.At(sent).Frame[2:], now, &fromClient) == ppp.SignalUp {
				fmt.Println("the client is in")
			}
		}
		for ; heard < fromClient.Len(); heard++ {
			server.Input(fromClient.At(heard).Frame[2:], now, &fromServer)
		}
	}
	// Output:
	// goes on: true accepted: false keys: false
	// goes on: true accepted: false keys: false
	// goes on: false accepted: true keys: true
	// the client is in
}
