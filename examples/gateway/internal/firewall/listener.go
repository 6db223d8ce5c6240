package firewall

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// queueLen is how many connections may be on their way into the table; more wait in the
// backlog of the listener.
const queueLen = 128

// listener delivers connections once GRE of their sources is let in, which is before their
// first packet can come. Their number in a transaction grows with the load.
type listener struct {
	net.Listener
	wanted *wanted
	queue  chan incoming
	done   chan struct{}
	close  sync.Once
}

// incoming is what Accept has returned.
type incoming struct {
	nc    net.Conn
	err   error
	ready <-chan struct{} // closed when the source is in; nil: it is
	taken chan struct{}   // with an error: closed when somebody has that
}

func newListener(l net.Listener, w *wanted) *listener {
	f := &listener{Listener: l, wanted: w, queue: make(chan incoming, queueLen), done: make(chan struct{})}
	go f.accept()
	return f
}

func (l *listener) accept() {
	defer close(l.queue)
	for {
		nc, err := l.Listener.Accept()
		in := incoming{nc: nc, err: err}
		if err == nil {
			in.nc, in.ready = l.wrap(nc)
		} else {
			in.taken = make(chan struct{})
		}
		select {
		case l.queue <- in:
		case <-l.done:
			if in.nc != nil {
				in.nc.Close()
			}
			return
		}
		if err == nil {
			continue
		}
		// Whoever accepts says when to try again.
		select {
		case <-in.taken:
		case <-l.done:
			return
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	in, open := <-l.queue
	switch {
	case !open:
		return nil, net.ErrClosed
	case in.err != nil:
		close(in.taken)
		return nil, in.err
	case in.ready != nil:
		select {
		case <-in.ready:
		case <-l.done:
		}
	}
	return in.nc, nil
}

// Close implements net.Listener. Connections that nobody has accepted end.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.close.Do(func() {
		close(l.done)
		for in := range l.queue {
			if in.nc != nil {
				in.nc.Close()
			}
		}
	})
	return err
}

// wrap has a connection count for its source until it is closed.
func (l *listener) wrap(nc net.Conn) (net.Conn, <-chan struct{}) {
	addr := sourceOf(nc)
	if !addr.Is4() {
		return nc, nil
	}
	ready := l.wanted.join(addr)
	if tcp, ok := nc.(*net.TCPConn); ok {
		return &tcpConn{TCPConn: tcp, membership: membership{wanted: l.wanted, addr: addr}}, ready
	}
	return &conn{Conn: nc, membership: membership{wanted: l.wanted, addr: addr}}, ready
}

// membership is what a connection has in wanted. There is one a session, so it is small.
type membership struct {
	wanted *wanted
	addr   netip.Addr
	left   atomic.Bool
}

func (m *membership) leave() {
	if !m.left.Swap(true) {
		m.wanted.leave(m.addr)
	}
}

// conn is a connection of a peer.
type conn struct {
	net.Conn
	membership
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// tcpConn is a connection of a peer that the library reads as one of TCP.
type tcpConn struct {
	*net.TCPConn
	membership
}

// PlainTCP says that nothing is different but Close; see gopptp.Server.Serve.
func (c *tcpConn) PlainTCP() *net.TCPConn { return c.TCPConn }

// Close implements net.Conn.
func (c *tcpConn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}

// sourceOf is not valid where a connection has no such thing.
func sourceOf(nc net.Conn) netip.Addr {
	if a, ok := nc.RemoteAddr().(interface{ AddrPort() netip.AddrPort }); ok {
		return a.AddrPort().Addr().Unmap()
	}
	a, _ := netip.ParseAddrPort(nc.RemoteAddr().String())
	return a.Addr().Unmap()
}
