package memory_test

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/memory"
)

// A client and a server, with a tunnel between them, in one process.
func Example() {
	network := memory.NewNetwork()
	defer network.Close()
	client := network.Host(netip.MustParseAddr("198.51.100.1"))
	server := network.Host(netip.MustParseAddr("192.0.2.1"))

	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.0.0.8/29"))})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane:    server.Dataplane(),
		LocalAddress: netip.MustParseAddr("10.0.0.1"),
		Pool:         pool,
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			return map[string]*gopptp.LocalUser{"alice": {NTHash: chap.NTPasswordHash("secret")}}[name], nil
		}),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	listener, err := server.Listen(1723)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve(ctx, listener)
	}()

	session, err := gopptp.Dial(ctx, "192.0.2.1:1723", gopptp.ClientConfig{
		Dataplane:   client.Dataplane(),
		DialContext: client.DialContext,
		User:        "alice",
		Password:    "secret",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for len(server.Attached()) == 0 { // its side may be up a moment later
		time.Sleep(time.Millisecond)
	}
	client.Send(ipPacket(session.Local(), session.Peer(), "hello"))
	packet := <-server.Packets()
	fmt.Printf("%s, encrypted by %s\n", packet[20:], session.Encryption())

	session.Close()
	<-session.Done()
	_ = s.Close()
	<-served
	// Output: hello, encrypted by MPPE 128-bit stateless
}

// ipPacket makes an IPv4 packet. Hosts of this package do not look at checksums.
func ipPacket(from, to netip.Addr, payload string) []byte {
	p := make([]byte, 20, 20+len(payload))
	src, dst := from.As4(), to.As4()
	p[0], p[3], p[8], p[9] = 0x45, byte(cap(p)), 64, 253
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	return append(p, payload...)
}
