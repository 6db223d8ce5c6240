package userspace

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// SetPrefixes replaces [Options.Prefixes]: with sessions up, and without a moment in which
// packets of theirs have no route. Sessions that were covered and are not any more get routes
// of their own; those that have some keep them to their end. After an error nothing has
// changed.
func (p *Plane) SetPrefixes(prefixes []netip.Prefix) error {
	if err := (&Options{Prefixes: prefixes}).Validate(); err != nil {
		return err
	}
	if p.network == nil {
		if len(prefixes) > 0 {
			return errors.New("userspace: Options.Device leaves no TUN device for Prefixes")
		}
		return nil
	}
	return p.network.setPrefixes(slices.Clone(prefixes))
}

func (n *network) setPrefixes(prefixes []netip.Prefix) (err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return errNetworkClosed
	}
	old := n.prefixes
	var undo []func()
	defer func() {
		if err != nil {
			n.prefixes = old
			for _, f := range slices.Backward(undo) {
				f()
			}
		}
	}()
	add := func(r route) error {
		if err := n.link.addRoute(r); err != nil {
			return fmt.Errorf("userspace: add route %v: %w", r.to, err)
		}
		undo = append(undo, func() { n.report("remove route", r.to, n.link.removeRoute(r.to)) })
		return nil
	}
	change := func(s *sharedRoute, added, covered bool) {
		was := *s
		s.added, s.covered = added, covered
		undo = append(undo, func() { s.added, s.covered = was.added, was.covered })
	}

	for _, p := range prefixes {
		if slices.Contains(old, p) {
			continue
		}
		if s := n.routes[p]; s != nil && s.added && s.mtu == 0 { // a session's becomes the prefix's
			change(s, false, true)
		} else if err := add(route{to: p}); err != nil {
			return err
		}
	}
	n.prefixes = prefixes
	for to, s := range n.routes {
		r := s.route(to)
		if !s.covered || n.covers(r) {
			continue
		}
		if !slices.Contains(old, to) { // the prefix's becomes the session's
			if err := add(r); err != nil {
				return err
			}
		}
		change(s, true, false)
	}
	for _, p := range old {
		if s := n.routes[p]; !slices.Contains(prefixes, p) && (s == nil || !s.added) {
			n.report("remove route", p, n.link.removeRoute(p))
		}
	}
	return nil
}
