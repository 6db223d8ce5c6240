//go:build !linux

package firewall

import (
	"net"
	"net/netip"
	"time"
)

// Firewall is of Linux.
type Firewall struct{}

// Open is of Linux.
func Open(Config) (*Firewall, error) { return nil, ErrNotSupported }

// Close is of Linux.
func (*Firewall) Close() error { return ErrNotSupported }

// Reload is of Linux.
func (*Firewall) Reload(Settings) error { return ErrNotSupported }

// Ban is of Linux.
func (*Firewall) Ban(netip.Prefix, time.Time) {}

// Listener is of Linux.
func (*Firewall) Listener(l net.Listener) net.Listener { return l }

// Snapshot is of Linux.
func (*Firewall) Snapshot() (Snapshot, error) { return Snapshot{}, ErrNotSupported }
