package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/ip4defrag"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// A capture is decoded twice: by tshark and by the package layers. Neither may
// find a fault, both have to see the same in each packet, and what ours have
// decoded they must encode to the octets that were captured.

// dissection is a capture as our layers see it.
type dissection struct {
	packets int
	control []pptp.Message
	seen    map[string]int // packets by protocol and code
	view    []string       // a line for each packet, as those of tsharkView

	// later has a packet for each control message that is not the first of
	// its segment. tshark decodes the first only, and takes the rest for the
	// end of it.
	later [][]byte
}

// examine decodes a capture. The error lists all that is wrong.
func examine(file string) (*dissection, error) {
	d, err := dissect(file)
	err = errors.Join(err, d.compare(file))
	if len(d.later) > 0 {
		err = errors.Join(err, d.examineLater())
	}
	if err != nil {
		err = fmt.Errorf("%s:\n%w", filepath.Base(file), err)
	}
	return d, err
}

// examineLater does it for the messages that tshark does not look at.
func (d *dissection) examineLater() error {
	file, err := os.CreateTemp("", "lab-later-*.pcap")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	if err := errors.Join(writeCapture(file, d.later...), file.Close()); err != nil {
		return err
	}
	later, err := dissect(file.Name())
	if err = errors.Join(err, later.compare(file.Name())); err != nil {
		return fmt.Errorf("second and later messages in a segment: %w", err)
	}
	return nil
}

// compare has tshark decode the file from which d is.
func (d *dissection) compare(file string) error {
	theirs, err := tsharkView(file)
	for i := range min(len(theirs), len(d.view)) {
		if theirs[i] != d.view[i] {
			err = errors.Join(err, fmt.Errorf("packet %d is seen in two ways:\ntshark:%s\nours:  %s", i+1, theirs[i], d.view[i]))
		}
	}
	if len(theirs) != len(d.view) {
		err = errors.Join(err, fmt.Errorf("%d packets, %d by tshark", len(d.view), len(theirs)))
	}
	return err
}

func writeCapture(w io.Writer, packets ...[]byte) error {
	f := pcapgo.NewWriter(w)
	err := f.WriteFileHeader(1<<18, stock.LinkTypeEthernet)
	for _, p := range packets {
		err = errors.Join(err, f.WritePacket(gopacket.CaptureInfo{CaptureLength: len(p), Length: len(p)}, p))
	}
	return err
}

// fields of tshark that are compared: ours in view have these names.
var tsharkFields = []string{
	"pptp.control_message_type", "pptp.call_id", "pptp.peer_call_id", "pptp.call_serial_number", "pptp.packet_receive_window_size",
	"pptp.identifier", "pptp.host_name", "pptp.vendor_name",
	"gre.key.call_id", "gre.key.payload_length", "gre.sequence_number", "gre.ack_number",
	"ppp.protocol",
	"ppp.code", "ppp.identifier", "chap.code", "chap.identifier", "pap.code", "pap.identifier",
	"lcp.magic_number", "lcp.opt.type", "lcp.opt.mru", "lcp.opt.asyncmap", "lcp.opt.auth_protocol", "lcp.opt.magic_number",
	"ccp.opt.type", "ccp.opt.supported_bits", "ipcp.opt.type", "ipcp.opt.ip_address",
	"chap.value", "chap.name", "chap.message",
}

