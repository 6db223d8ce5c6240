package lab

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// scapy is a codec for PPTP and PPP that has nothing to do with ours. Each side
// has to make the same octets of the same fields, and the same fields of those.

// What scapy 2.5 does in its own way, and how these tests go about it:
//
//   - It does not look at how long a control message is: lengths are constants,
//     and that of Incoming-Call-Reply is 148 instead of the 24 of RFC 2637 §2.10.
//     Ours takes such a message for one that has not come yet. The length is given.
//   - Nor does it fill in the length of a phone number, or the flags of GRE that
//     announce its numbers. They are given.
//   - Texts keep the zeros behind them.
//   - It has no Protocol-Field-Compression to be turned off: protocol numbers
//     below 256 have one octet always.
//   - A packet within a Code-Reject that is one itself would have yet another,
//     without end.
//   - It has neither CCP nor MPPE; testdata/codec.py makes them of its fields.

// variants is how many packets of each kind are tried, with different values.
const variants = 60

// octets are given to scapy, and come from it, like this.
type octets []byte

func (o octets) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"hex": fmt.Sprintf("%x", []byte(o))})
}

func (o *octets) UnmarshalJSON(text []byte) error {
	var v struct{ Hex string }
	if err := json.Unmarshal(text, &v); err != nil {
		return err
	}
	_, err := fmt.Sscanf(v.Hex, "%x", (*[]byte)(o))
	if v.Hex == "" {
		*o, err = octets{}, nil
	}
	return err
}

// scapyLayer is a packet of scapy, without what is in it.
type scapyLayer struct {
	Class  string `json:"class"`
	Fields fields `json:"fields"`
}

type fields map[string]any

// scapy is the program in testdata.
type scapy struct {
	in  io.Writer
	out *bufio.Scanner
}

// startScapy starts it, or ends the test if it is not there.
func startScapy(t *testing.T) *scapy {
	t.Helper()
	missing := t.Skipf
	if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
		missing = t.Fatalf
	}
	if testing.Short() {
		t.Skip("needs scapy: not with -short")
	}
	// Debian's packages are of Debian's Python, which need not be the first.
	pythons := []string{"/usr/bin/python3", "python3"}
	i := slices.IndexFunc(pythons, func(p string) bool { return exec.Command(p, "-c", "import scapy").Run() == nil })
	if i < 0 {
		missing("the lab needs python3-scapy: run scripts/lab-deps.sh, or make lab")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, pythons[i], "-B", "testdata/codec.py")
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stderr = t.Output()
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		require.NoError(t, cmd.Wait())
	})
	s := &scapy{in, bufio.NewScanner(out)}
	s.out.Buffer(nil, 1<<20)
	return s
}

func (s *scapy) ask(t *testing.T, question, answer any) {
	t.Helper()
	text, err := json.Marshal(question)
	require.NoError(t, err)
	_, err = fmt.Fprintf(s.in, "%s\n", text)
	require.NoError(t, err)
	require.True(t, s.out.Scan(), "scapy has ended: %v", s.out.Err())
	require.NotContains(t, s.out.Text(), `{"error":`, "asked for %s", text)
	require.NoError(t, json.Unmarshal(s.out.Bytes(), answer))
}

// build has scapy build a packet of layers.
func (s *scapy) build(t *testing.T, ls ...scapyLayer) []byte {
	t.Helper()
	var a struct{ Octets octets }
	s.ask(t, map[string]any{"build": ls}, &a)
	return a.Octets
}

// parse has scapy parse a packet, and build it anew.
func (s *scapy) parse(t *testing.T, class string, packet []byte) (ls []scapyLayer, rebuilt []byte) {
	t.Helper()
	var a struct {
		Layers  []scapyLayer
		Rebuilt octets
	}
	s.ask(t, map[string]any{"parse": class, "octets": octets(packet)}, &a)
	return a.Layers, a.Rebuilt
}

