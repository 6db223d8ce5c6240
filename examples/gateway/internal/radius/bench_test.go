package radius

import (
	"context"
	"net"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/gopptp/gopptp/examples/internal/radiustest"
)

// BenchmarkExchange has 256 requests under way at a time, to a server that answers at once.
func BenchmarkExchange(b *testing.B) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer socket.Close()
	socket.SetReadBuffer(4 << 20)
	f := &fake{secret: radiustest.Secret}
	go func() {
		for buf := make([]byte, 4096); ; {
			n, from, err := socket.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if p, err := radius.Parse(buf[:n], []byte(f.secret)); err == nil {
				socket.WriteToUDPAddrPort(f.answer(p, radius.CodeAccessAccept), from)
			}
		}
	}()
	cfg := ClientConfig{Servers: []ServerConfig{{Address: socket.LocalAddr().String(), Secret: radiustest.Secret}}}
	client, err := NewClient(cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	request := &radius.Packet{}
	rfc2865.UserName_AddString(request, "alice")
	b.SetParallelism(256)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Exchange(context.Background(), &Request{Code: radius.CodeAccessRequest, Attributes: request.Attributes}); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