// tsharkView returns a line for each packet of the capture, with the fields
// that it has. The error lists what tshark finds malformed or in error.
//
// Each TCP segment is to be decoded by itself, as ours are: one that TCP has
// repeated, or one in the middle of a capture.
func tsharkView(file string) (view []string, err error) {
	argv := []string{
		"-n", "-r", file, "-T", "fields", "-E", "occurrence=a", "-E", "aggregator=\x1f",
		"-o", "tcp.analyze_sequence_numbers:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE",
		// Nothing knows the bulk transfers' port better than tshark, which would
		// see another protocol in them.
		"-d", "tcp.port==" + strconv.Itoa(bulkPort) + ",data",
		"-e", "_ws.malformed", "-e", "_ws.expert.severity", "-e", "_ws.expert.message",
	}
	for _, f := range tsharkFields {
		argv = append(argv, "-e", f)
	}
	tshark := exec.Command("tshark", argv...)
	home, err := os.MkdirTemp("", "lab-tshark-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(home)
	tshark.Env = append(os.Environ(), "HOME="+home)
	out, err := tshark.Output()
	if err != nil {
		return nil, fmt.Errorf("tshark: %w", err)
	}
	var faults []error
	for text := range strings.Lines(string(out)) {
		values := strings.Split(strings.TrimSuffix(text, "\n"), "\t")
		if len(values) != 3+len(tsharkFields) {
			return view, fmt.Errorf("tshark: %d fields in %q", len(values), text)
		}
		malformed, severity, message := values[0], values[1], values[2]
		for s := range strings.SplitSeq(severity, "\x1f") {
			if n, _ := strconv.Atoi(s); malformed != "" || n >= expertError {
				faults = append(faults, fmt.Errorf("packet %d: tshark: %s: %q", len(view)+1, malformed, message))
				break
			}
		}
		l := make(viewLine)
		for i, name := range tsharkFields {
			if v := values[3+i]; v != "" {
				l.add(name, strings.Split(v, "\x1f")...)
			}
		}
		view = append(view, l.String())
	}
	return view, errors.Join(faults...)
}

// expertError is the severity of what tshark calls an error. Warnings, below it,
// are such as a TCP connection that was reset.
const expertError = 0x00800000

// viewLine is what was seen in a packet: fields and their values.
type viewLine map[string][]string

func (l viewLine) add(name string, values ...string) {
	for _, v := range values {
		l[name] = append(l[name], strings.ToLower(v))
	}
}

// text adds a text, if it is one: tshark prints none for an empty one.
func (l viewLine) text(name, v string) {
	if v != "" {
		l.add(name, v)
	}
}

func (l viewLine) number(name string, v uint64) { l.add(name, strconv.FormatUint(v, 10)) }

// String has the fields in the order of tsharkFields. Within a packet that was
// rejected tshark goes on decoding, and ours do not: that is left out.
func (l viewLine) String() string {
	codes := l["ppp.code"]
	reject := len(codes) > 0 && (codes[0] == "7" || codes[0] == "8")
	var b strings.Builder
	for _, name := range tsharkFields {
		values := l[name]
		if reject && strings.HasPrefix(name, "ppp.") {
			values = values[:1]
		}
		if len(values) > 0 && !(reject && strings.Contains(name, ".opt.")) {
			fmt.Fprintf(&b, " %s=%q", name, values)
		}
	}
	return b.String()
}

// dissect reads a capture with our layers. The error lists what cannot be
// decoded, and what is not encoded to what it was decoded from.
func dissect(file string) (*dissection, error) {
	d := &dissection{seen: make(map[string]int)}
	f, err := os.Open(file)
	if err != nil {
		return d, err
	}
	defer f.Close()
	r, err := pcapgo.NewReader(f)
	if err != nil {
		return d, err
	}
	var faults []error
	fragments := ip4defrag.NewIPv4Defragmenter()
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return d, errors.Join(faults...)
		}
		if err != nil {
			return d, errors.Join(append(faults, err)...)
		}
		d.packets++
		p := gopacket.NewPacket(data, r.LinkType(), gopacket.NoCopy)
		if p, err = whole(fragments, p); err == nil {
			err = d.packet(p)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("packet %d: %w", d.packets, err))
		}
	}
}

// whole returns a packet as it was before it was cut into fragments, in place of
// the last of these. pptpd does not lower the MTU of its tunnels, so has many.
func whole(fragments *ip4defrag.IPv4Defragmenter, p gopacket.Packet) (gopacket.Packet, error) {
	ip, _ := p.NetworkLayer().(*stock.IPv4)
	if ip == nil || ip.Flags&stock.IPv4MoreFragments == 0 && ip.FragOffset == 0 {
		return p, nil
	}
	all, err := fragments.DefragIPv4(ip)
	if err != nil || all == nil {
		return p, err
	}
	packet, err := overEthernet(all, gopacket.Payload(all.Payload))
	return gopacket.NewPacket(packet, stock.LayerTypeEthernet, gopacket.NoCopy), err
}

// packet adds a packet.
func (d *dissection) packet(p gopacket.Packet) error {
	var faults []error
	line := make(viewLine)
	for _, l := range p.Layers() {
		if l, ok := l.(*gopacket.DecodeFailure); ok {
			faults = append(faults, l.Error())
			continue
		}
		ours, ok := l.(interface {
			gopacket.SerializableLayer
			fmt.Stringer
		})
		if !ok || !d.note(line, l) {
			continue
		}
		b := gopacket.NewSerializeBuffer()
		if err := ours.SerializeTo(b, gopacket.SerializeOptions{}); err != nil {
			faults = append(faults, err)
		} else if !bytes.Equal(b.Bytes(), l.LayerContents()) {
			faults = append(faults, fmt.Errorf("%v is encoded to other octets:\ncaptured %x\nencoded  %x", ours, l.LayerContents(), b.Bytes()))
		}
		if m, ok := l.(*layers.PPTP); ok {
			if err := d.noteLater(p, m); err != nil {
				faults = append(faults, err)
			}
		}
	}
	if len(faults) == 0 {
		faults = append(faults, complete(p))
	}
	d.view = append(d.view, line.String())
	return errors.Join(faults...)
}

