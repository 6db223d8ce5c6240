package engine

import (
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// advert makes a Router Advertisement of the peer's, with options.
func advert(options ...byte) []byte {
	return message6(linkPeer, netip.MustParseAddr("ff02::1"), 255,
		append([]byte{icmpv6RouterAdvertisement, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}, options...)...)
}

// solicitation makes a Neighbor Solicitation.
func solicitation(src, dst, target netip.Addr, hops byte) []byte {
	return message6(src, dst, hops, append([]byte{icmpv6NeighborSolicitation, 0, 0, 0, 0, 0, 0, 0}, target.AsSlice()...)...)
}

// prefixOption makes one of 2001:db8:1:7::.
func prefixOption(bits, flags, valid, preferred byte) []byte {
	o := []byte{optionPrefix, 4, bits, flags, 0, 0, 0, valid, 0, 0, 0, preferred, 0, 0, 0, 0}
	return append(o, prefix6.Addr().AsSlice()...)
}

// The message, octet by octet, as RFC 4861 section 4.2 has it.
func TestRouterAdvertisement(t *testing.T) {
	p := routerAdvertisement(addressOf(linkLocal), allNodes, routerNetwork().IPv6, 1456)[Headroom:]
	require.Equal(t, p, trimIPv6(p))
	require.EqualValues(t, 255, p[7])
	require.Equal(t, linkLocal.AsSlice(), p[8:24])
	require.Equal(t, netip.MustParseAddr("ff02::1").AsSlice(), p[24:40])
	m := icmpv6(p)
	require.NotNil(t, m, "the checksum is right")
	want := []byte{
		134, 0, m[2], m[3], 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, // 1,800 s
		5, 1, 0, 0, 0, 0, 0x05, 0xb0, // MTU 1456
		3, 4, 64, 0x40, 0, 0, 0x1c, 0x20, 0, 0, 0x0e, 0x10, 0, 0, 0, 0, // 7,200 s and 3,600 s, not on the link
		0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0,
		25, 3, 0, 0, 0, 0, 0x07, 0x08,
		0x20, 0x01, 0x0d, 0xb8, 0, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,
	}
	require.Equal(t, want, m)
	require.True(t, isDiscovery(p, m, advertisementOptions))
	require.Equal(t, gopptp.RouterAdvertisement{
		RouterLifetime: 30 * time.Minute,
		Prefix:         prefix6,
		PrefixLifetime: 2 * time.Hour,
		DNS:            []netip.Addr{netip.MustParseAddr("2001:db8:99::53")},
	}, decodeRouterAdvertisement(m))

	bare := icmpv6(routerAdvertisement(addressOf(linkLocal), allNodes, &gopptp.IPv6Network{}, 1280)[Headroom:])
	require.Len(t, bare, 16+8, "no prefix, no name servers")
}

func TestDecodeRouterAdvertisement(t *testing.T) {
	infinite := prefixOption(64, 0x40, 0, 0)
	copy(infinite[4:], []byte{0xff, 0xff, 0xff, 0xff})
	local := prefixOption(64, 0x40, 2, 1)
	copy(local[16:], []byte{0xfe, 0x80, 0, 0})
	second := prefixOption(64, 0x40, 9, 1)
	second[22] = 1
	for name, c := range map[string]struct {
		options  []byte
		prefix   netip.Prefix
		lifetime time.Duration
	}{
		"good":           {prefixOption(64, 0x40, 2, 1), prefix6, 2 * time.Second},
		"on link too":    {prefixOption(64, 0xc0, 2, 2), prefix6, 2 * time.Second},
		"for ever":       {infinite, prefix6, gopptp.InfiniteLifetime},
		"over":           {prefixOption(64, 0x40, 0, 0), prefix6, 0},
		"the first":      {append(prefixOption(64, 0x40, 2, 1), second...), prefix6, 2 * time.Second},
		"after unknown":  {append([]byte{1, 1, 0, 0, 0, 0, 0, 0}, prefixOption(64, 0x40, 2, 1)...), prefix6, 2 * time.Second},
		"not autonomous": {prefixOption(64, 0x80, 2, 1), netip.Prefix{}, 0},
		"56 bits":        {prefixOption(56, 0x40, 2, 1), netip.Prefix{}, 0},
		"preferred":      {prefixOption(64, 0x40, 2, 3), netip.Prefix{}, 0},
		"link-local":     {local, netip.Prefix{}, 0},
		"none":           {nil, netip.Prefix{}, 0},
	} {
		p := advert(c.options...)
		m := icmpv6(p)
		require.True(t, isDiscovery(p, m, advertisementOptions), name)
		a := decodeRouterAdvertisement(m)
		require.Equal(t, c.prefix, a.Prefix, name)
		require.Equal(t, c.lifetime, a.PrefixLifetime, name)
	}
	dns := append([]byte{optionRDNSS, 3, 0, 0, 0, 0, 0, 9}, host6.AsSlice()...)
	require.Equal(t, []netip.Addr{host6}, decodeRouterAdvertisement(icmpv6(advert(dns...))).DNS)
	dns[7] = 0
	require.Empty(t, decodeRouterAdvertisement(icmpv6(advert(dns...))).DNS)
	dns[7], dns[1] = 9, 2
	require.Empty(t, decodeRouterAdvertisement(icmpv6(advert(dns[:16]...))).DNS, "half an address")
}

func TestIsDiscovery(t *testing.T) {
	valid := func(p []byte) bool {
		m := icmpv6(p)
		return m != nil && isDiscovery(p, m, advertisementOptions)
	}
	require.True(t, valid(advert()))
	forwarded := advert()
	forwarded[7] = 254
	require.False(t, valid(forwarded))
	require.False(t, valid(advert(1, 0)), "length 0")
	require.False(t, valid(advert(1)), "half an option")
	require.False(t, valid(advert(1, 2, 0, 0, 0, 0, 0, 0)), "longer than the message")
	require.False(t, valid(message6(linkPeer, linkLocal, 255, 134, 0, 0, 0, 64, 0, 7, 8)), "short")
	require.False(t, valid(message6(linkPeer, linkLocal, 255, append([]byte{134, 1}, make([]byte, 14)...)...)), "code")
}

// FuzzICMPv6 reads any packet as a message, and one of ours back.
func FuzzICMPv6(f *testing.F) {
	f.Add(advert(prefixOption(64, 0x40, 2, 1)...), false)
	f.Add(routerAdvertisement(addressOf(linkLocal), allNodes, routerNetwork().IPv6, 1456)[Headroom:], true)
	f.Add(routerSolicitation(addressOf(linkPeer))[Headroom:], true)
	f.Add(tcp6(peer6, host6, protocolHopByHop, protocolTCP, 0, 1, 4, 0, 0, 0, 0), true)
	f.Add(echoReply(addressOf(linkPeer), addressOf(linkLocal), make([]byte, 20))[Headroom:], false)
	f.Fuzz(func(t *testing.T, b []byte, fix bool) {
		p := trimIPv6(append([]byte(nil), b...))
		if p == nil {
			return
		}
		clampMSS6(append([]byte(nil), p...), 1000)
		if big := tooBig6(p, 1400); big != nil && icmpv6(big[Headroom:]) == nil {
			t.Fatal("message without a right checksum")
		}
		if fix && p[6] == protocolICMPv6 && len(p) >= ipv6HeaderLen+icmpv6HeaderLen {
			p[ipv6HeaderLen+2], p[ipv6HeaderLen+3] = 0, 0
			sum := checksumICMPv6(p)
			p[ipv6HeaderLen+2], p[ipv6HeaderLen+3] = byte(sum>>8), byte(sum)
		}
		m := icmpv6(p)
		if m == nil || !isDiscovery(p, m, advertisementOptions) {
			return
		}
		a := decodeRouterAdvertisement(m)
		if !a.Prefix.IsValid() {
			return
		}
		again := routerAdvertisement(ipv6Source(p), allNodes, &gopptp.IPv6Network{Prefix: a.Prefix, DNS: a.DNS}, 1400)[Headroom:]
		got := decodeRouterAdvertisement(icmpv6(again))
		if got.Prefix != a.Prefix || len(got.DNS) != len(a.DNS) {
			t.Fatalf("%+v became %+v", a, got)
		}
	})
}