// agree requires that scapy and our codec say the same of a packet, which is ls
// to scapy and enc to ours. base is the class by which scapy finds the others.
func (s *scapy) agree(t *testing.T, base string, ls []scapyLayer, enc []byte) {
	t.Helper()
	require.Equal(t, fmt.Sprintf("%x", s.build(t, ls...)), fmt.Sprintf("%x", enc), "built by scapy, and by ours")
	found, rebuilt := s.parse(t, base, enc)
	require.Len(t, found, len(ls), "layers parsed by scapy: %v", found)
	want, got := normal(t, ls).([]any), normal(t, found).([]any)
	require.Equal(t, want, common(want, got), "fields given to scapy, and parsed by it from ours")
	require.Equal(t, fmt.Sprintf("%x", enc), fmt.Sprintf("%x", rebuilt), "ours, and built anew by scapy")
}

// normal has what JSON makes of v.
func normal(t *testing.T, v any) (n any) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &n))
	return n
}

// common returns of got only those fields that want has too.
func common(want, got any) any {
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			m := make(map[string]any)
			for k := range w {
				m[k] = common(w[k], g[k])
			}
			return m
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			l := make([]any, len(w))
			for i := range w {
				l[i] = common(w[i], g[i])
			}
			return l
		}
	}
	return got
}

// dice makes the values of packets, which are the same in each run.
type dice struct{ *rand.Rand }

func newDice(n uint64) dice { return dice{rand.New(rand.NewPCG(2637, n))} }

func (d dice) u8() uint8   { return uint8(d.Uint32()) }
func (d dice) u16() uint16 { return uint16(d.Uint32()) }
func (d dice) u32() uint32 { return d.Uint32() }

// octets makes up to so many, the most among them.
func (d dice) octets(most int) []byte {
	b := make([]byte, d.IntN(most+1))
	if d.IntN(4) == 0 {
		b = make([]byte, most)
	}
	for i := range b {
		b[i] = d.u8()
	}
	return b
}

// text is printable, as texts end at a zero.
func (d dice) text(most int) string {
	b := d.octets(most)
	for i := range b {
		b[i] = '!' + b[i]%94
	}
	return string(b)
}

func (d dice) addr() string { return netip.AddrFrom4([4]byte{d.u8(), d.u8(), d.u8(), d.u8()}).String() }

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func addr4(s string) []byte { return netip.MustParseAddr(s).AsSlice() }

