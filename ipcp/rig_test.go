package ipcp

import (
	"net/netip"
	"testing"

	"github.com/gopptp/gopptp/internal/ppptest"
	"github.com/gopptp/gopptp/ppp"
)

var (
	zero    netip.Addr
	gateway = netip.MustParseAddr("10.0.0.1")
	alice   = netip.MustParseAddr("10.0.0.2")
	other   = netip.MustParseAddr("192.0.2.9")
	dns1    = netip.MustParseAddr("198.51.100.1")
	dns2    = netip.MustParseAddr("198.51.100.2")
	nbns1   = netip.MustParseAddr("198.51.100.3")
	nbns2   = netip.MustParseAddr("198.51.100.4")
)

// side is an IPCP at one end of a line.
type side struct {
	*IPCP
	*ppptest.Side
}

func newSide(t testing.TB, cfg Config) *side {
	l := New(cfg)
	return &side{l, ppptest.NewSide(t, l)}
}

// peer drives an IPCP by hand: the test plays the other side.
type peer struct {
	*IPCP
	*ppptest.Hand
}

// newPeer faces an IPCP that is up and has sent its first request.
func newPeer(t testing.TB, cfg Config) *peer {
	s := newSide(t, cfg)
	return &peer{s.IPCP, ppptest.NewHand(s.Side)}
}

// ip, and the like below, are options with an address.
func ip(a netip.Addr) ppp.Option { return encodeAddr(optionIPAddress, a) }

func pdns(a netip.Addr) ppp.Option  { return encodeAddr(optionPrimaryDNS, a) }
func sdns(a netip.Addr) ppp.Option  { return encodeAddr(optionSecondaryDNS, a) }
func pnbns(a netip.Addr) ppp.Option { return encodeAddr(optionPrimaryNBNS, a) }
func snbns(a netip.Addr) ppp.Option { return encodeAddr(optionSecondaryNBNS, a) }
