package lcp

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// FuzzOptions decodes whatever stands in an option.
func FuzzOptions(f *testing.F) {
	for _, o := range []ppp.Option{
		encodeMRU(1500), encodeMagic(1), encodeAuth(ppp.AuthMSCHAPv2), encodeAuth(ppp.AuthPAP), ppptest.Raw(optionAuth, 0xc2),
	} {
		f.Add(o.Data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if mru, ok := decodeMRU(ppptest.Raw(optionMRU, b...)); ok {
			require.Equal(t, b, encodeMRU(mru).Data)
		}
		if magic, ok := decodeMagic(ppptest.Raw(optionMagic, b...)); ok {
			require.Equal(t, b, encodeMagic(magic).Data)
		}
		if m, ok := decodeAuth(ppptest.Raw(optionAuth, b...)); ok {
			require.Equal(t, b, encodeAuth(m).Data)
		}
	})
}

// FuzzLCP lets a peer say anything, with its answers under the right identifier
// if it likes, while time goes on.
//
// Each packet in script is a code, an identifier (zero: that of our last packet),
// a length and the data. Code 0 lets as many seconds pass instead, code 255 acks
// what was asked for.
func FuzzLCP(f *testing.F) {
	pkt := func(code ppp.Code, id uint8, opts ...ppp.Option) []byte {
		data := ppp.Options(opts).Append(nil)
		return append([]byte{byte(code), id, byte(len(data))}, data...)
	}
	ack := []byte{255}
	all := pkt(ppp.ConfigureRequest, 1, encodeMRU(1400), encodeAuth(ppp.AuthMSCHAPv2), encodeMagic(5), ppptest.Raw(optionPFC), ppptest.Raw(optionACFC))
	f.Add(slices.Concat(ack, all, []byte{0, 10, 0, 10, 0, 10, 0, 10}))
	f.Add(slices.Concat(all, pkt(ppp.ConfigureNak, 0, encodeAuth(ppp.AuthPAP), encodeMRU(1200), encodeMagic(1)), ack))
	f.Add(slices.Concat(pkt(ppp.ConfigureReject, 0, ppptest.Raw(optionPFC), ppptest.Raw(optionACFC)), ack, all, all))
	f.Add(slices.Concat(pkt(ppp.ConfigureRequest, 1, encodeMagic(100)), pkt(ppp.ConfigureNak, 0, encodeMagic(101))))
	f.Add(slices.Concat(ack, pkt(ppp.ConfigureRequest, 1), []byte{9, 1, 5, 0, 0, 0, 5, 1}, []byte{10, 0, 4, 0, 0, 0, 5}))
	f.Add(slices.Concat(ack, pkt(ppp.ConfigureRequest, 1), []byte{8, 1, 2, 0xc0, 0x21}, []byte{5, 1, 0}))
	f.Add(slices.Concat(ack, pkt(ppp.ConfigureRequest, 1, ppptest.Raw(13, 6), ppptest.Raw(17)), []byte{12, 0, 6, 0, 0, 0, 0, 'h', 'i'}, []byte{13, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1}))
	f.Fuzz(func(t *testing.T, script []byte) {
		script = script[:min(len(script), 1024)]
		own := []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthCHAPMD5}
		s := newSide(t, Config{
			PeerAuth: several, OwnAuth: own, Rand: magicFrom(100),
			EchoInterval: 10 * time.Second, EchoFailures: 3, Identification: "fuzz",
		})
		now := ppptest.Start
		s.Begin(now)
		var last ppp.Packet // that it sent
		var req ppp.Packet
		opened := false
		for len(script) > 0 {
			code := script[0]
			script = script[1:]
			switch {
			case code == 0:
				if len(script) == 0 {
					return
				}
				now = now.Add(time.Duration(script[0]) * time.Second)
				script = script[1:]
				s.Tick(now, &s.Out)
			case code == 255:
				p := ppp.Packet{Code: ppp.ConfigureAck, ID: req.ID, Data: req.Data}
				s.Input(p.Append(nil), now, &s.Out)
			case len(script) < 2:
				return
			default:
				p := ppp.Packet{Code: ppp.Code(code), ID: script[0]}
				if p.ID == 0 {
					p.ID = last.ID
				}
				n := min(int(script[1]), len(script)-2)
				p.Data = script[2 : 2+n]
				script = script[2+n:]
				s.Input(p.Append(nil), now, &s.Out)
			}
			for _, last = range s.Said() {
				require.LessOrEqual(t, ppp.PacketHeader+len(last.Data), DefaultMRU)
				if last.Code == ppp.ConfigureRequest {
					req = last
				}
			}
			s.Forget()
			s.TakeRejected()
			s.RejectProtocol(0x1234, script, &s.Out)
			require.GreaterOrEqual(t, s.PeerMRU(), MinMRU)
			require.LessOrEqual(t, s.PeerMRU(), MaxMRU)
			if m := s.OwnAuth(); m != (ppp.AuthMethod{}) {
				require.Contains(t, own, m, "we prove ourselves by no other method")
			}
			if s.Opened() {
				opened = true
				require.Contains(t, several, s.PeerAuth(), "nobody gets past the authentication")
				require.NoError(t, s.Err())
			}
			if st := s.State(); opened && (st == ppp.Opened || st == ppp.ReqSent || st == ppp.AckRcvd || st == ppp.AckSent || st == ppp.Closing || st == ppp.Stopping) {
				require.False(t, s.Deadline().IsZero(), "stuck in %v", st)
			}
		}
	})
}

// FuzzInput takes octets as they come, open and not.
func FuzzInput(f *testing.F) {
	f.Add([]byte{1, 1, 0, 4}, true)
	f.Add([]byte{8, 0, 0, 6, 0xc0, 0x21}, true)
	f.Add([]byte{9, 0, 0, 8, 0, 0, 0, 1}, true)
	f.Add([]byte{12, 0, 0, 4}, false)
	f.Add([]byte{1, 0, 0, 6, 3, 0}, false)
	f.Fuzz(func(t *testing.T, b []byte, opened bool) {
		p := newPeer(t, server())
		if opened {
			p.establish(encodeMagic(5))
		}
		p.Input(b, p.Now, &p.Out)
		require.Less(t, p.Out.Len(), 8)
	})
}