// note notes what a layer of ours says, and reports whether it is one.
func (d *dissection) note(line viewLine, l gopacket.Layer) bool {
	code, what := 0, l.LayerType().String()
	switch l := l.(type) {
	case *layers.PPTP:
		d.control = append(d.control, l.Messages...)
		for _, m := range l.Messages {
			d.seen[m.Type().String()]++
		}
		line.control(l.Messages[0])
		return true
	case *layers.EnhancedGRE:
		line.number("gre.key.call_id", uint64(l.CallID))
		line.number("gre.key.payload_length", uint64(l.PayloadLength))
		if l.HasSequence {
			line.number("gre.sequence_number", uint64(l.Sequence))
		}
		if l.HasAck {
			line.number("gre.ack_number", uint64(l.Ack))
		}
		return true
	case *layers.PPP:
		line.add("ppp.protocol", fmt.Sprintf("0x%04x", uint16(l.Protocol)))
		return true
	case *layers.MPPE:
		return true
	case *layers.LCP:
		code = line.link("lcp", &l.Control)
		if l.Code >= ppp.EchoRequest && l.Code <= ppp.TimeRemaining {
			line.add("lcp.magic_number", fmt.Sprintf("0x%08x", l.MagicNumber))
		}
	case *layers.IPCP:
		code = line.link("ipcp", &l.Control)
	case *layers.IPV6CP:
		code = line.link("ipv6cp", &l.Control)
	case *layers.CCP:
		code = line.link("ccp", &l.Control)
	case *layers.PAP:
		code = int(l.Code)
		line.number("pap.code", uint64(l.Code))
		line.number("pap.identifier", uint64(l.ID))
	case *layers.CHAP:
		code = int(l.Code)
		line.number("chap.code", uint64(l.Code))
		line.number("chap.identifier", uint64(l.ID))
		if len(l.Value.Value) > 0 {
			line.add("chap.value", fmt.Sprintf("%x", l.Value.Value))
			line.text("chap.name", string(l.Name))
		} else {
			line.text("chap.message", string(l.Message))
		}
	default:
		return false
	}
	d.seen[fmt.Sprintf("%s %d", what, code)]++
	return true
}

// noteLater keeps the messages that tshark does not look at.
func (d *dissection) noteLater(p gopacket.Packet, l *layers.PPTP) error {
	if rest := len(l.BaseLayer.Payload); rest > 0 {
		return fmt.Errorf("%d octets of a message that goes on in another segment", rest)
	}
	ip, _ := p.NetworkLayer().(*stock.IPv4)
	tcp, _ := p.TransportLayer().(*stock.TCP)
	if ip == nil || tcp == nil {
		return errors.New("a control message without TCP over IPv4")
	}
	for _, m := range l.Messages[1:] {
		packet, err := overEthernet(ip, tcp, &layers.PPTP{Messages: []pptp.Message{m}})
		if err != nil {
			return err
		}
		d.later = append(d.later, packet)
	}
	return nil
}

// overEthernet makes a packet of an IP header and what is in it.
func overEthernet(ip *stock.IPv4, in ...gopacket.SerializableLayer) ([]byte, error) {
	all := []gopacket.SerializableLayer{
		&stock.Ethernet{SrcMAC: make([]byte, 6), DstMAC: make([]byte, 6), EthernetType: stock.EthernetTypeIPv4}, ip,
	}
	for _, l := range in {
		if tcp, ok := l.(*stock.TCP); ok {
			if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
				return nil, err
			}
		}
	}
	b := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, append(all, in...)...)
	return b.Bytes(), err
}

// complete requires that control packets end with what carries them: nobody has
// padded them, and nothing was left out.
func complete(p gopacket.Packet) error {
	f, _ := p.Layer(layers.LayerTypePPP).(*layers.PPP)
	if f == nil || f.Protocol < 0x8000 {
		return nil
	}
	all := p.Layers()
	if last := all[len(all)-1]; len(last.LayerContents()) != len(f.Payload) {
		return fmt.Errorf("%v in %d octets", last, len(f.Payload))
	}
	return nil
}

