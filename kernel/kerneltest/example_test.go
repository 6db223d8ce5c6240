package kerneltest_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
)

// A server whose sessions are the kernel's, and a client that has none.
func Example() {
	network := memory.NewNetwork()
	defer network.Close()
	client := network.Host(netip.MustParseAddr("198.51.100.1"))
	server := kerneltest.NewHost(network, netip.MustParseAddr("192.0.2.1"), kerneltest.Options{})

	plane, err := server.Open(kernel.Options{DeviceName: "pptp%d"})
	if err != nil {
		fmt.Println(err)
		return
	}
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.0.0.8/29"))})
	if err != nil {
		fmt.Println(err)
		return
	}
	s, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane:    plane,
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
	for len(server.Devices()) == 0 || !server.Devices()[0].IPv4 { // its side may be up a moment later
		time.Sleep(time.Millisecond)
	}
	d := server.Devices()[0]
	fmt.Println(d.Name, d.Addresses[0].Local, d.Addresses[0].Peer, d.MTU)
	client.Send(ipPacket(session.Local(), session.Peer(), "hello"))
	packet := <-server.Packets()
	fmt.Printf("%s, encrypted by %s\n", packet[20:], session.Encryption())

	session.Close()
	<-session.Done()
	_ = s.Close()
	<-served
	_ = plane.Close()
	fmt.Println("left:", server.Leaks())
	// Output:
	// pptp0 10.0.0.1 10.0.0.9 1456
	// hello, encrypted by MPPE 128-bit stateless
	// left: {0 0 0 0}
}

// ipPacket makes an IPv4 packet.
func ipPacket(from, to netip.Addr, payload string) []byte {
	p := make([]byte, 20, 20+len(payload))
	src, dst := from.As4(), to.As4()
	p[0], p[3], p[8], p[9] = 0x45, byte(cap(p)), 64, 253
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(p[i:]))
	}
	binary.BigEndian.PutUint16(p[10:], ^uint16(sum+sum>>16))
	return append(p, payload...)
}
