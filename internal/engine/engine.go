package engine

import (
	"net/netip"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
)

// Headroom is what must be free in front of an IP packet that is given to
// [Engine.Outbound], in octets: room for the GRE header, the PPP header, the
// MPPE header and the inner protocol field, which are 24 together, rounded up
// so that the packet keeps its alignment.
const Headroom = 32

// Datagram is a GRE packet without its IP header, on its way to or from a peer.
type Datagram struct {
	Local, Peer netip.Addr
	Data        []byte
}

// Wire sends GRE packets.
type Wire interface {
	// Send is called from several goroutines. It must not keep batch nor any
	// Data, and must not block for long: what does not fit is dropped.
	Send(batch []Datagram)
}

// Host takes the users' packets out of the tunnels, and sets up addresses.
type Host interface {
	// Deliver hands IP packets to the host. It is called from several
	// goroutines, and must not keep packets.
	Deliver(packets [][]byte)
	// Attach makes the host route n.Peer and n.Routes to the data plane, with
	// n.Local as its own address. It may block: the engine calls it, and
	// Detach, on a goroutine of its own, one at a time.
	Attach(n gopptp.Network) error
	// Detach undoes an Attach that returned no error.
	Detach(n gopptp.Network)
}

// Config configures an [Engine].
type Config struct {
	Wire Wire // required
	Host Host // required
	// NoMSSClamp leaves the maximum segment size of TCP connections alone. It
	// is otherwise lowered, in either direction, to what fits the tunnel's MTU.
	NoMSSClamp bool
	// Receiver configures the order of received packets and acknowledgements.
	Receiver gre.ReceiverConfig
}

// Stats counts what happens outside of calls.
type Stats struct {
	// Calls is the number of open calls.
	Calls int
	// Malformed counts packets from the wire that are no enhanced GRE.
	Malformed MalformedStats
	// UnknownCall counts packets from the wire for no call, or not from its
	// peer.
	UnknownCall uint64
	// NoCall counts packets from the host to an address behind no call, and
	// NotIPv4 those that are no well-formed IPv4.
	NoCall, NotIPv4 uint64
}

// MalformedStats counts packets that are no enhanced GRE, by the error of
// [gre.Header.Decode].
type MalformedStats struct {
	Short    uint64
	Version  uint64 // other kinds of GRE
	Protocol uint64
	Flags    uint64 // those that must, or must not, be set
	Sequence uint64
	Length   uint64
}

// Total returns the sum.
func (m MalformedStats) Total() uint64 {
	return m.Short + m.Version + m.Protocol + m.Flags + m.Sequence + m.Length
}

// Engine is the common part of a data plane. It is safe for concurrent use.
type Engine struct {
	cfg Config
}

var _ gopptp.Dataplane = (*Engine)(nil)

// New returns an Engine. Close ends it.
func New(cfg Config) *Engine { return &Engine{cfg: cfg} }

// Open implements [gopptp.Dataplane].
func (e *Engine) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	panic("not yet")
}

// Close implements [gopptp.Dataplane].
func (e *Engine) Close() error { return nil }

// Inbound takes packets that were read from the wire. Data may be changed in
// place; nothing of batch is kept.
func (e *Engine) Inbound(batch []Datagram) {}

// Outbound takes IP packets from the host. Each slice begins [Headroom] octets
// before its packet. It may be changed in place, and is not kept.
func (e *Engine) Outbound(packets [][]byte) {}

// Stats returns the counters.
func (e *Engine) Stats() Stats { return Stats{} }
