package traffic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"strconv"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/netns"
)

// ServeTCP starts an iperf3 server, which stays.
func ServeTCP(ns *netns.Namespace) (*child.Process, error) {
	return child.Start(ns, exec.Command("iperf3", "-s", "--forceflush"))
}

// TCP is what iperf3 is to do.
type TCP struct {
	Server  netip.Addr
	Flows   int
	For     time.Duration // in whole seconds
	Reverse bool          // from the server to the client
}

// Octets is what came of it.
type Octets struct {
	Received float64
	Seconds  float64
}

// BitsPerSecond is the throughput.
func (o Octets) BitsPerSecond() float64 { return 8 * o.Received / o.Seconds }

// Run runs iperf3 as client.
func (t TCP) Run(ctx context.Context, ns *netns.Namespace) (Octets, error) {
	args := []string{"-c", t.Server.String(), "-J", "-P", strconv.Itoa(t.Flows), "-t", strconv.Itoa(int(t.For.Seconds())),
		"--connect-timeout", "3000"}
	if t.Reverse {
		args = append(args, "-R")
	}
	cmd := exec.Command("iperf3", args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	p, err := child.Start(ns, cmd)
	if err != nil {
		return Octets{}, err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Stop()
		return Octets{}, ctx.Err()
	case <-time.After(t.For + 10*time.Second):
		p.Stop()
		return Octets{}, fmt.Errorf("iperf3 to %v does not end", t.Server)
	}
	return parseIperf(out.Bytes())
}

func parseIperf(text []byte) (Octets, error) {
	var report struct {
		Error string
		End   struct {
			Received struct {
				Bytes   float64
				Seconds float64
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal(text, &report); err != nil {
		return Octets{}, fmt.Errorf("iperf3: %w: %.200s", err, text)
	}
	r := report.End.Received
	if report.Error != "" || r.Bytes == 0 || r.Seconds == 0 {
		return Octets{}, fmt.Errorf("iperf3: %s: %v octets in %v s", report.Error, r.Bytes, r.Seconds)
	}
	return Octets{r.Bytes, r.Seconds}, nil
}
