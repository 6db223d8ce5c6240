package lab

import (
	"context"
	"net"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
)

// measureTraffic has one session carry TCP each way, and packets.
func (size benchSize) measureTraffic(t *testing.T, w benchWay, mppe string, r *benchReport) {
	server, clients := network(t, 1)
	client := clients[0]
	syslog(t)
	s := w.start(t, server, mppe)
	dev := benchCall(t, client, mppe)
	require.NoError(t, client.echoOfPPPD(dev, tunnelServer))

	for _, up := range []bool{true, false} {
		direction := "TCP to the server"
		if !up {
			direction = "TCP from the server"
		}
		f := flow(t, s, client, server, dev, up, size.TCP)
		r.add(mppe, direction, "Mbit/s", w.name, f.rate*8/1e6)
		r.add(mppe, direction+": CPU of all", "s/GB", w.name, f.all)
		r.add(mppe, direction+": CPU of the server's processes", "s/GB", w.name, f.server)
		t.Logf("%s: %.1f Mbit/s, %.1f s/GB, %.1f s/GB in the server's processes", direction, f.rate*8/1e6, f.all, f.server)
	}
	require.NoError(t, client.echoOfPPPD(dev, tunnelServer))
	p := openPackets(t, client, server, dev)
	best := 0.0
	for _, underWay := range []int{1, 4, 16, 64, 256, 1024} {
		rate, lost := p.under(t, underWay, size.Packets)
		t.Logf("%d packets under way: %.0f a second, %.2f %% lost", underWay, rate, 100*lost)
		if best > 0 && lost > mostLost {
			break
		}
		best = max(best, rate)
	}
	require.NotZero(t, best, "packets received")
	r.add(mppe, "64-octet packets without loss", "1/s", w.name, best)
}

// benchCall is our client with the kernel plane, which costs the processor least. It
// returns the tunnel's device.
func benchCall(t *testing.T, client host, mppe string) string {
	t.Helper()
	var plane *kernel.Plane
	require.NoError(t, client.enter(func() (err error) {
		plane, err = kernel.Open(kernel.Options{})
		return err
	}))
	t.Cleanup(func() { plane.Close() })
	encryption := gopptp.EncryptionRequire
	if mppe == noMPPE {
		encryption = gopptp.EncryptionDeny
	}
	session, err := gopptp.Dial(t.Context(), serverAddr, client.calls(plane, encryption))
	require.NoError(t, err)
	t.Cleanup(func() { session.Close() })
	device := regexp.MustCompile(`^\d+: (\S+)`).FindStringSubmatch(client.ip(t, "-o", "addr", "show", "to", session.Local().String()))
	require.NotNil(t, device, "the device with %v", session.Local())
	return device[1]
}

// calls is how a client in the host calls.
func (h host) calls(plane gopptp.Dataplane, encryption gopptp.EncryptionPolicy) gopptp.ClientConfig {
	return gopptp.ClientConfig{
		Dataplane: plane, User: user, Password: password, Encryption: encryption,
		DialContext: func(_ context.Context, _, address string) (net.Conn, error) { return h.dial("", address) },
	}
}

// tcpThrough has a connection from a client through its tunnel. Both of its ends are
// in this process: to start a program may take longer than to measure with it.
func tcpThrough(t *testing.T, client, server host, dev string) (here, there *net.TCPConn) {
	t.Helper()
	l, err := server.listen("0.0.0.0:7001")
	require.NoError(t, err)
	defer l.Close()
	a, err := client.dial(dev, tunnelServer+":7001")
	require.NoError(t, err)
	b, err := l.Accept()
	require.NoError(t, err)
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

// flowFigures are what a flow has come to.
type flowFigures struct {
	rate        float64 // octets a second
	all, server float64 // processor time, in seconds a gigabyte
}

// flow sends as much as goes through a connection, one way, and measures once it is
// under way.
func flow(t *testing.T, s *benchServer, client, server host, dev string, up bool, during time.Duration) flowFigures {
	t.Helper()
	from, to := tcpThrough(t, client, server, dev)
	if !up {
		from, to = to, from
	}
	var received atomic.Int64
	var running sync.WaitGroup
	running.Go(func() {
		for b := make([]byte, 128<<10); ; {
			n, err := to.Read(b)
			if err != nil {
				return
			}
			received.Add(int64(n))
		}
	})
	running.Go(func() {
		for b := make([]byte, 128<<10); ; {
			if _, err := from.Write(b); err != nil {
				return
			}
		}
	})
	defer running.Wait()
	for _, c := range []*net.TCPConn{from, to} {
		defer c.Close()
		require.NoError(t, c.SetLinger(0)) // what is under way then must not be in the way of what comes next
	}
	time.Sleep(during / 4)
	octets, all, own, began := received.Load(), busy(t), s.cpu(t), time.Now()
	time.Sleep(during)
	for late := time.Now(); received.Load() == octets && time.Since(late) < 10*time.Second; { // pptpd may lose a lot at first
		time.Sleep(during)
	}
	octets, all, own = received.Load()-octets, busy(t)-all, s.cpu(t)-own
	took := time.Since(began)
	require.NotZero(t, octets, "octets received")
	gigabytes := float64(octets) / 1e9
	return flowFigures{float64(octets) / took.Seconds(), all.Seconds() / gigabytes, own.Seconds() / gigabytes}
}
