package tunnel

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/dial/internal/explain"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/ppp"
)

// world is a server and a client on a network in memory, in virtual time.
type world struct {
	network        *memory.Network
	server         *gopptp.Server
	client         *memory.Host
	options        Options
	end            context.CancelFunc
	stdout, stderr strings.Builder // to be read when Run has returned
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{network: memory.NewNetwork()}
	serverHost := w.network.Host(netip.MustParseAddr("192.0.2.1"))
	w.client = w.network.Host(netip.MustParseAddr("192.0.2.2"))
	gateway := netip.MustParseAddr("10.9.0.1")
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.9.1.0/29"))}, gateway)
	require.NoError(t, err)
	prefixes, err := gopptp.NewIPv6Pool(netip.MustParsePrefix("2001:db8:1::/48"))
	require.NoError(t, err)
	alice := &gopptp.LocalUser{NTHash: chap.NTPasswordHash("correct horse")}
	w.server, err = gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: serverHost.Dataplane(),
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			if name == "alice" {
				return alice, nil
			}
			return nil, nil
		}),
		Pool: pool, LocalAddress: gateway, DNS: []netip.Addr{netip.MustParseAddr("10.9.0.53")}, Loops: 1,
		IPv6: &gopptp.IPv6Config{Pool: prefixes, InterfaceID: ipcp.InterfaceID{7: 1}},
	})
	require.NoError(t, err)
	listener, err := serverHost.Listen(1723)
	require.NoError(t, err)
	go w.server.Serve(context.Background(), listener)

	end, cancel := context.WithCancel(context.Background())
	w.end = cancel
	hash := chap.NTPasswordHash("correct horse")
	w.options = Options{
		Host:    "192.0.2.1",
		Client:  gopptp.ClientConfig{User: "alice", NTHash: &hash, RequestDNS: true, DialContext: w.client.DialContext},
		Timeout: 30 * time.Second,
		End:     end,
		OpenDataplane: func() (gopptp.Dataplane, func() string, error) {
			return w.client.Dataplane(), func() string { return "mem0" }, nil
		},
		Stdout: &w.stdout,
		Stderr: &w.stderr,
	}
	return w
}

// close ends what the test has left.
func (w *world) close() {
	w.end()
	w.server.Close()
	w.network.Close()
}

const upLine = `up: local=10.9.1.1 peer=10.9.0.1 mtu=1456 encryption="MPPE 128-bit stateless" device=mem0 elapsed=\d+\.\dms
name servers: 10.9.0.53 \(nothing is configured with them\)
`

// The whole output of a tunnel that comes up and is ended by a time, whose lines
// for programs are promised not to change.
func TestFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.options.For = 90 * time.Second
		assert.Equal(t, explain.OK, Run(w.options))
		assert.Empty(t, w.stderr.String())
		want := `^ +connecting to 192.0.2.1:1723
 +\d+\.\d ms  connected to 192.0.2.1:1723; opening the PPTP control connection
 +\d+\.\d ms  control connection is open, to "gopptp"; placing the call
 +\d+\.\d ms  call is placed; negotiating the link over GRE \(LCP\)
 +\d+\.\d ms  link is open; authenticating as "alice"
 +\d+\.\d ms  authenticated; negotiating encryption and addresses \(CCP, IPCP\)
 +\d+\.\d ms  tunnel is up
` + upLine + ` +90\d{3}\.\d ms  ending
down: cause=local duration=1m30(\.\d+)?s received_packets=0 received_octets=0 sent_packets=0 sent_octets=0 lost=0 reordered=0 duplicates=0 dropped=0
$`
		assert.Regexp(t, regexp.MustCompile(want), w.stdout.String())
	})
}

func TestIPv6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.options.For = 24 * time.Hour
		w.options.Client.IPv6 = true
		w.options.Client.InterfaceID = ipcp.InterfaceID{7: 2}
		assert.Equal(t, explain.OK, Run(w.options))
		assert.Regexp(t, upLine+"ipv6: address=2001:db8:1::2 prefix=2001:db8:1::/64 peer=fe80::1\n", w.stdout.String())
		assert.Equal(t, 1, strings.Count(w.stdout.String(), "ipv6:"))
		assert.Equal(t, 1, strings.Count(w.stdout.String(), "tunnel is up"))
	})
}

func TestSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		time.AfterFunc(10*time.Second, w.end)
		assert.Equal(t, explain.OK, Run(w.options))
		assert.Regexp(t, `(?m)^down: cause=local duration=(10|9\.\d+)s `, w.stdout.String())
	})
}

func TestEndedByServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		time.AfterFunc(10*time.Second, func() { w.server.Shutdown(context.Background()) })
		assert.Equal(t, explain.Lost, Run(w.options))
		assert.Contains(t, w.stdout.String(), "\ndown: cause=peer ")
		assert.Equal(t, "dial: 192.0.2.1 ended the tunnel.\n", w.stderr.String())
	})
}

func TestGREBlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.network.Filter(func(memory.Packet) bool { return false })
		begin := time.Now()
		assert.Equal(t, explain.GREBlocked, Run(w.options))
		assert.Less(t, time.Since(begin), 15*time.Second)
		assert.Contains(t, w.stderr.String(), "dial: No answer to LCP: GRE is blocked on the way.")
		assert.Contains(t, w.stderr.String(), "\n  - Firewalls at both ends and between must pass IP protocol 47")
		assert.NotContains(t, w.stdout.String(), "up:")
	})
}

func TestWrongPassword(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		hash := chap.NTPasswordHash("guess")
		w.options.Client.NTHash = &hash
		assert.Equal(t, explain.BadLogin, Run(w.options))
		assert.Contains(t, w.stderr.String(), `dial: Wrong user name or password: 192.0.2.1 refused "alice"`)
	})
}

// The server does MS-CHAPv2 and nothing else.
func TestNothingInCommon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.options.Client.AuthMethods = []ppp.AuthMethod{ppp.AuthEAP}
		assert.Equal(t, explain.Negotiation, Run(w.options))
		assert.Contains(t, w.stderr.String(), "It may demand another authentication than --auth allows: EAP.")
	})
}

func TestRefusedConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.options.Client.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED }
		assert.Equal(t, explain.NoConnect, Run(w.options))
		assert.Contains(t, w.stderr.String(), "dial: Connection refused: 192.0.2.1 is there")
	})
}

// A signal while the tunnel comes up gives it up.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.options.Client.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		time.AfterFunc(time.Second, w.end)
		assert.Equal(t, explain.Interrupted, Run(w.options))
		assert.Equal(t, "dial: Interrupted before the tunnel was up.\n", w.stderr.String())
	})
}

func TestNoDataplane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.close()
		w.options.OpenDataplane = func() (gopptp.Dataplane, func() string, error) { return nil, nil, errors.New("no TUN") }
		assert.Equal(t, explain.Local, Run(w.options))
		assert.Equal(t, "dial: This machine could not: no TUN.\n", w.stderr.String())
		assert.Empty(t, w.stdout.String())
	})
}
