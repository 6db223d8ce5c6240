package offload

import (
	"encoding/binary"
	"errors"
)

// HeaderLen is the length of a Header, the kernel's struct virtio_net_hdr.
const HeaderLen = 10

// Flags of a Header.
const (
	// FlagNeedsChecksum says that the checksum field has the sum of the pseudo-header
	// only, and that the rest is for whoever needs it.
	FlagNeedsChecksum = 1
	// FlagDataValid says that the checksum has been verified.
	FlagDataValid = 2
)

// Values of Header.GSOType.
const (
	GSONone  = 0
	GSOTCPv4 = 1
	GSOTCPv6 = 4
	GSOUDP   = 5 // datagrams of one size, each with a UDP header of its own

	// GSOECN is added to that of TCP where only the first segment has CWR.
	GSOECN = 0x80
)

// Header is in front of each packet that is read from, and written to, a TUN
// device with IFF_VNET_HDR. Its numbers are in the byte order of the machine.
type Header struct {
	Flags   uint8
	GSOType uint8
	// HdrLen is a hint about the length of the packet's headers. The host does not
	// always set it right.
	HdrLen uint16
	// GSOSize is the payload of each packet but the last, which may be smaller.
	GSOSize uint16
	// ChecksumStart is where the octets begin that the checksum is of, and
	// ChecksumOffset where, from there, it is put.
	ChecksumStart  uint16
	ChecksumOffset uint16
}

var errShortHeader = errors.New("offload: short virtio header")

// Decode reads h from the front of b and returns its length.
func (h *Header) Decode(b []byte) (int, error) {
	if len(b) < HeaderLen {
		*h = Header{}
		return 0, errShortHeader
	}
	*h = Header{
		Flags:          b[0],
		GSOType:        b[1],
		HdrLen:         binary.NativeEndian.Uint16(b[2:]),
		GSOSize:        binary.NativeEndian.Uint16(b[4:]),
		ChecksumStart:  binary.NativeEndian.Uint16(b[6:]),
		ChecksumOffset: binary.NativeEndian.Uint16(b[8:]),
	}
	return HeaderLen, nil
}

// Append appends h to dst.
func (h *Header) Append(dst []byte) []byte {
	dst = append(dst, h.Flags, h.GSOType)
	dst = binary.NativeEndian.AppendUint16(dst, h.HdrLen)
	dst = binary.NativeEndian.AppendUint16(dst, h.GSOSize)
	dst = binary.NativeEndian.AppendUint16(dst, h.ChecksumStart)
	return binary.NativeEndian.AppendUint16(dst, h.ChecksumOffset)
}
