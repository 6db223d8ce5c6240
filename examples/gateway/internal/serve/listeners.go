package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/gopptp/gopptp"
)

// listeners are the addresses where clients connect, which others can take the place of
// while the gateway serves. Its methods are called one at a time.
type listeners struct {
	open   func(netip.AddrPort) (net.Listener, error)
	log    *slog.Logger
	wraps  []func(net.Listener) net.Listener
	accept func(net.Listener) error // nil: nobody does yet
	failed chan error               // of one that the gateway has not closed itself

	at map[netip.AddrPort]*listener
}

// listener is one of them.
type listener struct {
	net.Listener
	closed atomic.Bool // by the gateway
}

// listen opens the first ones. It is to be closed, with an error, too.
func listen(addrs []netip.AddrPort, open func(netip.AddrPort) (net.Listener, error), log *slog.Logger) (*listeners, error) {
	if open == nil {
		open = func(addr netip.AddrPort) (net.Listener, error) { return net.Listen("tcp4", addr.String()) }
	}
	l := &listeners{open: open, log: log, failed: make(chan error, 1), at: make(map[netip.AddrPort]*listener)}
	for _, addr := range addrs {
		opened, err := open(addr)
		if err != nil {
			return l, err
		}
		l.at[addr] = &listener{Listener: opened}
	}
	return l, nil
}

// wrap has connections of all listeners come by f, after what was there before. It is called
// before serve.
func (l *listeners) wrap(f func(net.Listener) net.Listener) { l.wraps = append(l.wraps, f) }

// serve has accept take connections of all listeners, as Server.Serve does.
func (l *listeners) serve(accept func(net.Listener) error) {
	l.accept = accept
	for _, one := range l.at {
		l.start(one)
	}
}

func (l *listeners) start(one *listener) {
	if l.accept == nil {
		return // serve does that
	}
	for _, f := range l.wraps {
		one.Listener = f(one.Listener)
	}
	go func() {
		err := l.accept(one)
		if one.closed.Load() || errors.Is(err, gopptp.ErrServerClosed) {
			return
		}
		select {
		case l.failed <- err:
		default: // another one's is there
		}
	}()
}

func (l *listeners) shut(addr netip.AddrPort) {
	one := l.at[addr]
	delete(l.at, addr)
	one.closed.Store(true)
	one.Close()
}

// close closes all of them.
func (l *listeners) close() {
	for addr := range l.at {
		l.shut(addr)
	}
}

// addrs are those where they listen.
func (l *listeners) addrs() (list []net.Addr) {
	for _, addr := range slices.SortedFunc(maps.Keys(l.at), netip.AddrPort.Compare) {
		list = append(list, l.at[addr].Addr())
	}
	return list
}

// relisten is a change of the listeners: by finish, or not at all, by drop.
type relisten struct {
	*listeners
	opened map[netip.AddrPort]net.Listener // where nobody accepts yet
	gone   []netip.AddrPort                // to be closed
	early  []netip.AddrPort                // closed already, to make room for one of opened
}

// prepare opens the addresses that are new. Connections that have been accepted stay,
// whatever becomes of the listener.
func (l *listeners) prepare(addrs []netip.AddrPort) (*relisten, error) {
	r := &relisten{listeners: l, opened: make(map[netip.AddrPort]net.Listener)}
	for addr := range l.at {
		if !slices.Contains(addrs, addr) {
			r.gone = append(r.gone, addr)
		}
	}
	for _, addr := range addrs {
		if l.at[addr] != nil {
			continue
		}
		r.makeRoom(addr)
		opened, err := l.open(addr)
		if err != nil {
			r.drop()
			return nil, fmt.Errorf("listen: %w", err)
		}
		r.opened[addr] = opened
	}
	return r, nil
}

// makeRoom closes what goes and is in the way of an address: a socket of all addresses and
// one of a single address cannot have the same port.
func (r *relisten) makeRoom(addr netip.AddrPort) {
	r.gone = slices.DeleteFunc(r.gone, func(other netip.AddrPort) bool {
		inTheWay := other.Port() == addr.Port() && (other.Addr().IsUnspecified() || addr.Addr().IsUnspecified())
		if inTheWay {
			r.shut(other)
			r.early = append(r.early, other)
		}
		return inTheWay
	})
}

// finish closes what goes, and has connections accepted where that is new.
func (r *relisten) finish() {
	for _, addr := range r.gone {
		r.shut(addr)
	}
	for addr, opened := range r.opened {
		r.add(addr, opened)
	}
}

func (r *relisten) add(addr netip.AddrPort, opened net.Listener) {
	one := &listener{Listener: opened}
	r.at[addr] = one
	r.start(one)
}

// drop has everything as it was.
func (r *relisten) drop() {
	for _, opened := range r.opened {
		opened.Close()
	}
	for _, addr := range r.early {
		opened, err := r.open(addr)
		if err != nil { // somebody was quick
			r.log.Error("clients cannot connect there any more", "listen", addr, "error", err)
			continue
		}
		r.add(addr, opened)
	}
}
