package load

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/loadgen/internal/traffic"
)

// Plane is a data plane whose users' packets come from this process and go to it.
type Plane interface {
	gopptp.Dataplane
	traffic.Sender
	// Dropped is how many packets were lost because a queue of this machine was full.
	Dropped() uint64
}

// User is whom a client says it is.
type User struct {
	Name string
	// Password or its hash; the other is empty.
	Password string
	NTHash   *chap.NTHash
}

// Options say what a run is.
type Options struct {
	Target  netip.AddrPort
	Tunnels int
	// Rate is how many are dialled in a second; Ramp is how long it takes to get there.
	Rate float64
	Ramp time.Duration
	// Duration is from the first dial until all sessions are hung up.
	Duration time.Duration
	// Hold is how long a session is up before it is hung up and dialled again; 0: to
	// the end. Churn is the part of those that are up to which that happens in each
	// second.
	Hold  time.Duration
	Churn float64
	// Redial has those that fail or are dropped dialled again, after Backoff, twice as
	// much each time up to MaxBackoff, half of it left to chance.
	Redial              bool
	Backoff, MaxBackoff time.Duration
	// MaxDialling bounds the set-ups under way.
	MaxDialling int
	// Timeout is for a set-up, the TCP connection included.
	Timeout time.Duration

	Client gopptp.ClientConfig // what clients have in common
	Source func(i int) netip.Addr
	User   func(i int) User
	Mix    traffic.Mix

	// OpenPlane opens the data plane, which gives users' packets to deliver.
	OpenPlane func(deliver func(packets [][]byte)) (Plane, error)
	// Dial makes a TCP connection.
	Dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	// CPUTime is what the process has used.
	CPUTime func() time.Duration
	// Progress is told each second how it goes; nil for nobody. Rewrite has each line
	// take the place of the one before.
	Progress io.Writer
	Rewrite  bool
}
