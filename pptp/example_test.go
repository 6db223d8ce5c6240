package pptp_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/gopptp/gopptp/pptp"
)

// A client and a server, without a network: what one puts out goes into the
// other, and the time is what the example says it is.
func Example() {
	client := pptp.NewControl(pptp.Config{Role: pptp.RolePNS, Originator: true, HostName: "client"})
	server := pptp.NewControl(pptp.Config{Role: pptp.RolePAC, HostName: "server"})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

	var fromClient, fromServer pptp.Output
	server.Start(now, &fromServer)
	client.Start(now, &fromClient)
	for len(fromClient.Bytes())+len(fromServer.Bytes()) > 0 {
		toServer := append([]byte(nil), fromClient.Bytes()...)
		toClient := append([]byte(nil), fromServer.Bytes()...)
		fromClient.Reset()
		fromServer.Reset()

		if err := server.Input(toServer, now, &fromServer); err != nil {
			fmt.Println(err)
		}
		for _, ev := range fromServer.Events() {
			switch ev := ev.(type) {
			case pptp.Started:
				fmt.Println("server: control connection of", ev.Peer.HostName)
			case pptp.CallRequested:
				reply := pptp.OutgoingCallReply{PeerCallID: ev.Request.CallID, CallID: 2000}
				if err := server.AcceptCall(reply, &fromServer); err != nil {
					fmt.Println(err)
				}
			}
		}
		if err := client.Input(toClient, now, &fromClient); err != nil {
			fmt.Println(err)
		}
		for _, ev := range fromClient.Events() {
			switch ev := ev.(type) {
			case pptp.Started:
				fmt.Println("client: control connection of", ev.Peer.HostName)
				if err := client.PlaceCall(pptp.OutgoingCallRequest{CallID: 1000}, now, &fromClient); err != nil {
					fmt.Println(err)
				}
			case pptp.CallEstablished:
				fmt.Printf("client: data flow from %d to %d\n", ev.CallID, ev.PeerCallID)
			}
		}
	}
	fmt.Println("the next echo is due in", client.Deadline().Sub(now))
	// Output:
	// server: control connection of client
	// client: control connection of server
	// client: data flow from 1000 to 2000
	// the next echo is due in 1m0s
}

// The octets of one message are read, and made.
func ExampleDecodeMessage() {
	wire := (&pptp.CallDisconnectNotify{CallID: 5, ResultCode: pptp.DisconnectRequest}).Append(nil)
	m, n, err := pptp.DecodeMessage(wire)
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := m.(type) {
	case *pptp.CallDisconnectNotify:
		fmt.Println(m.Type(), m.CallID, m.ResultCode, n)
	default:
		fmt.Println(m.Type())
	}

	_, _, err = pptp.DecodeMessage([]byte("\x00\x10\x00\x01junk"))
	fmt.Println(errors.Is(err, pptp.ErrCookie), err)
	// Output:
	// Call-Disconnect-Notify 5 request 148
	// true pptp: bad magic cookie: Magic Cookie is 0x6a756e6b
}

// gateway accepts every call.
type gateway struct{}

func (gateway) HandleEvent(c *pptp.Conn, ev pptp.Event) {
	if ev, ok := ev.(pptp.CallRequested); ok {
		_ = c.AcceptCall(pptp.OutgoingCallReply{PeerCallID: ev.Request.CallID, CallID: 2000})
	}
}
func (gateway) HandleClose(*pptp.Conn, error) {}

// visitor places a call and leaves when it stands.
type visitor struct{}

func (visitor) HandleEvent(c *pptp.Conn, ev pptp.Event) {
	switch ev := ev.(type) {
	case pptp.Started:
		_ = c.PlaceCall(pptp.OutgoingCallRequest{CallID: 1000})
	case pptp.CallEstablished:
		fmt.Printf("call %d stands\n", ev.CallID)
		c.Stop(pptp.StopNone)
	case pptp.CallCleared:
		fmt.Printf("call %d is over\n", ev.CallID)
	}
}
func (visitor) HandleClose(_ *pptp.Conn, err error) { fmt.Println("closed:", err) }

// A server and a client over TCP.
func ExampleServe() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error)
	go func() {
		cfg := pptp.ConnConfig{Config: pptp.Config{Role: pptp.RolePAC, HostName: "gateway"}}
		served <- pptp.Serve(ctx, ln, cfg, func(net.Conn) pptp.Handler { return gateway{} })
	}()

	cfg := pptp.ConnConfig{Config: pptp.Config{Role: pptp.RolePNS, HostName: "visitor"}}
	c, err := pptp.Dial(ctx, ln.Addr().String(), cfg, visitor{})
	if err != nil {
		fmt.Println(err)
	} else {
		<-c.Done()
	}
	stop()
	fmt.Println("served:", <-served)
	// Output:
	// call 1000 stands
	// call 1000 is over
	// closed: <nil>
	// served: <nil>
}
