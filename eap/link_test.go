package eap_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
)

// This is every method of authentication on whole links, with LCP to agree on
// one. It is here because this package is above the others.

const password = "correct horse"

// end is one end of a link.
type end struct {
	link   *ppp.Link
	lcp    *lcp.LCP
	out    ppp.Output
	seen   int
	phases []ppp.Phase
	done   bool
	err    error
}

// pair is a server and a client, a millisecond apart.
type pair struct {
	t        *testing.T
	server   end
	client   end
	now      time.Time
	requests []ppp.AuthRequest
	password string // that the server knows
	lose     func(n int) bool
	sent     int
}

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// network is a network protocol that asks for nothing.
type network struct{ ppp.Automaton }

type noOptions struct{}

func (noOptions) Begin()                                             {}
func (noOptions) Request(dst ppp.Options, _ *ppp.Output) ppp.Options { return dst }
func (noOptions) Acked(ppp.Options)                                  {}
func (noOptions) Naked(ppp.Options)                                  {}
func (noOptions) Refused(ppp.Options)                                {}
func (noOptions) Judge(_ ppp.Options, _ bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	return ppp.ConfigureAck, dst
}

func authenticators(again time.Duration) []ppp.Authenticator {
	return []ppp.Authenticator{
		eap.NewAuthenticator(eap.AuthenticatorConfig{Reauthenticate: again}),
		chap.NewAuthenticator(chap.AuthenticatorConfig{Method: ppp.AuthMSCHAPv2, Reauthenticate: again}),
		chap.NewAuthenticator(chap.AuthenticatorConfig{Method: ppp.AuthMSCHAPv1, Reauthenticate: again}),
		chap.NewAuthenticator(chap.AuthenticatorConfig{Method: ppp.AuthCHAPMD5, Reauthenticate: again}),
		pap.NewAuthenticator(pap.AuthenticatorConfig{}),
	}
}

func peers(name string) []ppp.Auth {
	secret, hash := ppp.Secret(password), chap.NTPasswordHash(password)
	return []ppp.Auth{
		eap.NewPeer(eap.PeerConfig{Name: name, Methods: []eap.Method{eap.NewMD5(name, secret)}}),
		chap.NewPeer(chap.PeerConfig{Method: ppp.AuthMSCHAPv2, Name: name, NTHash: hash}),
		chap.NewPeer(chap.PeerConfig{Method: ppp.AuthMSCHAPv1, Name: name, NTHash: hash}),
		chap.NewPeer(chap.PeerConfig{Method: ppp.AuthCHAPMD5, Name: name, Secret: secret}),
		pap.NewPeer(pap.PeerConfig{Name: name, Password: secret}),
	}
}

// newPair has the server ask for some methods and the client agree to some; and
// the client ask for mutual ones, if there are any.
func newPair(t *testing.T, ask, agree, mutual []ppp.AuthMethod, again time.Duration) *pair {
	p := &pair{t: t, now: begin, password: password, lose: func(int) bool { return false }}
	newEnd := func(e *end, c lcp.Config, name string) {
		c.FirstTimeout = 100 * time.Millisecond
		e.lcp = lcp.New(c)
		n := new(network)
		n.Init(ppp.AutomatonConfig{Protocol: ppp.ProtocolIPCP}, noOptions{})
		e.link = ppp.NewLink(ppp.LinkConfig{
			Control: e.lcp, Authenticators: authenticators(again), Peers: peers(name), Networks: []ppp.Layer{n},
		})
	}
	newEnd(&p.server, lcp.Config{PeerAuth: ask, OwnAuth: mutual}, "gateway")
	newEnd(&p.client, lcp.Config{PeerAuth: mutual, OwnAuth: agree}, "alice")
	return p
}

func (p *pair) run(d time.Duration) {
	if p.now.Equal(begin) {
		p.server.link.Up(p.now, &p.server.out)
		p.client.link.Up(p.now, &p.client.out)
	}
	for stop := p.now.Add(d); p.now.Before(stop); p.now = p.now.Add(time.Millisecond) {
		p.pass(&p.server, &p.client)
		p.pass(&p.client, &p.server)
		for _, e := range []*end{&p.server, &p.client} {
			if at := e.link.Deadline(); !at.IsZero() && !p.now.Before(at) {
				e.link.Tick(p.now, &e.out)
			}
		}
	}
}

// pass carries out what one end wants done so far.
func (p *pair) pass(from, to *end) {
	for n := from.out.Len(); from.seen < n; from.seen++ {
		a := from.out.At(from.seen)
		switch ev := a.Event.(type) {
		case nil:
			if p.sent++; !p.lose(p.sent - 1) {
				to.link.Input(a.Frame, p.now, &to.out)
			}
		case ppp.AuthRequest:
			p.requests = append(p.requests, ev)
			from.link.Verdict(p.judge(&ev), p.now, &from.out)
		case ppp.PhaseChanged:
			from.phases = append(from.phases, ev.Phase)
		case ppp.LinkFinished:
			from.done, from.err = true, ev.Err
		}
	}
}

