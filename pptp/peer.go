package pptp

import (
	"fmt"
	"strings"
)

// PeerInfo is what the peer told about itself when the connection started. The
// texts are as the peer sent them; none of it can be trusted.
type PeerInfo struct {
	ProtocolVersion     uint16
	FramingCapabilities Framing
	BearerCapabilities  Bearer
	MaximumChannels     uint16
	FirmwareRevision    uint16
	HostName            string
	VendorString        string
}

// String returns what tells one implementation from another, on one line, for
// logs and statistics. The host name is not part of it.
func (p PeerInfo) String() string {
	return fmt.Sprintf("vendor=%q firmware=%d version=%d.%d framing=%d bearer=%d channels=%d",
		p.VendorString, p.FirmwareRevision, p.ProtocolVersion>>8, p.ProtocolVersion&0xff,
		p.FramingCapabilities, p.BearerCapabilities, p.MaximumChannels)
}

// Windows reports whether the peer says that it is Windows, which keeps no
// window in the data channel and knows nothing of collisions.
func (p PeerInfo) Windows() bool { return strings.HasPrefix(p.VendorString, "Microsoft") }

// CallInfo is what the peer told about a call. Which of it there is depends on
// the messages that the peer had to send; the rest is zero.
type CallInfo struct {
	MinimumBPS, MaximumBPS uint32  // of an outgoing call, by the PNS
	ConnectSpeed           uint32  // by the PAC; on a PAC, what we told
	BearerType             Bearer  // by the one that began
	FramingType            Framing // of an outgoing call by the PNS, of an incoming one by the PAC
	PhysicalChannelID      uint32  // by the PAC
	// PacketRecvWindowSize is how many packets the peer says it buffers, and
	// PacketProcessingDelay its delay in tenths of a second.
	PacketRecvWindowSize  uint16
	PacketProcessingDelay uint16
}

// String returns what tells one implementation from another, on one line.
func (i CallInfo) String() string {
	return fmt.Sprintf("window=%d delay=%d bearer=%d framing=%d bps=%d-%d speed=%d",
		i.PacketRecvWindowSize, i.PacketProcessingDelay, i.BearerType, i.FramingType,
		i.MinimumBPS, i.MaximumBPS, i.ConnectSpeed)
}
