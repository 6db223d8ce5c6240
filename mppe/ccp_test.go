package mppe

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// offered is all that a CCP asks for and accepts unless it is told otherwise.
const offered = bitStateless | bitKey128

// side is a CCP at one end of a line.
type side struct {
	*CCP
	*ppptest.Side
}

func newSide(t testing.TB, cfg CCPConfig) *side {
	c := NewCCP(cfg)
	return &side{c, ppptest.NewSide(t, c)}
}

// converse lets two sides talk for a virtual minute and returns when both were
// open. lose says which packets do not arrive, counted from zero.
func converse(a, b *side, lose func(n int) bool) (took time.Duration) {
	l := ppptest.NewLine(a.Side, b.Side)
	l.Lose = lose
	l.Begin()
	took = l.Run(time.Minute, l.BothOpen)
	l.Run(time.Minute-took, nil)
	return took
}

func TestCCPPairs(t *testing.T) {
	policies := map[string]CCPConfig{"require": {Required: true}, "prefer": {Request: true}, "allow": {}}
	for nameA, a := range policies {
		for nameB, b := range policies {
			t.Run(nameA+" "+nameB, func(t *testing.T) {
				x, y := newSide(t, a), newSide(t, b)
				converse(x, y, nil)
				want := nameA != "allow" || nameB != "allow"
				for _, s := range []*side{x, y} {
					require.Equal(t, want, s.Opened())
					send, sendOK := s.Send()
					_, recvOK := s.Recv()
					require.Equal(t, want, sendOK)
					require.Equal(t, want, recvOK)
					if want {
						require.Equal(t, "MPPE 128-bit stateless", send.String())
						require.Contains(t, s.Events, PrepareReceive{KeyLength: Key128})
					} else {
						require.NotZero(t, s.Sig&ppp.SignalFinished, "the network protocols may go on")
						require.NoError(t, s.Err())
					}
				}
			})
		}
	}
}

func TestCCPEachPacketLostOnce(t *testing.T) {
	for _, cfg := range []CCPConfig{{Required: true}, {Request: true}, {}} {
		for lost := range 8 {
			t.Run(fmt.Sprintf("%+v %d", cfg, lost), func(t *testing.T) {
				x, y := newSide(t, CCPConfig{Required: true}), newSide(t, cfg)
				took := converse(x, y, func(n int) bool { return n == lost })
				require.True(t, x.Opened() && y.Opened())
				require.Less(t, took, time.Second)
				_, ok := y.Recv()
				require.True(t, ok)
			})
		}
	}
}

// peer drives a CCP by hand: the test plays the other side.
type peer struct {
	*CCP
	*ppptest.Hand
}

// newPeer faces a CCP that is up.
func newPeer(t testing.TB, cfg CCPConfig) *peer {
	s := newSide(t, cfg)
	return &peer{s.CCP, ppptest.NewHand(s.Side)}
}