// judge is one owner for all methods.
func (p *pair) judge(req *ppp.AuthRequest) ppp.AuthVerdict {
	v := ppp.AuthVerdict{ID: req.ID}
	switch req.Method {
	case ppp.AuthPAP:
		v.Accepted = string(req.Password) == p.password
	case ppp.AuthCHAPMD5:
		v.Accepted = chap.VerifyMD5(req, ppp.Secret(p.password))
	case ppp.AuthMSCHAPv1:
		_, v.Accepted = chap.VerifyMSCHAPv1(req, chap.NTPasswordHash(p.password))
	case ppp.AuthMSCHAPv2:
		if r, ok := chap.VerifyMSCHAPv2(req, chap.NTPasswordHash(p.password)); ok {
			v.Accepted, v.AuthenticatorResponse = true, r.AuthenticatorResponse
		}
	case ppp.AuthEAP:
		var pkt ppp.Packet
		var value chap.Value
		_, err := pkt.Decode(req.EAP)
		require.NoError(p.t, err)
		if pkt.Data[0] == byte(eap.TypeIdentity) {
			value.Value = []byte("0123456789abcdef")
			pkt = ppp.Packet{Code: eap.CodeRequest, ID: pkt.ID + 1, Data: value.Append([]byte{byte(eap.TypeMD5)})}
			v.EAP = pkt.Append(nil)
			break
		}
		_, err = value.Decode(pkt.Data[1:])
		want := chap.MD5Response(pkt.ID, ppp.Secret(p.password), []byte("0123456789abcdef"))
		v.Accepted = err == nil && slices.Equal(want[:], value.Value)
	}
	return v
}

var all = []ppp.AuthMethod{ppp.AuthEAP, ppp.AuthMSCHAPv2, ppp.AuthMSCHAPv1, ppp.AuthCHAPMD5, ppp.AuthPAP}

func up(p *pair) bool {
	return p.server.link.Phase() == ppp.PhaseNetwork && p.client.link.Phase() == ppp.PhaseNetwork
}

// Each method, when any one packet is lost.
func TestLinksAuthenticate(t *testing.T) {
	for _, m := range all {
		t.Run(m.String(), func(t *testing.T) {
			for lost := -1; lost < 16; lost++ {
				p := newPair(t, []ppp.AuthMethod{m}, []ppp.AuthMethod{m}, nil, 0)
				p.lose = func(n int) bool { return n == lost }
				p.run(4 * time.Second)
				require.True(t, up(p), "without packet %d: %v %v", lost, p.server.link.Phase(), p.client.link.Phase())
				require.Equal(t, "alice", p.requests[0].Name)
				require.Equal(t, m, p.requests[0].Method)
			}
		})
	}
}

func TestLinksRefuse(t *testing.T) {
	for _, m := range all {
		p := newPair(t, []ppp.AuthMethod{m}, []ppp.AuthMethod{m}, nil, 0)
		p.password = "another"
		p.run(4 * time.Second)
		for _, e := range []*end{&p.server, &p.client} {
			require.True(t, e.done, m)
			require.NotContains(t, e.phases, ppp.PhaseNetwork)
		}
		require.ErrorIs(t, p.server.err, ppp.ErrAuthentication)
		require.ErrorIs(t, p.client.err, ppp.ErrAuthentication, m)
	}
}

// A Nak leads through the methods to one that both have.
func TestLinksAgreeOnAMethod(t *testing.T) {
	for _, ask := range [][]ppp.AuthMethod{all, {ppp.AuthPAP, ppp.AuthCHAPMD5, ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2, ppp.AuthEAP}} {
		for _, m := range all {
			p := newPair(t, ask, []ppp.AuthMethod{m}, nil, 0)
			p.run(2 * time.Second)
			require.True(t, up(p), m)
			require.Equal(t, m, p.requests[0].Method)
		}
	}
	p := newPair(t, all[:2], all[2:], nil, 0)
	p.run(10 * time.Second)
	require.True(t, p.server.done)
	require.ErrorIs(t, p.server.err, lcp.ErrAuthRefused)
	require.Empty(t, p.requests)
}

func TestLinksAuthenticateMutually(t *testing.T) {
	for _, m := range all {
		for _, back := range all {
			p := newPair(t, []ppp.AuthMethod{m}, []ppp.AuthMethod{m}, []ppp.AuthMethod{back}, 0)
			p.run(2 * time.Second)
			require.True(t, up(p), "%v and %v", m, back)
			names := []string{}
			for _, req := range p.requests {
				if !slices.Contains(names, req.Name) {
					names = append(names, req.Name)
				}
			}
			require.ElementsMatch(t, []string{"alice", "gateway"}, names)
		}
	}
}

func TestLinksAuthenticateAnew(t *testing.T) {
	for _, m := range all[:4] { // PAP cannot
		t.Run(m.String(), func(t *testing.T) {
			p := newPair(t, []ppp.AuthMethod{m}, []ppp.AuthMethod{m}, nil, 10*time.Second)
			p.run(35 * time.Second)
			require.True(t, up(p))
			again := 0
			for _, req := range p.requests {
				if req.Reauthentication {
					again++
				}
			}
			require.Equal(t, 3*len(p.requests)/4, again, "three times")
			phases := fmt.Sprint(p.client.phases)
			require.Equal(t, "[Establish Authenticate Network]", phases, "the link goes on")

			p.password = "changed meanwhile"
			p.run(10 * time.Second)
			require.True(t, p.server.done && p.client.done)
			require.ErrorIs(t, p.server.err, ppp.ErrAuthentication)
			require.False(t, errors.Is(p.server.err, chap.ErrTimeout))
		})
	}
}
