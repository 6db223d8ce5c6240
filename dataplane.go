package gopptp

import (
	"math"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// Dataplane carries the GRE side of PPTP calls: the PPP control frames between
// a peer and its session, and the users' packets between the peer and the host.
// Package userspace does it with a raw socket and one TUN device, package memory
// within the process, for tests.
//
// A Dataplane serves any number of calls and is safe for concurrent use.
type Dataplane interface {
	// Open reserves a call ID of ours towards peer. Frames that come for it
	// before Connect are kept, a few of them, and handed up then: a peer may
	// send its first one before its own control message has reached us.
	//
	// h is told what happens on the call, from now until Close has returned.
	Open(cfg CallConfig, h CallHandler) (Call, error)
	// Close ends all calls and frees what the data plane holds.
	Close() error
}

// CallConfig describes a call to a Dataplane.
type CallConfig struct {
	// Local is our address, the one the control connection ends at; Peer is
	// the other end's. Both are IPv4, as PPTP knows no other.
	Local, Peer netip.Addr
	// RequireEncryption lets no user packet pass in clear, either way, at any
	// time: what comes unencrypted is dropped and counted, and what cannot be
	// encrypted is not sent.
	RequireEncryption bool
}

// CallHandler is how a Dataplane reports to the owner of a call. Its methods
// may be called from any goroutine, several at once, and never block. They must not
// call the Call back, nor the Dataplane, which may hold locks meanwhile. They may
// be called before Open has returned.
type CallHandler interface {
	// ControlFrame hands up a frame that is not the data plane's: everything
	// but the datagrams of open network protocols. frame begins with the
	// protocol field and is valid only during the call.
	ControlFrame(frame []byte)
	// Attached reports the end of an Attach that returned no error.
	Attached(err error)
	// ResetNeeded reports that packets of the peer were lost in stateful mode,
	// and that no other can be decrypted until the peer has been asked by CCP
	// to begin anew. It comes again while that is so, at intervals.
	ResetNeeded()
	// Failed reports that the call can carry nothing more, and why.
	Failed(err error)
}

// Call is one PPTP call on a Dataplane. Its methods are called by one goroutine
// at a time and return promptly: what takes a data plane longer than a system
// call it does on its own goroutines, in the order of the calls.
//
// The order of use is Connect; PrepareReceive and SetEncryption as CCP goes on;
// Attach once the network protocols are open; Close, which may come at any
// point. WriteControl works from Connect to Close.
type Call interface {
	// ID is our call ID, which the peer puts into its GRE packets.
	ID() uint16
	// Connect names the peer's side of the call; frames flow from then on.
	Connect(peer PeerCall) error
	// WriteControl sends one frame, which begins with a protocol field of two
	// octets. Control frames go in the order of the calls, never encrypted,
	// and are dropped rather than queued without bound.
	WriteControl(frame []byte) error
	// PrepareReceive makes the call ready to decrypt what the peer may send
	// once it has acked our CCP Configure-Request. It is called before that
	// request is written, each time one is.
	PrepareReceive(p mppe.Params) error
	// SetEncryption follows the state of CCP. It is called after the frame
	// that opened CCP was written, and again, with the zero Encryption, when
	// CCP goes down. Unless RequireEncryption is set, packets then pass in
	// clear.
	SetEncryption(e Encryption) error
	// ResetSend follows a Reset-Request of the peer, which has lost its place
	// in stateful mode: the next packet begins anew. It is called after the
	// Reset-Ack was written. In stateless mode it does nothing.
	ResetSend() error
	// Attach lets users' packets flow between the peer and the host. It
	// returns at once; CallHandler.Attached follows, except after an error.
	// A second Attach replaces the first, as when IPV6CP opens after IPCP or
	// one of them closes; what is the same in both is not interrupted.
	Attach(n Network) error
	// Detach stops the users' packets, as when all network protocols have
	// closed.
	Detach() error
	// Counters may be called from any goroutine that is not in the handler, also
	// after Close: then it returns the final figures.
	Counters() Counters
	// Close ends the call and frees its ID. When it has returned, h is called
	// no more.
	Close() error
}

// Nudged is a Dataplane with goroutines of its own that wait for packets. Event loops that
// are busy for long call Nudge, on their goroutines and some thousands of times a second,
// and then let others run: it is to have those goroutines run next for which packets have
// come. While thousands set up sessions, the Go runtime would tell them of it 10 ms late.
// Nudge must be quick, and must not block.
type Nudged interface {
	Dataplane
	Nudge()
}

// IdleCall is a Call that knows how long it has been idle, better than by its Counters.
type IdleCall interface {
	Call
	// Idle is how long ago the last user's packet passed, in either direction. It is
	// called as Counters is. After an error the counters are used.
	Idle() (time.Duration, error)
}

// RatesCall is a Call that may be unable to keep limits. While it is attached, others are
// asked for only if it can.
type RatesCall interface {
	Call
	// CheckRates says why the call cannot have these limits; nil: it can, as far as it
	// knows. It is called as Counters is.
	CheckRates(r Rates) error
}

// PeerCall is the peer's side of a call, as the control connection told it.
type PeerCall struct {
	// ID is the peer's call ID, which goes into our GRE packets. Zero is
	// legal, and two peers behind one address may have the same.
	ID uint16
	// Window is the receive window that the peer advertised, in packets; zero
	// if it is known to keep none. Delay is its packet processing delay.
	Window uint16
	Delay  time.Duration
}

// Encryption is what CCP agreed on, each direction by itself. In a nil
// direction packets pass in clear.
type Encryption struct {
	Send, Receive *mppe.Params
}

// IPv6Handler is a CallHandler that wants to hear of routers. A data plane tells
// it on calls whose Network has IPv6 without IPv6Network.Router.
type IPv6Handler interface {
	CallHandler
	// RouterAdvertised reports a valid Router Advertisement of the peer, as
	// often as one comes. It is called as the methods of CallHandler are, and
	// what it is given is its own.
	RouterAdvertised(a RouterAdvertisement)
}

// RouterAdvertisement is what a router says of a link (RFC 4861 §4.2).
type RouterAdvertisement struct {
	// RouterLifetime is how long the router may be taken for a way to
	// everywhere; zero: it is none.
	RouterLifetime time.Duration
	// Prefix is the /64 in which an address may be chosen; not valid if the
	// router names none. It must not be used after PrefixLifetime.
	Prefix         netip.Prefix
	PrefixLifetime time.Duration
	DNS            []netip.Addr // name servers (RFC 8106)
}

// InfiniteLifetime is that of what does not end.
const InfiniteLifetime time.Duration = math.MaxInt64

// Network is what the network protocols agreed on.
type Network struct {
	// Local is the host's address in the tunnel, Peer the other end's. Both
	// are the zero value where IPv6 alone is carried, as when the peer has
	// closed IPCP.
	Local, Peer netip.Addr
	// Routes are further destinations behind the peer, IPv4 all. The peer may
	// send IPv4 packets from Peer and from these, and no others.
	Routes []netip.Prefix
	// MTU is the largest IP packet, in octets, that fits the tunnel.
	MTU int
	// Header says which parts of a PPP header may be left out towards the
	// peer.
	Header ppp.HeaderCompression
	// IPv6 is the tunnel's IPv6 part; nil: none is carried.
	IPv6 *IPv6Network
	// Rates limit the users' packets, of both families together. A data plane that
	// cannot do that fails the Attach. What a limit has counted survives an Attach
	// with the same one.
	Rates Rates
}

// IPv6Network is what IPV6CP agreed on, and what is routed by it. Whoever
// attaches it must not change it any more.
//
// The packets of the link itself, Neighbor Discovery and others to and from its
// link-local addresses, are the data plane's: it answers for Local, as router or
// as host.
type IPv6Network struct {
	// Local and Peer are the link-local addresses of the two ends, which their
	// interface identifiers make.
	Local, Peer netip.Addr
	// Router: this end is the router. It tells the peer Prefix, the MTU and DNS
	// by Router Advertisements. Without it this end is a host: it solicits
	// advertisements for as long as it has no Prefix.
	Router bool
	// Prefix is a /64 that has been given to this link; not valid if none
	// is. To a router it is the peer's, to a host its own.
	Prefix netip.Prefix
	// Routes are further destinations behind the peer, IPv6 all. The peer may
	// send from its link-local address, to this end only, from Routes and, if
	// this is the router, from Prefix.
	Routes []netip.Prefix
	// DNS are the name servers that a router tells the peer.
	DNS []netip.Addr
}

// Address is the address of this end, a host, in Prefix, made with the interface
// identifier of Local. It is the zero value for a router and without a Prefix.
func (n *IPv6Network) Address() netip.Addr {
	if n.Router || !n.Prefix.IsValid() {
		return netip.Addr{}
	}
	a, id := n.Prefix.Addr().As16(), n.Local.As16()
	copy(a[8:], id[8:])
	return netip.AddrFrom16(a)
}

// Counters of one call, from its beginning to its end: no negotiation sets them back.
// Octets are those of the users' IP packets, as they are outside the tunnel, so that they
// are what accounting wants.
type Counters struct {
	ReceivedPackets, ReceivedOctets uint64 // from the peer, delivered to the host
	SentPackets, SentOctets         uint64 // from the host, sent to the peer

	Lost       uint64 // GRE packets of the peer that never came
	Reordered  uint64 // came out of order, and were put right
	Duplicates uint64 // came twice, or too late, and were dropped

	DroppedSource    uint64 // inner source address not the peer's
	DroppedClear     uint64 // came in clear where encryption is required, or could not be encrypted
	DroppedEncrypted uint64 // could not be decrypted
	DroppedMalformed uint64 // not a GRE, PPP or IP packet
	DroppedQueue     uint64 // a queue was full, or the packet larger than the MTU allows
	DroppedNetwork   uint64 // user packets outside Attach and Detach
	DroppedRate      uint64 // above a limit of Network.Rates
	DroppedLink      uint64 // IPv6 packets that stay on the link and mean nothing to us: multicast, to the peer's own prefix
}