func TestCCPJudge(t *testing.T) {
	mppe := func(b bits) ppp.Option { return b.option() }
	deflate := ppp.Option{Type: 26, Data: []byte{0x78, 0}}
	bsd := ppp.Option{Type: 21, Data: []byte{0x2f}}
	stac := ppp.Option{Type: 17, Data: []byte{0, 1, 3}}
	predictor := ppp.Option{Type: 1}
	good := mppe(offered)
	for name, c := range map[string]struct {
		cfg   CCPConfig
		req   ppp.Options
		code  ppp.Code
		reply ppp.Options
	}{
		"what we want":         {CCPConfig{Required: true}, ppp.Options{good}, ppp.ConfigureAck, ppp.Options{good}},
		"all key lengths":      {CCPConfig{Required: true}, ppp.Options{mppe(offered | bitKey40 | bitKey56)}, ppp.ConfigureNak, ppp.Options{good}},
		"stateful":             {CCPConfig{Required: true}, ppp.Options{mppe(bitKey128)}, ppp.ConfigureNak, ppp.Options{good}},
		"40 bits":              {CCPConfig{Request: true}, ppp.Options{mppe(bitKey40 | bitStateless)}, ppp.ConfigureNak, ppp.Options{good}},
		"MPPC as well":         {CCPConfig{Required: true}, ppp.Options{mppe(offered | bitCompressed)}, ppp.ConfigureNak, ppp.Options{good}},
		"MPPC alone":           {CCPConfig{Required: true}, ppp.Options{mppe(bitCompressed)}, ppp.ConfigureNak, ppp.Options{good}},
		"all bits zero":        {CCPConfig{Required: true}, ppp.Options{mppe(0)}, ppp.ConfigureNak, ppp.Options{good}},
		"nothing, required":    {CCPConfig{Required: true}, nil, ppp.ConfigureNak, ppp.Options{good}},
		"nothing, preferred":   {CCPConfig{Request: true}, nil, ppp.ConfigureNak, ppp.Options{good}},
		"nothing, allowed":     {CCPConfig{}, nil, ppp.ConfigureAck, nil},
		"other compressors":    {CCPConfig{Required: true}, ppp.Options{deflate, good, bsd, stac, predictor}, ppp.ConfigureReject, ppp.Options{deflate, bsd, stac, predictor}},
		"option of bad size":   {CCPConfig{Required: true}, ppp.Options{{Type: optionMPPE, Data: []byte{1, 0, 0}}}, ppp.ConfigureReject, ppp.Options{{Type: optionMPPE, Data: []byte{1, 0, 0}}}},
		"option that is twice": {CCPConfig{Required: true}, ppp.Options{good, mppe(bitKey40)}, ppp.ConfigureReject, ppp.Options{mppe(bitKey40)}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, c.cfg)
			p.Said()
			got := p.SayOptions(ppp.ConfigureRequest, 7, c.req...)
			got = got[len(got)-1:]
			require.Equal(t, c.code, got[0].Code)
			require.EqualValues(t, 7, got[0].ID)
			require.Equal(t, c.reply.Append(nil), ppptest.Options(t, got[0]).Append(nil))
		})
	}
}

// A confused router asks for MPPE with all bits zero for ever.
func TestCCPAllZeroForEver(t *testing.T) {
	for _, required := range []bool{true, false} {
		p := newPeer(t, CCPConfig{Request: true, Required: required})
		p.Said()
		naks := 0
		var last ppp.Packet
		for id := range uint8(20) {
			for _, pkt := range p.SayOptions(ppp.ConfigureRequest, id, bits(0).option()) {
				last = pkt
				if pkt.Code == ppp.ConfigureNak {
					naks++
				}
			}
		}
		require.Equal(t, ppp.DefaultMaxFailure, naks)
		if required {
			require.Equal(t, ppp.TerminateRequest, last.Code)
			require.ErrorIs(t, p.Err(), ErrRefused)
		} else {
			require.Equal(t, ppp.ConfigureReject, last.Code)
		}
	}
}

func TestCCPRequestIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		answer ppp.Code
		opt    ppp.Option
		why    string
	}{
		"rejected":  {ppp.ConfigureReject, offered.option(), "it rejects the option"},
		"40 bits":   {ppp.ConfigureNak, (bitKey40 | bitStateless).option(), "it offers 40-bit stateless"},
		"56, state": {ppp.ConfigureNak, bitKey56.option(), "it offers 56-bit stateful"},
		"stateful":  {ppp.ConfigureNak, bitKey128.option(), "it offers 128-bit stateful"},
		"none":      {ppp.ConfigureNak, bits(0).option(), "it offers none"},
		"nonsense":  {ppp.ConfigureNak, ppp.Option{Type: optionMPPE}, "it offers none"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, CCPConfig{Required: true})
			req := p.Said()[0]
			require.Equal(t, ppp.Options{offered.option()}.Append(nil), req.Data)
			p.SayOptions(c.answer, req.ID, c.opt)
			require.ErrorIs(t, p.Err(), ErrRefused)
			require.ErrorContains(t, p.Err(), c.why)

			// Where it is not required, CCP goes on without.
			p = newPeer(t, CCPConfig{Request: true})
			req = p.Said()[0]
			req = p.SayOptions(c.answer, req.ID, c.opt)[0]
			require.Equal(t, ppp.ConfigureRequest, req.Code)
			require.Empty(t, req.Data)
			p.SayOptions(ppp.ConfigureAck, req.ID)
			p.SayOptions(ppp.ConfigureRequest, 1)
			require.Equal(t, ppp.ConfigureAck, p.SayOptions(ppp.ConfigureRequest, 2)[0].Code)
			require.True(t, p.Opened())
			_, send := p.Send()
			_, recv := p.Recv()
			require.False(t, send || recv)
		})
	}
}

