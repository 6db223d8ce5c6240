package gopptp

import (
	"net/netip"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// Dataplane carries the GRE side of PPTP calls: the PPP control frames between
// a peer and its session, and the users' packets between the peer and the host.
// Package userspace does it with a raw socket and one TUN device, package memory
// within the process for tests, package kernel with Linux's own PPTP driver.
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
// may be called from any goroutine, several at once, and never block. They may
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
	// A second Attach replaces the first.
	Attach(n Network) error
	// Detach stops the users' packets, as when IPCP has closed.
	Detach() error
	// Counters may be called from any goroutine, also after Close: then it
	// returns the final figures.
	Counters() Counters
	// Close ends the call and frees its ID. When it has returned, h is called
	// no more.
	Close() error
}

// PeerCall is the peer's side of a call, as the control connection told it.
type PeerCall struct {
	// ID is the peer's call ID, which goes into our GRE packets. Zero is
	// legal, and two peers behind one address may have the same.
	ID uint16
	// Window is the receive window that the peer advertised, in packets.
	Window uint16
}

// Encryption is what CCP agreed on, each direction by itself. In a nil
// direction packets pass in clear.
type Encryption struct {
	Send, Receive *mppe.Params
}

// Network is what the network protocols agreed on.
type Network struct {
	// Local is the host's address in the tunnel, Peer the other end's.
	Local, Peer netip.Addr
	// Routes are further destinations behind the peer. The peer may send
	// packets from Peer and from these, and no others.
	Routes []netip.Prefix
	// MTU is the largest IP packet, in octets, that fits the tunnel.
	MTU int
	// Header says which parts of a PPP header may be left out towards the
	// peer.
	Header ppp.HeaderCompression
}

// Counters of one call. Octets are those of the users' IP packets.
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
}
