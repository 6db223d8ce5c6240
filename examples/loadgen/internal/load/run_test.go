package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/loadgen/internal/report"
	"github.com/gopptp/gopptp/examples/loadgen/internal/traffic"
	"github.com/gopptp/gopptp/memory"
)

// world is a server and many hosts of clients on a network in memory, in virtual time.
type world struct {
	t       *testing.T
	network *memory.Network
	gateway *memory.Host
	server  *gopptp.Server
	stop    func()
	options Options
	clients *clientPlane
	out     strings.Builder
	hash    chap.NTHash
	bend    func(answer []byte) [][]byte // what becomes of an answer; set before there is any
	pool    *gopptp.Pool
}

var (
	target  = netip.MustParseAddrPort("192.0.2.1:1723")
	inside  = netip.MustParseAddr("10.9.0.1")
	secret  = "correct horse"
	sources = 4
)

func newWorld(t *testing.T, tunnels int) *world {
	w := &world{t: t, network: memory.NewNetwork(), hash: chap.NTPasswordHash(secret)}
	w.gateway = w.network.Host(target.Addr())
	var err error
	w.pool, err = gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.9.0.0/16"))}, inside)
	require.NoError(t, err)
	w.clients = &clientPlane{hosts: make(map[netip.Addr]*memory.Host), inner: make(map[netip.Addr]*memory.Host)}
	for i := range sources {
		a := netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + i)})
		w.clients.hosts[a] = w.network.Host(a)
	}
	w.options = Options{
		Target: target, Tunnels: tunnels, Rate: 100, Duration: 20 * time.Second, Redial: true,
		Backoff: time.Second, MaxBackoff: 8 * time.Second, MaxDialling: 1000, Timeout: 10 * time.Second,
		Source: func(i int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(1 + i%sources)}) },
		User:   func(i int) User { return User{Name: fmt.Sprintf("user%d", i+1), NTHash: &w.hash} },
		Mix:    traffic.Mix{Share: [traffic.Kinds]int{traffic.Idle: 1}, SmallRate: 20, LargeRate: 10, BulkRate: 1e5},
		OpenPlane: func(deliver func([][]byte)) (Plane, error) {
			w.clients.deliver = deliver
			for _, h := range w.clients.hosts {
				go func() {
					for p := range h.Packets() {
						deliver([][]byte{p})
					}
				}()
			}
			return w.clients, nil
		},
		Dial: func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
			return w.clients.hosts[from].DialContext(ctx, "tcp4", to.String())
		},
		CPUTime:  func() time.Duration { return 0 },
		Progress: &w.out,
	}
	w.serve()
	w.bend = func(p []byte) [][]byte { return [][]byte{p} }
	go w.echo()
	return w
}

func (w *world) serve() {
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: w.gateway.Dataplane(), LocalAddress: inside, Pool: w.pool, Loops: 2,
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			if strings.HasPrefix(name, "user") {
				return &gopptp.LocalUser{NTHash: w.hash}, nil
			}
			return nil, nil
		}),
		Limits: gopptp.Limits{MaxPerSource: 10_000},
	})
	require.NoError(w.t, err)
	listener, err := w.gateway.Listen(target.Port())
	require.NoError(w.t, err)
	w.server = server
	w.stop = func() { server.Close() }
	go server.Serve(context.Background(), listener)
}

// echo answers what comes out of the tunnels at the server, as a host does, and gives
// the answers to w.bend first.
func (w *world) echo() {
	for p := range w.gateway.Packets() {
		for _, q := range w.bend(answer(p)) {
			w.gateway.Send(q)
		}
	}
}

// answer makes an echo reply of an echo request.
func answer(p []byte) []byte {
	for i := range 4 {
		p[12+i], p[16+i] = p[16+i], p[12+i]
	}
	if p[9] == 1 {
		p[20] = 0
	} else {
		p[20], p[21], p[22], p[23] = p[22], p[23], p[20], p[21]
	}
	return p
}

