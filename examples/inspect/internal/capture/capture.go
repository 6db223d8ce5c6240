// Package capture reads files of packets, pcap and pcapng, as they are or
// compressed by gzip.
package capture

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	_ "github.com/gopptp/gopptp/layers" // decodes PPTP
)

// ErrFormat: the file is neither pcap nor pcapng.
var ErrFormat = errors.New("neither a pcap nor a pcapng file")

// LinkTypeError: the packets are of a link that is not known.
type LinkTypeError struct{ LinkType layers.LinkType }

func (e *LinkTypeError) Error() string {
	return fmt.Sprintf("link type %d is not supported; Ethernet, raw IP and Linux cooked are", uint8(e.LinkType))
}

// Link types that gopacket does not know. Its type has eight bits, and is given
// the lower ones of the number in the file.
const (
	linkTypeRaw12 layers.LinkType = 12 // raw IP, as BSD numbers it
	linkTypeRaw14 layers.LinkType = 14
	linkTypeSLL2  layers.LinkType = 276 & 0xff
)

// Reader reads packets.
type Reader struct {
	source   gopacket.PacketDataSource
	linkType func(ci *gopacket.CaptureInfo) layers.LinkType
	cut      bool
}

// NewReader looks at the beginning of a file.
func NewReader(r io.Reader) (*Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	magic, err := b.Peek(4)
	if err != nil {
		return nil, formatError(err)
	}
	if magic[0] == 0x1f && magic[1] == 0x8b {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		b = bufio.NewReaderSize(z, 1<<16)
		if magic, err = b.Peek(4); err != nil {
			return nil, formatError(err)
		}
	}
	switch binary.LittleEndian.Uint32(magic) {
	case 0xa1b2c3d4, 0xd4c3b2a1, 0xa1b23c4d, 0x4d3cb2a1:
		f, err := pcapgo.NewReader(b)
		if err != nil {
			return nil, err
		}
		return &Reader{source: f, linkType: func(*gopacket.CaptureInfo) layers.LinkType { return f.LinkType() }}, nil
	case 0x0a0d0d0a:
		f, err := pcapgo.NewNgReader(b, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
		if err != nil {
			return nil, err
		}
		return &Reader{source: f, linkType: func(ci *gopacket.CaptureInfo) layers.LinkType {
			// Each interface of the file has its own.
			if len(ci.AncillaryData) > 0 {
				if t, ok := ci.AncillaryData[0].(layers.LinkType); ok {
					return t
				}
			}
			return f.LinkType()
		}}, nil
	}
	return nil, ErrFormat
}

// formatError tells a file that is too short from one that cannot be read.
func formatError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrFormat
	}
	return err
}

// Next returns the next packet. The error is io.EOF at the end, also where the
// file ends within a packet; see Cut.
func (r *Reader) Next() (gopacket.Packet, error) {
	data, ci, err := r.source.ReadPacketData()
	if errors.Is(err, io.ErrUnexpectedEOF) {
		r.cut = true
		return nil, io.EOF
	}
	if err != nil {
		return nil, err
	}
	first, data, err := decoder(r.linkType(&ci), data)
	if err != nil {
		return nil, err
	}
	p := gopacket.NewPacket(data, first, gopacket.DecodeOptions{NoCopy: true}) // data are ours
	m := p.Metadata()
	m.CaptureInfo = ci
	m.Truncated = m.Truncated || ci.CaptureLength < ci.Length
	return p, nil
}

// Cut reports whether the file ended within a packet, as it does where the
// recorder was killed.
func (r *Reader) Cut() bool { return r.cut }

// decoder returns what decodes the packets of a link type, and where they begin.
func decoder(t layers.LinkType, data []byte) (gopacket.Decoder, []byte, error) {
	switch t {
	case layers.LinkTypeEthernet, layers.LinkTypeLinuxSLL, layers.LinkTypeNull, layers.LinkTypeLoop, layers.LinkTypeRaw:
		return t, data, nil
	case linkTypeRaw12, linkTypeRaw14, layers.LinkTypeIPv4, layers.LinkTypeIPv6:
		return layers.LinkTypeRaw, data, nil
	case linkTypeSLL2:
		// The protocol, then 18 octets about the interface.
		if len(data) < 20 {
			return gopacket.DecodeFragment, data, nil
		}
		return layers.EthernetType(binary.BigEndian.Uint16(data)), data[20:], nil
	}
	return nil, nil, &LinkTypeError{t}
}
