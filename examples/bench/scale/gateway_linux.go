package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
)

// The networks: between the gateway and its clients, where these dial from, and in the
// tunnels.
const (
	outerGateway, outerClients    = "192.0.2.1", "192.0.2.2"
	outerGateway2, outerResidents = "192.0.2.5", "192.0.2.6"
	clientSources                 = "10.32.0.0/20"
	residentSources               = "10.33.0.0/24"
	innerGateway                  = "10.64.0.1"
	innerPool                     = "10.65.0.0-10.66.255.255"
	tun                           = "pptp0"
)

const (
	user     = "bench"
	password = "a password of the benchmark"
)

// configure writes the gateway's configuration. What it does not name has its default.
func (r *run) configure() error {
	config := fmt.Sprintf(`local_address: %s
pools: [%s]
tun: %s
secrets_file: secrets
dataplane: {mode: userspace}
admin: {listen: "unix:%s"}
`, innerGateway, innerPool, tun, r.socket())
	if r.echo > 0 {
		config += fmt.Sprintf("echo: {interval: %v}\n", r.echo)
	}
	secrets := fmt.Sprintf("%s * %q *\n", user, password)
	return errors.Join(
		os.WriteFile(filepath.Join(r.dir, "secrets"), []byte(secrets), 0o600),
		os.WriteFile(filepath.Join(r.dir, "gateway.yaml"), []byte(config), 0o644))
}

func (r *run) socket() string { return filepath.Join(r.dir, "admin.sock") }

// gateway is one that runs.
type gateway struct {
	*child.Process
	cmd   *exec.Cmd
	log   string
	admin http.Client
}

// start starts the gateway, and waits until it is ready.
func (r *run) start() (*gateway, error) {
	r.gateways++
	g := &gateway{log: filepath.Join(r.dir, fmt.Sprintf("gateway%d.log", r.gateways))}
	g.admin.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket())
	}}
	log, err := os.Create(g.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	g.cmd = exec.Command(r.gateway, "serve", "--config", filepath.Join(r.dir, "gateway.yaml"))
	g.cmd.Stderr = log
	if g.Process, err = child.Start(r.server, g.cmd); err != nil {
		return nil, err
	}
	for {
		text, err := os.ReadFile(g.log)
		if err == nil && strings.Contains(string(text), "msg=ready") {
			return g, nil
		}
		select {
		case <-g.Done():
			return nil, g.ended()
		case <-r.ctx.Done():
			g.kill()
			return nil, r.ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// ended is the error that the gateway has ended.
func (g *gateway) ended() error {
	const most = 1000
	text, _ := os.ReadFile(g.log)
	return fmt.Errorf("the gateway has ended: %s", text[max(0, len(text)-most):])
}

// kill ends the gateway as a crash would.
func (g *gateway) kill() {
	_ = g.cmd.Process.Kill()
	<-g.Done()
	g.admin.CloseIdleConnections()
}

// get asks the gateway's private address.
func (g *gateway) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := g.admin.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// counters are those of gopptp.ServerStats.
type counters map[string]float64

func (g *gateway) counters(ctx context.Context) (counters, error) {
	text, err := g.get(ctx, "/stats")
	if err != nil {
		return nil, err
	}
	var stats struct{ Server counters }
	return stats.Server, json.Unmarshal(text, &stats)
}

// received is how many GRE packets have come to the gateway.
func (g *gateway) received(ctx context.Context) (float64, error) {
	text, err := g.get(ctx, "/stats")
	if err != nil {
		return 0, err
	}
	var stats struct {
		Dataplane struct {
			Userspace struct {
				GRE struct{ Received float64 }
			}
		}
	}
	return stats.Dataplane.Userspace.GRE.Received, json.Unmarshal(text, &stats)
}

// refused is how many connections and calls were turned away.
func (c counters) refused() (n float64) {
	for name, count := range c {
		if strings.HasPrefix(name, "refused_") {
			n += count
		}
	}
	return n
}

// await waits until so many sessions are up, and no connection is there without one.
func (g *gateway) await(ctx context.Context, sessions int, who *clients) error {
	for {
		c, err := g.counters(ctx)
		if err != nil {
			return err
		}
		if int(c["up"]) == sessions && c["connections"] == c["up"] {
			return nil
		}
		select {
		case <-who.stopped():
			return fmt.Errorf("the load generator has ended: %s", who.Output())
		case <-ctx.Done():
			return fmt.Errorf("%.0f of %d sessions are up: %w", c["up"], sessions, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// empty waits until all sessions are gone.
func (g *gateway) empty(ctx context.Context) error { return g.await(ctx, 0, nil) }

// stopped is closed once there are no clients any more; nobody's never is.
func (c *clients) stopped() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.Done()
}

// proc reads a file of /proc/PID.
func (g *gateway) proc(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(g.PID()), name))
	return string(text), err
}

// memory is what a gateway has taken, and the kernel for all of the machine, in octets.
type memory struct{ resident, kernel float64 }

func (g *gateway) memory() (m memory, err error) {
	rollup, err1 := g.proc("smaps_rollup")
	sockets, err2 := g.proc("net/sockstat")
	all, err3 := os.ReadFile("/proc/meminfo")
	if err := errors.Join(err1, err2, err3); err != nil {
		return m, err
	}
	m.resident, err1 = field(rollup, "Rss:", 0)
	slab, err2 := field(string(all), "Slab:", 0)
	_, tcp, _ := strings.Cut(sockets, "TCP:")
	pages, err3 := field(tcp, " mem", 0) // of what waits in the sockets
	const kilo = 1024
	m.resident *= kilo
	m.kernel = slab*kilo + pages*float64(os.Getpagesize())
	return m, errors.Join(err1, err2, err3)
}

// packets is how many have passed the gateway's TUN device, in either direction.
func (g *gateway) packets() (float64, error) {
	text, err := g.proc("net/dev")
	if err != nil {
		return 0, err
	}
	in, err1 := field(text, tun+":", 1)
	out, err2 := field(text, tun+":", 9)
	return in + out, errors.Join(err1, err2)
}

// field is a number behind a word: the first is number 0.
func field(text, word string, number int) (float64, error) {
	_, after, found := strings.Cut(text, word)
	fields := strings.Fields(after)
	if !found || len(fields) <= number {
		return 0, fmt.Errorf("no %q in %.200q", word, text)
	}
	return strconv.ParseFloat(fields[number], 64)
}