// The data plane must be ready before the request that the peer may ack leaves.
func TestCCPPreparesBeforeItAsks(t *testing.T) {
	p := newPeer(t, CCPConfig{Required: true})
	require.Equal(t, PrepareReceive{KeyLength: Key128}, p.Out.At(0).Event)
	require.NotNil(t, p.Out.At(1).Frame)
}

func TestCCPPeerBeginsLate(t *testing.T) {
	p := newPeer(t, CCPConfig{})
	require.Empty(t, p.Said())
	require.Equal(t, ppptest.Start.Add(passiveWait), p.Deadline())
	p.Now = p.Deadline()
	require.Equal(t, ppp.SignalFinished, p.Tick(p.Now, &p.Out))
	require.True(t, p.Deadline().IsZero())
	require.Empty(t, p.Said())

	p.Now = p.Now.Add(time.Hour)
	got := p.SayOptions(ppp.ConfigureRequest, 1, offered.option())
	require.Equal(t, ppp.ConfigureRequest, got[0].Code)
	require.Equal(t, ppp.Options{offered.option()}.Append(nil), got[0].Data)
	require.Equal(t, ppp.ConfigureAck, got[1].Code)
	p.SayOptions(ppp.ConfigureAck, got[0].ID, offered.option())
	require.True(t, p.Opened())
}

func TestCCPReset(t *testing.T) {
	p := newPeer(t, CCPConfig{Required: true})
	require.Empty(t, p.SayOptions(ppp.ResetRequest, 9)[1:], "not open")
	p = newPeer(t, CCPConfig{Required: true})
	req := p.Said()[0]
	p.SayOptions(ppp.ConfigureAck, req.ID, offered.option())
	p.SayOptions(ppp.ConfigureRequest, 1, offered.option())
	require.True(t, p.Opened())
	got := p.SayOptions(ppp.ResetRequest, 9)
	require.Len(t, got, 1)
	require.Equal(t, ppp.ResetAck, got[0].Code)
	require.EqualValues(t, 9, got[0].ID)
	require.Contains(t, p.Events, ResetRequested{})
	require.Empty(t, p.SayOptions(ppp.ResetAck, 9))
	require.True(t, p.Opened())
}

func TestCCPClosedByThePeer(t *testing.T) {
	p := newPeer(t, CCPConfig{Required: true})
	req := p.Said()[0]
	p.SayOptions(ppp.ConfigureAck, req.ID, offered.option())
	p.SayOptions(ppp.ConfigureRequest, 1, offered.option())
	got := p.SayOptions(ppp.TerminateRequest, 5)
	require.Equal(t, ppp.TerminateAck, got[0].Code)
	require.NotZero(t, p.Sig&ppp.SignalDown)
	require.ErrorIs(t, p.Err(), ppp.ErrTerminated)
	_, ok := p.Send()
	require.False(t, ok)
}

var fuzzPolicies = []CCPConfig{
	{Required: true}, {Request: true}, {},
	anything,
	{Request: true, KeyLengths: AllKeyLengths, Modes: AllowStateful},
	{KeyLengths: AllowKey40 | AllowKey56, Modes: AllowStateless | AllowStateful},
}

