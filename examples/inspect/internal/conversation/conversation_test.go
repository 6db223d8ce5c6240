package conversation_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/inspect/internal/conversation"
	"github.com/gopptp/gopptp/examples/inspect/internal/scene"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// play records a scene.
func play(cfg scene.Config, script func(s *scene.Scene), length time.Duration) *bytes.Buffer {
	var file bytes.Buffer
	s := scene.New(&file, cfg)
	script(s)
	s.Run(length)
	return &file
}

// analyze reads a capture, without the first packets.
func analyze(t testing.TB, file io.Reader, skip int, opts conversation.Options) *conversation.Report {
	r, err := pcapgo.NewReader(file)
	require.NoError(t, err)
	a := conversation.New(opts)
	for p := range gopacket.NewPacketSource(r, r.LinkType()).Packets() {
		if skip--; skip < 0 {
			a.Add(p)
		}
	}
	return a.Report()
}

func password(s string) *chap.NTHash {
	h := chap.NTPasswordHash(s)
	return &h
}

// golden compares the text of a report with the file of a name.
func golden(t *testing.T, name string, r *conversation.Report) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, r.WriteText(&b, true))
	file := filepath.Join("testdata", name+".txt")
	if *update {
		require.NoError(t, os.WriteFile(file, b.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), b.String())
	for _, secret := range []string{"correct horse", "battery staple"} {
		require.NotContains(t, b.String(), secret)
		enc, err := json.Marshal(r)
		require.NoError(t, err)
		require.NotContains(t, string(enc), secret)
	}
}

