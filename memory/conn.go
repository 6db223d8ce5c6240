package memory

import (
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxBuffered is how much may be on its way in one direction of a connection, in
// octets. A Write beyond waits for the reader.
const maxBuffered = 64 << 10

// pair is the two ends of a connection: who dialed, then who listened.
type pair struct {
	network *Network

	mu   sync.Mutex
	cond sync.Cond // something has changed
	cut  bool      // what is sent does not arrive
	ends [2]*conn
}

func newPair(n *Network, from, to netip.AddrPort) *pair {
	p := &pair{network: n}
	p.cond.L = &p.mu
	dialed := &conn{pair: p, local: tcpAddr(from), remote: tcpAddr(to)}
	listened := &conn{pair: p, local: tcpAddr(to), remote: tcpAddr(from)}
	dialed.peer, listened.peer = listened, dialed
	p.ends = [2]*conn{dialed, listened}
	return p
}

// separate keeps what is sent from arriving.
func (p *pair) separate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
}

// arrive undoes separate.
func (p *pair) arrive() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
	for _, c := range p.ends {
		c.arrive()
	}
	p.cond.Broadcast()
}

// abort resets the connection at both ends.
func (p *pair) abort() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.ends {
		c.aborted = true
		c.readDeadline.stop()
		c.writeDeadline.stop()
	}
	p.cond.Broadcast()
}

// conn implements net.Conn.
type conn struct {
	pair          *pair
	peer          *conn
	local, remote *net.TCPAddr

	// Guarded by pair.mu.
	arrived []byte // to be read
	transit []byte // sent by the peer while cut
	ended   bool   // the peer's Close has arrived
	broken  bool   // the peer has refused what was sent after that
	aborted bool
	closed  bool

	readDeadline, writeDeadline deadline
}

// arrive takes what was under way. pair.mu is held.
func (c *conn) arrive() {
	if c.closed {
		if len(c.transit) > 0 {
			c.peer.broken = true
		}
	} else {
		c.arrived = append(c.arrived, c.transit...)
	}
	c.transit = nil
	c.ended = c.peer.closed
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	p := c.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.opError("read", net.ErrClosed)
		case c.readDeadline.over():
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.arrived) > 0:
			n := copy(b, c.arrived)
			c.arrived = c.arrived[:copy(c.arrived, c.arrived[n:])]
			p.cond.Broadcast() // there is room now
			return n, nil
		case c.aborted:
			return 0, c.opError("read", os.NewSyscallError("read", syscall.ECONNRESET))
		case c.ended:
			return 0, io.EOF
		}
		p.cond.Wait()
	}
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (n int, err error) {
	p := c.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case c.closed:
			return n, c.opError("write", net.ErrClosed)
		case c.writeDeadline.over():
			return n, c.opError("write", os.ErrDeadlineExceeded)
		case c.aborted:
			return n, c.opError("write", os.NewSyscallError("write", syscall.ECONNRESET))
		case c.broken:
			return n, c.opError("write", os.NewSyscallError("write", syscall.EPIPE))
		}
		to := c.peer
		room := min(maxBuffered-len(to.arrived)-len(to.transit), len(b)-n)
		more := b[n : n+room]
		switch {
		case p.cut:
			to.transit = append(to.transit, more...)
		case to.closed:
			// As in TCP, one Write goes well before the peer's refusal of it
			// comes back.
			c.broken = len(b) > 0
			return len(b), nil
		default:
			to.arrived = append(to.arrived, more...)
		}
		if n += room; n == len(b) {
			p.cond.Broadcast()
			return n, nil
		}
		if room > 0 {
			p.cond.Broadcast()
		}
		p.cond.Wait()
	}
}

// Close implements net.Conn. The peer reads what was sent before.
func (c *conn) Close() error {
	p := c.pair
	p.mu.Lock()
	if c.closed {
		p.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	c.arrived = nil
	c.readDeadline.stop()
	c.writeDeadline.stop()
	if !p.cut {
		c.peer.ended = true
	}
	over := c.peer.closed
	p.cond.Broadcast()
	p.mu.Unlock()

	if over {
		p.network.forget(p)
	}
	return nil
}

// reset ends a connection that nobody has accepted.
func (c *conn) reset() {
	p := c.pair
	p.mu.Lock()
	c.peer.aborted = true
	p.cond.Broadcast()
	p.mu.Unlock()
	_ = c.Close()
}

func (n *Network) forget(p *pair) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.pairs, p)
}

// LocalAddr and RemoteAddr implement net.Conn. They are *net.TCPAddr.
func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn.
func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.readDeadline, &c.writeDeadline)
}

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, &c.readDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.writeDeadline) }

func (c *conn) setDeadlines(t time.Time, deadlines ...*deadline) error {
	p := c.pair
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		d.stop()
		d.at = t
		if left := time.Until(t); !t.IsZero() && left > 0 {
			d.timer = time.AfterFunc(left, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				p.cond.Broadcast()
			})
		}
	}
	p.cond.Broadcast()
	return nil
}

// deadline is one of a conn, guarded by pair.mu.
type deadline struct {
	at    time.Time
	timer *time.Timer // wakes those who wait
}

func (d *deadline) over() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}

func (c *conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}
