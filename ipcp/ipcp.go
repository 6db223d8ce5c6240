package ipcp

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// ErrNoAddress: we have no address, and the peer gives none.
var ErrNoAddress = errors.New("ipcp: no address")

// Config says what an IPCP asks for and gives. Addresses are IPv4; the zero
// Addr, 0.0.0.0 and whatever else is no host's address count as none.
//
// A client leaves Local and Peer empty, a server fills in both.
type Config struct {
	// Local is our address in the tunnel. With none we take what the peer
	// gives, and cannot do without.
	Local netip.Addr
	// AcceptLocal makes Local a wish: the peer may give us another address.
	// Otherwise we insist, and without the peer's consent there is no
	// agreement.
	AcceptLocal bool
	// Peer is the address that the peer gets. With none it has what it says,
	// or none at all.
	Peer netip.Addr
	// DNS and NBNS are the name servers that a peer is given if it asks, the
	// primary first. A question for one that is empty is rejected.
	DNS  [2]netip.Addr
	NBNS [2]netip.Addr
	// RequestDNS and RequestNBNS ask the peer for its name servers. It need
	// not have any.
	RequestDNS, RequestNBNS bool
	// FirstTimeout is as in ppp.AutomatonConfig. Configure does not change it.
	FirstTimeout time.Duration
}

// IPCP is one end of the Internet Protocol Control Protocol. It implements
// ppp.Layer.
type IPCP struct {
	ppp.Automaton
	next *Config // for the next negotiation
	cfg  *Config // for this one; never changed

	// What our next request names.
	askAddress bool
	askServer  [len(serverOptions)]bool
	local      netip.Addr // ours, as far as it is known
	servers    *servers   // for us, as far as they are known; nil if none are asked for

	peer netip.Addr // as it was acked last

	useless   int        // Naks that gave us no address although we have none
	insists   int        // requests for a wrong address after it was naked often enough
	claimed   netip.Addr // the last of those addresses
	contested netip.Addr // what the peer would have us use instead of Local
	fatal     error      // found by a callback, to be heeded after it
}

var (
	_ ppp.Layer  = (*IPCP)(nil)
	_ ppp.Policy = (*policy)(nil)
)

// New returns an IPCP in the Initial state.
func New(cfg Config) *IPCP {
	i := new(IPCP)
	i.Init(ppp.AutomatonConfig{
		Protocol:     ppp.ProtocolIPCP,
		FirstTimeout: cfg.FirstTimeout,
	}, (*policy)(i))
	i.Configure(cfg)
	i.reset()
	return i
}

// Configure replaces the configuration; a server knows its peer's address only
// once it knows who that is. It serves the next negotiation, not one that has
// begun.
func (i *IPCP) Configure(cfg Config) {
	for _, a := range [...]*netip.Addr{
		&cfg.Local, &cfg.Peer, &cfg.DNS[0], &cfg.DNS[1], &cfg.NBNS[0], &cfg.NBNS[1],
	} {
		if *a = a.Unmap(); !usable(*a) {
			*a = netip.Addr{}
		}
	}
	i.next = &cfg
}

// Local is our address. It is settled once the layer is open.
func (i *IPCP) Local() netip.Addr { return i.local }

// Peer is the peer's address, or the zero Addr if we gave it none and it named
// none. It is settled once the layer is open.
func (i *IPCP) Peer() netip.Addr { return i.peer }

// DNS returns the name servers that the peer gave us, the primary first and none
// twice. It is settled once the layer is open.
func (i *IPCP) DNS() []netip.Addr {
	return i.given(optionPrimaryDNS, optionSecondaryDNS)
}

// NBNS returns the NetBIOS name servers, as DNS does.
func (i *IPCP) NBNS() []netip.Addr {
	return i.given(optionPrimaryNBNS, optionSecondaryNBNS)
}

func (i *IPCP) given(types ...uint8) (list []netip.Addr) {
	if i.servers == nil {
		return nil
	}
	for _, typ := range types {
		s, _ := serverOf(typ)
		if a := i.servers[s]; a.IsValid() && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

// Input implements ppp.Layer.
func (i *IPCP) Input(b []byte, now time.Time, out *ppp.Output) ppp.Signal {
	sig := i.Automaton.Input(b, now, out)
	err := i.fatal
	if err == nil {
		return sig
	}
	i.fatal = nil
	closed := i.Fail(err, now, out)
	if sig&ppp.SignalUp != 0 {
		// It opened with this very packet. Nobody has seen that, and nobody
		// shall: there is nothing to be had from it.
		sig &^= ppp.SignalUp
		closed &^= ppp.SignalDown
	}
	return sig | closed
}

// reset voids what was agreed on and asks for everything again.
func (i *IPCP) reset() {
	i.cfg = i.next
	i.askAddress = true
	for s, typ := range serverOptions {
		i.askServer[s] = i.cfg.RequestDNS
		if typ == optionPrimaryNBNS || typ == optionSecondaryNBNS {
			i.askServer[s] = i.cfg.RequestNBNS
		}
	}
	i.local, i.peer = i.cfg.Local, i.cfg.Peer
	i.servers = nil
	if i.cfg.RequestDNS || i.cfg.RequestNBNS {
		i.servers = new(servers)
	}
	i.useless, i.insists, i.fatal = 0, 0, nil
	i.claimed, i.contested = netip.Addr{}, netip.Addr{}
}