func (w *world) run() *report.Report {
	w.t.Helper()
	rep, err := Run(w.t.Context(), w.options)
	require.NoError(w.t, err)
	w.stop()
	w.network.Close()
	synctest.Wait()
	return rep
}

// clientPlane is the data plane of many hosts: that of a call is the host with its
// address.
type clientPlane struct {
	deliver func([][]byte)
	mu      sync.Mutex
	hosts   map[netip.Addr]*memory.Host
	inner   map[netip.Addr]*memory.Host // by the address in the tunnel
}

func (p *clientPlane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	host := p.hosts[cfg.Local]
	call, err := host.Dataplane().Open(cfg, h)
	return &planeCall{call, p, host}, err
}

func (p *clientPlane) Close() error { return nil }

func (p *clientPlane) Dropped() (n uint64) {
	for _, h := range p.hosts {
		n += h.Dropped()
	}
	return n
}

func (p *clientPlane) Send(packets [][]byte) {
	for _, b := range packets {
		b = b[traffic.Headroom:]
		p.mu.Lock()
		host := p.inner[netip.AddrFrom4([4]byte(b[12:16]))]
		p.mu.Unlock()
		host.Send(b)
	}
}

type planeCall struct {
	gopptp.Call
	plane *clientPlane
	host  *memory.Host
}

func (c *planeCall) Attach(n gopptp.Network) error {
	c.plane.mu.Lock()
	c.plane.inner[n.Local] = c.host
	c.plane.mu.Unlock()
	return c.Call.Attach(n)
}

func TestRunHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 300)
		w.options.Ramp = 2 * time.Second
		r := w.run()
		require.True(t, r.Clean(), "%+v", r)
		require.Equal(t, report.Setups{Attempted: 300, Succeeded: 300, PerSecond: r.Setups.PerSecond, BestSecond: r.Setups.BestSecond}, r.Setups)
		require.Equal(t, report.Held{Most: 300, AtEnd: 300}, r.Held)
		// The ramp gives 100 in its two seconds, and then 100 come in each.
		require.InDelta(t, 75, r.Setups.PerSecond, 5)
		require.InDelta(t, 100, r.Setups.BestSecond, 5)
		require.InDelta(t, 20, r.Seconds, 0.01)
		names := []string{}
		for _, p := range r.Phases {
			names = append(names, p.Name)
			require.EqualValues(t, 300, p.Times.Count, p.Name)
		}
		require.Equal(t, phaseNames[:], names)
		require.Contains(t, w.out.String(), "up 300 of 300")
	})
}

// Each phase has its own time, and together they make the whole.
func TestRunPhases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 10)
		w.network.Impair(memory.Impairment{Delay: 10 * time.Millisecond})
		w.options.Rate = 10
		connect := w.options.Dial
		w.options.Dial = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
			time.Sleep(30 * time.Millisecond)
			return connect(ctx, from, to)
		}
		r := w.run()
		require.True(t, r.Clean(), "%+v", r)
		sum := 0.0
		for _, p := range r.Phases {
			switch p.Name {
			case "TCP":
				require.InDelta(t, 30, p.Times.P50, 1)
			case "LCP", "CCP", "IPCP", "authentication":
				require.GreaterOrEqual(t, p.Times.P50, 10.0, p.Name) // a way each at least
			}
			if p.Name != "total" {
				sum += p.Times.P50
			} else {
				require.InDelta(t, sum, p.Times.P50, 5)
			}
		}
	})
}

func TestRunFailuresByCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 40)
		w.options.Redial = false
		w.options.User = func(i int) User {
			if i%4 == 0 {
				return User{Name: "mallory", NTHash: &w.hash}
			}
			return User{Name: "user", NTHash: &w.hash}
		}
		connect := w.options.Dial
		w.options.Dial = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
			if from == w.options.Source(1) {
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}
			return connect(ctx, from, to)
		}
		r := w.run()
		require.False(t, r.Clean())
		require.Equal(t, map[string]int{"authentication at authenticate": 10, "connect: connection refused": 10}, r.Failures)
		require.Equal(t, 20, r.Held.AtEnd)
		require.Equal(t, 40, r.Setups.Attempted)
		require.Equal(t, 20, r.Setups.Failed)
	})
}

// A gateway that goes down and comes back has all its clients again, at their pace.
func TestRunRedials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 100)
		w.options.Duration = 40 * time.Second
		go func() {
			time.Sleep(10 * time.Second)
			w.server.Close()
			time.Sleep(3 * time.Second)
			w.serve()
		}()
		r := w.run()
		require.Equal(t, 100, r.Held.AtEnd)
		dropped := 0
		for _, n := range r.Drops {
			dropped += n
		}
		require.Equal(t, 100, dropped)
		require.Positive(t, r.Failures["connect: connection refused"])
		require.Equal(t, 200, r.Setups.Succeeded)
	})
}

func TestRunChurnsAndHolds(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"churn": func(o *Options) { o.Churn = 0.1 },
		"hold":  func(o *Options) { o.Hold = 10 * time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 40)
				w.options.Duration = 30 * time.Second
				w.options.Mix.Share = [traffic.Kinds]int{traffic.Ping: 1}
				change(&w.options)
				r := w.run()
				require.InDelta(t, 100, r.Setups.Planned, 20)
				require.True(t, r.Clean(), "%+v", r)
				require.InDelta(t, 40, r.Held.AtEnd, 5)
			})
		})
	}
}

func TestRunIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		r, err := Run(ctx, w.options)
		require.NoError(t, err)
		require.True(t, r.Interrupted)
		require.InDelta(t, 3, r.Seconds, 0.1)
		require.InDelta(t, 300, r.Held.AtEnd, 10)
		require.Zero(t, w.server.Stats().Up, "they have hung up")
		w.stop()
		w.network.Close()
	})
}

func TestNoPlane(t *testing.T) {
	o := Options{OpenPlane: func(func([][]byte)) (Plane, error) { return nil, errors.ErrUnsupported }}
	_, err := Run(t.Context(), o)
	require.ErrorIs(t, err, errors.ErrUnsupported)
}

// mixed is traffic of all kinds.
var mixed = [traffic.Kinds]int{traffic.Idle: 2, traffic.Ping: 2, traffic.Small: 2, traffic.Large: 2, traffic.Bulk: 2}

func TestTrafficComesBack(t *testing.T) {
	for _, via := range []traffic.Via{traffic.ICMP, traffic.UDP} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 20)
			w.options.Duration = 10 * time.Second
			w.options.Mix.Share, w.options.Mix.Via, w.options.Mix.Port = mixed, via, 7
			w.network.Impair(memory.Impairment{Delay: 5 * time.Millisecond})
			r := w.run()
			require.True(t, r.Clean(), "%+v", r)
			require.Len(t, r.Traffic, 5)
			for _, k := range r.Traffic {
				require.Positive(t, k.Sent, k.Kind)
				require.Equal(t, k.Sent, k.Received, k.Kind)
				require.Zero(t, k.InFlight, k.Kind)
				require.InDelta(t, 10, k.RTT.P50, 0.5, k.Kind)
				if k.Kind == "bulk" {
					// A session brings its rate, but for the time until it is up.
					sessions := 0
					for i := range w.options.Tunnels {
						if w.options.Mix.KindOf(i) == traffic.Bulk {
							sessions++
						}
					}
					require.InDelta(t, sessions, k.SentBits/1e5, float64(sessions)/20)
				}
			}
			text, err := json.Marshal(r)
			require.NoError(t, err)
			require.Contains(t, string(text), `"kind":"bulk"`)
		})
	}
}