// TestVerdicts plays a session for each way to fail, and for those that do not.
// The files of testdata have what is printed of them.
func TestVerdicts(t *testing.T) {
	connect := func(s *scene.Scene) { s.Connect() }
	configured := func(f func(*scene.Config)) scene.Config {
		c := scene.Default()
		f(&c)
		return c
	}
	mute := configured(func(c *scene.Config) { c.Client.Mute, c.Server.Mute = true, true })
	request := func(id uint8, o ...ppp.Option) ppp.Packet {
		return ppp.Packet{Code: ppp.ConfigureRequest, ID: id, Data: ppp.Options(o).Append(nil)}
	}
	answer := func(code ppp.Code, id uint8, o ...ppp.Option) ppp.Packet {
		return ppp.Packet{Code: code, ID: id, Data: ppp.Options(o).Append(nil)}
	}
	// openLCP has two mute ends agree on LCP.
	openLCP := func(s *scene.Scene, serverAsks ...ppp.Option) {
		s.Frame(scene.Client, ppp.ProtocolLCP, request(1))
		s.Frame(scene.Server, ppp.ProtocolLCP, request(1, serverAsks...))
		s.Frame(scene.Client, ppp.ProtocolLCP, answer(ppp.ConfigureAck, 1, serverAsks...))
		s.Frame(scene.Server, ppp.ProtocolLCP, answer(ppp.ConfigureAck, 1))
	}
	pap := ppp.Option{Type: 3, Data: []byte{0xc0, 0x23}}

	tests := []struct {
		name    string
		cfg     scene.Config
		script  func(s *scene.Scene)
		length  time.Duration
		code    conversation.Code
		failed  bool
		hash    *chap.NTHash
		special func(t *testing.T, r *conversation.Report)
	}{
		{
			name: "cleared", cfg: scene.Default(), length: 5 * time.Second, code: conversation.Cleared, hash: password("correct horse"),
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(2*time.Second, func() { s.Ping(scene.Client, 3); s.Ping(scene.Server, 2) })
				s.At(3*time.Second, func() { s.Close(scene.Client) })
			},
			special: func(t *testing.T, r *conversation.Report) {
				k := r.Connections[0].Calls[0]
				require.Equal(t, 3, k.MPPE.Client.Decrypted)
				require.Equal(t, 2, k.MPPE.Server.Decrypted)
				require.Zero(t, k.MPPE.Client.Senseless+k.MPPE.Server.Senseless)
				require.Equal(t, 5, k.Flows[0].Packets)
			},
		},
		{
			name: "up", cfg: scene.Default(), length: 5 * time.Second, code: conversation.Up, hash: password("battery staple"),
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(2*time.Second, func() { s.Ping(scene.Client, 3) })
			},
			special: func(t *testing.T, r *conversation.Report) {
				require.Contains(t, r.Connections[0].Calls[0].Decryption, "not the one")
			},
		},
		{
			name: "up-in-clear", cfg: configured(func(c *scene.Config) { c.Client.CCP, c.Server.CCP = nil, nil }), length: 5 * time.Second,
			code: conversation.Up, script: func(s *scene.Scene) {
				s.Connect()
				s.At(2*time.Second, func() { s.Ping(scene.Client, 3) })
			},
		},
		{
			name: "losses", length: 5 * time.Second, code: conversation.Up, hash: password("correct horse"),
			cfg: configured(func(c *scene.Config) {
				data := 0
				c.Path = func(p scene.Packet) scene.Fate {
					if p.From != scene.Client || p.Protocol != ppp.ProtocolCompressed {
						return scene.Deliver
					}
					data++
					return map[int]scene.Fate{3: scene.DropBefore, 4: scene.DropBefore, 6: scene.Twice, 8: scene.Late}[data]
				}
			}),
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(2*time.Second, func() { s.Ping(scene.Client, 10) })
				s.At(3*time.Second, func() { s.SkipKeys(scene.Client, 5); s.Ping(scene.Client, 1) })
			},
			special: func(t *testing.T, r *conversation.Report) {
				k := r.Connections[0].Calls[0]
				require.EqualValues(t, 2, k.GRE.Client.Lost)
				require.EqualValues(t, 1, k.GRE.Client.Reordered)
				require.EqualValues(t, 1, k.GRE.Client.Duplicates)
				require.Equal(t, 9, k.MPPE.Client.Decrypted)
				require.Equal(t, 2, k.MPPE.Client.Gaps)
				require.Equal(t, 7, k.MPPE.Client.Missing)
				require.Equal(t, 5, k.MPPE.Client.Unexplained)
				require.Zero(t, k.MPPE.Client.Senseless)
			},
		},
		{
			name: "retransmissions", length: 6 * time.Second, code: conversation.Up,
			cfg: configured(func(c *scene.Config) {
				c.Path = func(p scene.Packet) scene.Fate {
					if p.From == scene.Server && p.Number == 0 {
						return scene.DropBehind
					}
					return scene.Deliver
				}
			}),
			script: connect,
		},
		{
			name: "wrong-password", cfg: configured(func(c *scene.Config) { c.Password = "battery staple" }),
			length: 5 * time.Second, code: conversation.AuthFailed, failed: true, hash: password("correct horse"), script: connect,
		},
		{
			name: "unknown-to-server", cfg: configured(func(c *scene.Config) { c.ServerPassword = "battery staple" }),
			length: 5 * time.Second, code: conversation.AuthFailed, failed: true, hash: password("correct horse"), script: connect,
		},
		{
			name: "expired-password", cfg: configured(func(c *scene.Config) { c.ServerPassword, c.ErrorCode = "battery staple", 648 }),
			length: 5 * time.Second, code: conversation.AuthFailed, failed: true, script: connect,
		},
		{
			name: "no-verdict", cfg: configured(func(c *scene.Config) { c.NoVerdict = true }),
			length: 8 * time.Second, code: conversation.AuthUnfinished, failed: true, script: connect,
		},
		{
			name: "pap-refused", cfg: mute, length: 5 * time.Second, code: conversation.AuthFailed, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(time.Second, func() {
					openLCP(s, pap)
					s.Frame(scene.Client, ppp.ProtocolPAP, ppp.Packet{Code: 1, ID: 1, Data: []byte("\x03joe\x0dcorrect horse")})
					s.Frame(scene.Server, ppp.ProtocolPAP, ppp.Packet{Code: 3, ID: 1, Data: []byte("\x02no")})
				})
			},
		},
		{
			name: "auth-refused", cfg: configured(func(c *scene.Config) { c.Client.LCP.OwnAuth = nil }),
			length: 5 * time.Second, code: conversation.AuthRefused, failed: true, script: connect,
		},
		{
			name: "auth-not-begun", cfg: mute, length: 9 * time.Second, code: conversation.AuthUnfinished, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(time.Second, func() { openLCP(s, pap) })
				s.At(8*time.Second, func() { s.Control(scene.Client, &pptp.EchoRequest{}) })
			},
		},
		{
			name: "ccp-unknown", cfg: configured(func(c *scene.Config) { c.Client.CCP = nil }),
			length: 5 * time.Second, code: conversation.MPPERefused, failed: true, script: connect,
		},
		{
			name: "mppe-rejected", cfg: mute, length: 9 * time.Second, code: conversation.MPPERefused, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(time.Second, func() {
					openLCP(s)
					o := ppp.Option{Type: 18, Data: []byte{1, 0, 0, 0x40}}
					s.Frame(scene.Server, ppp.ProtocolCCP, request(1, o))
					s.Frame(scene.Client, ppp.ProtocolCCP, answer(ppp.ConfigureReject, 1, o))
					s.Frame(scene.Server, ppp.ProtocolLCP, ppp.Packet{Code: ppp.TerminateRequest, ID: 9, Data: []byte("MPPE required")})
				})
			},
		},
		{
			name: "ccp-passive", cfg: configured(func(c *scene.Config) { c.Client.CCP = &mppe.CCPConfig{} }), length: 9 * time.Second,
			code: conversation.Up, script: connect,
		},
		{
			name: "no-address", cfg: configured(func(c *scene.Config) { c.Server.IPCP.Peer = c.Client.IPCP.Peer }),
			length: 5 * time.Second, code: conversation.NoAddress, failed: true, script: connect,
		},
		{
			name: "gre-none", cfg: mute, length: 9 * time.Second, code: conversation.GRENone, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(8*time.Second, func() { s.Control(scene.Client, &pptp.CallClearRequest{CallID: 1001}) })
			},
		},
		{
			name: "gre-one-way", length: 9 * time.Second, code: conversation.GREBlocked, failed: true, script: connect,
			cfg: configured(func(c *scene.Config) {
				c.Path = func(p scene.Packet) scene.Fate {
					if p.From == scene.Server {
						return scene.DropBefore
					}
					return scene.Deliver
				}
			}),
		},
		{
			name: "gre-one-way-behind", length: 9 * time.Second, code: conversation.GREBlocked, failed: true, script: connect,
			cfg: configured(func(c *scene.Config) {
				c.Path = func(p scene.Packet) scene.Fate {
					if p.From == scene.Server {
						return scene.DropBehind
					}
					return scene.Deliver
				}
			}),
		},
		{
			name: "gre-refused", cfg: mute, length: 9 * time.Second, code: conversation.GREBlocked, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				for i := range 5 {
					s.At(time.Duration(1+i)*time.Second, func() {
						s.Frame(scene.Client, ppp.ProtocolLCP, request(uint8(i)))
						inner := scene.IP(scene.Client, stock.IPProtocolGRE, gopacket.Payload{0x30, 1, 0x88, 0x0b, 0, 8, 0, 77})
						s.Record(scene.Server, scene.IP(scene.Server, stock.IPProtocolICMPv4,
							&stock.ICMPv4{TypeCode: stock.CreateICMPv4TypeCode(3, 2)}, gopacket.Payload(inner)))
					})
				}
			},
		},
		{
			name: "lcp-loop", cfg: mute, length: 9 * time.Second, code: conversation.LCPLoop, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(time.Second, func() {
					for i := range uint8(10) {
						s.Frame(scene.Client, ppp.ProtocolLCP, request(i, ppp.Option{Type: 1, Data: []byte{5, 220 + i%2}}))
						s.Frame(scene.Server, ppp.ProtocolLCP, answer(ppp.ConfigureNak, i, ppp.Option{Type: 1, Data: []byte{5, 220 + (1+i)%2}}))
					}
				})
			},
		},
		{
			name: "lcp-loopback", cfg: mute, length: 9 * time.Second, code: conversation.LCPLoopback, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(time.Second, func() {
					for i := range uint8(3) {
						r := request(i, ppp.Option{Type: 5, Data: []byte{1, 2, 3, i}})
						s.Frame(scene.Client, ppp.ProtocolLCP, r)
						s.Frame(scene.Server, ppp.ProtocolLCP, r)
					}
				})
			},
		},
		{
			name: "lcp-ended", cfg: mute, length: 9 * time.Second, code: conversation.LCPFailed, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(time.Second, func() {
					s.Frame(scene.Client, ppp.ProtocolLCP, request(1))
					s.Frame(scene.Server, ppp.ProtocolLCP, ppp.Packet{Code: ppp.TerminateRequest, ID: 1})
				})
			},
		},
		{
			name: "peer-silent", length: 40 * time.Second, code: conversation.PeerSilent, failed: true,
			cfg: configured(func(c *scene.Config) { c.Server.LCP.EchoInterval = 5 * time.Second }),
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(12*time.Second, func() { s.Kill(scene.Client) })
			},
		},
		{
			name: "lost-carrier", cfg: scene.Default(), length: 5 * time.Second, code: conversation.Lost, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(3*time.Second, func() {
					s.Control(scene.Server, &pptp.CallDisconnectNotify{CallID: 77, ResultCode: pptp.DisconnectLostCarrier})
				})
			},
		},
		{
			name: "reset", cfg: scene.Default(), length: 5 * time.Second, code: conversation.Lost, failed: true,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(3*time.Second, func() { s.TCP(scene.Server, stock.TCP{RST: true}, nil) })
			},
		},
		{
			name: "call-refused", cfg: configured(func(c *scene.Config) { c.RefuseCall = pptp.OutgoingGeneralError }),
			length: 5 * time.Second, code: conversation.CallRefused, failed: true, script: connect,
		},
		{
			name: "control-refused", cfg: mute, length: 5 * time.Second, code: conversation.ControlRefused, failed: true,
			script: func(s *scene.Scene) {
				s.Control(scene.Client, &pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion})
				s.Control(scene.Server, &pptp.StartControlConnectionReply{ResultCode: pptp.StartNotAuthorized})
				s.TCP(scene.Server, stock.TCP{FIN: true, ACK: true}, nil)
			},
		},
		{
			name: "control-silent", cfg: mute, length: 5 * time.Second, code: conversation.ControlSilent, failed: true,
			script: func(s *scene.Scene) {
				s.TCP(scene.Server, stock.TCP{ACK: true}, nil)
				s.Control(scene.Client, &pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion})
				s.At(4*time.Second, func() { s.TCP(scene.Client, stock.TCP{FIN: true, ACK: true}, nil) })
			},
		},
		{
			name: "no-call", cfg: mute, length: 5 * time.Second, code: conversation.NoCall, failed: true,
			script: func(s *scene.Scene) {
				s.Control(scene.Client, &pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion})
				s.Control(scene.Server, &pptp.StartControlConnectionReply{ResultCode: pptp.StartSuccessful})
				s.Control(scene.Client, &pptp.StopControlConnectionRequest{Reason: pptp.StopLocalShutdown})
			},
		},
		{
			name: "no-answer", cfg: mute, length: 5 * time.Second, code: conversation.NoConnection, failed: true,
			script: func(s *scene.Scene) {
				for i := range 3 {
					s.At(time.Duration(i)*time.Second, func() { s.TCP(scene.Client, stock.TCP{SYN: true}, nil) })
				}
			},
		},
		{
			name: "connection-refused", cfg: mute, length: 5 * time.Second, code: conversation.NoConnection, failed: true,
			script: func(s *scene.Scene) {
				s.TCP(scene.Client, stock.TCP{SYN: true}, nil)
				s.TCP(scene.Server, stock.TCP{RST: true, ACK: true}, nil)
			},
		},
		{
			name: "not-pptp", cfg: mute, length: 5 * time.Second, code: conversation.NotPPTP, failed: true,
			script: func(s *scene.Scene) {
				s.TCP(scene.Client, stock.TCP{SYN: true}, nil)
				s.TCP(scene.Server, stock.TCP{SYN: true, ACK: true}, nil)
				s.At(time.Second, func() { s.TCP(scene.Server, stock.TCP{PSH: true, ACK: true}, []byte("SSH-2.0-\r\n")) })
			},
		},
		{
			name: "early", cfg: mute, length: 2 * time.Second, code: conversation.Incomplete,
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(time.Second, func() {
					openLCP(s, pap)
					s.Frame(scene.Client, ppp.ProtocolIPCP, request(1, ppp.Option{Type: 3, Data: []byte{0, 0, 0, 0}}))
				})
			},
		},
		{
			name: "terminated-by-echoes", length: 60 * time.Second, code: conversation.PeerSilent, failed: true,
			cfg: configured(func(c *scene.Config) {
				c.Client.LCP = lcp.Config{OwnAuth: c.Client.LCP.OwnAuth, EchoInterval: 3 * time.Second}
			}),
			script: func(s *scene.Scene) {
				s.Connect()
				s.At(12*time.Second, func() { s.Kill(scene.Server) })
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := analyze(t, play(tt.cfg, tt.script, tt.length), 0, conversation.Options{NTHash: tt.hash})
			require.Len(t, r.Connections, 1)
			v := r.Connections[0].Verdict
			if v == nil {
				require.Len(t, r.Connections[0].Calls, 1)
				v = &r.Connections[0].Calls[0].Verdict
			}
			require.Equal(t, tt.code, v.Code, v.Text)
			require.Equal(t, tt.failed, v.Failed)
			require.Equal(t, tt.failed, r.Failed())
			if tt.special != nil {
				tt.special(t, r)
			}
			golden(t, tt.name, r)
		})
	}
}

