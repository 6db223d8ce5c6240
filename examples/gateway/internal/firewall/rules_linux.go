package firewall

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Names in the table.
const (
	setPeers    = "peers"
	setBanned   = "banned"
	setNetworks = "banned_networks"
	setClients  = "clients"
	setClients6 = "clients6"

	counterStrangers = "strangers"
	counterBanned    = "banned"

	chainInput       = "input"
	chainForward     = "forward"
	chainPostrouting = "postrouting"
)

var errNoRules = errors.New("it has no rules")

// table is the table as this package knows it, whether it is there or not.
type table struct {
	*nftables.Table
	settings                        Settings
	peers, banned, networks         *nftables.Set
	clients, clients6               *nftables.Set
	clientNetworks, clientNetworks6 []netip.Prefix
}

func newTable(s Settings) *table {
	t := &table{Table: &nftables.Table{Name: s.Table, Family: nftables.TableFamilyINet}, settings: s}
	id := uint32(0)
	set := func(name string, key nftables.SetDatatype) *nftables.Set {
		id++
		return &nftables.Set{Table: t.Table, ID: id, Name: name, KeyType: key, KeyByteOrder: binaryutil.BigEndian}
	}
	t.peers = set(setPeers, nftables.TypeIPAddr)
	t.banned = set(setBanned, nftables.TypeIPAddr)
	t.banned.HasTimeout = true // they end even without the gateway
	t.networks = set(setNetworks, nftables.TypeIPAddr)
	t.networks.Interval = true
	t.clients = set(setClients, nftables.TypeIPAddr)
	t.clients.Interval = true
	t.clients6 = set(setClients6, nftables.TypeIP6Addr)
	t.clients6.Interval = true
	for _, p := range s.Masquerade {
		if p.Addr().Is4() {
			t.clientNetworks = append(t.clientNetworks, p)
		} else {
			t.clientNetworks6 = append(t.clientNetworks6, p)
		}
	}
	return t
}

// mayReplace returns an error if there is a table of this name that has other sets than
// this one: somebody else's, such as the host's own rules.
func (t *table) mayReplace(c *nftables.Conn) error {
	tables, err := c.ListTablesOfFamily(t.Family)
	if err != nil || !slices.ContainsFunc(tables, func(other *nftables.Table) bool { return other.Name == t.Name }) {
		return err
	}
	sets, err := c.GetSets(t.Table)
	if err != nil {
		return err
	}
	for _, name := range []string{setPeers, setBanned, setNetworks} {
		if !slices.ContainsFunc(sets, func(s *nftables.Set) bool { return s.Name == name }) {
			return &ForeignTableError{Table: t.Name}
		}
	}
	return nil
}

