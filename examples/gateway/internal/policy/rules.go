package policy

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/hours"
)

// rules are those of a configuration.
type rules struct {
	config.Policy
	groups map[string]*config.Group
}

func newRules(cfg *config.Config) *rules {
	r := &rules{Policy: cfg.Policy, groups: make(map[string]*config.Group)}
	for i := range cfg.Groups {
		g := cfg.Groups[i]
		r.groups[g.Name] = &g
	}
	return r
}

// nobodys is the group of those who are in none, or in one of which nothing is configured.
var nobodys = new(config.Group)

func (r *rules) group(g *grant.Grant) *config.Group {
	if group := r.groups[g.Group]; group != nil {
		return group
	}
	return nobodys
}

// complete adds the rules of the user's group, and those for all, where the back end has
// said nothing. The grant that it returns is the result's, and not the back end's.
func (r *rules) complete(result *gopptp.AuthResult) *grant.Grant {
	g := *grant.From(result.Attributes)
	result.Attributes = &g
	group := r.group(&g)
	g.Pool = cmp.Or(g.Pool, group.Pool)
	g.MaxSessions = cmp.Or(g.MaxSessions, group.MaxSessions, r.MaxSessions)
	g.Quota = cmp.Or(g.Quota, uint64(group.Quota), uint64(r.Quota))
	g.Sources = firstOf(g.Sources, group.Sources, r.Sources)
	g.Hours = firstOf(g.Hours, group.Hours, r.Hours)
	result.SessionTimeout = cmp.Or(result.SessionTimeout, group.SessionTimeout, r.SessionTimeout)
	result.IdleTimeout = cmp.Or(result.IdleTimeout, group.IdleTimeout, r.IdleTimeout)
	for _, more := range []gopptp.Rates{group.Rates(), r.Rates()} {
		if !result.Rates.FromPeer.Limited() {
			result.Rates.FromPeer = more.FromPeer
		}
		if !result.Rates.ToPeer.Limited() {
			result.Rates.ToPeer = more.ToPeer
		}
	}
	return &g
}

// firstOf returns the first list that has anything.
func firstOf[T any](lists ...[]T) []T {
	for _, list := range lists {
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

// allows reports whether the user may come from a source.
func (r *rules) allows(g *grant.Grant, source netip.Addr) bool {
	within := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(source) })
	}
	return !within(r.DeniedSources) && !within(r.group(g).DeniedSources) && (len(g.Sources) == 0 || within(g.Sources))
}

// open reports whether the user may be in at a time, and sees to it that the session ends
// when it may no more.
func (r *rules) open(g *grant.Grant, result *gopptp.AuthResult, now time.Time) bool {
	end, open := hours.Until(g.Hours, now.In(r.TimeZone))
	if left := end.Sub(now); open && !end.IsZero() && (result.SessionTimeout == 0 || left < result.SessionTimeout) {
		result.SessionTimeout = left
	}
	return open
}

func (r *rules) limits(g *grant.Grant) limits {
	return limits{perUser: g.MaxSessions, perSource: r.MaxPerSource, replace: r.OnExcess == config.ExcessReplace}
}
