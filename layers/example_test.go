package layers_test

import (
	"bytes"
	"fmt"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/ppp"
)

// A program that reads captures by gopacket needs no more than
//
//	import _ "github.com/gopptp/gopptp/layers"
//
// to print what is in PPTP. Here, the capture is written first.
func Example() {
	var capture bytes.Buffer
	write(&capture, &layers.LCP{Control: layers.Control{Code: ppp.ConfigureRequest, ID: 1, Options: ppp.Options{
		{Type: 1, Data: []byte{0x05, 0x78}},
		{Type: 3, Data: []byte{0xc2, 0x23, 0x81}},
	}}})

	r, err := pcapgo.NewReader(&capture)
	if err != nil {
		fmt.Println(err)
		return
	}
	for packet := range gopacket.NewPacketSource(r, r.LinkType()).Packets() {
		for _, l := range packet.Layers()[1:] {
			fmt.Println(gopacket.LayerString(l))
		}
	}
	// Output:
	// EnhancedGRE	call ID 7, sequence 0, 17 octets
	// PPPFrame	LCP, 13 octets
	// LCP	Configure-Request id 1: MRU 1400, authentication MS-CHAPv2
}

// write makes a capture with one packet of LCP in it.
func write(w *bytes.Buffer, l *layers.LCP) {
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&stock.IPv4{Version: 4, TTL: 64, Protocol: stock.IPProtocolGRE, SrcIP: server, DstIP: client},
		&layers.EnhancedGRE{Header: gre.Header{CallID: 7, HasSequence: true}},
		&layers.PPP{Protocol: ppp.ProtocolLCP}, l)
	if err != nil {
		panic(err)
	}
	f := pcapgo.NewWriter(w)
	_ = f.WriteFileHeader(65536, stock.LinkTypeRaw)
	_ = f.WritePacket(gopacket.CaptureInfo{CaptureLength: len(b.Bytes()), Length: len(b.Bytes())}, b.Bytes())
}
