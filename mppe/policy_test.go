package mppe

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

var (
	allLengths = []KeyLengths{AllowKey40, AllowKey56, AllowKey128, AllowKey40 | AllowKey128, AllowKey40 | AllowKey56, AllKeyLengths}
	allModes   = []Modes{AllowStateless, AllowStateful, AllowStateless | AllowStateful}
)

// Any two policies come to the best that both allow, and to nothing but that.
func TestCCPComesToTheBest(t *testing.T) {
	for _, lengthsA := range allLengths {
		for _, lengthsB := range allLengths {
			for _, modesA := range allModes {
				for _, modesB := range allModes {
					for _, passive := range []bool{false, true} {
						t.Run(fmt.Sprintf("%v %v %v %v %v", lengthsA, modesA, lengthsB, modesB, passive), func(t *testing.T) {
							a := newSide(t, CCPConfig{Required: true, KeyLengths: lengthsA, Modes: modesA})
							b := newSide(t, CCPConfig{Required: !passive, KeyLengths: lengthsB, Modes: modesB})
							took := converse(a, b, nil)
							common := lengthsA & lengthsB
							if common == 0 || modesA&modesB == 0 {
								require.ErrorIs(t, a.Err(), ErrRefused)
								require.False(t, a.Opened())
								return
							}
							want := Agreed{KeyLength: common.Strongest(), Stateful: modesA&modesB&AllowStateless == 0}
							require.Less(t, took, 100*time.Millisecond)
							for _, s := range []*side{a, b} {
								require.True(t, s.Opened())
								got, ok := s.Send()
								require.True(t, ok)
								require.Equal(t, want, got)
								got, ok = s.Recv()
								require.True(t, ok)
								require.Equal(t, want, got)
								// The data plane was made ready for that, and last for that.
								var last ppp.Event
								for _, e := range s.Events {
									if p, ok := e.(PrepareReceive); ok {
										last = p
									}
								}
								require.Equal(t, PrepareReceive(want), last)
							}
						})
					}
				}
			}
		}
	}
}

var anything = CCPConfig{Required: true, KeyLengths: AllKeyLengths, Modes: AllowStateless | AllowStateful}

func TestCCPAsksForAllItAllows(t *testing.T) {
	for _, c := range []struct {
		lengths KeyLengths
		modes   Modes
		want    bits
	}{
		{0, 0, bitStateless | bitKey128},
		{AllKeyLengths, 0, bitStateless | bitKey128 | bitKey56 | bitKey40},
		{AllowKey40, AllowStateful, bitKey40},
		{AllowKey40 | AllowKey128, AllowStateful | AllowStateless, bitStateless | bitKey128 | bitKey40},
	} {
		p := newPeer(t, CCPConfig{Required: true, KeyLengths: c.lengths, Modes: c.modes})
		require.Equal(t, ppp.Options{c.want.option()}.Append(nil), p.Said()[0].Data)
	}
}

// Windows offers all that it has, compression too, and takes what it is told in
// a Nak.
func TestCCPWithWindows(t *testing.T) {
	p := newPeer(t, anything)
	p.Said()
	got := p.SayOptions(ppp.ConfigureRequest, 4, (bitStateless | bitKey128 | bitKey56 | bitKey40 | bitCompressed).option())
	require.Equal(t, ppp.ConfigureNak, got[0].Code)
	require.Equal(t, ppp.Options{offered.option()}.Append(nil), got[0].Data)
	got = p.SayOptions(ppp.ConfigureRequest, 5, offered.option())
	require.Equal(t, ppp.ConfigureAck, got[0].Code)
}

