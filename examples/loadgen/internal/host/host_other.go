//go:build !linux

package host

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// Ports returns 0: not known.
func Ports() int { return 0 }

// Add returns an error.
func (s Sources) Add() (remove func(), err error) {
	return nil, errors.New("addresses are added on Linux only")
}

// Dialer returns a dialer that connects from an address, if that is valid.
func Dialer(from netip.Addr) *net.Dialer {
	d := new(net.Dialer)
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d
}

// CPUTime returns 0: not known.
func CPUTime() time.Duration { return 0 }
