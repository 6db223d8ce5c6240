package lcp

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/mutate"
	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// lengths are those of the options that may be agreed on (RFC 1661 section 6,
// RFC 1662 section 7.1, RFC 1994 section 3).
var lengths = map[uint8][]int{1: {4}, 2: {6}, 3: {4, 5}, 5: {6}, 7: {2}, 8: {2}}

// checkAgreed looks at options that were acked: each is known, once, and as long as
// it must be.
func checkAgreed(t *testing.T, b []byte, name string) {
	t.Helper()
	seen := map[uint8]bool{}
	for ; len(b) > 0; b = b[b[1]:] {
		require.Contains(t, lengths[b[0]], int(b[1]), "%s: % x", name, b)
		require.False(t, seen[b[0]], "%s: % x", name, b)
		seen[b[0]] = true
	}
}

// TestMutatedPackets gives an LCP that negotiates, and one that is open, what is
// nearly a packet. Whatever it makes of it is well-formed, and what it agrees on is
// what it can live with.
func TestMutatedPackets(t *testing.T) {
	cfg := Config{
		MRU: 1460, PeerAuth: several, OwnAuth: []ppp.AuthMethod{ppp.AuthMSCHAPv2, ppp.AuthCHAPMD5, ppp.AuthPAP},
		Identification: "me",
	}
	wanted := ppp.Options{
		encodeMRU(1400), ppptest.Raw(optionACCM, 0, 0, 0, 0), encodeAuth(ppp.AuthMSCHAPv2), encodeMagic(0x01010101),
		ppptest.Raw(optionPFC), ppptest.Raw(optionACFC),
	}
	for _, stage := range []struct {
		name string
		peer func(t *testing.T) (p *peer, request ppp.Packet)
	}{
		{"negotiating", func(t *testing.T) (*peer, ppp.Packet) {
			p := newPeer(t, cfg)
			return p, p.One(ppp.ConfigureRequest, p.Said())
		}},
		{"open", func(t *testing.T) (*peer, ppp.Packet) {
			p := newPeer(t, cfg)
			request := p.One(ppp.ConfigureRequest, p.Said())
			require.Empty(t, p.Say(ppp.ConfigureAck, request.ID, request.Data))
			require.Equal(t, ppp.ConfigureAck, p.Request(wanted...)[0].Code)
			require.True(t, p.Opened())
			return p, request
		}},
	} {
		t.Run(stage.name, func(t *testing.T) {
			_, request := stage.peer(t)
			magic := encodeMagic(0x01010101).Data
			for i, valid := range []ppp.Packet{
				{Code: ppp.ConfigureRequest, ID: 9, Data: wanted.Append(nil)},
				{Code: ppp.ConfigureAck, ID: request.ID, Data: request.Data},
				{Code: ppp.ConfigureNak, ID: request.ID, Data: wanted.Append(nil)},
				{Code: ppp.ConfigureReject, ID: request.ID, Data: request.Data},
				{Code: ppp.TerminateRequest, ID: 9},
				{Code: ppp.TerminateAck, ID: 9},
				{Code: ppp.CodeReject, ID: 9, Data: []byte{byte(ppp.Identification), 1, 0, 4}},
				{Code: ppp.ProtocolReject, ID: 9, Data: []byte{0x80, 0x57, 1, 1, 0, 4}},
				{Code: ppp.EchoRequest, ID: 9, Data: append(slices.Clone(magic), "hello"...)},
				{Code: ppp.EchoReply, ID: 9, Data: append(slices.Clone(magic), "hello"...)},
				{Code: ppp.DiscardRequest, ID: 9, Data: append(slices.Clone(magic), "hello"...)},
				{Code: ppp.Identification, ID: 9, Data: append(slices.Clone(magic), "hello"...)},
				{Code: ppp.TimeRemaining, ID: 9, Data: append(slices.Clone(magic), 0, 0, 0, 60)},
			} {
				for name, b := range mutate.Of(valid.Append(nil)) {
					p, _ := stage.peer(t)
					mutated(t, p, b, valid.Code.String()+" "+name)
				}
				if i < 4 {
					for name, opts := range mutate.Options(valid.Data) {
						p, _ := stage.peer(t)
						b := ppp.Packet{Code: valid.Code, ID: valid.ID, Data: opts}
						mutated(t, p, b.Append(nil), valid.Code.String()+" "+name)
					}
				}
			}
		})
	}
}

func mutated(t *testing.T, p *peer, b []byte, name string) {
	before := bytes.Clone(b)
	dropped := p.Dropped()
	p.Sig |= p.Input(b, p.Now, &p.Out)
	require.Equal(t, before, b, name)
	var in ppp.Packet
	_, err := in.Decode(b)
	if err != nil {
		require.Equal(t, dropped+1, p.Dropped(), name)
	}
	said := p.Said()
	require.LessOrEqual(t, len(said), 3, name)
	for _, s := range said {
		switch s.Code {
		case ppp.ConfigureAck:
			require.Equal(t, in.Data, s.Data, name)
			checkAgreed(t, s.Data, name)
		case ppp.ConfigureNak, ppp.ConfigureReject:
			require.NotEmpty(t, ppptest.Options(t, s), name)
			if s.Code == ppp.ConfigureNak {
				checkAgreed(t, s.Data, name) // we could live with what we suggest
			}
		case ppp.ConfigureRequest:
			checkAgreed(t, s.Data, name)
		}
	}
	require.LessOrEqual(t, MinMRU, p.PeerMRU(), name)
	require.LessOrEqual(t, p.PeerMRU(), MaxMRU, name)
	// Left alone, it comes to rest.
	for i := 0; !p.Opened() && !p.Deadline().IsZero(); i++ {
		require.Less(t, i, 50, name)
		p.Now = p.Deadline()
		p.Sig |= p.Tick(p.Now, &p.Out)
	}
}