func TestScapyControlMessages(t *testing.T) {
	s := startScapy(t)
	for name, message := range map[string]func(d dice) (fields, pptp.Message){
		"PPTPStartControlConnectionRequest": func(d dice) (fields, pptp.Message) {
			m := &pptp.StartControlConnectionRequest{
				ProtocolVersion: d.u16(), FramingCapabilities: pptp.Framing(d.u32()), BearerCapabilities: pptp.Bearer(d.u32()),
				MaximumChannels: d.u16(), FirmwareRevision: d.u16(), HostName: d.text(64), VendorString: d.text(64),
			}
			return fields{
				"protocol_version": m.ProtocolVersion, "framing_capabilities": m.FramingCapabilities, "bearer_capabilities": m.BearerCapabilities,
				"maximum_channels": m.MaximumChannels, "firmware_revision": m.FirmwareRevision,
				"host_name": octets(m.HostName), "vendor_string": octets(m.VendorString),
			}, m
		},
		"PPTPStartControlConnectionReply": func(d dice) (fields, pptp.Message) {
			m := &pptp.StartControlConnectionReply{
				ProtocolVersion: d.u16(), ResultCode: pptp.StartResult(d.u8()), ErrorCode: pptp.ErrorCode(d.u8()),
				FramingCapabilities: pptp.Framing(d.u32()), BearerCapabilities: pptp.Bearer(d.u32()),
				MaximumChannels: d.u16(), FirmwareRevision: d.u16(), HostName: d.text(64), VendorString: d.text(64),
			}
			return fields{
				"protocol_version": m.ProtocolVersion, "result_code": m.ResultCode, "error_code": m.ErrorCode,
				"framing_capabilities": m.FramingCapabilities, "bearer_capabilities": m.BearerCapabilities,
				"maximum_channels": m.MaximumChannels, "firmware_revision": m.FirmwareRevision,
				"host_name": octets(m.HostName), "vendor_string": octets(m.VendorString),
			}, m
		},
		"PPTPStopControlConnectionRequest": func(d dice) (fields, pptp.Message) {
			m := &pptp.StopControlConnectionRequest{Reason: pptp.StopReason(d.u8())}
			return fields{"reason": m.Reason}, m
		},
		"PPTPStopControlConnectionReply": func(d dice) (fields, pptp.Message) {
			m := &pptp.StopControlConnectionReply{ResultCode: pptp.StopResult(d.u8()), ErrorCode: pptp.ErrorCode(d.u8())}
			return fields{"result_code": m.ResultCode, "error_code": m.ErrorCode}, m
		},
		"PPTPEchoRequest": func(d dice) (fields, pptp.Message) {
			m := &pptp.EchoRequest{Identifier: d.u32()}
			return fields{"identifier": m.Identifier}, m
		},
		"PPTPEchoReply": func(d dice) (fields, pptp.Message) {
			m := &pptp.EchoReply{Identifier: d.u32(), ResultCode: pptp.EchoResult(d.u8()), ErrorCode: pptp.ErrorCode(d.u8())}
			return fields{"identifier": m.Identifier, "result_code": m.ResultCode, "error_code": m.ErrorCode}, m
		},
		"PPTPOutgoingCallRequest": func(d dice) (fields, pptp.Message) {
			m := &pptp.OutgoingCallRequest{
				CallID: d.u16(), CallSerialNumber: d.u16(), MinimumBPS: d.u32(), MaximumBPS: d.u32(),
				BearerType: pptp.Bearer(d.u32()), FramingType: pptp.Framing(d.u32()),
				PacketRecvWindowSize: d.u16(), PacketProcessingDelay: d.u16(), PhoneNumber: d.text(64), Subaddress: d.text(64),
			}
			return fields{
				"call_id": m.CallID, "call_serial_number": m.CallSerialNumber, "minimum_bps": m.MinimumBPS, "maximum_bps": m.MaximumBPS,
				"bearer_type": m.BearerType, "framing_type": m.FramingType,
				"pkt_window_size": m.PacketRecvWindowSize, "pkt_proc_delay": m.PacketProcessingDelay,
				"phone_number_len": len(m.PhoneNumber), "phone_number": octets(m.PhoneNumber), "subaddress": octets(m.Subaddress),
			}, m
		},
		"PPTPOutgoingCallReply": func(d dice) (fields, pptp.Message) {
			m := &pptp.OutgoingCallReply{
				CallID: d.u16(), PeerCallID: d.u16(), ResultCode: pptp.OutgoingCallResult(d.u8()), ErrorCode: pptp.ErrorCode(d.u8()),
				CauseCode: d.u16(), ConnectSpeed: d.u32(), PacketRecvWindowSize: d.u16(), PacketProcessingDelay: d.u16(), PhysicalChannelID: d.u32(),
			}
			return fields{
				"call_id": m.CallID, "peer_call_id": m.PeerCallID, "result_code": m.ResultCode, "error_code": m.ErrorCode,
				"cause_code": m.CauseCode, "connect_speed": m.ConnectSpeed,
				"pkt_window_size": m.PacketRecvWindowSize, "pkt_proc_delay": m.PacketProcessingDelay, "channel_id": m.PhysicalChannelID,
			}, m
		},
		"PPTPIncomingCallRequest": func(d dice) (fields, pptp.Message) {
			m := &pptp.IncomingCallRequest{
				CallID: d.u16(), CallSerialNumber: d.u16(), CallBearerType: pptp.Bearer(d.u32()), PhysicalChannelID: d.u32(),
				DialedNumber: d.text(64), DialingNumber: d.text(64), Subaddress: d.text(64),
			}
			return fields{
				"call_id": m.CallID, "call_serial_number": m.CallSerialNumber, "bearer_type": m.CallBearerType, "channel_id": m.PhysicalChannelID,
				"dialed_number_len": len(m.DialedNumber), "dialing_number_len": len(m.DialingNumber),
				"dialed_number": octets(m.DialedNumber), "dialing_number": octets(m.DialingNumber), "subaddress": octets(m.Subaddress),
			}, m
		},
		"PPTPIncomingCallReply": func(d dice) (fields, pptp.Message) {
			m := &pptp.IncomingCallReply{
				CallID: d.u16(), PeerCallID: d.u16(), ResultCode: pptp.IncomingCallResult(d.u8()), ErrorCode: pptp.ErrorCode(d.u8()),
				PacketRecvWindowSize: d.u16(), PacketTransmitDelay: d.u16(),
			}
			return fields{
				"len": 24, "call_id": m.CallID, "peer_call_id": m.PeerCallID, "result_code": m.ResultCode, "error_code": m.ErrorCode,
				"pkt_window_size": m.PacketRecvWindowSize, "pkt_transmit_delay": m.PacketTransmitDelay,
			}, m
		},
		"PPTPIncomingCallConnected": func(d dice) (fields, pptp.Message) {
			m := &pptp.IncomingCallConnected{
				PeerCallID: d.u16(), ConnectSpeed: d.u32(), PacketRecvWindowSize: d.u16(), PacketTransmitDelay: d.u16(), FramingType: pptp.Framing(d.u32()),
			}
			return fields{
				"peer_call_id": m.PeerCallID, "connect_speed": m.ConnectSpeed, "pkt_window_size": m.PacketRecvWindowSize,
				"pkt_transmit_delay": m.PacketTransmitDelay, "framing_type": m.FramingType,
			}, m
		},
		"PPTPCallClearRequest": func(d dice) (fields, pptp.Message) {
			m := &pptp.CallClearRequest{CallID: d.u16()}
			return fields{"call_id": m.CallID}, m
		},
		"PPTPCallDisconnectNotify": func(d dice) (fields, pptp.Message) {
			m := &pptp.CallDisconnectNotify{
				CallID: d.u16(), ResultCode: pptp.DisconnectResult(d.u8()), ErrorCode: pptp.ErrorCode(d.u8()),
				CauseCode: d.u16(), CallStatistics: d.text(128),
			}
			return fields{
				"call_id": m.CallID, "result_code": m.ResultCode, "error_code": m.ErrorCode,
				"cause_code": m.CauseCode, "call_statistic": octets(m.CallStatistics),
			}, m
		},
		"PPTPWANErrorNotify": func(d dice) (fields, pptp.Message) {
			m := &pptp.WANErrorNotify{
				PeerCallID: d.u16(), CRCErrors: d.u32(), FramingErrors: d.u32(), HardwareOverruns: d.u32(),
				BufferOverruns: d.u32(), TimeOutErrors: d.u32(), AlignmentErrors: d.u32(),
			}
			return fields{
				"peer_call_id": m.PeerCallID, "crc_errors": m.CRCErrors, "framing_errors": m.FramingErrors, "hardware_overruns": m.HardwareOverruns,
				"buffer_overruns": m.BufferOverruns, "time_out_errors": m.TimeOutErrors, "alignment_errors": m.AlignmentErrors,
			}, m
		},
		"PPTPSetLinkInfo": func(d dice) (fields, pptp.Message) {
			m := &pptp.SetLinkInfo{PeerCallID: d.u16(), SendACCM: d.u32(), ReceiveACCM: d.u32()}
			return fields{"peer_call_id": m.PeerCallID, "send_accm": m.SendACCM, "receive_accm": m.ReceiveACCM}, m
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDice(1)
			for range variants {
				f, want := message(d)
				s.agree(t, "PPTP", []scapyLayer{{name, f}}, want.Append(nil))
				built := s.build(t, scapyLayer{name, f})
				got, n, err := pptp.DecodeMessage(built)
				require.NoError(t, err)
				require.Equal(t, len(built), n)
				require.Equal(t, want, got)
			}
		})
	}
}

