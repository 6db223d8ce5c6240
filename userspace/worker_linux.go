package userspace

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

// worker moves the packets of its calls, both ways, from where they wait to where
// they go: a batch from the peers, decrypted and given to the host, then one from
// the host. Nothing is handed to another goroutine on the way. It waits only when
// there is nothing to do, and never for a batch to fill.
type worker struct {
	plane  *Plane
	outer  *outer
	tun    *tunQueue
	port   *engine.Port
	batch  int
	poller *poller
	ended  atomic.Bool

	arrivals []arrival
	inbound  []engine.Datagram

	slots    *slots // of packets from the host
	read     [][]byte
	outbound [][]byte
}

// arrival is a packet from a peer, and the buffer that it is in.
type arrival struct {
	datagram engine.Datagram
	buf      []byte
	socket   *fastSocket // nil: the raw socket
}

func newWorker(p *Plane, o *outer, t *tunQueue, batch int) (*worker, error) {
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	return &worker{
		plane: p, outer: o, tun: t, batch: batch,
		poller: poller,
		slots:  newSlots(backlogFactor * batch),
	}, nil
}

// run works until stop, or until the device is gone.
func (w *worker) run() {
	for !w.ended.Load() {
		in, err := w.in()
		out := false
		if err == nil {
			out, err = w.out()
		}
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			// Somebody removed the device.
			w.plane.fail(fmt.Errorf("userspace: TUN device %s: %w", w.plane.tun.name, err))
			return
		case !in && !out:
			w.wait()
		default:
			// A worker that is never idle leaves room for sessions all the same.
			runtime.Gosched()
		}
	}
}

// stop ends run, from any goroutine.
func (w *worker) stop() {
	w.ended.Store(true)
	w.poller.wake()
}

// close frees what the worker has, when it does not run.
func (w *worker) close() {
	w.poller.Close()
	w.outer.raw.Close()
}

// count adds the worker's counters to s.
func (w *worker) count(s *Stats) {
	w.outer.raw.count(&s.GRE)
	s.TUN.Received += w.tun.read.Load()
	s.TUN.TooLarge += w.tun.tooLarge.Load()
	s.TUN.Sent += w.tun.written.Load()
	s.TUN.Refused += w.tun.writeErr.Load()
}

// in moves a batch from the peers to the host. It reports whether there was any.
func (w *worker) in() (bool, error) {
	var err error
	if w.arrivals, err = w.outer.receive(w.arrivals[:0]); err != nil {
		return false, err
	}
	if len(w.arrivals) == 0 {
		return false, nil
	}
	w.inbound = w.inbound[:0]
	for i := range w.arrivals {
		w.inbound = append(w.inbound, w.arrivals[i].datagram)
	}
	w.port.Inbound(w.inbound)
	for i := range w.arrivals {
		w.outer.free(&w.arrivals[i])
	}
	return true, nil
}

// out moves a batch from the host to the peers. It reports whether there was any.
func (w *worker) out() (bool, error) {
	if !w.outer.hasRoom(w.batch) {
		return false, nil
	}
	var err error
	if w.read, err = w.tun.Read(w.read[:0], w.slots, w.batch); err != nil {
		return false, err
	}
	if len(w.read) == 0 {
		return false, nil
	}
	w.outbound = w.outbound[:0]
	for _, packet := range w.read {
		if w.plane.loops(packet[engine.Headroom:]) {
			w.plane.looped.Add(1)
			continue
		}
		w.outbound = append(w.outbound, packet)
	}
	if len(w.outbound) > 0 {
		w.port.Outbound(w.outbound)
	}
	for _, packet := range w.read {
		w.slots.put(packet[:slotLen])
	}
	return true, nil
}

// maxStandstill is how long packets from the host wait for a network device that
// takes nothing. It holds up packets by all others, which is worth a pause, not a
// stop.
const maxStandstill = 20 * time.Millisecond

// wait returns when there may be something to do.
func (w *worker) wait() {
	w.outer.armReceive(w.poller)
	if w.outer.hasRoom(w.batch) {
		w.poller.arm(w.tun.fd, unix.EPOLLIN)
		w.poller.wait(0)
		return
	}
	w.outer.armRoom(w.poller)
	if w.poller.wait(maxStandstill) {
		w.outer.assumeRoom()
	}
}