// create adds the table with its sets to a transaction, in the place of any that is there.
func (t *table) create(c *nftables.Conn) error {
	c.AddTable(t.Table) // so that there is one to remove
	c.DelTable(t.Table)
	c.AddTable(t.Table)
	for _, s := range []*nftables.Set{t.peers, t.banned, t.networks} {
		if err := c.AddSet(s, nil); err != nil {
			return err
		}
	}
	for _, name := range []string{counterStrangers, counterBanned} {
		c.AddObj(&nftables.NamedObj{Table: t.Table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	}
	return nil
}

// clear removes what rules adds, whether all of it is there or not.
func (t *table) clear(c *nftables.Conn) {
	for _, name := range []string{chainInput, chainForward, chainPostrouting} {
		chain := &nftables.Chain{Table: t.Table, Name: name}
		c.AddChain(chain) // so that there is one to remove
		c.DelChain(chain)
	}
	for _, set := range []*nftables.Set{t.clients, t.clients6} {
		_ = c.AddSet(set, nil) // has no elements that could be wrong
		c.DelSet(set)
	}
}

// whole returns an error if the table is gone, or its rules are: what flushes the rules of
// others may leave sets and chains.
func (t *table) whole(c *nftables.Conn) error {
	rules, err := c.GetRules(t.Table, &nftables.Chain{Name: chainInput})
	if err == nil && len(rules) == 0 {
		err = errNoRules
	}
	return err
}

// rules adds the chains.
func (t *table) rules(c *nftables.Conn) error {
	t.input(c)
	if len(t.settings.ClampMSS) > 0 {
		t.clamp(c)
	}
	return t.masquerade(c)
}

func (t *table) chain(c *nftables.Conn, name string, kind nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority) func(...[]expr.Any) {
	accept := nftables.ChainPolicyAccept
	chain := c.AddChain(&nftables.Chain{
		Table: t.Table, Name: name, Type: kind, Hooknum: hook, Priority: &priority, Policy: &accept,
	})
	return func(parts ...[]expr.Any) {
		var all []expr.Any
		for _, p := range parts {
			all = append(all, p...)
		}
		c.AddRule(&nftables.Rule{Table: t.Table, Chain: chain, Exprs: all})
	}
}

// input drops what is not wanted, a little before the host's own rules.
func (t *table) input(c *nftables.Conn) {
	add := t.chain(c, chainInput, nftables.ChainTypeFilter, nftables.ChainHookInput, *nftables.ChainPriorityFilter-10)
	for _, set := range []*nftables.Set{t.banned, t.networks} {
		for _, port := range t.settings.Ports {
			// Not within a connection: those who are in stay in.
			add(protocol(unix.IPPROTO_TCP), source4(set, false), destinationPort(port), flags(syn, syn|ack), drop(counterBanned))
		}
	}
	if t.settings.PeersOnly {
		add(pptpGRE(), source4(t.peers, true), drop(counterStrangers))
		return
	}
	for _, set := range []*nftables.Set{t.banned, t.networks} {
		add(pptpGRE(), source4(set, false), source4(t.peers, true), drop(counterBanned))
	}
}

// clamp lowers the maximum segment size in both directions to what the routes of both
// directions take.
func (t *table) clamp(c *nftables.Conn) {
	add := t.chain(c, chainForward, nftables.ChainTypeFilter, nftables.ChainHookForward, *nftables.ChainPriorityMangle)
	const maxseg, offset, size = 2, 2, 2 // RFC 9293 §3.2
	lower := []expr.Any{
		&expr.Rt{Register: 1, Key: expr.RtTCPMSS},
		&expr.Byteorder{SourceRegister: 1, DestRegister: 1, Op: expr.ByteorderHton, Len: size, Size: size},
		&expr.Exthdr{SourceRegister: 1, Type: maxseg, Offset: offset, Len: size, Op: expr.ExthdrOpTcpopt},
	}
	for _, device := range t.settings.ClampMSS {
		for _, direction := range []expr.MetaKey{expr.MetaKeyIIFNAME, expr.MetaKeyOIFNAME} {
			add(onDevice(direction, device, expr.CmpOpEq), protocolAny(unix.IPPROTO_TCP), flags(syn, syn|rst), lower)
		}
	}
}

// masquerade gives clients' packets the host's address.
func (t *table) masquerade(c *nftables.Conn) error {
	if len(t.settings.Masquerade) == 0 {
		return nil
	}
	var clients [][]expr.Any
	for _, one := range []struct {
		set      *nftables.Set
		networks []netip.Prefix
		match    []expr.Any
	}{{t.clients, t.clientNetworks, source4(t.clients, false)}, {t.clients6, t.clientNetworks6, source6(t.clients6)}} {
		if len(one.networks) == 0 {
			continue
		}
		if err := c.AddSet(one.set, nil); err != nil {
			return err
		}
		for some := range slices.Chunk(intervals(one.networks), maxElements) { // a message has room for few more
			if err := c.SetAddElements(one.set, some); err != nil {
				return err
			}
		}
		clients = append(clients, one.match)
	}
	add := t.chain(c, chainPostrouting, nftables.ChainTypeNAT, nftables.ChainHookPostrouting, *nftables.ChainPriorityNATSource)
	for _, match := range clients {
		for _, name := range t.settings.Interfaces {
			add(onDevice(expr.MetaKeyOIFNAME, name, expr.CmpOpEq), match, []expr.Any{&expr.Masq{}})
		}
		if len(t.settings.Interfaces) > 0 {
			continue
		}
		var others []expr.Any
		for _, tunnel := range t.settings.Tunnels {
			others = append(others, onDevice(expr.MetaKeyOIFNAME, tunnel, expr.CmpOpNeq)...)
		}
		add(others, match, []expr.Any{&expr.Masq{}})
	}
	return nil
}

// drop counts, and drops.
func drop(counter string) []expr.Any {
	return []expr.Any{&expr.Objref{Type: int(nftables.ObjTypeCounter), Name: counter}, &expr.Verdict{Kind: expr.VerdictDrop}}
}

func equal(data ...byte) *expr.Cmp { return &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: data} }

// protocolAny matches a protocol over IPv4 and IPv6, protocol one over IPv4.
func protocolAny(number byte) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, equal(number)}
}