// A capture that begins in the middle has nothing but data.
func TestMiddle(t *testing.T) {
	file := play(scene.Default(), func(s *scene.Scene) {
		s.Connect()
		s.At(2*time.Second, func() { s.Ping(scene.Client, 3); s.Ping(scene.Server, 2) })
	}, 5*time.Second)
	all := analyze(t, bytes.NewReader(file.Bytes()), 0, conversation.Options{})
	r := analyze(t, file, all.Packets-5, conversation.Options{NTHash: password("correct horse")})
	require.Len(t, r.Connections, 1)
	require.True(t, r.Connections[0].GREOnly)
	require.Len(t, r.Connections[0].Calls, 1, "both directions are of one call")
	require.Equal(t, conversation.Incomplete, r.Connections[0].Calls[0].Verdict.Code)
	require.False(t, r.Failed())
	golden(t, "middle", r)
}

func TestNothing(t *testing.T) {
	r := conversation.New(conversation.Options{}).Report()
	require.True(t, r.Failed())
	golden(t, "nothing", r)
}

// Packets that come out of the tunnel are whole.
func TestPackets(t *testing.T) {
	file := play(scene.Default(), func(s *scene.Scene) {
		s.Connect()
		s.At(2*time.Second, func() { s.Ping(scene.Client, 3) })
	}, 5*time.Second)
	var texts []string
	analyze(t, file, 0, conversation.Options{NTHash: password("correct horse"), Packet: func(_ time.Time, ip []byte) {
		p := gopacket.NewPacket(ip, stock.LayerTypeIPv4, gopacket.Default)
		texts = append(texts, string(p.ApplicationLayer().Payload()))
	}})
	require.Equal(t, []string{"packet 0", "packet 1", "packet 2"}, texts)
}