// pppd is asked for all and says one in a Nak. It acks its own idea only.
func TestCCPWithPppd(t *testing.T) {
	for _, choice := range []bits{bitStateless | bitKey128, bitStateless | bitKey40, bitKey128, bitKey40} {
		p := newPeer(t, anything)
		req := p.Said()[0]
		req = p.SayOptions(ppp.ConfigureNak, req.ID, choice.option())[0]
		require.Equal(t, ppp.Options{choice.option()}.Append(nil), req.Data)
		p.SayOptions(ppp.ConfigureAck, req.ID, choice.option())

		// It asks for the same, and would rather have nothing than anything else:
		// of its options a Nak only ever takes some away.
		got := p.SayOptions(ppp.ConfigureRequest, 1, choice.option())
		if !choice.stateless() {
			require.Equal(t, ppp.ConfigureNak, got[0].Code)
			require.Equal(t, ppp.Options{(choice | bitStateless).option()}.Append(nil), got[0].Data)
			got = p.SayOptions(ppp.ConfigureRequest, 2, choice.option())
		}
		require.Equal(t, ppp.ConfigureAck, got[0].Code)
		require.True(t, p.Opened())
		send, _ := p.Send()
		recv, _ := p.Recv()
		require.Equal(t, choice.strongest(), send)
		require.Equal(t, choice.strongest(), recv)

		// When it begins anew, what was agreed on is void.
		got = p.SayOptions(ppp.ConfigureRequest, 3, (bitStateless | bitKey56).option())
		require.False(t, p.Opened())
		_, ok := p.Send()
		require.False(t, ok)
		require.Equal(t, ppp.ConfigureRequest, got[0].Code)
		require.Equal(t, ppp.ConfigureAck, got[1].Code)
		p.SayOptions(ppp.ConfigureAck, got[0].ID, ppptest.Options(t, got[0])...)
		send, _ = p.Send()
		require.Equal(t, Agreed{KeyLength: Key56}, send)
		recv, _ = p.Recv()
		require.Equal(t, Agreed{KeyLength: Key128}, recv, "each direction by itself, and the strongest of many that are acked")
	}
}

func TestCCPNaksToTheBest(t *testing.T) {
	for name, c := range map[string]struct{ offer, nak bits }{
		"all bits zero":     {0, bitStateless | bitKey128},
		"obsolete":          {bitObsolete, bitStateless | bitKey128},
		"obsolete and good": {bitObsolete | bitKey40 | bitStateless, bitStateless | bitKey40},
		"MPPC":              {bitCompressed, bitStateless | bitKey128},
		"MPPC and good":     {bitCompressed | bitKey56 | bitStateless, bitStateless | bitKey56},
		"reserved":          {0x00800000 | bitKey128 | bitStateless, bitStateless | bitKey128},
		"two":               {bitKey40 | bitKey56, bitStateless | bitKey56},
		"no key length":     {bitStateless, bitStateless | bitKey128},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, anything)
			p.Said()
			got := p.SayOptions(ppp.ConfigureRequest, 4, c.offer.option())
			require.Equal(t, ppp.ConfigureNak, got[0].Code)
			require.Equal(t, ppp.Options{c.nak.option()}.Append(nil), got[0].Data)
			require.Equal(t, ppp.ConfigureAck, p.SayOptions(ppp.ConfigureRequest, 5, c.nak.option())[0].Code)
		})
	}
}

// What is not allowed is not agreed on, however the peer asks for it.
func TestCCPIsNotTalkedDown(t *testing.T) {
	cfg := CCPConfig{Required: true, KeyLengths: AllowKey128 | AllowKey56}
	for _, offer := range []bits{bitKey40 | bitStateless, bitKey128, bitKey56} {
		p := newPeer(t, cfg)
		req := p.Said()[0]
		p.SayOptions(ppp.ConfigureNak, req.ID, offer.option())
		require.ErrorIs(t, p.Err(), ErrRefused)

		p = newPeer(t, cfg)
		p.Said()
		for id := range uint8(ppp.DefaultMaxFailure) {
			require.Equal(t, ppp.ConfigureNak, p.SayOptions(ppp.ConfigureRequest, id, offer.option())[0].Code)
		}
		p.SayOptions(ppp.ConfigureRequest, 99, offer.option())
		require.ErrorIs(t, p.Err(), ErrRefused)
	}
}

// The authentication may have given keys for some lengths, or none.
func TestCCPLimit(t *testing.T) {
	open := func(cfg CCPConfig, available KeyLengths) *peer {
		s := newSide(t, cfg)
		s.Limit(available)
		return &peer{s.CCP, ppptest.NewHand(s.Side)}
	}
	p := open(anything, AllowKey40|AllowKey56)
	require.Equal(t, ppp.Options{(bitStateless | bitKey40 | bitKey56).option()}.Append(nil), p.Said()[0].Data)

	p = open(CCPConfig{Required: true}, AllowKey40)
	require.ErrorIs(t, p.Err(), ErrRefused)
	require.ErrorContains(t, p.Err(), "no keys")

	for _, cfg := range []CCPConfig{{Request: true}, {}} {
		p = open(cfg, 0)
		p.Said()
		got := p.SayOptions(ppp.ConfigureRequest, 1, offered.option())
		require.Equal(t, ppp.ConfigureReject, got[len(got)-1].Code)
		got = p.SayOptions(ppp.ConfigureRequest, 2)
		require.Equal(t, ppp.ConfigureAck, got[len(got)-1].Code)
		require.NotContains(t, p.Events, PrepareReceive{})
	}
}

