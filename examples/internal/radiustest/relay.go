package radiustest

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Relay passes packets between clients and a server, or does worse to them. Its fields
// may be changed while it runs.
type Relay struct {
	// Addr is where clients send to.
	Addr netip.AddrPort
	// Dead passes nothing.
	Dead atomic.Bool
	// Delay is how long an answer takes, in nanoseconds.
	Delay atomic.Int64
	// Mangle, if it is set, is given every answer, and changes it in place.
	Mangle atomic.Pointer[func(answer []byte)]
	// Requests is how many packets of clients have come, passed or not.
	Requests atomic.Int64

	server netip.AddrPort
	front  *net.UDPConn
	mu     sync.Mutex
	backs  map[netip.AddrPort]*net.UDPConn // a client's socket towards the server; nil: closed
}

// NewRelay starts a relay in front of the server, which ends with the test.
func NewRelay(t testing.TB, server netip.AddrPort) *Relay {
	t.Helper()
	front, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &Relay{
		Addr:   front.LocalAddr().(*net.UDPAddr).AddrPort(),
		server: server,
		front:  front,
		backs:  make(map[netip.AddrPort]*net.UDPConn),
	}
	var running sync.WaitGroup
	running.Go(func() { r.requests(&running) })
	t.Cleanup(func() {
		r.mu.Lock()
		front.Close()
		for _, c := range r.backs {
			c.Close()
		}
		r.backs = nil
		r.mu.Unlock()
		running.Wait()
	})
	return r
}

func (r *Relay) requests(running *sync.WaitGroup) {
	var b [4096]byte
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return
		}
		r.Requests.Add(1)
		if r.Dead.Load() {
			continue
		}
		if back := r.back(from, running); back != nil {
			back.Write(b[:n])
		}
	}
}

// back is the socket for one client's requests.
func (r *Relay) back(client netip.AddrPort, running *sync.WaitGroup) *net.UDPConn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.backs[client]; c != nil || r.backs == nil {
		return c
	}
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.server))
	if err != nil {
		return nil
	}
	r.backs[client] = c
	running.Go(func() { r.answers(c, client) })
	return c
}

func (r *Relay) answers(c *net.UDPConn, client netip.AddrPort) {
	for {
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // refused: the server is not there, and may be for another packet
		}
		if r.Dead.Load() {
			continue
		}
		if mangle := r.Mangle.Load(); mangle != nil {
			(*mangle)(b[:n])
		}
		time.AfterFunc(time.Duration(r.Delay.Load()), func() { r.front.WriteToUDPAddrPort(b[:n], client) })
	}
}
