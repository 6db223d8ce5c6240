package ipcp

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

// RFC 1332 §2 and RFC 5072 §3: the numbers under which the packets travel.
func TestProtocolNumbers(t *testing.T) {
	for want, layer := range map[uint16]ppp.Layer{
		0x8021: New(Config{}),
		0x8057: NewIPV6CP(IPV6CPConfig{}),
	} {
		var out ppp.Output
		layer.Open(ppptest.Start, &out)
		layer.Up(ppptest.Start, &out)
		require.Equal(t, 1, out.Len())
		require.Equal(t, want, binary.BigEndian.Uint16(out.At(0).Frame))
	}
}

// RFC 1332 §2 and RFC 5072 §3: beyond the seven codes that all control protocols
// share there are none.
func TestOtherCodesAreRejected(t *testing.T) {
	for name, layer := range map[string]ppp.Layer{"IPCP": New(Config{}), "IPV6CP": NewIPV6CP(IPV6CPConfig{})} {
		var out ppp.Output
		layer.Open(ppptest.Start, &out)
		layer.Up(ppptest.Start, &out)
		for code := range 256 {
			if code >= 1 && code <= 7 {
				continue
			}
			out.Reset()
			pkt := ppp.Packet{Code: ppp.Code(code), ID: 9}
			require.Zero(t, layer.Input(pkt.Append(nil), ppptest.Start, &out))
			require.Equal(t, 1, out.Len(), "%s %d", name, code)
			var got ppp.Packet
			_, err := got.Decode(out.At(0).Frame[2:])
			require.NoError(t, err)
			require.Equal(t, ppp.CodeReject, got.Code)
			require.Equal(t, []byte{byte(code), 9, 0, 4}, got.Data)
		}
	}
}

// RFC 5072 §4.1: identifiers that are drawn, for us and for the peer, are never
// zero, never equal, and not marked as globally unique.
func TestDrawnInterfaceIDs(t *testing.T) {
	for name, fill := range map[string]func([]byte){
		"chance": nil,
		"zeros":  func(b []byte) { clear(b) },
		"ones": func(b []byte) {
			for i := range b {
				b[i] = 0xff
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer6(t, IPV6CPConfig{Rand: fill})
			ours := p.asked(p.Said()[0])
			require.NotZero(t, ours)
			require.Zero(t, ours[0]&2)
			for _, asked := range []InterfaceID{{}, ours} {
				got := p.request(encodeID(asked))
				require.Equal(t, ppp.ConfigureNak, got.Code)
				o := ppptest.Options(t, got)[0]
				require.Equal(t, 10, len(o.Data)+2)
				suggested := InterfaceID(o.Data)
				require.NotZero(t, suggested)
				require.NotEqual(t, ours, suggested)
				require.Zero(t, suggested[0]&2)
			}
		})
	}
	// One that is given is not suggested if it is ours.
	p := newPeer6(t, IPV6CPConfig{Local: id1, Peer: id1})
	p.Said()
	require.NotEqual(t, encodeID(id1), ppptest.Options(t, p.request(encodeID(InterfaceID{})))[0])
}

// RFC 5072 §4.1: neither a request of the peer's nor our Nak has us send a request
// of our own.
func TestInterfaceIDRequestsWait(t *testing.T) {
	p := newPeer6(t, IPV6CPConfig{Local: id1})
	p.Said()
	p.request(encodeID(id1)) // which fails if it is answered by two packets
	p.request(encodeID(InterfaceID{}))
	p.request()
}

// RFC 1332 §3.3, RFC 1877 §1 and RFC 5072 §4.1: the options as they are on the
// wire.
func TestOptionsOnTheWire(t *testing.T) {
	p := newPeer(t, Config{Local: alice, RequestDNS: true, RequestNBNS: true})
	a := alice.As4()
	want := append([]byte{3, 6}, a[:]...)
	for _, typ := range []byte{129, 130, 131, 132} {
		want = append(want, typ, 6, 0, 0, 0, 0)
	}
	require.Equal(t, want, p.One(ppp.ConfigureRequest, p.Said()).Data)

	p6 := newPeer6(t, IPV6CPConfig{Local: InterfaceID{1, 2, 3, 4, 5, 6, 7, 8}})
	require.Equal(t, []byte{1, 10, 1, 2, 3, 4, 5, 6, 7, 8}, p6.Said()[0].Data)
}