// linkPacket is a control packet of PPP, in scapy's words and in ours.
type linkPacket struct {
	scapy scapyLayer
	ours  gopacket.SerializableLayer
}

// lcpOption makes one of the options of LCP.
func lcpOption(d dice) (scapyLayer, ppp.Option) {
	generic := func(typ uint8, data []byte) (scapyLayer, ppp.Option) {
		return scapyLayer{"PPP_LCP_Option", fields{"type": typ, "data": octets(data)}}, ppp.Option{Type: typ, Data: data}
	}
	be16 := func(v uint16) []byte { return []byte{byte(v >> 8), byte(v)} }
	be32 := func(v uint32) []byte { return append(be16(uint16(v>>16)), be16(uint16(v))...) }
	switch d.IntN(10) {
	case 0:
		v := d.u16()
		return scapyLayer{"PPP_LCP_MRU_Option", fields{"max_recv_unit": v}}, ppp.Option{Type: 1, Data: be16(v)}
	case 1:
		v := d.u32()
		return scapyLayer{"PPP_LCP_ACCM_Option", fields{"accm": v}}, ppp.Option{Type: 2, Data: be32(v)}
	case 2:
		v := pick[uint8](d, 5, 6, 128, 129, 255)
		return scapyLayer{"PPP_LCP_Auth_Protocol_Option", fields{"auth_protocol": 0xc223, "algorithm": v}}, ppp.Option{Type: 3, Data: []byte{0xc2, 0x23, v}}
	case 3:
		return scapyLayer{"PPP_LCP_Auth_Protocol_Option", fields{"auth_protocol": 0xc023}}, ppp.Option{Type: 3, Data: []byte{0xc0, 0x23}}
	case 4:
		v := d.octets(6)
		return scapyLayer{"PPP_LCP_Auth_Protocol_Option", fields{"auth_protocol": 0xc227, "data": octets(v)}}, ppp.Option{Type: 3, Data: append([]byte{0xc2, 0x27}, v...)}
	case 5:
		v := be32(d.u32())
		return scapyLayer{"PPP_LCP_Quality_Protocol_Option", fields{"quality_protocol": 0xc025, "data": octets(v)}}, ppp.Option{Type: 4, Data: append([]byte{0xc0, 0x25}, v...)}
	case 6:
		v := d.u32()
		return scapyLayer{"PPP_LCP_Magic_Number_Option", fields{"magic_number": v}}, ppp.Option{Type: 5, Data: be32(v)}
	case 7:
		return generic(pick[uint8](d, 7, 8, 18), nil)
	case 8:
		op, message := pick[uint8](d, 0, 1, 2, 3, 4, 6), d.octets(20)
		return scapyLayer{"PPP_LCP_Callback_Option", fields{"operation": op, "message": octets(message)}}, ppp.Option{Type: 13, Data: append([]byte{op}, message...)}
	default:
		return generic(pick[uint8](d, 0, 6, 17, 19, 23, 200, 255), d.octets(253))
	}
}

