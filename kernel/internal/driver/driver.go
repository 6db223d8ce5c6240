// Package driver is the operating system as package kernel sees it: PPTP sockets,
// PPP channels and units, and the network devices that units are. It does what it is
// told; what to do when is package kernel's. New returns the real one, on Linux;
// package kerneltest has a model of it.
//
// The words are the kernel's. A socket is one PPTP call. Connected, it has a channel,
// by which control frames go. A unit is the network device of a call; joined to the
// channel, it carries users' packets without anybody's doing. It sees the peer's packets
// of CCP pass and draws its own conclusions, of which Filter can spare it some.
package driver

import (
	"errors"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// Errors of a Driver.
var (
	// ErrIDInUse: the host has a call with that ID of ours.
	ErrIDInUse = errors.New("call ID in use")
	// ErrCollision: the host has a call with that ID of the peer's, and the driver
	// tells calls apart by that.
	ErrCollision = errors.New("another call with the same peer address and peer call ID")
)

// Driver is safe for concurrent use, and so is all that it gives out, but for what is
// said there.
type Driver interface {
	// Bind makes a socket for a call with the given ID of ours, which is not zero.
	// Requests of LCP that come before AttachChannel has returned are handed up then.
	Bind(local, peer netip.Addr, id uint16, h Handler) (Socket, error)
	// Close frees what the driver has, when all sockets and units are closed.
	Close() error
}

// Handler is told what comes. Its methods are called by one goroutine at a time for
// each descriptor, so perhaps by several, and do not block.
type Handler interface {
	// Frame hands up a frame, which begins with the protocol field of two octets and
	// is valid only during the call.
	Frame(frame []byte)
	// Gone reports that the channel or the device is no more, though nobody closed it.
	Gone(err error)
}

// Socket is a PPTP call of the kernel. Its methods are called one at a time.
type Socket interface {
	// Connect names the peer's call ID. It returns ErrCollision if that is taken, and
	// then hands up what came early.
	Connect(peerID uint16) error
	// AttachChannel has frames flow, after Connect.
	AttachChannel() error
	// Write sends a frame through the channel: never encrypted, and unseen by the unit.
	Write(frame []byte) error
	// SetHeader says what may be left out of PPP headers towards the peer.
	SetHeader(h ppp.HeaderCompression) error
	// SetFilter says what of the peer's reaches the channel and the unit.
	SetFilter(f Filter) error
	// NewUnit makes a unit and joins it to the channel, after AttachChannel. Users'
	// packets do not pass it yet. name may have a "%d" in it, for the first number that
	// is free.
	NewUnit(name string) (Unit, error)
	// Close ends the call and frees its ID. The Handler is called no more once it has
	// returned, which takes some milliseconds. The unit is closed before.
	Close() error
}

// Filter is what a socket drops before the kernel's PPP sees it, which has no such
// rules of its own.
type Filter struct {
	// NoClear: users' packets that are not encrypted.
	NoClear bool
	// NoRestart: packets of CCP by which the peer can have the kernel encrypt no
	// longer: Configure-Request, Terminate-Request and Terminate-Ack. They are handed
	// up all the same, so that users' packets can be stopped first.
	NoRestart bool
}

// Decryption is how the kernel's decryption fares.
type Decryption uint8

const (
	// DecryptionWorks, or there is none.
	DecryptionWorks Decryption = iota
	// DecryptionLost: nothing is decrypted until the peer's Reset-Ack.
	DecryptionLost
	// DecryptionFailed: nothing will be decrypted any more.
	DecryptionFailed
)

// Stats count users' packets of a unit, and their octets, not counting its own frames.
type Stats struct {
	ReceivedPackets, ReceivedOctets uint64
	SentPackets, SentOctets         uint64
	DroppedRate                     uint64 // above a Rate, and not counted as received or sent
}

// Rate limits users' packets in one direction; the zero Rate does not.
type Rate struct {
	BitsPerSecond uint64
	Burst         int // octets
}

// Unit is a network device. Its methods but Stats are called one at a time.
type Unit interface {
	// Name of the device.
	Name() string
	// Write sends a frame through the unit, which heeds it. Reset-Acks have to go that
	// way.
	Write(frame []byte) error
	// SetEncryption has packets encrypted with send, and decrypted with receive, from
	// their start keys on; nil: in clear. The error is mppe.ErrNotSupported if the kernel
	// knows no such keys, and after any error nothing is encrypted. Meanwhile the peer's
	// packets do not reach the unit.
	SetEncryption(send, receive *mppe.Params) error
	// Pass says whether users' packets of IPv4 and of IPv6 pass, in both directions.
	Pass(ipv4, ipv6 bool) error
	// Decryption is asked when a frame that is still encrypted is handed up.
	Decryption() (Decryption, error)
	// Idle is how long ago the last user's packet passed, in either direction.
	Idle() (time.Duration, error)
	Stats() (Stats, error)

	// SetRates limits users' packets. What is above is dropped. Bursts may be larger, so
	// that they have room for what the kernel moves at once. After an error there may be
	// any limits, of those before and those wanted.
	SetRates(fromPeer, toPeer Rate) error
	SetMTU(octets int) error
	// SetUp lets the host use the device, or not; then its routes are gone.
	SetUp(up bool) error
	// AddAddress gives the device an address, which is told to lead to peer if that is
	// valid. It makes no route to it.
	AddAddress(local, peer netip.Addr) error
	RemoveAddress(local, peer netip.Addr) error
	// AddRoute adds a route, which goes before others to the same destination.
	AddRoute(r Route) error
	RemoveRoute(r Route) error
	// Close removes the device. The kernel takes some milliseconds for it.
	Close() error
}

// Route leads to a device.
type Route struct {
	To     netip.Prefix
	Source netip.Addr // the preferred one; none if not valid
}
