package ipcp

import (
	"fmt"
	"net/netip"

	"github.com/gopptp/gopptp/ppp"
)

// maxInsists bounds the requests for an address that is neither ours to give nor
// given up by the peer after Max-Failure Naks, and the Naks without an address
// for us.
const maxInsists = 3

// policy is the ppp.Policy of an IPCP.
type policy IPCP

func (i *policy) Begin() { (*IPCP)(i).reset() }

func (i *policy) Request(dst ppp.Options, _ *ppp.Output) ppp.Options {
	if i.askAddress {
		dst = append(dst, encodeAddr(optionIPAddress, i.local))
	}
	for s, typ := range serverOptions {
		if i.askServer[s] {
			dst = append(dst, encodeAddr(typ, i.servers[s]))
		}
	}
	return dst
}

// Judge answers the peer's request. An option that is known but malformed is
// naked with what it should be, if there is such a thing.
func (i *policy) Judge(req ppp.Options, last bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	var naks ppp.Options
	var seen [256]bool
	peer := i.cfg.Peer
	for _, o := range req {
		if seen[o.Type] {
			dst = append(dst, o)
			continue
		}
		seen[o.Type] = true
		want, ok := i.want(o)
		switch {
		case !ok:
			dst = append(dst, o)
		case !encodeAddr(o.Type, want).Equal(o):
			naks = append(naks, encodeAddr(o.Type, want))
			if o.Type == optionIPAddress && last {
				i.insist(o)
			}
		case o.Type == optionIPAddress:
			peer = want
		}
	}
	if len(dst) > 0 {
		return ppp.ConfigureReject, dst
	}
	if !seen[optionIPAddress] && i.cfg.Peer.IsValid() {
		// RFC 1332 §3.3. A peer that names no address for all that has the
		// one that we have for it, whether it knows or not; but if it claimed
		// another, it will use that, and nothing that it sends would pass.
		switch {
		case last && i.claimed.IsValid():
			i.fatal = claims(i.claimed)
			fallthrough
		case !last:
			naks = append(naks, encodeAddr(optionIPAddress, i.cfg.Peer))
		}
	}
	if len(naks) > 0 {
		return ppp.ConfigureNak, append(dst, naks...)
	}
	i.peer = peer
	return ppp.ConfigureAck, dst
}

// want returns the address that an option of the peer should hold; ok is false
// if the option should not be there.
func (i *policy) want(o ppp.Option) (a netip.Addr, ok bool) {
	if o.Type == optionIPAddress {
		if i.cfg.Peer.IsValid() {
			return i.cfg.Peer, true
		}
		// It says itself. One without an address gets none from us.
		a, _ = decodeAddr(o)
		return a, usable(a)
	}
	s, ok := serverOf(o.Type)
	if !ok {
		return netip.Addr{}, false
	}
	give := servers{i.cfg.DNS[0], i.cfg.NBNS[0], i.cfg.DNS[1], i.cfg.NBNS[1]}
	return give[s], give[s].IsValid()
}

// insist counts requests for a wrong address that go on although they are
// rejected by now. Nothing else would end them soon.
func (i *policy) insist(o ppp.Option) {
	a, _ := decodeAddr(o)
	if usable(a) {
		i.claimed = a
	}
	if i.insists++; i.insists >= maxInsists {
		i.fatal = claims(a)
	}
}

func claims(a netip.Addr) error {
	return fmt.Errorf("%w: the peer insists on the address %v", ppp.ErrNoAgreement, a)
}

func (i *policy) Acked(ppp.Options) {
	if !i.local.IsValid() {
		i.fatal = ErrNoAddress // it has acked 0.0.0.0, or our silence
	}
}

// Naked takes the addresses that we asked for. Others serve the peer, and are
// passed over.
func (i *policy) Naked(nak ppp.Options) {
	var seen [256]bool
	for _, o := range nak {
		if seen[o.Type] {
			continue
		}
		seen[o.Type] = true
		a, _ := decodeAddr(o)
		if o.Type == optionIPAddress {
			i.offered(a)
			continue
		}
		s, ok := serverOf(o.Type)
		if !ok || !i.askServer[s] {
			continue
		}
		i.servers[s] = netip.Addr{}
		if i.askServer[s] = usable(a); i.askServer[s] {
			i.servers[s] = a
		}
	}
}

// offered handles an address that the peer has for us.
func (i *policy) offered(a netip.Addr) {
	switch {
	case !i.askAddress:
	case i.cfg.Local.IsValid() && !i.cfg.AcceptLocal:
		// Ours stands; the peer gives in, rejects it or runs out of time.
		if usable(a) {
			i.contested = a
		}
	case usable(a):
		i.local = a
	case !i.local.IsValid():
		if i.useless++; i.useless >= maxInsists {
			i.fatal = ErrNoAddress
		}
	}
}

func (i *policy) Refused(rejected ppp.Options) {
	for _, o := range rejected {
		if o.Type == optionIPAddress {
			i.askAddress = false
			switch {
			case !i.local.IsValid():
				i.fatal = ErrNoAddress
			case i.contested.IsValid():
				// It has tired of arguing, and still means another address:
				// nothing would reach us.
				i.fatal = fmt.Errorf("%w: the peer insists on %v as our address", ppp.ErrNoAgreement, i.contested)
			}
		} else if s, ok := serverOf(o.Type); ok && i.askServer[s] {
			i.askServer[s] = false
			i.servers[s] = netip.Addr{}
		}
	}
}
