package pptp

import (
	"fmt"
	"time"
)

// Role is one of the two sides of PPTP.
type Role uint8

const (
	// RolePAC answers Outgoing-Call-Requests and sends those for incoming
	// calls: the server of a VPN.
	RolePAC Role = iota
	// RolePNS does it the other way round: the client of a VPN.
	RolePNS
)

// String returns "PAC" or "PNS".
func (r Role) String() string {
	return codeName(uint8(r), "PAC", "PNS")
}

// Defaults of Config and of the calls.
const (
	DefaultHandshakeTimeout = 10 * time.Second
	DefaultEchoInterval     = 60 * time.Second
	DefaultEchoTimeout      = 60 * time.Second
	DefaultCallTimeout      = 30 * time.Second
	DefaultStopTimeout      = 5 * time.Second
	DefaultMaxCalls         = 16

	DefaultMinimumBPS   = 300         // bits a second
	DefaultMaximumBPS   = 100_000_000 // bits a second
	DefaultConnectSpeed = 100_000_000 // bits a second
	DefaultRecvWindow   = 64          // packets
)

// Config holds the parameters of a Control. The zero value is that of a PAC
// that waits for a PNS; each field's zero value means its default.
type Config struct {
	Role Role
	// Originator says that this side opened the TCP connection, so that it
	// sends the Start-Control-Connection-Request (RFC 2637 section 3.1). It
	// is usual for a PNS.
	Originator bool

	// What we tell about ourselves. The texts have at most 64 octets.
	HostName            string
	VendorString        string
	FirmwareRevision    uint16
	FramingCapabilities Framing // default FramingEither
	BearerCapabilities  Bearer  // default BearerAny
	MaximumChannels     uint16  // of a PAC; 0 says nothing

	// ConfirmStart has StartRequested announce the peer's
	// Start-Control-Connection-Request, which the owner then answers. Without
	// it, every peer that speaks our version is welcome.
	ConfirmStart bool
	// IncomingCalls has a PNS announce the calls of its PAC by
	// IncomingCallRequested. Without it they are declined.
	IncomingCalls bool

	// PacketRecvWindowSize and PacketProcessingDelay are what we tell about
	// ourselves for a call for which the owner says nothing else: how many
	// packets we buffer, by default 64, and for how long at most we keep one,
	// in tenths of a second.
	PacketRecvWindowSize  uint16
	PacketProcessingDelay uint16
	// Serials gives calls their serial numbers. It is shared by all that have
	// one address, since the two should identify a call in the logs of both
	// peers (RFC 2637 section 2.7). Nil: a Control counts for itself, Conns
	// count together.
	Serials *Serials

	// HandshakeTimeout is how long the start of the control connection may
	// take. The RFC's 60 s would let strangers hold connections for long.
	// Default 10 s.
	HandshakeTimeout time.Duration
	// EchoInterval is the silence after which an Echo-Request is sent; any
	// message of the peer ends a silence. Default 60 s; negative sends none.
	EchoInterval time.Duration
	// EchoTimeout is how long the peer may then go on being silent before
	// the connection is given up. Default 60 s.
	EchoTimeout time.Duration
	// CallTimeout is how long each step of setting a call up may take: the
	// peer's reply, our owner's decision, the line of an incoming call. No
	// telephone is dialed here as a rule, so it is less than the RFC's 60 s.
	// Default 30 s.
	CallTimeout time.Duration
	// StopTimeout is how long the peer has to answer a
	// Stop-Control-Connection-Request or a Call-Clear-Request. Default 5 s.
	StopTimeout time.Duration
	// MaxCalls bounds the calls of the connection, those being set up and
	// cleared included. Calls are kept in a list that is searched from its
	// start: it is meant for a few, not for thousands. Default 16.
	MaxCalls int
}

// Validate reports the first value that is out of range; the error is
// ErrConfig.
func (c *Config) Validate() error {
	switch {
	case c.Role > RolePNS:
		return fmt.Errorf("%w: Role is %d", ErrConfig, c.Role)
	case len(c.HostName) > textLen:
		return fmt.Errorf("%w: HostName has more than %d octets", ErrConfig, textLen)
	case len(c.VendorString) > textLen:
		return fmt.Errorf("%w: VendorString has more than %d octets", ErrConfig, textLen)
	case c.HandshakeTimeout < 0:
		return fmt.Errorf("%w: HandshakeTimeout is negative", ErrConfig)
	case c.EchoTimeout < 0:
		return fmt.Errorf("%w: EchoTimeout is negative", ErrConfig)
	case c.CallTimeout < 0:
		return fmt.Errorf("%w: CallTimeout is negative", ErrConfig)
	case c.StopTimeout < 0:
		return fmt.Errorf("%w: StopTimeout is negative", ErrConfig)
	case c.MaxCalls < 0 || c.MaxCalls > 1<<16:
		return fmt.Errorf("%w: MaxCalls is %d, not 0 to %d", ErrConfig, c.MaxCalls, 1<<16)
	}
	return nil
}

func (c *Config) setDefaults() {
	c.FramingCapabilities = orDefault(c.FramingCapabilities, FramingEither)
	c.BearerCapabilities = orDefault(c.BearerCapabilities, BearerAny)
	c.HandshakeTimeout = orDefault(c.HandshakeTimeout, DefaultHandshakeTimeout)
	c.EchoInterval = orDefault(c.EchoInterval, DefaultEchoInterval)
	c.EchoTimeout = orDefault(c.EchoTimeout, DefaultEchoTimeout)
	c.CallTimeout = orDefault(c.CallTimeout, DefaultCallTimeout)
	c.StopTimeout = orDefault(c.StopTimeout, DefaultStopTimeout)
	c.MaxCalls = orDefault(c.MaxCalls, DefaultMaxCalls)
	c.PacketRecvWindowSize = orDefault(c.PacketRecvWindowSize, DefaultRecvWindow)
	if c.Serials == nil {
		c.Serials = new(Serials)
	}
}

// orDefault returns v, or def if v is zero.
func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}