// control adds what tshark shows of a control message.
func (l viewLine) control(m pptp.Message) {
	l.number("pptp.control_message_type", uint64(m.Type()))
	call := func(id uint16) { l.number("pptp.call_id", uint64(id)) }
	peerCall := func(id uint16) { l.number("pptp.peer_call_id", uint64(id)) }
	window := func(n uint16) { l.number("pptp.packet_receive_window_size", uint64(n)) }
	names := func(host, vendor string) {
		l.text("pptp.host_name", host)
		l.text("pptp.vendor_name", vendor)
	}
	switch m := m.(type) {
	case *pptp.StartControlConnectionRequest:
		names(m.HostName, m.VendorString)
	case *pptp.StartControlConnectionReply:
		names(m.HostName, m.VendorString)
	case *pptp.EchoRequest:
		l.number("pptp.identifier", uint64(m.Identifier))
	case *pptp.EchoReply:
		l.number("pptp.identifier", uint64(m.Identifier))
	case *pptp.OutgoingCallRequest:
		call(m.CallID)
		l.number("pptp.call_serial_number", uint64(m.CallSerialNumber))
		window(m.PacketRecvWindowSize)
	case *pptp.OutgoingCallReply:
		call(m.CallID)
		peerCall(m.PeerCallID)
		window(m.PacketRecvWindowSize)
	case *pptp.CallClearRequest:
		call(m.CallID)
	case *pptp.CallDisconnectNotify:
		call(m.CallID)
	case *pptp.SetLinkInfo:
		peerCall(m.PeerCallID)
	}
}

// link adds what tshark shows of a packet of LCP or a network control protocol,
// and returns its code. tshark does not show the options of IPV6CP.
func (l viewLine) link(protocol string, c *layers.Control) int {
	l.number("ppp.code", uint64(c.Code))
	l.number("ppp.identifier", uint64(c.ID))
	if protocol == "ipv6cp" {
		return int(c.Code)
	}
	for _, o := range c.Options {
		l.number(protocol+".opt.type", uint64(o.Type))
		name, value := "", fmt.Sprintf("0x%x", o.Data)
		switch fmt.Sprintf("%s %d, %d octets", protocol, o.Type, len(o.Data)) {
		case "lcp 1, 2 octets":
			name, value = "mru", strconv.Itoa(int(o.Data[0])<<8|int(o.Data[1]))
		case "lcp 2, 4 octets":
			name = "asyncmap"
		case "lcp 3, 2 octets", "lcp 3, 3 octets":
			name, value = "auth_protocol", fmt.Sprintf("0x%x", o.Data[:2])
		case "lcp 5, 4 octets":
			name = "magic_number"
		case "ccp 18, 4 octets":
			name = "supported_bits"
		case "ipcp 3, 4 octets":
			name, value = "ip_address", netip.AddrFrom4([4]byte(o.Data)).String()
		default:
			continue
		}
		l.add(protocol+".opt."+name, value)
	}
	return int(c.Code)
}

// examine ends the capture and decodes it.
func (c *capture) examine(t *testing.T) *dissection {
	t.Helper()
	time.Sleep(tcpdumpPatience)
	c.stop()
	d, err := examine(c.file)
	require.NoError(t, err)
	return d
}

// TestDecode has our client and our gateway say to each other what they can, and
// decodes it. What others say is decoded after each test.
func TestDecode(t *testing.T) {
	lab(t, environment{kind: namespaces, limit: time.Minute, ours: true}, func(t *testing.T) {
		t.Run("faults are found", faultsAreFound)
		for _, mppe := range []string{mppe128, noMPPE} {
			t.Run(mppe, func(t *testing.T) { decodeOurs(t, planes{withoutXDP, userspacePlane}, mppe) })
		}
		t.Run("wrong password", func(t *testing.T) {
			server, clients := network(t, 1)
			capture := clients[0].capture(t, "eth0")
			g := startGateway(t, server, withoutXDP, mppe128)
			d := startDial(t, clients[0], diallerConfig{plane: userspacePlane, mppe: mppe128, password: "wrong", more: []string{"--xdp", "off"}})
			require.Equal(t, dialBadLogin, d.exitCode(t, 10*time.Second), "our client's exit code")
			g.ended(t, 1, 5*time.Second)
			requireSeen(t, capture.examine(t), "CHAP 4")
		})
	})
}

// withoutXDP has the gateway send and receive where a capture sees it.
const withoutXDP = userspacePlane + ", xdp: off"

