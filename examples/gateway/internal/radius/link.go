package radius

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"layeh.com/radius"
)

// identifiers is how many requests a link can have at a time: the header has an octet to
// tell them apart (RFC 2865 §3).
const identifiers = 256

// link is a UDP socket or a TLS connection to one server. It may still be on its way to
// be connected; what is sent meanwhile waits.
type link struct {
	server *Server
	out    chan []byte // to the writer; what does not fit is lost
	gone   chan struct{}

	mu      sync.Mutex
	pending [identifiers]*waiter
	// before has the authenticators of the requests that had the identifiers last: an
	// answer to one of these is late, not forged.
	before  [identifiers][16]byte
	count   int
	next    uint8 // identifiers go round, so that a late answer finds none that waits
	conn    net.Conn
	closed  bool
	retired bool      // nothing begins on it any more, and it ends when nobody waits
	heard   time.Time // when the last packet came
}

// waiter is who waits for one answer.
type waiter struct {
	request *radius.Packet
	signed  bool // the answer must be
	began   time.Time
	// Neither is ever waited for. After trouble, such as that nobody listens at the
	// server's address, an answer may yet come.
	answer  chan<- *Reply
	trouble chan<- error
}

func newLink(s *Server) *link {
	l := &link{server: s, out: make(chan []byte, 2*identifiers), gone: make(chan struct{})}
	go l.run()
	return l
}

// run connects, then reads until the link is gone.
func (l *link) run() {
	conn, err := l.server.dial()
	if err != nil {
		l.close(err)
		return
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		conn.Close()
		return
	}
	l.conn = conn
	l.mu.Unlock()
	go l.write(conn)
	if l.server.reliable() {
		l.close(l.readStream(conn))
		return
	}
	l.close(l.readPackets(conn))
}

// write sends what is in the queue.
func (l *link) write(conn net.Conn) {
	for {
		select {
		case <-l.gone:
			return
		case wire := <-l.out:
			if l.server.reliable() { // who does not read is as good as gone
				conn.SetWriteDeadline(time.Now().Add(l.server.cfg.Timeout))
			}
			_, err := conn.Write(wire)
			if err != nil && !l.server.reliable() { // of a packet before, and this one was not sent
				_, err = conn.Write(wire)
			}
			switch {
			case err == nil:
			case l.server.reliable():
				l.close(err)
				return
			default:
				l.troubled(err)
			}
		}
	}
}

// readPackets reads a socket. Its errors pass, such as that the server's host says that
// nobody listens there now.
func (l *link) readPackets(conn net.Conn) error {
	b := make([]byte, radius.MaxPacketLength+1)
	for failures := 0; ; {
		n, err := conn.Read(b)
		switch {
		case err == nil:
			failures = 0
			l.received(b[:n])
		case errors.Is(err, net.ErrClosed), errors.Is(err, io.EOF):
			return err
		default:
			if failures++; failures > identifiers { // nothing of the kind
				return err
			}
			l.troubled(err)
		}
	}
}

// readStream reads a connection, on which packets follow each other.
func (l *link) readStream(conn net.Conn) error {
	b := make([]byte, radius.MaxPacketLength)
	for {
		if _, err := io.ReadFull(conn, b[:4]); err != nil {
			return err
		}
		size := int(binary.BigEndian.Uint16(b[2:]))
		if size < headerSize || size > len(b) {
			l.server.count.malformed.Add(1)
			return fmt.Errorf("a packet of %d octets", size)
		}
		if _, err := io.ReadFull(conn, b[4:size]); err != nil {
			return err
		}
		l.received(b[:size])
	}
}

// received gives an answer to who waits for it.
func (l *link) received(wire []byte) {
	now := time.Now()
	if len(wire) < headerSize {
		l.server.count.malformed.Add(1)
		return
	}
	id := wire[1]
	l.mu.Lock()
	l.heard = now
	w, before := l.pending[id], l.before[id]
	l.mu.Unlock()
	if w == nil {
		l.server.count.unexpected.Add(1)
		return
	}
	p, err := open(wire, w.request, w.signed)
	if errors.Is(err, errForged) && authentic(wire, before, w.request.Secret) {
		l.server.count.unexpected.Add(1)
		return
	}
	if err != nil {
		l.server.refused(err)
		return
	}
	if !l.forget(id, w) {
		l.server.count.unexpected.Add(1)
		return
	}
	l.server.answered(w.request.Code, p.Code, now.Sub(w.began))
	select {
	case w.answer <- &Reply{Packet: p, Request: w.request, Server: l.server}:
	default: // another server was quicker
	}
}

// begin sends a request, and has w wait for the answer. It reports false if the link can
// take no more.
func (l *link) begin(r *Request, w *waiter) (ok bool, wire []byte, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.retired || l.count == identifiers {
		return false, nil, nil
	}
	for l.pending[l.next] != nil {
		l.next++
	}
	id := l.next
	if w.request, wire, err = r.seal(id, l.server.secret); err != nil {
		return false, nil, fmt.Errorf("%w: %w", errSeal, err)
	}
	l.next++
	l.pending[id] = w
	l.count++
	l.send(wire)
	return true, wire, nil
}

// send has the writer send a packet, unless too many wait already.
func (l *link) send(wire []byte) {
	select {
	case l.out <- wire:
	default:
	}
}

// forget ends the wait of w; it reports false if w does not wait.
func (l *link) forget(id uint8, w *waiter) bool {
	l.mu.Lock()
	if l.pending[id] != w {
		l.mu.Unlock()
		return false
	}
	l.pending[id], l.before[id] = nil, w.request.Authenticator
	l.count--
	last := l.retired && l.count == 0
	l.mu.Unlock()
	if last {
		l.close(errRetired)
	}
	return true
}

// retire has what begins from now on have another link, and ends this one when nobody
// waits for an answer on it. Doing so again does nothing.
func (l *link) retire() {
	l.mu.Lock()
	again := l.retired
	l.retired = true
	idle := l.count == 0
	l.mu.Unlock()
	if again {
		return
	}
	l.server.drop(l)
	if idle {
		l.close(errRetired)
	}
}

// errRetired is why a link ends that was retired, which is no failure.
var errRetired = errors.New("retired")

// waits reports whether w still does.
func (l *link) waits(w *waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pending[w.request.Identifier] == w
}

// quiet reports whether nothing has come since a time.
func (l *link) quiet(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.heard.After(since)
}

// room reports whether another request fits.
func (l *link) room() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed && !l.retired && l.count < identifiers
}

// waiting is how many requests wait for an answer.
func (l *link) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// troubled tells all who wait that the server may not be there.
func (l *link) troubled(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.pending {
		if w != nil {
			w.tell(err)
		}
	}
}

func (w *waiter) tell(err error) {
	select {
	case w.trouble <- err:
	default:
	}
}

// close ends the link, and tells all who wait. Doing so again does nothing.
func (l *link) close(err error) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	close(l.gone)
	if l.conn != nil {
		l.conn.Close()
	}
	waiters := l.pending
	l.pending, l.count = [identifiers]*waiter{}, 0
	l.mu.Unlock()
	l.server.lost(l, err)
	for _, w := range waiters {
		if w != nil {
			w.tell(err)
		}
	}
}
