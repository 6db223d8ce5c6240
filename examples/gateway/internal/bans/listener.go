package bans

import (
	"net"
	"net/netip"
)

// Listener returns l without the connections of banned sources. They end at once, before
// they cost anything, by a reset where that can be had.
func (b *Bans) Listener(l net.Listener) net.Listener { return &listener{l, b} }

type listener struct {
	net.Listener
	bans *Bans
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil || !l.bans.Refuses(sourceOf(nc)) {
			return nc, err
		}
		if t, ok := nc.(interface{ SetLinger(sec int) error }); ok {
			_ = t.SetLinger(0)
		}
		nc.Close()
	}
}

// sourceOf is not valid where a connection has no such thing.
func sourceOf(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(interface{ AddrPort() netip.AddrPort }); ok {
		return a.AddrPort().Addr().Unmap()
	}
	a, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	return a.Addr().Unmap()
}
