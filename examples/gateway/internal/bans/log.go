package bans

import (
	"net/netip"
	"time"
)

// Tools such as fail2ban read these lines. Their texts stay, and so do the first attributes
// and their order: the address comes before the name, which is what a stranger chose, and
// which the log's handlers quote. packaging/fail2ban has a filter for them.
const (
	msgFailure = "login failed"
	msgBan     = "banned for failures"
)

func (b *Bans) logFailure(user string, source netip.Addr) {
	b.log.Warn(msgFailure, "source", source.Unmap(), "user", cut(user))
}

func (b *Bans) logBan(k key, length time.Duration, reason string) {
	b.log.Warn(msgBan, "source", k.source.Addr(), "user", k.user, "for", length, "reason", reason)
}

// Stats are figures of the bans, since the start but for the first two.
type Stats struct {
	Bans        int `json:"bans"`         // in force
	SourceBans  int `json:"source_bans"`  // those of a whole source
	Sources     int `json:"sources"`      // that are remembered
	SourceUsers int `json:"source_users"` // users who have failed at a source, that are remembered

	Failures           uint64 `json:"failures"`
	Banned             uint64 `json:"banned"` // automatic bans
	RefusedLogins      uint64 `json:"refused_logins"`
	RefusedConnections uint64 `json:"refused_connections"`
}

// Stats returns them.
func (b *Bans) Stats() Stats {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.table.expire(time.Now())
	s := b.stats
	s.Bans, s.Sources, s.SourceUsers = len(b.table.entries), b.sources.Len(), b.pairs.Len()
	for k := range b.table.entries {
		if k.user == "" {
			s.SourceBans++
		}
	}
	return s
}