// decodeOurs has two sessions, of which one is ended by each side.
func decodeOurs(t *testing.T, p planes, mppe string) {
	server, clients := network(t, 1)
	capture := clients[0].capture(t, "eth0")
	g := startGateway(t, server, p.gateway, mppe, "echo: {interval: 1s, failures: 4}")
	server.serveBulk(t)
	for i, end := range []func(d *dialler){func(d *dialler) { d.terminate() }, func(*dialler) { g.shutdown(t) }} {
		d := startDial(t, clients[0], diallerConfig{name: fmt.Sprintf("dial-%d", i+1), plane: p.client, mppe: mppe, more: []string{"--dns", "--xdp", "off"}})
		d.up(t, 10*time.Second)
		require.NoError(t, clients[0].echoOf(p.gateway, d.dev, tunnelServer))
		clients[0].ping(t, d.dev, tunnelServer, 3)
		t.Log(clients[0].bulk(t, d.dev, tunnelServer, 256<<10))
		if i == 0 {
			time.Sleep(2300 * time.Millisecond) // for an echo of LCP, after a second without a packet
		}
		end(d)
		d.exitCode(t, 5*time.Second)
	}
	d := capture.examine(t)
	requireSeen(t, d,
		"Start-Control-Connection-Request", "Start-Control-Connection-Reply", "Outgoing-Call-Request", "Outgoing-Call-Reply",
		"Call-Clear-Request", "Call-Disconnect-Notify", "Stop-Control-Connection-Request", "Stop-Control-Connection-Reply",
		"LCP 1", "LCP 2", "LCP 5", "LCP 6", "LCP 9", "LCP 10", "CHAP 1", "CHAP 2", "CHAP 3", "IPCP 1", "IPCP 2", "IPCP 3")
	if mppe == mppe128 {
		requireSeen(t, d, "CCP 1", "CCP 2")
	}
	t.Logf("%d packets: %v", d.packets, d.seen)
}

// requireSeen requires packets by protocol and code.
func requireSeen(t *testing.T, d *dissection, what ...string) {
	t.Helper()
	for _, w := range what {
		require.NotZero(t, d.seen[w], "%s in the capture, which has %v", w, d.seen)
	}
}

// faultsAreFound makes sure of what the other tests rely on.
func faultsAreFound(t *testing.T) {
	ip := func(protocol stock.IPProtocol) *stock.IPv4 {
		return &stock.IPv4{Version: 4, TTL: 64, Protocol: protocol, SrcIP: net.IP{192, 0, 2, 1}, DstIP: net.IP{192, 0, 2, 2}}
	}
	link := func(packet ...byte) []byte {
		p, err := overEthernet(ip(stock.IPProtocolGRE), &layers.EnhancedGRE{Header: gre.Header{CallID: 7, HasSequence: true}},
			&layers.PPP{Protocol: ppp.ProtocolLCP}, gopacket.Payload(packet))
		require.NoError(t, err)
		return p
	}
	control := func(change func(message []byte)) []byte {
		m := (&pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion, HostName: "host"}).Append(nil)
		change(m)
		p, err := overEthernet(ip(stock.IPProtocolTCP), &stock.TCP{SrcPort: 40000, DstPort: pptp.Port, PSH: true, ACK: true, Window: 1000}, gopacket.Payload(m))
		require.NoError(t, err)
		return p
	}
	cutOff := link(1, 1, 0, 8, 1, 4, 5, 220)
	cutOff[17] += 40 // more in the IP packet than there is
	for _, c := range []struct {
		name   string
		packet []byte
		fault  string // nothing is wrong if empty
	}{
		{"good link", link(1, 1, 0, 8, 1, 4, 5, 220), ""},
		{"good control", control(func([]byte) {}), ""},
		{"longer than its frame", link(1, 1, 0, 18, 1, 4, 5, 220), `tshark: \[Malformed Packet: PPP LCP\]`},
		{"IP packet cut off", cutOff, `tshark: : ".*IPv4 total length exceeds packet length`},
		// tshark says nothing of these, and does not show what is wrong.
		{"option past the end", link(1, 1, 0, 8, 1, 14, 5, 220), "option 1 at offset 0 says 14 of 4 octets"},
		{"option of another length", link(1, 1, 0, 9, 1, 5, 5, 220, 1), "seen in two ways"},
		{"bad cookie", control(func(m []byte) { m[4]++ }), "seen in two ways"},
		{"text after the NUL", control(func(m []byte) { m[40] = 'x' }), "is encoded to other octets"},
		{"padded", link(1, 1, 0, 8, 1, 4, 5, 220, 0), "in 9 octets"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "seeded.pcap")
			file, err := os.Create(path)
			require.NoError(t, err)
			require.NoError(t, writeCapture(file, c.packet))
			require.NoError(t, file.Close())
			_, err = examine(path)
			if c.fault == "" {
				require.NoError(t, err)
				return
			}
			require.Error(t, err)
			require.Regexp(t, c.fault, err.Error())
		})
	}
}