func ipcpOption(d dice) (scapyLayer, ppp.Option) {
	class := func(name string, typ uint8) (scapyLayer, ppp.Option) {
		a := d.addr()
		return scapyLayer{"PPP_IPCP_Option_" + name, fields{"type": typ, "data": a}}, ppp.Option{Type: typ, Data: addr4(a)}
	}
	switch d.IntN(6) {
	case 0:
		return class("IPAddress", 3)
	case 1:
		return class("DNS1", 129)
	case 2:
		return class("DNS2", 131)
	case 3:
		return class("NBNS1", 130)
	case 4:
		return class("NBNS2", 132)
	default:
		typ, data := pick[uint8](d, 1, 2, 4, 99), d.octets(253)
		return scapyLayer{"PPP_IPCP_Option", fields{"type": typ, "data": octets(data)}}, ppp.Option{Type: typ, Data: data}
	}
}

func ccpOption(d dice) (scapyLayer, ppp.Option) {
	if d.IntN(3) > 0 {
		stateless, bits := pick[uint8](d, 0, 1), d.u8()
		return scapyLayer{"CCP_Option_MPPE", fields{"stateless": stateless, "bits": bits}}, ppp.Option{Type: 18, Data: []byte{stateless, 0, 0, bits}}
	}
	typ, data := pick[uint8](d, 0, 17, 21, 24, 26), d.octets(253)
	return scapyLayer{"CCP_Option", fields{"type": typ, "data": octets(data)}}, ppp.Option{Type: typ, Data: data}
}

// configure makes the parts of a packet with up to five options.
func configure(d dice, option func(d dice) (scapyLayer, ppp.Option)) (fields, layers.Control) {
	c := layers.Control{Code: ppp.ConfigureRequest + ppp.Code(d.IntN(4)), ID: d.u8()}
	list := []scapyLayer{}
	for range d.IntN(6) {
		theirs, ours := option(d)
		list, c.Options = append(list, theirs), append(c.Options, ours)
	}
	return fields{"code": c.Code, "id": c.ID, "options": list}, c
}

