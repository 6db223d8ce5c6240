package bans

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
)

// List implements admin.Bans.
func (b *Bans) List() []admin.Ban {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.expire(time.Now())
	list := make([]admin.Ban, 0, len(b.table.entries))
	for k, e := range b.table.entries {
		list = append(list, admin.Ban{User: k.user, Source: k.source, Until: e.until, Reason: e.reason})
	}
	return list
}

// Errors of Add.
var (
	errNobody  = errors.New("bans: a ban is of a user, a source, or both")
	errOver    = errors.New("bans: a ban cannot end before it begins")
	errFull    = fmt.Errorf("bans: there are %d bans of operators already", maxManual)
	errTooWide = errors.New("bans: a network to ban has at least 8 bits, and one of IPv6 at least 16")
)

// Add implements admin.Bans. Names are kept as they are compared, in lower case.
func (b *Bans) Add(ban admin.Ban) error {
	k := keyOf(ban.User, ban.Source)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.table.expire(now)
	switch {
	case k == key{}:
		return errNobody
	case !ban.Until.After(now):
		return errOver
	case k.source.IsValid() && (k.source.Bits() < 8 || k.source.Addr().Is6() && k.source.Bits() < 16):
		return errTooWide
	case b.cfg.allows(k.source):
		return fmt.Errorf("bans: %v, or a part of it, is never banned: see bans.allow", k.source)
	case b.table.full(k):
		return errFull
	}
	b.put(k, entry{until: ban.Until, reason: ban.Reason, manual: true})
	return nil
}

// Remove implements admin.Bans. What has led to a ban is forgotten with it.
func (b *Bans) Remove(user string, source netip.Prefix) bool {
	k := keyOf(user, source)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.expire(time.Now())
	b.history.Remove(k)
	if b.table.entries[k] == nil {
		return false
	}
	b.end(k)
	return true
}

// keyOf is a ban's key: its network is of IPv4 where it can be, and has no bits behind its
// length.
func keyOf(user string, source netip.Prefix) key {
	if a := source.Addr(); a.Is4In6() && source.Bits() >= 96 {
		source = netip.PrefixFrom(a.Unmap(), source.Bits()-96)
	}
	return key{foldName(user), source.Masked()}
}
