package memory

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
)

// maxBacklog is how many connections wait for Accept. Those beyond are refused.
const maxBacklog = 1024

// Listen listens for TCP connections on a port of the host. Port 0 stands for
// any that is free.
func (h *Host) Listen(port uint16) (net.Listener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, h.opError("listen", port, errNetworkClosed)
	}
	if port == 0 {
		port = h.freePort()
	}
	if h.listeners[port] != nil {
		return nil, h.opError("listen", port, os.NewSyscallError("bind", syscall.EADDRINUSE))
	}
	l := &listener{
		host:    h,
		addr:    netip.AddrPortFrom(h.addr, port),
		backlog: make(chan *conn, maxBacklog),
		closing: make(chan struct{}),
	}
	h.listeners[port] = l
	return l, nil
}

func (h *Host) opError(op string, port uint16, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Addr: tcpAddr(netip.AddrPortFrom(h.addr, port)), Err: err}
}

// freePort returns an ephemeral port. They go round, as a port that was just
// used is better not used again. h.mu is held.
func (h *Host) freePort() uint16 {
	const first = 49152
	for {
		h.lastPort++
		if h.lastPort < first {
			h.lastPort = first
		}
		if h.listeners[h.lastPort] == nil {
			return h.lastPort
		}
	}
}

func tcpAddr(a netip.AddrPort) *net.TCPAddr { return net.TCPAddrFromAddrPort(a) }

// DialContext makes a TCP connection from the host. address is an IPv4 address
// with a port, as there are no names here. It has the signature of
// net.Dialer.DialContext, and is meant for gopptp.ClientConfig.
//
// A connection to an address or port where nobody listens is refused; one that
// is tried while the network is cut waits, as long as ctx allows.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	fail := func(addr net.Addr, err error) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: addr, Err: err}
	}
	if network != "tcp" && network != "tcp4" {
		return fail(nil, net.UnknownNetworkError(network))
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().Unmap().Is4() {
		return fail(nil, &net.AddrError{Err: "not an IPv4 address with a port", Addr: address})
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	h.mu.Lock()
	from := netip.AddrPortFrom(h.addr, h.freePort())
	h.mu.Unlock()
	c, err := h.network.dial(ctx, from, to)
	if err != nil {
		return fail(tcpAddr(to), err)
	}
	return c, nil
}

var errRefused = os.NewSyscallError("connect", syscall.ECONNREFUSED)

func (n *Network) dial(ctx context.Context, from, to netip.AddrPort) (*conn, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, dialError(err)
		}
		n.mu.Lock()
		if n.closed {
			n.mu.Unlock()
			return nil, errNetworkClosed
		}
		if !n.cut {
			defer n.mu.Unlock()
			host := n.hosts[to.Addr()]
			if host == nil {
				return nil, errRefused
			}
			return n.connect(host, from, to)
		}
		whole := n.whole
		n.mu.Unlock()
		select {
		case <-whole:
		case <-ctx.Done():
		}
	}
}

// dialError is what package net makes of the error of a context.
func dialError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return timeoutError{err}
	}
	return err
}

// timeoutError is a context's deadline that a caller can also see by
// net.Error's Timeout and by os.ErrDeadlineExceeded.
type timeoutError struct{ error }

func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }
func (e timeoutError) Unwrap() []error {
	return []error{e.error, os.ErrDeadlineExceeded}
}

// connect puts a connection into the listener's backlog. n.mu is held.
func (n *Network) connect(host *Host, from, to netip.AddrPort) (*conn, error) {
	host.mu.Lock()
	l := host.listeners[to.Port()]
	host.mu.Unlock()
	if l == nil {
		return nil, errRefused
	}
	p := newPair(n, from, to)
	if !l.add(p.ends[1]) {
		return nil, errRefused
	}
	n.pairs[p] = struct{}{}
	return p.ends[0], nil
}

// listener implements net.Listener.
type listener struct {
	host    *Host
	addr    netip.AddrPort
	backlog chan *conn
	closing chan struct{}

	mu     sync.Mutex
	closed bool
}

// add reports false if c is refused.
func (l *listener) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	select {
	case l.backlog <- c:
		return true
	default:
		return false
	}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closing: // has precedence
	default:
		select {
		case c := <-l.backlog:
			return c, nil
		case <-l.closing:
		}
	}
	return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
}

// Close implements net.Listener. Connections that nobody has accepted are reset.
func (l *listener) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closed = true
	l.mu.Unlock()
	close(l.closing)

	l.host.mu.Lock()
	if l.host.listeners[l.addr.Port()] == l {
		delete(l.host.listeners, l.addr.Port())
	}
	l.host.mu.Unlock()
	for {
		select {
		case c := <-l.backlog:
			c.reset()
		default:
			return nil
		}
	}
}

// Addr implements net.Listener.
func (l *listener) Addr() net.Addr { return tcpAddr(l.addr) }