var linkPackets = map[string]struct {
	base     string
	protocol ppp.Protocol
	make     func(d dice) linkPacket
}{
	"LCP Configure": {"PPP_LCP", ppp.ProtocolLCP, func(d dice) linkPacket {
		f, c := configure(d, lcpOption)
		return linkPacket{scapyLayer{"PPP_LCP_Configure", f}, &layers.LCP{Control: c}}
	}},
	"LCP Terminate": {"PPP_LCP", ppp.ProtocolLCP, func(d dice) linkPacket {
		c := layers.Control{Code: pick(d, ppp.TerminateRequest, ppp.TerminateAck), ID: d.u8(), Data: d.octets(60)}
		return linkPacket{scapyLayer{"PPP_LCP_Terminate", fields{"code": c.Code, "id": c.ID, "data": octets(c.Data)}}, &layers.LCP{Control: c}}
	}},
	"LCP Code-Reject": {"PPP_LCP", ppp.ProtocolLCP, func(d dice) linkPacket {
		code, rejected := 12+ppp.Code(d.IntN(200)), d.octets(60)
		in := ppp.Packet{Code: code, ID: d.u8(), Data: rejected}
		c := layers.Control{Code: ppp.CodeReject, ID: d.u8(), Data: in.Append(nil)}
		return linkPacket{scapyLayer{"PPP_LCP_Code_Reject", fields{
			"code": c.Code, "id": c.ID,
			"rejected_packet": scapyLayer{"PPP_LCP", fields{"code": in.Code, "id": in.ID, "data": octets(rejected)}},
		}}, &layers.LCP{Control: c}}
	}},
	"LCP Protocol-Reject": {"PPP_LCP", ppp.ProtocolLCP, func(d dice) linkPacket {
		l := &layers.LCP{
			Control:          layers.Control{Code: ppp.ProtocolReject, ID: d.u8(), Data: append(d.octets(60), 1)},
			RejectedProtocol: pick(d, ppp.ProtocolIPV6CP, ppp.ProtocolCCP, ppp.Protocol(0x8207)),
		}
		return linkPacket{scapyLayer{"PPP_LCP_Protocol_Reject", fields{
			"code": l.Code, "id": l.ID, "rejected_protocol": l.RejectedProtocol,
			"rejected_information": scapyLayer{"Raw", fields{"load": octets(l.Data)}},
		}}, l}
	}},
	"LCP Echo": {"PPP_LCP", ppp.ProtocolLCP, func(d dice) linkPacket {
		l := &layers.LCP{
			Control:     layers.Control{Code: pick(d, ppp.EchoRequest, ppp.EchoReply), ID: d.u8(), Data: d.octets(60)},
			MagicNumber: d.u32(),
		}
		return linkPacket{scapyLayer{"PPP_LCP_Echo", fields{"code": l.Code, "id": l.ID, "magic_number": l.MagicNumber, "data": octets(l.Data)}}, l}
	}},
	"LCP Discard-Request": {"PPP_LCP", ppp.ProtocolLCP, func(d dice) linkPacket {
		l := &layers.LCP{Control: layers.Control{Code: ppp.DiscardRequest, ID: d.u8(), Data: d.octets(60)}, MagicNumber: d.u32()}
		return linkPacket{scapyLayer{"PPP_LCP_Discard_Request", fields{"id": l.ID, "magic_number": l.MagicNumber, "data": octets(l.Data)}}, l}
	}},
	"LCP Identification and Time-Remaining": {"PPP_LCP", ppp.ProtocolLCP, func(d dice) linkPacket {
		magic := d.u32()
		l := &layers.LCP{
			Control:     layers.Control{Code: pick(d, ppp.Identification, ppp.TimeRemaining), ID: d.u8(), Data: append(d.octets(20), "abcd"...)},
			MagicNumber: magic,
		}
		data := append([]byte{byte(magic >> 24), byte(magic >> 16), byte(magic >> 8), byte(magic)}, l.Data...)
		return linkPacket{scapyLayer{"PPP_LCP", fields{"code": l.Code, "id": l.ID, "data": octets(data)}}, l}
	}},
	"PAP request": {"PPP_PAP", ppp.ProtocolPAP, func(d dice) linkPacket {
		p := &layers.PAP{Code: layers.PAPRequest, ID: d.u8(), Request: pap.Request{PeerID: d.octets(255), Password: d.octets(255)}}
		return linkPacket{scapyLayer{"PPP_PAP_Request", fields{"id": p.ID, "username": octets(p.PeerID), "password": octets(p.Password)}}, p}
	}},
	"PAP answer": {"PPP_PAP", ppp.ProtocolPAP, func(d dice) linkPacket {
		p := &layers.PAP{Code: pick(d, layers.PAPAck, layers.PAPNak), ID: d.u8(), Message: d.octets(255)}
		return linkPacket{scapyLayer{"PPP_PAP_Response", fields{"code": p.Code, "id": p.ID, "message": octets(p.Message)}}, p}
	}},
	"CHAP value": {"PPP_CHAP", ppp.ProtocolCHAP, func(d dice) linkPacket {
		c := &layers.CHAP{
			Code: pick(d, layers.CHAPChallenge, layers.CHAPResponse), ID: d.u8(),
			Value: chap.Value{Value: append(d.octets(48), d.u8()), Name: d.octets(100)},
		}
		return linkPacket{scapyLayer{"PPP_CHAP_ChallengeResponse", fields{
			"code": c.Code, "id": c.ID, "value": octets(c.Value.Value), "optional_name": octets(c.Name),
		}}, c}
	}},
	"CHAP verdict": {"PPP_CHAP", ppp.ProtocolCHAP, func(d dice) linkPacket {
		c := &layers.CHAP{Code: pick(d, layers.CHAPSuccess, layers.CHAPFailure), ID: d.u8(), Message: d.octets(100)}
		return linkPacket{scapyLayer{"PPP_CHAP", fields{"code": c.Code, "id": c.ID, "data": octets(c.Message)}}, c}
	}},
	"IPCP": {"PPP_IPCP", ppp.ProtocolIPCP, func(d dice) linkPacket {
		f, c := configure(d, ipcpOption)
		return linkPacket{scapyLayer{"PPP_IPCP", f}, &layers.IPCP{Control: c}}
	}},
	"CCP": {"CCP", ppp.ProtocolCCP, func(d dice) linkPacket {
		f, c := configure(d, ccpOption)
		return linkPacket{scapyLayer{"CCP", f}, &layers.CCP{Control: c}}
	}},
	"CCP without options": {"CCP", ppp.ProtocolCCP, func(d dice) linkPacket {
		c := layers.Control{Code: pick(d, ppp.TerminateRequest, ppp.TerminateAck, ppp.ResetRequest, ppp.ResetAck), ID: d.u8()}
		return linkPacket{scapyLayer{"CCP", fields{"code": c.Code, "id": c.ID, "options": []scapyLayer{}}}, &layers.CCP{Control: c}}
	}},
}

