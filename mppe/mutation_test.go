package mppe

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/mutate"
	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// TestMutatedPackets opens what is nearly a packet of MPPE. There is no telling a
// mutant whose text has changed, as MPPE has no checksum; but one that is refused
// is left alone, and in stateless mode the next packet opens as if nothing had come.
func TestMutatedPackets(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		for _, l := range []KeyLength{Key40, Key56, Key128} {
			for before := range 3 {
				mutatePacket(t, paramsOf(l, stateful), before)
			}
		}
	}
}

func mutatePacket(t *testing.T, p Params, before int) {
	enc, dec := newPairOf(t, p)
	next := func(n int) []byte {
		b := append(make([]byte, HeaderLen), datagram(n)...)
		enc.Seal(b)
		return b
	}
	for n := range before {
		_, err := dec.Open(next(n), 0)
		require.NoError(t, err)
	}
	valid, after := next(before), next(before+1)
	for name, b := range mutate.Of(valid) {
		d := *dec
		was := bytes.Clone(b)
		got, err := d.Open(b, 0)
		if err != nil {
			require.Contains(t, []error{ErrShort, ErrNotEncrypted, ErrNotFlushed, ErrOld, ErrReset, ErrGap}, err, name)
			require.Equal(t, was, b, name)
			if !p.Stateful {
				require.Equal(t, *dec, d, name)
				_, err := d.Open(bytes.Clone(valid), 0)
				require.NoError(t, err, name)
				got, err := d.Open(bytes.Clone(after), 0)
				require.NoError(t, err, name)
				require.Equal(t, datagram(before+1), got, name)
			}
			continue
		}
		require.Len(t, got, len(b)-HeaderLen, name)
		if p.Stateful {
			continue
		}
		require.EqualValues(t, 0x90, was[0]&0x90, name) // RFC 3078 section 3.1: the bits A and D
		// Only the flags that mean nothing may be another, and the text, of which
		// each octet stands for itself.
		for i := range min(len(b), len(valid)) {
			switch {
			case i == 0 && was[0]&^0x60 == valid[0], i == 1 && was[1] == valid[1]:
			case i < HeaderLen: // another count: as if packets were lost
			default:
				if bytes.Equal(was[:HeaderLen], valid[:HeaderLen]) {
					require.Equal(t, was[i] == valid[i], got[i-HeaderLen] == datagram(before)[i-HeaderLen], name)
				}
			}
		}
	}
}

// TestMutatedCCP gives a CCP that negotiates, and one that is open, what is nearly a
// packet. It agrees on nothing but MPPE as it is allowed.
func TestMutatedCCP(t *testing.T) {
	for _, cfg := range []CCPConfig{
		{Required: true},
		{Request: true, KeyLengths: AllKeyLengths, Modes: AllowStateless | AllowStateful},
		{},
	} {
		for _, open := range []bool{false, true} {
			mutateCCP(t, cfg, open)
		}
	}
}

func mutateCCP(t *testing.T, cfg CCPConfig, open bool) {
	wanted := ppp.Options{offered.option()}
	// ask notes what the last of the packets that were sent asks for, if it does.
	ask := func(s *side, a ppp.Packet) ppp.Packet {
		for _, p := range s.Said() {
			if p.Code == ppp.ConfigureRequest {
				a = p
			}
		}
		return a
	}
	send := func(s *side, p ppp.Packet) { s.Hear(p.Append(nil), ppptest.Start) }
	stage := func() (*side, ppp.Packet) {
		s := newSide(t, cfg)
		s.Begin(ppptest.Start)
		a := ask(s, ppp.Packet{})
		if open {
			send(s, ppp.Packet{Code: ppp.ConfigureRequest, ID: 8, Data: wanted.Append(nil)})
			a = ask(s, a)
			send(s, ppp.Packet{Code: ppp.ConfigureAck, ID: a.ID, Data: a.Data})
			for !s.Opened() { // it had asked for more
				send(s, ppp.Packet{Code: ppp.ConfigureNak, ID: a.ID, Data: wanted.Append(nil)})
				a = ask(s, a)
				send(s, ppp.Packet{Code: ppp.ConfigureAck, ID: a.ID, Data: a.Data})
			}
			s.Said()
		}
		return s, a
	}
	_, a := stage()
	for i, valid := range []ppp.Packet{
		{Code: ppp.ConfigureRequest, ID: 9, Data: wanted.Append(nil)},
		{Code: ppp.ConfigureAck, ID: a.ID, Data: a.Data},
		{Code: ppp.ConfigureNak, ID: a.ID, Data: wanted.Append(nil)},
		{Code: ppp.ConfigureReject, ID: a.ID, Data: a.Data},
		{Code: ppp.TerminateRequest, ID: 9},
		{Code: ppp.TerminateAck, ID: 9},
		{Code: ppp.CodeReject, ID: 9, Data: []byte{byte(ppp.ResetRequest), 1, 0, 4}},
		{Code: ppp.ResetRequest, ID: 9},
		{Code: ppp.ResetAck, ID: 9},
	} {
		hear := func(name string, b []byte) {
			name = valid.Code.String() + " " + name
			s, _ := stage()
			dropped := s.Dropped()
			s.Hear(b, ppptest.Start)
			var in ppp.Packet
			if _, err := in.Decode(b); err != nil && (open || cfg.Request || cfg.Required) {
				require.Equal(t, dropped+1, s.Dropped(), name)
			}
			for _, p := range s.Said() {
				if p.Code != ppp.ConfigureAck {
					continue
				}
				require.Equal(t, in.Data, p.Data, name)
				switch len(p.Data) {
				case 0:
					require.False(t, cfg.Required, name)
				default:
					require.Len(t, p.Data, 6, name)
					v, ok := decodeBits(ppp.Option{Type: p.Data[0], Data: p.Data[2:]})
					require.True(t, ok, name)
					require.NotZero(t, v.keyLengths()&s.cfg.KeyLengths, name)
					require.Zero(t, v&^(bitsOf(s.cfg.KeyLengths, true)), name)
				}
			}
			for _, agreed := range []func() (Agreed, bool){s.Send, s.Recv} {
				if a, ok := agreed(); ok {
					require.True(t, s.cfg.KeyLengths.Has(a.KeyLength), name)
					require.True(t, !a.Stateful || s.cfg.Modes&AllowStateful != 0, name)
				}
			}
			if s.Opened() && cfg.Required {
				_, sends := s.Send()
				_, receives := s.Recv()
				require.True(t, sends && receives, name)
			}
			for i := 0; !s.Opened() && !s.Deadline().IsZero(); i++ {
				require.Less(t, i, 50, name)
				s.Sig |= s.Tick(s.Deadline(), &s.Out)
			}
		}
		for name, b := range mutate.Of(valid.Append(nil)) {
			hear(name, b)
		}
		if i < 4 {
			for name, opts := range mutate.Options(valid.Data) {
				hear(name, (&ppp.Packet{Code: valid.Code, ID: valid.ID, Data: opts}).Append(nil))
			}
		}
	}
}
