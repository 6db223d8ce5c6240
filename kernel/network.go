package kernel

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/ppp"
)

// attachment is what the device of a call has, or is to have.
type attachment struct {
	up          bool // anything is attached
	mtu         int
	header      ppp.HeaderCompression
	local, peer netip.Addr
	routes      []driver.Route
	rates       gopptp.Rates
}

// plan returns what n needs. Nothing where it has no IPv4.
func (c *call) plan(n gopptp.Network) (attachment, error) {
	if n.IPv6 != nil && !n.Local.IsValid() {
		return attachment{}, nil
	}
	if !n.Local.Is4() || n.Local.IsUnspecified() {
		return attachment{}, fmt.Errorf("kernel: Network.Local: %v is not an IPv4 address", n.Local)
	}
	if err := c.CheckRates(n.Rates); err != nil {
		return attachment{}, err
	}
	a := attachment{up: true, mtu: n.MTU, header: n.Header, local: n.Local, rates: n.Rates}
	add := func(to netip.Prefix) {
		// Some servers give their public address as the inner one too. A route to it
		// would send the tunnel's own packets into the tunnel.
		if to.IsSingleIP() && c.plane.isPeer(to.Addr()) {
			return
		}
		if !slices.ContainsFunc(a.routes, func(r driver.Route) bool { return r.To == to }) {
			a.routes = append(a.routes, driver.Route{To: to, Source: n.Local})
		}
	}
	// A peer may have no address of its own, or not say.
	if n.Peer.Is4() && !n.Peer.IsUnspecified() && n.Peer != n.Local {
		a.peer = n.Peer
		add(netip.PrefixFrom(n.Peer, n.Peer.BitLen()))
	}
	for i, p := range n.Routes {
		if !p.IsValid() || !p.Addr().Is4() {
			return attachment{}, fmt.Errorf("kernel: Network.Routes[%d]: %v is not an IPv4 prefix", i, p)
		}
		if p.Bits() > 0 {
			add(p.Masked())
			continue
		}
		// The halves win against the host's default route without replacing it, so
		// that it is still there afterwards.
		add(netip.PrefixFrom(netip.IPv4Unspecified(), 1))
		add(netip.PrefixFrom(netip.AddrFrom4([4]byte{128}), 1))
	}
	return a, nil
}

// Attach implements gopptp.Call.
func (c *call) Attach(n gopptp.Network) error {
	want, err := c.plan(n)
	if err != nil {
		return err
	}
	if n.IPv6 != nil {
		c.plane.opts.Logger.Warn("kernel: the tunnel carries no IPv6, which the session has agreed on")
	}
	number := c.attaches.Add(1)
	return c.enqueue(func() error {
		err := c.needUnit()
		if err == nil {
			err = c.configure(want)
		}
		if err == nil {
			if err = c.pass(); err != nil {
				_ = c.takeDown()
			}
		}
		if err != nil {
			err = fmt.Errorf("kernel: %w", err)
		}
		if c.attaches.Load() == number {
			c.tell(func(h gopptp.CallHandler) { h.Attached(err) })
		}
		return nil
	})
}

// Detach implements gopptp.Call.
func (c *call) Detach() error {
	c.attaches.Add(1)
	return c.enqueue(func() error {
		if c.unit == nil {
			return nil
		}
		return c.configure(attachment{})
	})
}

// pass is a part of an operation: users' packets flow if they may.
func (c *call) pass() error {
	if !c.have.up || !c.mayPass() {
		return nil
	}
	if err := c.unit.Pass(true, false); err != nil {
		return fmt.Errorf("let packets pass: %w", err)
	}
	return nil
}

// block is a part of an operation: users' packets flow no more.
func (c *call) block() error {
	if c.unit == nil {
		return nil
	}
	if err := c.unit.Pass(false, false); err != nil {
		return fmt.Errorf("let no packet pass: %w", err)
	}
	return nil
}

// configure is a part of an operation: the device gets what it is to have. What it has
// already stays. After an error it has nothing.
func (c *call) configure(want attachment) (err error) {
	have := &c.have
	defer func() {
		if err != nil {
			_ = c.takeDown()
		}
	}()
	if !want.up {
		return c.takeDown()
	}
	if err := c.socket.SetHeader(want.header); err != nil {
		return err
	}
	if want.mtu > 0 && have.mtu != want.mtu {
		if err := c.unit.SetMTU(want.mtu); err != nil {
			return err
		}
	}
	if err := c.limit(want.rates); err != nil {
		return err
	}
	if !have.up {
		if err := c.unit.SetUp(true); err != nil {
			return err
		}
	}
	have.up, have.mtu = true, want.mtu
	// Routes name their address as the source, and go before it.
	keep := have.local == want.local && have.peer == want.peer
	for _, r := range slices.Clone(have.routes) {
		if !keep || !slices.Contains(want.routes, r) {
			c.report(c.unit.RemoveRoute(r))
			have.routes = slices.DeleteFunc(have.routes, func(o driver.Route) bool { return o == r })
		}
	}
	if !keep {
		c.removeAddress()
		if err := c.unit.AddAddress(want.local, want.peer); err != nil {
			return err
		}
		have.local, have.peer = want.local, want.peer
	}
	for _, r := range want.routes {
		if slices.Contains(have.routes, r) {
			continue
		}
		if err := c.unit.AddRoute(r); err != nil {
			return err
		}
		have.routes = append(have.routes, r)
	}
	return nil
}

// CheckRates implements gopptp.RatesCall.
func (c *call) CheckRates(r gopptp.Rates) error {
	if r.Limited() && c.plane.rates.Answer == NotSupported {
		return fmt.Errorf("%w: %v", ErrNoRates, c.plane.rates)
	}
	return nil
}

// limit is a part of an operation. The unit keeps its limits while nothing is attached,
// and what they have counted.
func (c *call) limit(r gopptp.Rates) error {
	if c.rates == r {
		return nil
	}
	c.rates = gopptp.Rates{FromPeer: gopptp.BitRate{Burst: -1}} // unknown, should it fail
	if err := c.unit.SetRates(rateOf(r.FromPeer), rateOf(r.ToPeer)); err != nil {
		return err
	}
	c.rates = r
	return nil
}

func rateOf(r gopptp.BitRate) driver.Rate {
	if !r.Limited() {
		return driver.Rate{}
	}
	return driver.Rate{BitsPerSecond: r.BitsPerSecond, Burst: r.BurstOctets()}
}

func (c *call) removeAddress() {
	if c.have.local.IsValid() {
		c.report(c.unit.RemoveAddress(c.have.local, c.have.peer))
		c.have.local, c.have.peer = netip.Addr{}, netip.Addr{}
	}
}

// takeDown is a part of an operation. It does the reverse of configure, in reverse.
func (c *call) takeDown() error {
	err := c.block()
	for _, r := range slices.Backward(c.have.routes) {
		c.report(c.unit.RemoveRoute(r))
	}
	c.removeAddress()
	if c.have.up {
		c.report(c.unit.SetUp(false))
	}
	c.have = attachment{}
	return err
}

// report logs an error of going back, which has no other consequence.
func (c *call) report(err error) {
	if err != nil {
		c.plane.opts.Logger.Debug("kernel: take back", "device", c.unit.Name(), "err", err)
	}
}
