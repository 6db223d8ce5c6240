package ppptest

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

// Hand is what a test says to a layer by hand.
type Hand struct {
	*Side
	Now time.Time

	id uint8 // of the last Request
}

// NewHand has the layer begin, so that it has sent its first request.
func NewHand(s *Side) *Hand {
	h := &Hand{Side: s, Now: Start}
	h.Begin(h.Now)
	return h
}

// Say has the layer hear a packet and returns what it answers.
func (h *Hand) Say(code ppp.Code, id uint8, data []byte) []ppp.Packet {
	h.T.Helper()
	pkt := ppp.Packet{Code: code, ID: id, Data: data}
	h.Hear(pkt.Append(nil), h.Now)
	return h.Said()
}

// SayOptions says a packet of options.
func (h *Hand) SayOptions(code ppp.Code, id uint8, opts ...ppp.Option) []ppp.Packet {
	h.T.Helper()
	return h.Say(code, id, ppp.Options(opts).Append(nil))
}

// Request asks for opts under a fresh identifier.
func (h *Hand) Request(opts ...ppp.Option) []ppp.Packet {
	h.T.Helper()
	h.id++
	return h.SayOptions(ppp.ConfigureRequest, h.id, opts...)
}

// One returns the only packet of got, which has the given code.
func (h *Hand) One(code ppp.Code, got []ppp.Packet) ppp.Packet {
	h.T.Helper()
	require.Len(h.T, got, 1)
	require.Equal(h.T, code, got[0].Code)
	return got[0]
}

// Advance lets time pass in steps of the layer's deadlines.
func (h *Hand) Advance(d time.Duration) {
	end := h.Now.Add(d)
	for {
		at := h.Layer.Deadline()
		if at.IsZero() || at.After(end) {
			h.Now = end
			return
		}
		h.Now = at
		h.Sig |= h.Layer.Tick(h.Now, &h.Out)
	}
}
