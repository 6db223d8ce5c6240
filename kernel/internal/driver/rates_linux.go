package driver

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rates are the limits that a device has: in each direction a filter of the qdisc clsact
// that polices all packets. They go with the device.
type rates struct {
	mu   sync.Mutex
	have bool // the qdisc is there
	from police
	to   police
}

// police is the filter of one direction.
type police struct {
	priority uint16 // zero: there is none
	past     drops  // of the filters before
}

// drops are packets that were above a limit.
type drops struct{ packets, octets uint64 }

func (d drops) and(e drops) drops { return drops{d.packets + e.packets, d.octets + e.octets} }

// errNoPolice is clearer than what the kernel says.
var errNoPolice = errors.New("the kernel has no qdisc clsact, filter matchall or actions police and gact")

// setRates has the device of an index limited. It is not called twice at once for one.
func (n *netlinkHandle) setRates(index int, r *rates, fromPeer, toPeer Rate) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	clsact := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}
	limited := fromPeer != Rate{} || toPeer != Rate{}
	if limited && !r.have {
		if err := n.handle.QdiscAdd(clsact); err != nil && !errors.Is(err, unix.EEXIST) {
			return limitError(err)
		}
		r.have = true
	}
	err := n.police(index, netlink.HANDLE_MIN_INGRESS, &r.from, fromPeer)
	if err == nil {
		err = n.police(index, netlink.HANDLE_MIN_EGRESS, &r.to, toPeer)
	}
	if err == nil && !limited && r.have {
		err = n.handle.QdiscDel(clsact)
		r.have = err != nil
	}
	return limitError(err)
}

func limitError(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) {
		err = fmt.Errorf("%w: %w", errNoPolice, err)
	}
	return wrap(err, "limit rates")
}

// police replaces the filter of a direction. The new one is there before the old one
// goes, and whichever comes first has the last word.
func (n *netlinkHandle) police(index int, parent uint32, p *police, r Rate) error {
	var next uint16
	if r != (Rate{}) {
		next = 1
		if p.priority == 1 {
			next = 2
		}
		if err := n.handle.FilterAdd(filter(index, parent, next, r.actions())); err != nil {
			return err
		}
	}
	if p.priority == 0 {
		p.priority = next
		return nil
	}
	if dropped, err := n.dropped(index, parent, p.priority); err == nil {
		p.past = p.past.and(dropped)
	}
	old := p.priority
	p.priority = next
	return n.handle.FilterDel(filter(index, parent, old, nil))
}

func filter(index int, parent uint32, priority uint16, actions []netlink.Action) netlink.Filter {
	return &netlink.MatchAll{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: parent, Priority: priority, Protocol: unix.ETH_P_ALL},
		Actions:     actions,
	}
}

const (
	// largest is what may come to a filter at once: packets of a flow that the kernel has
	// joined. What is larger than a burst never passes.
	largest = 1 << 16
	// longestBurst is what a burst may take, which the kernel has in 32 bits of 64 ns.
	longestBurst = 240 // seconds
)

// actions drop what is above the rate and pass the rest. The second is there to count.
func (r Rate) actions() []netlink.Action {
	octets := max(1, min(r.BitsPerSecond/8, math.MaxUint32))
	p := netlink.NewPoliceAction()
	p.Rate = uint32(octets)
	p.Burst = uint32(min(max(largest, uint64(r.Burst)), octets*longestBurst, math.MaxInt32))
	p.Mtu = largest
	p.ExceedAction, p.NotExceedAction = netlink.TC_POLICE_SHOT, netlink.TC_POLICE_PIPE
	return []netlink.Action{p, &netlink.GenericAction{ActionAttrs: netlink.ActionAttrs{Action: netlink.TC_ACT_OK}}}
}

// dropped returns what a filter has dropped.
func (n *netlinkHandle) dropped(index int, parent uint32, priority uint16) (d drops, err error) {
	filters, err := n.counts.FilterList(device(index), parent)
	if err != nil {
		return d, fmt.Errorf("filters: %w", err)
	}
	for _, f := range filters {
		m, ok := f.(*netlink.MatchAll)
		if !ok || m.Priority != priority || len(m.Actions) != 2 {
			continue
		}
		all, passed := m.Actions[0].Attrs().Statistics, m.Actions[1].Attrs().Statistics
		if all == nil || all.Basic == nil || all.Queue == nil || passed == nil || passed.Basic == nil {
			return d, errors.New("filters: the kernel tells no statistics")
		}
		// What passes while they are read has one count more than the other.
		d.packets = uint64(all.Queue.Drops)
		d.octets = all.Basic.Bytes - min(all.Basic.Bytes, passed.Basic.Bytes)
		return d, nil
	}
	return d, nil
}

// allDropped returns what all filters of the device have dropped, in each direction.
func (n *netlinkHandle) allDropped(index int, r *rates) (from, to drops, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to = r.from.past, r.to.past
	for _, p := range []struct {
		parent uint32
		police *police
		sum    *drops
	}{{netlink.HANDLE_MIN_INGRESS, &r.from, &from}, {netlink.HANDLE_MIN_EGRESS, &r.to, &to}} {
		if p.police.priority == 0 {
			continue
		}
		d, err := n.dropped(index, p.parent, p.police.priority)
		if err != nil {
			return from, to, err
		}
		*p.sum = p.sum.and(d)
	}
	return from, to, nil
}
