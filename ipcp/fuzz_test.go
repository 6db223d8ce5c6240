package ipcp

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// FuzzAddress decodes whatever stands in an option.
func FuzzAddress(f *testing.F) {
	f.Add(uint8(3), []byte{10, 0, 0, 1})
	f.Add(uint8(129), []byte{0, 0, 0, 0})
	f.Add(uint8(3), []byte{224, 0, 0})
	f.Fuzz(func(t *testing.T, typ uint8, b []byte) {
		a, ok := decodeAddr(ppptest.Raw(typ, b...))
		require.Equal(t, len(b) == 4, ok)
		if ok {
			require.Equal(t, ppptest.Raw(typ, b...), encodeAddr(typ, a))
		}
		usable(a)
	})
}

// FuzzIPCP lets a peer say anything to a server or a client, with its answers
// under the right identifier if it likes, while time goes on.
//
// Each packet in script is a code, an identifier (zero: that of our last
// request), a length and the data. Code 0 lets as many seconds pass instead, code
// 255 acks what was asked for.
func FuzzIPCP(f *testing.F) {
	pkt := func(code ppp.Code, id uint8, opts ...ppp.Option) []byte {
		data := ppp.Options(opts).Append(nil)
		return append([]byte{byte(code), id, byte(len(data))}, data...)
	}
	ack := []byte{255}
	ask := pkt(ppp.ConfigureRequest, 1, ip(zero), pdns(zero), sdns(zero))
	for _, isServer := range []bool{true, false} {
		f.Add(isServer, slices.Concat(ask, ack, pkt(ppp.ConfigureRequest, 2, ip(alice)), []byte{5, 1, 0, 0, 10}))
		f.Add(isServer, slices.Concat(pkt(ppp.ConfigureNak, 0, ip(other), pdns(dns1)), ack, pkt(ppp.ConfigureRequest, 2, ip(gateway)), ask))
		f.Add(isServer, slices.Concat(pkt(ppp.ConfigureReject, 0, pnbns(zero), snbns(zero)), pkt(ppp.ConfigureReject, 0, ip(zero))))
		f.Add(isServer, slices.Concat(pkt(ppp.ConfigureRequest, 1, ip(other), ppptest.Raw(2, 0, 0x2d)), ack, []byte{0, 3, 0, 3}))
	}
	f.Fuzz(func(t *testing.T, isServer bool, script []byte) {
		script = script[:min(len(script), 1024)]
		cfg := client()
		if isServer {
			cfg = server()
		}
		s := newSide(t, cfg)
		now := ppptest.Start
		s.Begin(now)
		var req ppp.Packet
		up := false
		for len(script) > 0 {
			code := script[0]
			script = script[1:]
			var sig ppp.Signal
			switch {
			case code == 0:
				if len(script) == 0 {
					return
				}
				now = now.Add(time.Duration(script[0]) * time.Second)
				script = script[1:]
				sig = s.Tick(now, &s.Out)
			case code == 255:
				p := ppp.Packet{Code: ppp.ConfigureAck, ID: req.ID, Data: req.Data}
				sig = s.Input(p.Append(nil), now, &s.Out)
			case len(script) < 2:
				return
			default:
				p := ppp.Packet{Code: ppp.Code(code), ID: script[0]}
				if p.ID == 0 {
					p.ID = req.ID
				}
				n := min(int(script[1]), len(script)-2)
				p.Data = script[2 : 2+n]
				script = script[2+n:]
				sig = s.Input(p.Append(nil), now, &s.Out)
			}
			for _, p := range s.Said() {
				if p.Code == ppp.ConfigureRequest {
					req = p
				}
			}
			s.Forget()
			if sig&ppp.SignalDown != 0 {
				require.True(t, up, "down without having been up")
				up = false
			}
			if sig&ppp.SignalUp != 0 {
				up = true
			}
			require.Equal(t, up, s.Opened())
			for _, a := range append(s.DNS(), s.NBNS()...) {
				require.True(t, usable(a))
			}
			if up {
				require.True(t, usable(s.Local()), "no opening without an address")
				require.NoError(t, s.Err())
			}
			if isServer {
				require.Equal(t, gateway, s.Local())
				require.Equal(t, alice, s.Peer(), "a peer never has another address")
			} else if p := s.Peer(); p != (netip.Addr{}) {
				require.True(t, usable(p))
			}
		}
	})
}

// FuzzInput takes octets as they come.
func FuzzInput(f *testing.F) {
	f.Add([]byte{1, 0, 0, 10, 3, 6, 10, 0, 0, 2}, true)
	f.Add([]byte{1, 0, 0, 6, 3, 0}, false)
	f.Add([]byte{3, 1, 0, 10, 3, 6, 10, 0, 0, 2}, false)
	f.Add([]byte{4, 1, 0, 10, 3, 6, 0, 0, 0, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, isServer bool) {
		cfg := client()
		if isServer {
			cfg = server()
		}
		p := newPeer(t, cfg)
		p.Input(b, p.Now, &p.Out)
		require.Less(t, p.Out.Len(), 6)
		require.False(t, p.Opened(), "one packet does not open it")
	})
}