func protocol(number byte) []expr.Any {
	return append([]expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV4)}, protocolAny(number)...)
}

func payload(base expr.PayloadBase, offset, length uint32) *expr.Payload {
	return &expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: length}
}

// masked matches the bits of an octet of the transport header.
func masked(offset uint32, mask, value byte) []expr.Any {
	return []expr.Any{
		payload(expr.PayloadBaseTransportHeader, offset, 1),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 1, Mask: []byte{mask}, Xor: []byte{0}},
		equal(value),
	}
}

// pptpGRE matches the GRE of RFC 2637 §4.1, version 1 with protocol type PPP, and no other.
// It asks for the protocol last: nft 1.0.6 aborts when it lists a rule that looks into a
// header of which it knows that it is GRE's.
func pptpGRE() []expr.Any {
	return slices.Concat(
		[]expr.Any{payload(expr.PayloadBaseTransportHeader, 2, 2), equal(0x88, 0x0b)},
		masked(1, 7, 1),
		protocol(unix.IPPROTO_GRE),
	)
}

func destinationPort(port uint16) []expr.Any {
	return []expr.Any{payload(expr.PayloadBaseTransportHeader, 2, 2), equal(byte(port>>8), byte(port))}
}

// Bits of the TCP header's flags.
const (
	syn = 0x02
	rst = 0x04
	ack = 0x10
)

func flags(set, of byte) []expr.Any { return masked(13, of, set) }

// source4 matches sources that are in a set, or those that are not; source6 those of IPv6.
func source4(set *nftables.Set, invert bool) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV4),
		payload(expr.PayloadBaseNetworkHeader, 12, 4),
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID, Invert: invert},
	}
}

func source6(set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, equal(unix.NFPROTO_IPV6),
		payload(expr.PayloadBaseNetworkHeader, 8, 16),
		&expr.Lookup{SourceRegister: 1, SetName: set.Name, SetID: set.ID},
	}
}

// onDevice matches the name of an interface, or its beginning.
func onDevice(which expr.MetaKey, name string, op expr.CmpOp) []expr.Any {
	data, some := strings.CutSuffix(name, "*")
	if !some {
		data += strings.Repeat("\x00", unix.IFNAMSIZ-len(data))
	}
	return []expr.Any{&expr.Meta{Key: which, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: []byte(data)}}
}

// intervals are networks as a set has them: where each begins, and where it is over.
func intervals(networks []netip.Prefix) (list []nftables.SetElement) {
	for _, p := range networks {
		first := p.Masked().Addr()
		end := first.AsSlice()
		for bit := p.Bits() - 1; bit >= 0; bit-- { // add one at the last bit of the prefix
			end[bit/8] ^= 0x80 >> (bit % 8)
			if end[bit/8]&(0x80>>(bit%8)) != 0 {
				break
			}
		}
		list = append(list, nftables.SetElement{Key: first.AsSlice()})
		if next, _ := netip.AddrFromSlice(end); next.Compare(first) > 0 {
			list = append(list, nftables.SetElement{Key: end, IntervalEnd: true})
		}
	}
	return list
}