// FuzzCCP reads events from its input: packets of the peer, time, and what the
// link does. Whatever comes, a CCP that requires encryption is not open without
// it, and it comes to rest.
func FuzzCCP(f *testing.F) {
	say := func(ops []byte, code ppp.Code, id uint8, data []byte) []byte {
		b := (&ppp.Packet{Code: code, ID: id, Data: data}).Append(nil)
		return append(append(ops, 7, byte(len(b))), b...)
	}
	good := ppp.Options{offered.option()}.Append(nil)
	for policy := range uint8(len(fuzzPolicies)) {
		f.Add(policy, say(say(nil, ppp.ConfigureRequest, 1, good), ppp.ConfigureAck, 1, good))
		f.Add(policy, say(say(say(nil, ppp.ConfigureAck, 1, good), ppp.ConfigureRequest, 1, good), ppp.ResetRequest, 2, nil))
		f.Add(policy, say(say(nil, ppp.ConfigureRequest, 1, nil), ppp.ConfigureReject, 1, good))
		f.Add(policy, say(say([]byte{0}, ppp.ConfigureNak, 1, ppp.Options{bitKey40.option()}.Append(nil)), ppp.TerminateRequest, 1, nil))
		f.Add(policy, append(say(nil, ppp.ConfigureRequest, 1, ppp.Options{bits(0).option()}.Append(nil)), 1, 2, 3, 4, 5))
	}
	f.Fuzz(func(t *testing.T, policy uint8, ops []byte) {
		s := newSide(t, fuzzPolicies[int(policy)%len(fuzzPolicies)])
		now := ppptest.Start
		check := func() {
			if s.Opened() && s.cfg.Required {
				_, send := s.Send()
				_, recv := s.Recv()
				require.True(t, send && recv, "required in both directions")
			}
			for _, get := range []func() (Agreed, bool){s.Send, s.Recv} {
				if a, ok := get(); ok {
					require.True(t, s.cfg.KeyLengths.Has(a.KeyLength))
					mode := AllowStateless
					if a.Stateful {
						mode = AllowStateful
					}
					require.NotZero(t, s.cfg.Modes&mode, "nothing but what is allowed")
				}
			}
			require.Less(t, s.Out.Len(), 16)
			s.Forget()
		}
		s.Begin(now)
		check()
		for len(ops) > 0 {
			op := ops[0] % 9
			ops = ops[1:]
			switch op {
			case 0:
				now = now.Add(100 * time.Millisecond)
				s.Tick(now, &s.Out)
			case 1:
				if at := s.Deadline(); !at.IsZero() {
					now = at
				}
				s.Tick(now, &s.Out)
			case 2:
				s.Down(now, &s.Out)
			case 3:
				s.Up(now, &s.Out)
			case 4:
				s.Close(now, &s.Out)
			case 5:
				s.Open(now, &s.Out)
			case 6:
				s.Rejected(now, &s.Out)
			case 8:
				s.RequestReset(now, &s.Out)
			default:
				if len(ops) == 0 {
					return
				}
				n := min(int(ops[0]), len(ops)-1)
				s.Input(ops[1:1+n], now, &s.Out)
				ops = ops[1+n:]
			}
			check()
		}
		for i := 0; !s.Deadline().IsZero(); i++ {
			require.Less(t, i, 100, "no end of timeouts")
			now = s.Deadline()
			s.Tick(now, &s.Out)
			check()
		}
	})
}

// FuzzOption: what is no option of MPPE is seen to be none, and what is one
// comes back the same.
func FuzzOption(f *testing.F) {
	f.Add(uint8(optionMPPE), []byte{1, 0, 0, 0x40})
	f.Add(uint8(optionMPPE), []byte{1, 0, 0})
	f.Add(uint8(optionMPPE), []byte{0xff, 0xff, 0xff, 0xff, 0})
	f.Fuzz(func(t *testing.T, typ uint8, data []byte) {
		o := ppp.Option{Type: typ, Data: data}
		b, ok := decodeBits(o)
		require.Equal(t, len(data) == 4, ok)
		if !ok {
			require.Zero(t, b)
			return
		}
		require.NotEmpty(t, b.String())
		require.Equal(t, data, b.option().Data)
	})
}
