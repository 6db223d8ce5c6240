package gopptp_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/userspace"
)

// A client: the tunnel's device is vpn0, and 192.168.7.0/24 is behind it.
func ExampleDial() {
	plane, err := userspace.Open(userspace.Options{TUNName: "vpn0"})
	if err != nil {
		log.Fatal(err)
	}
	defer plane.Close()

	session, err := gopptp.Dial(context.Background(), "vpn.example.com", gopptp.ClientConfig{
		Dataplane: plane,
		User:      "alice",
		Password:  os.Getenv("VPN_PASSWORD"),
		Routes:    []netip.Prefix{netip.MustParsePrefix("192.168.7.0/24")},
	})
	var failure *gopptp.SessionError
	switch {
	case errors.As(err, &failure) && failure.Cause == gopptp.CauseGREBlocked:
		log.Fatal("a firewall on the way does not pass GRE")
	case err != nil:
		log.Fatal(err)
	}
	log.Printf("up: %v to %v, %v", session.Local(), session.Peer(), session.Encryption())
	<-session.Done()
	log.Print("ended: ", session.Err())
}

// A server with its users in memory.
func ExampleServer() {
	gateway := netip.MustParseAddr("10.8.0.1")
	network := netip.MustParsePrefix("10.8.0.0/16")
	plane, err := userspace.Open(userspace.Options{
		TUNName: "pptp0", Addresses: []netip.Addr{gateway}, Prefixes: []netip.Prefix{network},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer plane.Close()
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(network)}, gateway)
	if err != nil {
		log.Fatal(err)
	}
	users := map[string]*gopptp.LocalUser{
		"alice": {NTHash: chap.NTPasswordHash("correct horse")},
	}
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: plane,
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			return users[name], nil
		}),
		Pool:         pool,
		LocalAddress: gateway,
	})
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp4", ":1723")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(server.Serve(context.Background(), listener))
}

func ExampleRangeOf() {
	r := gopptp.RangeOf(netip.MustParsePrefix("10.8.0.0/24"))
	pool, err := gopptp.NewPool([]gopptp.PoolRange{r}, netip.MustParseAddr("10.8.0.1"))
	if err != nil {
		log.Fatal(err)
	}
	addr, err := pool.Acquire(context.Background(), gopptp.PoolRequest{User: "alice"})
	fmt.Println(r.First, r.Last, pool.Free(), addr, err)
	// Output: 10.8.0.1 10.8.0.254 252 10.8.0.2 <nil>
}
