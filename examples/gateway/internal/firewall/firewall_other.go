//go:build !linux

package firewall

import (
	"net"
	"net/netip"
	"time"
)

// Firewall does nothing: the table is of Linux.
type Firewall struct{}

// Open returns a Firewall that does nothing.
func Open(cfg Config) (*Firewall, error) {
	f := new(Firewall)
	return f, f.Reload(cfg.Settings)
}

// Close does nothing.
func (*Firewall) Close() error { return nil }

// Reload fails where there is to be a table.
func (*Firewall) Reload(s Settings) error {
	if s.Enabled {
		return ErrNotSupported
	}
	return nil
}

// Ban does nothing.
func (*Firewall) Ban(netip.Prefix, time.Time) {}

// Listener returns l.
func (*Firewall) Listener(l net.Listener) net.Listener { return l }

// Snapshot says that there is nothing.
func (*Firewall) Snapshot() (Snapshot, error) { return Snapshot{}, nil }