// The control connection is put together from segments that are split, sent
// again, swapped and missing.
func TestSegments(t *testing.T) {
	start := (&pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion, HostName: "laptop"}).Append(nil)
	call := (&pptp.OutgoingCallRequest{CallID: 1}).Append(nil)
	both := append(append([]byte(nil), start...), call...)
	type part struct{ from, to int }
	for name, parts := range map[string][]part{
		"whole":      {{0, len(both)}},
		"octets":     {{0, 1}, {1, 2}, {2, 150}, {150, 157}, {157, len(both)}},
		"again":      {{0, 100}, {0, 100}, {50, 200}, {200, len(both)}},
		"swapped":    {{100, 200}, {200, len(both)}, {0, 100}},
		"overlapped": {{0, 160}, {300, len(both)}, {100, 310}},
	} {
		t.Run(name, func(t *testing.T) {
			a := conversation.New(conversation.Options{})
			send := func(seq uint32, tcp stock.TCP, data []byte) {
				tcp.SrcPort, tcp.DstPort, tcp.Seq = 40000, pptp.Port, seq
				a.Add(gopacket.NewPacket(scene.IP(scene.Client, stock.IPProtocolTCP, &tcp, gopacket.Payload(data)), stock.LayerTypeIPv4, gopacket.Default))
			}
			const seq = 0xffffffc0 // it wraps
			send(seq-1, stock.TCP{SYN: true}, nil)
			for _, p := range parts {
				send(seq+uint32(p.from), stock.TCP{ACK: true}, both[p.from:p.to])
			}
			r := a.Report()
			require.Len(t, r.Connections[0].Calls, 1)
			require.Equal(t, "laptop", r.Connections[0].Client.Host)
			require.Equal(t, strings.Contains(name, "again"), r.Connections[0].Client.TCPRepeats > 0)
		})
	}
}
