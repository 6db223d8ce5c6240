package ppptest

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

// Start is when virtual time begins.
var Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Side is a layer and all that it does. A test embeds it beside the layer.
type Side struct {
	T      testing.TB
	Layer  ppp.Layer
	Out    ppp.Output
	Sig    ppp.Signal  // all signals so far
	Events []ppp.Event // those that Said has come by

	done int // actions of Out that were seen
}

// NewSide makes a Side of a layer that has not begun.
func NewSide(t testing.TB, l ppp.Layer) *Side { return &Side{T: t, Layer: l} }

// Begin opens the layer, and the one below.
func (s *Side) Begin(now time.Time) {
	s.Sig |= s.Layer.Open(now, &s.Out)
	s.Sig |= s.Layer.Up(now, &s.Out)
}

// Hear gives the layer a packet.
func (s *Side) Hear(b []byte, now time.Time) { s.Sig |= s.Layer.Input(b, now, &s.Out) }

// Said returns the packets that were sent since the last call, and notes the
// events. They are copies.
func (s *Side) Said() (packets []ppp.Packet) {
	s.T.Helper()
	for ; s.done < s.Out.Len(); s.done++ {
		a := s.Out.At(s.done)
		if a.Event != nil {
			s.Events = append(s.Events, a.Event)
			continue
		}
		protocol, b, err := ppp.DecodeProtocol(a.Frame)
		require.NoError(s.T, err)
		require.Equal(s.T, s.Layer.Protocol(), protocol)
		var p ppp.Packet
		n, err := p.Decode(slices.Clone(b))
		require.NoError(s.T, err)
		require.Len(s.T, b, n)
		packets = append(packets, p)
	}
	return packets
}

// Forget empties Out.
func (s *Side) Forget() {
	s.Out.Reset()
	s.done = 0
}

// Options decodes those in a packet.
func Options(t testing.TB, p ppp.Packet) ppp.Options {
	t.Helper()
	var o ppp.Options
	_, err := o.Decode(p.Data)
	require.NoError(t, err)
	return o
}

// Raw is an option from its octets, without the length.
func Raw(typ uint8, data ...byte) ppp.Option {
	return ppp.Option{Type: typ, Data: append([]byte{}, data...)}
}
