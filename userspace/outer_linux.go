package userspace

import (
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
	"github.com/gopptp/gopptp/internal/xdp"
)

// outer is a worker's way to the peers: its raw socket, and AF_XDP where that can
// be used. The worker receives, any goroutine may send.
type outer struct {
	plane  *Plane
	worker int
	raw    *greSocket
	slots  *slots    // of the raw socket
	fast   *fastPath // nil without

	// Only the worker touches these.
	set       *portSet
	receivers []*fastSocket
	frames    [][]byte
	rawTurns  int // since the raw socket was looked at
	settling  int // how often it has precedence yet
	failedAt  time.Time
	warmth    byte // see warm

	// mu guards these.
	mu     sync.Mutex
	id     uint16            // of the last packet that was sent by AF_XDP
	slow   []engine.Datagram // for the raw socket
	full   *fastSocket       // which waits for its interface
	wanted int               // packets that would have gone by AF_XDP
}

// maxSettling bounds for how many batches the raw socket has precedence when there
// are other ports: what it has is older than what comes by AF_XDP.
const maxSettling = 256

func newOuter(p *Plane, worker int, raw *greSocket, s *slots, batch int) *outer {
	return &outer{
		plane: p, worker: worker, raw: raw, slots: s, fast: p.fast,
		frames: make([][]byte, batch),
		id:     uint16(rand.Uint32()), // so that those of workers differ
	}
}

// Send implements engine.Wire. It never waits: what does not fit a queue is
// dropped and counted.
func (o *outer) Send(batch []engine.Datagram) {
	if o.fast == nil {
		o.raw.Send(batch)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	set := o.fast.ports.Load()
	var socket *fastSocket
	var sent uint64 // to it
	for i := range batch {
		d := &batch[i]
		hop := d.Via.(*callPath).Load()
		var next *fastSocket
		if hop != nil && ipv4Len+len(d.Data) <= min(hop.MTU, maxFramed) {
			if port := set.port(hop.Ifindex); port != nil {
				next = port.sender(o.worker)
			} else if o.wanted++; o.wanted >= wantAfter {
				o.wanted = 0
				o.fast.want(hop.Ifindex)
			}
		}
		if next == nil {
			o.slow = append(o.slow, *d)
			continue
		}
		if next != socket {
			o.flush(socket, sent)
			socket, sent = next, 0
			socket.mu.Lock()
		}
		if frame := socket.frame(); frame != nil {
			o.id++
			socket.Submit(appendFrame(frame[:0], hop, d, o.id))
			sent++
		}
	}
	o.flush(socket, sent)
	if len(o.slow) > 0 {
		o.raw.Send(o.slow)
		clear(o.slow)
		o.slow = o.slow[:0]
	}
}

// frame returns a frame to send, or nil, and counts that. s.mu is held.
func (s *fastSocket) frame() []byte {
	if s.closed {
		s.sendErr.Add(1)
		return nil
	}
	frame := s.Frame()
	if frame == nil {
		_ = s.Flush()
		if frame = s.Frame(); frame == nil {
			s.sendQueue.Add(1)
		}
	}
	return frame
}

// flush sends what was given to s, which may be nil, of which n frames are new, and
// lets go of it. o.mu is held.
func (o *outer) flush(s *fastSocket, n uint64) {
	if s == nil {
		return
	}
	s.sent.Add(n)
	if !s.closed && s.Flush() == xdp.ErrPending {
		o.full = s
	}
	s.mu.Unlock()
}

// receive appends packets that have come, by the raw socket only if that may have some.
// It does not wait.
func (o *outer) receive(arrivals []arrival, raw bool) ([]arrival, error) {
	before := len(arrivals)
	if o.settling == 0 {
		for _, s := range o.receivers {
			arrivals = o.receiveFast(s, arrivals)
		}
		// The raw socket has little then. It has its turn when there is nothing
		// else, and at times.
		if o.rawTurns++; len(arrivals) > before && o.rawTurns < 16 {
			return arrivals, nil
		}
		o.rawTurns = 0
	}
	before = len(arrivals)
	var err error
	if raw {
		arrivals, err = o.raw.receive(arrivals)
	}
	if o.settling--; o.settling < 0 || len(arrivals) == before {
		o.settling = 0
	}
	if err == nil || errors.Is(err, os.ErrClosed) {
		return arrivals, err
	}
	// A raw socket that is not connected has no lasting errors, but for the
	// host's memory running short.
	if now := time.Now(); now.Sub(o.failedAt) > time.Second {
		o.failedAt = now
		o.plane.log.Warn("userspace: raw GRE socket", "err", err)
	}
	return arrivals, nil
}

// changed reports that there are other ports.
func (o *outer) changed() bool { return o.fast != nil && o.fast.ports.Load() != o.set }

// change takes the worker's part of them. It must have no packet of those before.
func (o *outer) change() {
	set := o.fast.ports.Load()
	o.set = set
	clear(o.receivers)
	o.receivers = o.receivers[:0]
	for _, p := range set.ports {
		for queue, s := range p.sockets {
			if queue%len(o.fast.workers) == o.worker {
				o.receivers = append(o.receivers, s)
			}
		}
	}
	o.settling = maxSettling
	set.left.Done()
}

// receiveFast appends packets that have come, as many as o.frames at the most.
func (o *outer) receiveFast(s *fastSocket, arrivals []arrival) []arrival {
	frames := o.frames
	n := s.Receive(frames)
	before := len(arrivals)
	o.warmth += warm(frames[:n])
	for i, frame := range frames[:n] {
		frames[i] = nil
		d, ok := parseFrame(frame)
		if !ok {
			s.malformed.Add(1)
			s.Free(frame)
			continue
		}
		arrivals = append(arrivals, arrival{d, frame, s})
	}
	s.received.Add(uint64(len(arrivals) - before))
	return arrivals
}

// warm has the headers of frames fetched, all at once: the processor that wrote them
// is mostly another one, and to fetch one after the other, as they are parsed, takes
// longer than all else that is done for a packet in clear. The result is of no use,
// but must be used.
func warm(frames [][]byte) (w byte) {
	const cacheLine = 64 // frames begin with one; headers take two
	for _, f := range frames {
		if len(f) > cacheLine {
			w += f[0] + f[cacheLine]
		}
	}
	return w
}

// free gives the buffer of a packet back.
func (o *outer) free(a *arrival) {
	if a.socket != nil {
		a.socket.Free(a.buf)
	} else {
		o.slots.put(a.buf)
	}
	*a = arrival{}
}

// hasRoom reports whether n packets can be sent.
func (o *outer) hasRoom(n int) bool {
	return o.raw.hasRoom(n) && o.waiting() == nil
}

// waiting returns the socket that waits for its interface, or nil.
func (o *outer) waiting() *fastSocket {
	if o.fast == nil {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.full; s != nil {
		o.full = nil
		s.mu.Lock()
		o.flush(s, 0)
	}
	return o.full
}

// assumeRoom lets packets be sent, and if need be dropped.
func (o *outer) assumeRoom() {
	o.raw.room.Store(o.raw.capacity)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.full = nil
}

// armReceive has p tell when receive has something.
func (o *outer) armReceive(p *poller) {
	p.arm(o.raw.fd, unix.EPOLLIN)
	for _, s := range o.receivers {
		p.arm(s.FD(), unix.EPOLLIN)
	}
}

// armRoom has p tell also when the raw socket has room.
func (o *outer) armRoom(p *poller) { p.arm(o.raw.fd, unix.EPOLLIN|unix.EPOLLOUT) }
