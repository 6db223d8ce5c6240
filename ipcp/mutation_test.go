package ipcp

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/mutate"
	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// layer is an IPCP or an IPV6CP.
type layer interface {
	ppp.Layer
	Dropped() uint64
}

// mutation is a layer that hears a mutant.
type mutation struct {
	t    *testing.T
	name string
	layer
	*ppptest.Side
	id  uint8 // of its first request
	ask []byte
}

func newMutation(t *testing.T, l layer) *mutation {
	m := &mutation{t: t, layer: l, Side: ppptest.NewSide(t, l)}
	m.Begin(ppptest.Start)
	said := m.Said()
	require.Len(t, said, 1)
	m.id, m.ask = said[0].ID, said[0].Data
	return m
}

// known are the options of a protocol, with the length that each must have.
type known map[uint8]byte

func (k known) check(t *testing.T, b []byte, name string) {
	t.Helper()
	seen := map[uint8]bool{}
	for ; len(b) > 0; b = b[b[1]:] {
		require.Equal(t, k[b[0]], b[1], "%s: % x", name, b)
		require.False(t, seen[b[0]], "%s: % x", name, b)
		seen[b[0]] = true
	}
}

// hear gives the layer a mutant. What is none is counted; what is one gets an
// answer that makes sense.
func (m *mutation) hear(b []byte, k known) {
	t, name := m.t, m.name
	before := bytes.Clone(b)
	dropped := m.Dropped()
	m.Input(b, ppptest.Start, &m.Out)
	require.Equal(t, before, b, name)
	var in ppp.Packet
	if _, err := in.Decode(b); err != nil {
		require.Equal(t, dropped+1, m.Dropped(), name)
	}
	said := m.Said()
	require.LessOrEqual(t, len(said), 2, name)
	for _, s := range said {
		switch s.Code {
		case ppp.ConfigureAck:
			require.Equal(t, in.Data, s.Data, name)
			k.check(t, s.Data, name)
		case ppp.ConfigureNak, ppp.ConfigureRequest:
			k.check(t, s.Data, name)
		case ppp.ConfigureReject:
			require.NotEmpty(t, s.Data, name)
		}
	}
	for i := 0; !m.Opened() && !m.Deadline().IsZero(); i++ {
		require.Less(t, i, 50, name)
		m.Tick(m.Deadline(), &m.Out)
	}
}

// mutateLayer gives a layer that negotiates, and one that is open, mutants of all
// packets. wanted is what the peer may ask for.
func mutateLayer(t *testing.T, fresh func() layer, wanted ppp.Options, k known) {
	for _, open := range []bool{false, true} {
		stage := func(name string) *mutation {
			m := newMutation(t, fresh())
			m.name = name
			if open {
				m.Input((&ppp.Packet{Code: ppp.ConfigureAck, ID: m.id, Data: m.ask}).Append(nil), ppptest.Start, &m.Out)
				m.Input((&ppp.Packet{Code: ppp.ConfigureRequest, ID: 8, Data: wanted.Append(nil)}).Append(nil), ppptest.Start, &m.Out)
				require.True(t, m.Opened())
				m.Said()
			}
			return m
		}
		m := stage("")
		for i, valid := range []ppp.Packet{
			{Code: ppp.ConfigureRequest, ID: 9, Data: wanted.Append(nil)},
			{Code: ppp.ConfigureAck, ID: m.id, Data: m.ask},
			{Code: ppp.ConfigureNak, ID: m.id, Data: wanted.Append(nil)},
			{Code: ppp.ConfigureReject, ID: m.id, Data: m.ask},
			{Code: ppp.TerminateRequest, ID: 9},
			{Code: ppp.TerminateAck, ID: 9},
			{Code: ppp.CodeReject, ID: 9, Data: []byte{99, 1, 0, 4}},
		} {
			for name, b := range mutate.Of(valid.Append(nil)) {
				stage(valid.Code.String()+" "+name).hear(b, k)
			}
			if i < 4 {
				for name, opts := range mutate.Options(valid.Data) {
					b := ppp.Packet{Code: valid.Code, ID: valid.ID, Data: opts}
					stage(valid.Code.String()+" "+name).hear(b.Append(nil), k)
				}
			}
		}
	}
}

func TestMutatedIPCP(t *testing.T) {
	addresses := known{3: 6, 129: 6, 130: 6, 131: 6, 132: 6}
	t.Run("server", func(t *testing.T) {
		cfg := Config{Local: gateway, Peer: alice}
		copy(cfg.DNS[:], []netip.Addr{dns1, dns2})
		copy(cfg.NBNS[:], []netip.Addr{nbns1, nbns2})
		wanted := ppp.Options{ip(alice), pdns(dns1), pnbns(nbns1), sdns(dns2), snbns(nbns2)}
		mutateLayer(t, func() layer { return New(cfg) }, wanted, addresses)
	})
	t.Run("client", func(t *testing.T) {
		cfg := Config{Local: alice, AcceptLocal: true, RequestDNS: true, RequestNBNS: true}
		mutateLayer(t, func() layer { return New(cfg) }, ppp.Options{ip(gateway)}, addresses)
	})
}

func TestMutatedIPV6CP(t *testing.T) {
	cfg := IPV6CPConfig{Local: InterfaceID{7: 1}, Peer: InterfaceID{7: 2}}
	wanted := ppp.Options{{Type: optionInterfaceID, Data: []byte{0, 0, 0, 0, 0, 0, 0, 2}}}
	mutateLayer(t, func() layer { return NewIPV6CP(cfg) }, wanted, known{1: 10})
}