// Without encryption that is required the error says who would not have it.
func TestCCPErrUnderRequire(t *testing.T) {
	for _, required := range []bool{true, false} {
		p := openPeer(t, CCPConfig{Request: true, Required: required}, offered)
		p.SayOptions(ppp.TerminateRequest, 5)
		require.ErrorIs(t, p.Err(), ppp.ErrTerminated)
		if required {
			require.ErrorIs(t, p.Err(), ErrRefused)
			require.ErrorContains(t, p.Err(), "it closes CCP")
		} else {
			require.NotErrorIs(t, p.Err(), ErrRefused)
		}

		p = newPeer(t, CCPConfig{Request: true, Required: required})
		p.Sig |= p.Rejected(p.Now, &p.Out)
		require.ErrorIs(t, p.Err(), ppp.ErrRejected)
		require.Equal(t, required, errors.Is(p.Err(), ErrRefused))
	}
}

// openPeer opens a CCP with both directions at b.
func openPeer(t *testing.T, cfg CCPConfig, b bits) *peer {
	t.Helper()
	p := newPeer(t, cfg)
	req := p.Said()[0]
	if req.Data[5] != byte(b) || req.Data[2] != byte(b>>24) {
		req = p.SayOptions(ppp.ConfigureNak, req.ID, b.option())[0]
	}
	p.SayOptions(ppp.ConfigureAck, req.ID, b.option())
	got := p.SayOptions(ppp.ConfigureRequest, 1, b.option())
	if got[0].Code == ppp.ConfigureNak {
		p.SayOptions(ppp.ConfigureRequest, 2, b.option())
	}
	require.True(t, p.Opened())
	return p
}

func TestCCPRequestsReset(t *testing.T) {
	p := openPeer(t, anything, bitKey128)
	ask := func() []ppp.Packet {
		p.RequestReset(p.Now, &p.Out)
		return p.Said()
	}
	first := ask()
	require.Len(t, first, 1)
	require.Equal(t, ppp.ResetRequest, first[0].Code)
	require.Empty(t, first[0].Data)

	// While it goes unanswered it is repeated, with its identifier.
	for range 100 {
		require.Empty(t, ask())
	}
	p.Now = p.Now.Add(resetRepeat - 1)
	require.Empty(t, ask())
	p.Now = p.Now.Add(1)
	require.Equal(t, first, ask())
	require.Empty(t, ask())

	// An answer to something else is none.
	p.SayOptions(ppp.ResetAck, first[0].ID+1)
	require.Empty(t, ask())

	// After the answer the next one is another, a little later.
	p.SayOptions(ppp.ResetAck, first[0].ID)
	require.Empty(t, ask())
	p.Now = p.Now.Add(resetSpacing)
	second := ask()
	require.Len(t, second, 1)
	require.NotEqual(t, first[0].ID, second[0].ID)
	p.SayOptions(ppp.ResetAck, first[0].ID)
	p.Now = p.Now.Add(resetSpacing)
	require.Empty(t, ask(), "a late answer to the first is not one to the second")

	// It is nothing that a timer waits for.
	require.True(t, p.Deadline().IsZero())

	p.SayOptions(ppp.TerminateRequest, 9)
	p.Now = p.Now.Add(time.Hour)
	require.Empty(t, ask(), "not open")

	p = openPeer(t, anything, offered)
	require.Empty(t, ask(), "stateless")
}

// The Reset-Ack is to leave before what the data plane sends next.
func TestCCPAcksResetFirst(t *testing.T) {
	p := openPeer(t, anything, bitKey40)
	n := p.Out.Len()
	p.Hear((&ppp.Packet{Code: ppp.ResetRequest, ID: 77}).Append(nil), p.Now)
	require.Equal(t, n+2, p.Out.Len())
	require.NotNil(t, p.Out.At(n).Frame)
	require.Equal(t, ResetRequested{}, p.Out.At(n+1).Event)
}
