package layers

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gopptp/gopptp/ppp"
)

// DescribeOptions says in words what the options of a control protocol say, in
// their order.
func DescribeOptions(protocol ppp.Protocol, options ppp.Options) string {
	words := make([]string, len(options))
	for i, o := range options {
		words[i] = DescribeOption(protocol, o)
	}
	return strings.Join(words, ", ")
}

// DescribeOption says in words what an option of a control protocol says. One
// that is not known, or has a length that it must not have, is given by its
// number and octets.
func DescribeOption(protocol ppp.Protocol, o ppp.Option) string {
	s := ""
	switch protocol {
	case ppp.ProtocolLCP:
		s = lcpOption(o)
	case ppp.ProtocolIPCP:
		s = ipcpOption(o)
	case ppp.ProtocolIPV6CP:
		s = ipv6cpOption(o)
	case ppp.ProtocolCCP:
		s = ccpOption(o)
	}
	if s == "" {
		s = fmt.Sprintf("option %d", o.Type)
		if len(o.Data) > 0 {
			s += fmt.Sprintf(" %x", o.Data)
		}
	}
	return s
}

// sized names options by number, with the length that their data must have.
// Where there are such, verb prints them as one big-endian number.
type sized struct {
	name string
	size int
	verb string
}

func (s sized) describe(data []byte) string {
	if s.name == "" || len(data) != s.size {
		return ""
	}
	var v uint64
	for _, b := range data {
		v = v<<8 | uint64(b)
	}
	if s.verb == "" {
		return s.name
	}
	return s.name + " " + fmt.Sprintf(s.verb, v)
}

// RFC 1661 §6, RFC 1662 §7.1, RFC 1570 §2, RFC 1990 §5.1.
var lcpOptions = map[uint8]sized{
	1:  {"MRU", 2, "%d"},
	2:  {"ACCM", 4, "0x%08x"},
	5:  {"magic", 4, "0x%08x"},
	7:  {"PFC", 0, ""},
	8:  {"ACFC", 0, ""},
	13: {"callback", 1, "%d"},
	17: {"MRRU", 2, "%d"},
	18: {"short multilink header", 0, ""},
}

func lcpOption(o ppp.Option) string {
	switch {
	case o.Type == 3 && len(o.Data) >= 2:
		m := ppp.AuthMethod{Protocol: ppp.Protocol(binary.BigEndian.Uint16(o.Data))}
		if m.Protocol == ppp.ProtocolCHAP && len(o.Data) == 3 {
			m.Algorithm = o.Data[2]
		}
		return "authentication " + m.String()
	case o.Type == 4 && len(o.Data) >= 2:
		return fmt.Sprintf("quality %v", ppp.Protocol(binary.BigEndian.Uint16(o.Data)))
	case o.Type == 19 && len(o.Data) >= 1:
		return fmt.Sprintf("endpoint class %d %x", o.Data[0], o.Data[1:])
	}
	return lcpOptions[o.Type].describe(o.Data)
}

// RFC 1332 §3, RFC 1877 §1.
var ipcpAddresses = map[uint8]string{3: "address", 129: "DNS", 130: "NBNS", 131: "second DNS", 132: "second NBNS"}

func ipcpOption(o ppp.Option) string {
	if name := ipcpAddresses[o.Type]; name != "" && len(o.Data) == 4 {
		return name + " " + netip.AddrFrom4([4]byte(o.Data)).String()
	}
	if o.Type == 2 && len(o.Data) >= 2 {
		if p := ppp.Protocol(binary.BigEndian.Uint16(o.Data)); p != ppp.ProtocolVJComp {
			return fmt.Sprintf("compression %v", p)
		}
		return "VJ compression"
	}
	return ""
}

// RFC 5072 §4.
func ipv6cpOption(o ppp.Option) string {
	if o.Type != 1 || len(o.Data) != 8 {
		return ""
	}
	return fmt.Sprintf("interface %x:%x:%x:%x", o.Data[:2], o.Data[2:4], o.Data[4:6], o.Data[6:])
}

// The Supported Bits of the option of MPPE and MPPC (RFC 3078 §2.1).
const (
	mppeStateless = 0x01000000
	mppe56        = 0x00000080
	mppe128       = 0x00000040
	mppe40        = 0x00000020
	mppeObsolete  = 0x00000010
	mppeMPPC      = 0x00000001
)

// The others of RFC 1962 §4.1 and of the number registry.
var ccpOptions = map[uint8]string{
	0: "OUI", 17: "Stac", 19: "Gandalf FZA", 20: "V.42bis", 21: "BSD compression", 24: "Deflate (draft)", 26: "Deflate",
}

func ccpOption(o ppp.Option) string {
	if o.Type != 18 || len(o.Data) != 4 {
		if name := ccpOptions[o.Type]; name != "" {
			return fmt.Sprintf("%s %x", name, o.Data)
		}
		return ""
	}
	bits := binary.BigEndian.Uint32(o.Data)
	if bits == 0 {
		return "MPPE none"
	}
	words := []string{"MPPE"}
	rest := bits
	for _, x := range [...]struct {
		bit  uint32
		word string
	}{
		{mppe128, "128-bit"}, {mppe56, "56-bit"}, {mppe40, "40-bit"}, {mppeObsolete, "obsolete"},
		{mppeMPPC, "MPPC"}, {mppeStateless, "stateless"},
	} {
		if bits&x.bit != 0 {
			words = append(words, x.word)
		}
		rest &^= x.bit
	}
	if bits&mppeStateless == 0 && bits&(mppe128|mppe56|mppe40) != 0 {
		words = append(words, "stateful")
	}
	if rest != 0 {
		words = append(words, fmt.Sprintf("and 0x%08x", rest))
	}
	return strings.Join(words, " ")
}