// What a faulty path does to packets is found, each fault by its name.
func TestFaultsAreFound(t *testing.T) {
	const every = 10
	for name, fault := range map[string]struct {
		bend  func(i int, p []byte) [][]byte // of each tenth packet
		found func(k report.Traffic, o report.Odd) uint64
	}{
		"loss": {
			func(_ int, p []byte) [][]byte { return nil },
			func(k report.Traffic, o report.Odd) uint64 { return k.Lost },
		},
		"duplicate": {
			func(_ int, p []byte) [][]byte { return [][]byte{p, p} },
			func(k report.Traffic, o report.Odd) uint64 { return k.Duplicates },
		},
		"damage": {
			func(i int, p []byte) [][]byte {
				p[len(p)-1-i%(len(p)-traffic.MinSize+8)] ^= 0x10 // anywhere behind the headers, the mark included
				return [][]byte{p}
			},
			func(k report.Traffic, o report.Odd) uint64 { return o.Damaged },
		},
		"misdelivery": {
			func(_ int, p []byte) [][]byte {
				p[19] ^= 1 // another session's address, if there is one
				return [][]byte{p}
			},
			func(k report.Traffic, o report.Odd) uint64 { return o.Misdelivered },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 32)
				faults := uint64(0)
				n := 0
				w.bend = func(p []byte) [][]byte {
					if n++; n%every != 0 {
						return [][]byte{p}
					}
					faults++
					return fault.bend(n, p)
				}
				w.options.Mix.Share = [traffic.Kinds]int{traffic.Small: 1}
				w.options.Duration = 6 * time.Second
				r := w.run()
				require.False(t, r.Clean())
				require.Len(t, r.Traffic, 1)
				k := r.Traffic[0]
				require.Greater(t, faults, uint64(200))
				got := fault.found(k, r.Odd)
				if name == "misdelivery" { // not all addresses are somebody's
					require.Positive(t, got)
				} else {
					require.Equal(t, faults, got, "%+v %+v", k, r.Odd)
				}
				if name != "duplicate" {
					require.Equal(t, faults, k.Lost)
					require.Equal(t, k.Sent, k.Received+k.Lost)
				} else {
					require.Equal(t, k.Sent, k.Received)
				}
			})
		})
	}
}

// Packets that overtake each other behind the tunnel are counted, and not as lost.
func TestReorderIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8)
		held := make(map[[4]byte][]byte)
		n, swapped := 0, uint64(0)
		w.bend = func(p []byte) [][]byte {
			who := [4]byte(p[16:20])
			if h := held[who]; h != nil {
				delete(held, who)
				swapped++
				return [][]byte{p, h}
			}
			if n++; n%5 == 0 && n < 1000 {
				held[who] = p
				return nil
			}
			return [][]byte{p}
		}
		w.options.Mix.Share = [traffic.Kinds]int{traffic.Small: 1}
		r := w.run()
		require.Greater(t, swapped, uint64(100))
		require.Equal(t, swapped, r.Traffic[0].Reordered)
		require.Zero(t, r.Traffic[0].Lost)
		require.True(t, r.Clean(), "order is not promised")
	})
}

// What GRE loses is lost, and what it reorders and doubles is not: the tunnel puts it
// right.
func TestTrafficThroughABadNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 20)
		w.options.Mix.Share = [traffic.Kinds]int{traffic.Small: 1}
		go func() {
			time.Sleep(5 * time.Second)
			w.network.Impair(memory.Impairment{Loss: 0.02, Duplicate: 0.05, Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond, Seed: 1})
		}()
		r := w.run()
		k := r.Traffic[0]
		require.InDelta(t, 0.04*0.75, float64(k.Lost)/float64(k.Sent), 0.01, "both ways")
		require.Zero(t, k.Duplicates)
		require.Zero(t, r.Odd.Damaged+r.Odd.Misdelivered)
	})
}