// TestScapyLinkPackets tries each packet by itself, and in a PPP frame in GRE.
func TestScapyLinkPackets(t *testing.T) {
	s := startScapy(t)
	for name, kind := range linkPackets {
		t.Run(name, func(t *testing.T) {
			d := newDice(2)
			for range variants {
				p := kind.make(d)
				s.agree(t, kind.base, []scapyLayer{p.scapy}, serialize(t, p.ours))
				s.agreeOnPacket(t, d, kind.protocol, p.scapy, p.ours)
			}
		})
	}
	t.Run("MPPE", func(t *testing.T) {
		d := newDice(3)
		for range variants {
			bits := d.IntN(16)
			m := &layers.MPPE{
				Flushed: bits&8 != 0, Front: bits&4 != 0, Compressed: bits&2 != 0, Encrypted: bits&1 != 0,
				CoherencyCount: d.u16() & 0xfff,
			}
			theirs := scapyLayer{"MPPE", fields{"bits": bits, "count": m.CoherencyCount}}
			s.agree(t, "MPPE", []scapyLayer{theirs}, serialize(t, m))
			s.agreeOnPacket(t, d, ppp.ProtocolCompressed, theirs, m)
		}
	})
	t.Run("acknowledgement only", func(t *testing.T) {
		d := newDice(4)
		for range variants {
			h := gre.Header{CallID: d.u16(), HasAck: true, Ack: d.u32()}
			s.agree(t, "GRE_PPTP", []scapyLayer{{"GRE_PPTP", fields{
				"acknum_present": 1, "payload_len": 0, "call_id": h.CallID, "ack_number": h.Ack,
			}}}, h.Append(nil))
			var got gre.Header
			_, err := got.Decode(s.build(t, scapyLayer{"GRE_PPTP", fields{"acknum_present": 1, "call_id": h.CallID, "ack_number": h.Ack}}))
			require.NoError(t, err)
			require.Equal(t, h, got)
		}
	})
}

