package ipcp

import (
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// InterfaceID is the lower half of an IPv6 address: what tells the two ends of a
// link apart (RFC 5072 §4.1). Zero is none.
type InterfaceID [8]byte

// LinkLocal returns the link-local address, fe80::/64, that id makes
// (RFC 5072 §5).
func (id InterfaceID) LinkLocal() netip.Addr {
	a := [16]byte{0: 0xfe, 1: 0x80}
	copy(a[8:], id[:])
	return netip.AddrFrom16(a)
}

// String writes id as an address does, such as "0200:5efe:0a00:0001".
func (id InterfaceID) String() string {
	return fmt.Sprintf("%x:%x:%x:%x", id[:2], id[2:4], id[4:6], id[6:])
}

// IPV6CPConfig says what an IPV6CP asks for and gives.
type IPV6CPConfig struct {
	// Local is the identifier that we would like; zero draws one.
	Local InterfaceID
	// Peer is the identifier to suggest to a peer that has none, or ours; zero
	// draws one. A peer that brings its own keeps it.
	Peer InterfaceID
	// FirstTimeout is as in ppp.AutomatonConfig.
	FirstTimeout time.Duration
	// Rand fills identifiers that are drawn. Default crypto/rand.
	Rand func([]byte)
}

// IPV6CP is one end of the IPv6 Control Protocol (RFC 5072). It implements
// ppp.Layer. What it agrees on are the interface identifiers of both ends;
// addresses beyond link-local ones are the business of router advertisements.
type IPV6CP struct {
	ppp.Automaton
	cfg IPV6CPConfig

	ask       bool        // name our identifier in our requests
	local     InterfaceID // ours, as far as it is known
	peer      InterfaceID // as it was acked last
	suggested InterfaceID // in our last Nak
	demanded  bool        // the peer has been told by a Nak to name its identifier
}

var (
	_ ppp.Layer  = (*IPV6CP)(nil)
	_ ppp.Policy = (*policy6)(nil)
)

// NewIPV6CP returns an IPV6CP in the Initial state.
func NewIPV6CP(cfg IPV6CPConfig) *IPV6CP {
	if cfg.Rand == nil {
		cfg.Rand = func(b []byte) { rand.Read(b) } // never fails
	}
	i := &IPV6CP{cfg: cfg}
	i.Init(ppp.AutomatonConfig{
		Protocol:     ppp.ProtocolIPV6CP,
		FirstTimeout: cfg.FirstTimeout,
	}, (*policy6)(i))
	(*policy6)(i).Begin()
	return i
}

// Local is our identifier. It is settled once the layer is open.
func (i *IPV6CP) Local() InterfaceID { return i.local }

// Peer is the peer's identifier; zero if it named none. It is settled once the
// layer is open.
func (i *IPV6CP) Peer() InterfaceID { return i.peer }

// draw returns an identifier that is neither zero nor one of those to avoid.
func (i *IPV6CP) draw(avoid ...InterfaceID) (id InterfaceID) {
	i.cfg.Rand(id[:])
	id[0] &^= 0x02 // not globally unique: the u bit is zero (RFC 5072 §4.1)
	for again := true; again; {
		again = id == InterfaceID{}
		for _, a := range avoid {
			again = again || id == a
		}
		if again {
			id[7]++ // whatever Rand does, this ends
		}
	}
	return id
}

// optionInterfaceID is the type of the Interface-Identifier option.
const optionInterfaceID = 1

// policy6 is the ppp.Policy of an IPV6CP.
type policy6 IPV6CP

func (i *policy6) Begin() {
	i.ask, i.demanded = true, false
	i.peer, i.suggested = InterfaceID{}, InterfaceID{}
	if i.local = i.cfg.Local; i.local == (InterfaceID{}) {
		i.local = (*IPV6CP)(i).draw(i.cfg.Peer)
	}
}

func (i *policy6) Request(dst ppp.Options, _ *ppp.Output) ppp.Options {
	if i.ask {
		dst = append(dst, encodeID(i.local))
	}
	return dst
}

// Judge answers the peer's request. All but one well-formed identifier is
// rejected: IPv6 header compression among it.
func (i *policy6) Judge(req ppp.Options, _ bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	var id InterfaceID
	named := false
	for _, o := range req {
		if o.Type != optionInterfaceID || len(o.Data) != len(id) || named {
			dst = append(dst, o)
			continue
		}
		id, named = InterfaceID(o.Data), true
	}
	switch {
	case len(dst) > 0:
		return ppp.ConfigureReject, dst
	case named && id != (InterfaceID{}) && id != i.local:
		i.peer = id
		return ppp.ConfigureAck, dst
	case !named && i.demanded:
		// It does not know the option, and is not asked twice.
		i.peer = InterfaceID{}
		return ppp.ConfigureAck, dst
	}
	i.demanded = i.demanded || !named
	if i.suggested = i.cfg.Peer; i.suggested == (InterfaceID{}) || i.suggested == i.local {
		i.suggested = (*IPV6CP)(i).draw(i.local)
	}
	return ppp.ConfigureNak, append(dst, encodeID(i.suggested))
}

func (i *policy6) Acked(ppp.Options) {}

// Naked takes the identifier that the peer suggests, unless it is the one that
// we have just suggested to the peer: two ends that drew the same must not go on
// in step.
func (i *policy6) Naked(nak ppp.Options) {
	o, ok := nak.Get(optionInterfaceID)
	if !ok || len(o.Data) != len(i.local) || !i.ask {
		return
	}
	switch id := InterfaceID(o.Data); id {
	case InterfaceID{}, i.suggested, i.peer:
		i.local = (*IPV6CP)(i).draw(i.local, i.suggested, i.peer)
	default:
		i.local = id
	}
}

func (i *policy6) Refused(rejected ppp.Options) {
	if _, ok := rejected.Get(optionInterfaceID); ok {
		i.ask = false
	}
}

func encodeID(id InterfaceID) ppp.Option {
	return ppp.Option{Type: optionInterfaceID, Data: append([]byte(nil), id[:]...)}
}
