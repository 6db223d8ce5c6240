package eap

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

func FuzzMessage(f *testing.F) {
	f.Add([]byte{1, 'a'})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		if n, err := m.Decode(b); err == nil {
			require.Equal(t, b[:n], m.Append(nil))
		}
	})
}

// FuzzMSCHAPv2 gives the method anything: no guess is a proof.
func FuzzMSCHAPv2(f *testing.F) {
	challenge := append([]byte{1, 1, 0, 27, 16}, "0123456789abcdefserver"...)
	f.Add(challenge, []byte("\x03\x01\x00\x2eS=407A5589115FD0D6209F510FE9C04566932CDA56"))
	f.Add(challenge, []byte("\x04\x01\x00\x0dE=691 R=0"))
	f.Add([]byte{3}, []byte{4})
	f.Fuzz(func(t *testing.T, first, second []byte) {
		m := NewMSCHAPv2(chap.PeerConfig{Name: "alice"})
		m.Start()
		for _, data := range [][]byte{first, second, first, second} {
			response, err := m.Request(1, data)
			require.False(t, response != nil && err != nil)
			require.False(t, m.Succeeded())
		}
	})
}

// FuzzStream runs both roles against each other, a server behind, and what the
// input makes up.
func FuzzStream(f *testing.F) {
	f.Add([]byte{26, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{4, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0})
	f.Add([]byte{13, 0, 0, 0, 2, 0, 3, 0, 0, 5, 4, 1, 1, 0, 5, 1})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 {
			return
		}
		a := NewAuthenticator(AuthenticatorConfig{Reauthenticate: time.Hour * time.Duration(ops[0]&1)})
		m := NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: chap.NTPasswordHash("right")})
		p := NewPeer(PeerConfig{Name: "alice", Methods: []Method{m}})
		b := &backend{method: Type(ops[0]), password: "right"}
		if b.method < TypeMD5 {
			b.method = TypeMSCHAPv2
		}
		var out [2]ppp.Output
		var req *ppp.AuthRequest
		now := ppptest.Start
		peerSignal := func(s ppp.Signal) {
			require.False(t, s&ppp.SignalUp != 0 && !m.Succeeded(), "no guess is a proof")
		}
		a.Start(now, &out[0])
		p.Start(now, &out[1])
		for i := 1; i < len(ops); i++ {
			switch ops[i] % 6 {
			case 0:
				for j := range out[0].Len() {
					if r, ok := out[0].At(j).Event.(ppp.AuthRequest); ok {
						req = &r
					} else {
						peerSignal(p.Input(out[0].At(j).Frame[2:], now, &out[1]))
					}
				}
				out[0].Reset()
				for j := range out[1].Len() {
					if out[1].At(j).Event == nil {
						require.Zero(t, a.Input(out[1].At(j).Frame[2:], now, &out[0])&ppp.SignalUp)
					}
				}
				out[1].Reset()
				if req != nil {
					a.Verdict(b.answer(*req), now, &out[0])
					req = nil
				}
			case 1:
				if at := a.Deadline(); !at.IsZero() {
					now = at
					require.Zero(t, a.Tick(now, &out[0])&ppp.SignalUp)
				}
			case 2:
				peerSignal(p.Presume(now, &out[1]))
			case 3, 4, 5:
				if i+1 == len(ops) {
					return
				}
				n := min(int(ops[i+1]), len(ops)-i-2)
				data := ops[i+2 : i+2+n]
				switch ops[i] % 6 {
				case 3:
					peerSignal(p.Input(data, now, &out[1]))
				case 4:
					require.Zero(t, a.Input(data, now, &out[0])&ppp.SignalUp)
				case 5:
					a.Verdict(ppp.AuthVerdict{ID: a.id, Accepted: n%2 == 0, EAP: data}, now, &out[0])
				}
				i += 1 + n
			}
		}
		if a.cfg.Reauthenticate == 0 {
			for n := 0; !a.Deadline().IsZero(); n++ {
				require.Less(t, n, 30, "no end of timeouts")
				now = a.Deadline()
				a.Tick(now, &out[0])
			}
		}
	})
}

// FuzzServer answers a Server's requests with what the input makes up, of which
// nothing is a proof, until the input has a right answer given. An octet says how
// many that follow are one packet; zero is a right answer.
func FuzzServer(f *testing.F) {
	f.Add([]byte("\x05\x02\x01\x00\x05\x01\x00\x00"), false)
	f.Add([]byte("\x05\x02\x01\x00\x05\x01\x06\x02\x02\x00\x06\x03\x04\x00"), true)
	f.Add([]byte("\x05\x02\x01\x00\x05\x01\x00\x06\x02\x03\x00\x06\x1a\x03\x06\x02\x03\x00\x06\x1a\x04"), false)
	f.Add(append([]byte("\x05\x02\x01\x00\x05\x01\x3b\x02\x02\x00\x3b\x1a\x02\x02\x00\x36\x31"), make([]byte, 60)...), false)
	f.Fuzz(func(t *testing.T, in []byte, md5First bool) {
		s := new(Server)
		if md5First {
			s.Methods = []ServerMethod{new(MD5Server), new(MSCHAPv2Server)}
		}
		user := account("right")
		peer := NewPeer(PeerConfig{Name: "alice", Methods: []Method{
			NewMSCHAPv2(chap.PeerConfig{Name: "alice", NTHash: user.NTHash}), NewMD5("alice", user.Secret),
		}})
		var out ppp.Output
		var state any
		request, right := packet(CodeRequest, 1, TypeIdentity, nil), 0
		for len(in) > 0 {
			n := int(in[0])
			answer := in[1:min(1+n, len(in))]
			in = in[1+len(answer):]
			if n == 0 {
				out.Reset()
				peer.Input(request, ppptest.Start, &out)
				if out.Len() == 0 {
					return
				}
				answer = out.At(0).Frame[2:]
				if Type(request[4]) != TypeIdentity {
					right++
				}
			}
			req := ppp.AuthRequest{Method: ppp.AuthEAP, ID: 1, Name: "alice", State: state, EAP: answer}
			nobody := s.Next(&req, nil)
			require.False(t, nobody.Accepted)
			v := s.Next(&req, user)
			require.False(t, v.Accepted && right == 0, "no guess is a proof")
			require.Equal(t, v.Continue, v.EAP != nil)
			require.False(t, v.Proof != nil && !v.Accepted)
			require.Equal(t, v.Continue || v.Accepted, v.ErrorCode == 0)
			if !v.Continue {
				return
			}
			var p ppp.Packet
			count, err := p.Decode(v.EAP)
			require.NoError(t, err)
			require.Equal(t, len(v.EAP), count)
			require.Equal(t, CodeRequest, p.Code)
			require.Equal(t, answer[1]+1, p.ID)
			request, state = v.EAP, v.State
		}
	})
}