// agreeOnPacket puts a layer into a PPP frame in GRE.
func (s *scapy) agreeOnPacket(t *testing.T, d dice, protocol ppp.Protocol, theirs scapyLayer, ours gopacket.SerializableLayer) {
	t.Helper()
	g := &layers.EnhancedGRE{Header: gre.Header{CallID: d.u16(), HasSequence: true, Sequence: d.u32(), HasAck: d.IntN(2) == 0}}
	header := fields{"seqnum_present": 1, "call_id": g.CallID, "sequence_number": g.Sequence}
	if g.HasAck {
		g.Ack = d.u32()
		header["acknum_present"], header["ack_number"] = 1, g.Ack
	}
	f := &layers.PPP{Protocol: protocol, Compression: ppp.HeaderCompression{
		Protocol: protocol < 0x100,
		// LCP has address and control always (RFC 1661 §6.6).
		AddressControl: protocol != ppp.ProtocolLCP && d.IntN(2) == 0,
	}}
	ls := []scapyLayer{{"GRE_PPTP", header}}
	if !f.Compression.AddressControl {
		ls = append(ls, scapyLayer{"HDLC", fields{"address": 0xff, "control": 3}})
	}
	ls = append(ls, scapyLayer{"PPP", fields{"proto": protocol}}, theirs)
	s.agree(t, "GRE_PPTP", ls, serialize(t, g, f, ours))

	// What scapy has built is decoded to the same fields.
	p := gopacket.NewPacket(s.build(t, ls...), stock.LayerTypeGRE, gopacket.Default)
	require.Nil(t, p.ErrorLayer())
	all := p.Layers()
	require.Len(t, all, 3)
	g.PayloadLength = uint16(len(all[0].LayerPayload()))
	require.Equal(t, g.Header, all[0].(*layers.EnhancedGRE).Header)
	require.Equal(t, protocol, all[1].(*layers.PPP).Protocol)
	require.Equal(t, f.Compression, all[1].(*layers.PPP).Compression)
	require.Equal(t, contents(t, ours), contents(t, all[2]))
}

// contents are the fields of a layer, without the packet that it is from, and
// without a difference between none and no octets.
func contents(t *testing.T, l any) string {
	t.Helper()
	v := strings.TrimPrefix(fmt.Sprintf("%T", l), "*layers.")
	switch l := l.(type) {
	case *layers.LCP:
		return fmt.Sprint(v, l.Code, l.ID, l.MagicNumber, l.RejectedProtocol, optionsOf(l.Options), l.Data)
	case *layers.IPCP:
		return fmt.Sprint(v, l.Code, l.ID, optionsOf(l.Options), l.Data)
	case *layers.CCP:
		return fmt.Sprint(v, l.Code, l.ID, optionsOf(l.Options), l.Data)
	case *layers.CHAP:
		return fmt.Sprint(v, l.Code, l.ID, l.Value.Value, l.Name, l.Message)
	case *layers.PAP:
		return fmt.Sprint(v, l.Code, l.ID, l.PeerID, []byte(l.Password), l.Message)
	case *layers.MPPE:
		return fmt.Sprint(v, l.Flushed, l.Front, l.Compressed, l.Encrypted, l.CoherencyCount)
	}
	t.Fatalf("%T has no fields", l)
	return ""
}

func optionsOf(o ppp.Options) string { return fmt.Sprintf("%v", []ppp.Option(o)) }

func serialize(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	require.NoError(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...))
	return bytes.Clone(b.Bytes())
}

// A message whose length is not that of its kind, as scapy's Incoming-Call-Reply,
// is waited for and not taken for another.
func TestScapyWrongLength(t *testing.T) {
	s := startScapy(t)
	_, _, err := pptp.DecodeMessage(s.build(t, scapyLayer{"PPTPIncomingCallReply", fields{}}))
	require.ErrorIs(t, err, pptp.ErrShort)
}
