package radius

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2869"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// gateway is a server on a network in memory that asks RADIUS, in real time, and its
// clients.
type gateway struct {
	t       *testing.T
	network *memory.Network
	host    *memory.Host
	server  *gopptp.Server
	live    *sessions.Registry
	client  *Client
	clients int
}

var (
	serverAddr = netip.MustParseAddr("192.0.2.1")
	insideAddr = netip.MustParseAddr("10.9.0.1")
)

// startGateway has a gateway ask RADIUS servers. change may change its configuration.
func startGateway(t *testing.T, cfg ClientConfig, change func(*gopptp.ServerConfig)) *gateway {
	t.Helper()
	client, err := NewClient(cfg)
	require.NoError(t, err)
	g := &gateway{t: t, network: memory.NewNetwork(), live: sessions.New(), client: client}
	g.host = g.network.Host(serverAddr)
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.9.1.0/24"))})
	require.NoError(t, err)
	sc := gopptp.ServerConfig{
		Dataplane: g.host.Dataplane(), Pool: pool, LocalAddress: insideAddr, Observer: g.live,
		Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
		IPv6:   nil,
	}
	if change != nil {
		change(&sc)
	}
	if sc.Authenticator == nil {
		sc.Authenticator = NewAuthenticator(AuthenticatorConfig{
			Client: client, Identity: Identity{NAS: "gw1"}, Encryption: sc.Encryption, Own: insideAddr, Log: sc.Logger,
		})
	}
	g.server, err = gopptp.NewServer(sc)
	require.NoError(t, err)
	l, err := g.host.Listen(gopptp.DefaultPort)
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() { g.server.Serve(context.Background(), l) })
	t.Cleanup(func() {
		g.server.Close()
		serving.Wait()
		client.Close()
		g.network.Close()
	})
	return g
}

// testLog is a log of the test, which shows it where it fails.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil { // it is over, and may not log any more
		l.t.Logf("%s", p)
	}
	return len(p), nil
}

// dial brings a tunnel up, from a host of its own. Both ends of the session are returned.
func (g *gateway) dial(user, password string, method ppp.AuthMethod, change func(*gopptp.ClientConfig)) (here *memory.Host, client, server *gopptp.Session, err error) {
	g.t.Helper()
	g.clients++
	h := g.network.Host(netip.AddrFrom4([4]byte{198, 51, 100, byte(g.clients)}))
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cfg := gopptp.ClientConfig{
		Dataplane: h.Dataplane(), DialContext: h.DialContext, User: user, Password: password,
		AuthMethods: []ppp.AuthMethod{method}, RequestDNS: true,
	}
	if change != nil {
		change(&cfg)
	}
	client, err = gopptp.Dial(ctx, serverAddr.String(), cfg)
	if err != nil {
		return h, nil, nil, err
	}
	require.Eventually(g.t, func() bool {
		server = g.live.ByAddress(client.Local())
		return server != nil
	}, 10*time.Second, time.Millisecond)
	return h, client, server, nil
}

// passes has a packet go through the tunnel, each way.
func (g *gateway) passes(here *memory.Host, client *gopptp.Session) {
	g.t.Helper()
	exchange := func(from *memory.Host, src, dst netip.Addr, to *memory.Host) {
		g.t.Helper()
		packet := datagram(src, dst)
		from.Send(packet)
		select {
		case got := <-to.Packets():
			assert.Equal(g.t, packet, got)
		case <-time.After(10 * time.Second):
			g.t.Error("no packet came through")
		}
	}
	exchange(here, client.Local(), insideAddr, g.host)
	exchange(g.host, insideAddr, client.Local(), here)
}

// datagram is an IPv4 packet of an unassigned protocol.
func datagram(src, dst netip.Addr) []byte {
	b := make([]byte, 40)
	b[0], b[3], b[8], b[9] = 0x45, byte(len(b)), 64, 253
	copy(b[12:], src.AsSlice())
	copy(b[16:], dst.AsSlice())
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
	return b
}

// at is the configuration of servers at addresses, in their order.
func at(addrs ...netip.AddrPort) ClientConfig {
	cfg := ClientConfig{Identity: Identity{NAS: "gw1"}.Attributes()}
	for i, a := range addrs {
		cfg.Servers = append(cfg.Servers, ServerConfig{Address: a.String(), Secret: radiustest.Secret, Priority: i})
	}
	return cfg
}

// allMethods lets peers come in by whatever they know, in clear where it must be.
func allMethods(cfg *gopptp.ServerConfig) {
	cfg.AuthMethods = []ppp.AuthMethod{ppp.AuthEAP, ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1, ppp.AuthCHAPMD5, ppp.AuthPAP}
	cfg.Encryption = gopptp.EncryptionPrefer
	cfg.KeyLengths = mppe.AllowKey128 | mppe.AllowKey56 | mppe.AllowKey40
}

// serveUDP answers requests on a loopback address, each answer signed. With nil there is
// none.
func serveUDP(t *testing.T, answer func(*radius.Packet) *radius.Packet) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	var serving sync.WaitGroup
	serving.Go(func() {
		for b := make([]byte, 4096); ; {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			p, err := radius.Parse(b[:n], []byte(radiustest.Secret))
			if !assert.NoError(t, err) {
				continue
			}
			a := answer(p)
			if a == nil {
				continue
			}
			a.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
			signLast(a)
			wire, err := a.Encode()
			if assert.NoError(t, err) {
				c.WriteToUDPAddrPort(wire, from)
			}
		}
	})
	t.Cleanup(func() {
		c.Close()
		serving.Wait()
	})
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}
