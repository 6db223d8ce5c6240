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
	"github.com/gopptp/gopptp/internal/fair"
)

// worker moves the packets of its calls, both ways, from where they wait to where
// they go: a batch from the peers, decrypted and given to the host, then one from
// the host. Nothing is handed to another goroutine on the way. It waits only when
// there is nothing to do, and never for a batch to fill.
type worker struct {
	plane  *Plane
	outer  *outer
	tun    *tunQueue // nil with Options.Device
	port   *engine.Port
	batch  int
	poller *poller
	ended  atomic.Bool

	arrivals  []arrival
	inbound   []engine.Datagram
	inBacklog *fair.Queue[arrival]
	inTurn    []arrival // a batch out of it

	slots      *slots // of packets from the host
	read       [][]byte
	outbound   [][]byte
	outBacklog *fair.Queue[[]byte]
	outTurn    [][]byte
	blocked    time.Time // when the network began to be busy; zero if it is not
}

const (
	// maxRounds is how many batches are read before one is moved, at the most. What is read and
	// not moved is the price of being fair: it is a small part of the cost of a
	// packet, so that who sends too much has it dropped at little cost to others.
	maxRounds = 4
	// backlogLen is how many packets wait in each direction, of those that were
	// read: as many as wait in the TUN device, so that what gathers there while
	// the worker has no processor gets through. More would only be late.
	backlogLen = tunQueueLen
	// backlogFlows is in how many queues, to which sessions are spread.
	backlogFlows = 1024
	// packetCost is what moving a packet takes whatever its size, as octets, and
	// backlogQuantum what a session moves before it is the turn of another.
	packetCost     = 700
	backlogQuantum = 2 * (maxMTU + packetCost)
)

// bufferCount is how many buffers a direction needs.
func bufferCount(batch int) int { return backlogLen + (maxRounds+1)*batch }

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
		poller:     poller,
		slots:      newSlots(bufferCount(batch)),
		inTurn:     make([]arrival, batch),
		outTurn:    make([][]byte, batch),
		inBacklog:  fair.New[arrival](backlogLen, backlogFlows, backlogQuantum),
		outBacklog: fair.New[[]byte](backlogLen, backlogFlows, backlogQuantum),
	}, nil
}

// run works until stop, or until the device is gone.
func (w *worker) run() {
	busy := 0 // turns since the last wait
	for !w.ended.Load() {
		// The first turn is for what has ended the wait.
		in, err := w.in(busy > 0 || w.poller.mayBeReady(w.outer.raw.fd))
		out := false
		if err == nil && w.tun != nil && (busy > 0 || w.outBacklog.Len() > 0 || w.poller.mayBeReady(w.tun.fd)) {
			out, err = w.out()
		}
		switch {
		case errors.Is(err, os.ErrClosed):
			return
		case err != nil:
			// Somebody removed the device.
			w.plane.fail(fmt.Errorf("userspace: TUN device %s: %w", w.plane.tun.name, err))
			return
		case in || out:
			if busy++; busy == longBusy {
				w.poller.disarm()
			}
			if busy%longBusy == 0 {
				// Sessions of this process have work too.
				runtime.Gosched()
			}
		default:
			w.wait()
			busy = 0
		}
	}
}

// longBusy is after how many turns a worker takes itself to be busy.
const longBusy = 8

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
	if w.tun == nil {
		return
	}
	s.TUN.Received += w.tun.read.Load()
	s.TUN.TooLarge += w.tun.tooLarge.Load()
	s.TUN.Sent += w.tun.written.Load()
	s.TUN.Refused += w.tun.writeErr.Load()
}

// rounds is how many batches are read before one is moved. With one call there is
// nobody to be fair to.
func (w *worker) rounds() int {
	if w.plane.engine.Alone() {
		return 1
	}
	return maxRounds
}

// in moves packets from the peers to the host, with raw those of the raw socket too.
// It reports whether there were any.
// Where there are more than a batch, they wait for their turn, but not if they are all
// there are and of one call.
func (w *worker) in(raw bool) (bool, error) {
	if w.outer.changed() {
		for w.inBacklog.Len() > 0 {
			w.moveBacklogIn()
		}
		w.poller.disarm()
		w.outer.change()
	}
	w.arrivals = w.arrivals[:0]
	for range w.rounds() {
		before := len(w.arrivals)
		var err error
		if w.arrivals, err = w.outer.receive(w.arrivals, raw); err != nil {
			return false, err
		}
		if len(w.arrivals)-before < w.batch {
			break
		}
	}
	if w.inBacklog.Len() > 0 || len(w.arrivals) >= maxRounds*w.batch || len(w.arrivals) > w.batch && w.severalIn() {
		for i := range w.arrivals {
			a := &w.arrivals[i]
			size := len(a.datagram.Data) + packetCost
			if lost, was := w.inBacklog.Push(engine.FlowIn(&a.datagram), size, *a); was {
				w.plane.engine.DropIn(&lost.datagram)
				w.outer.free(&lost)
			}
		}
		w.moveBacklogIn()
		return true, nil
	}
	for at := 0; at < len(w.arrivals); at += w.batch {
		w.moveIn(w.arrivals[at:min(at+w.batch, len(w.arrivals))])
	}
	return len(w.arrivals) > 0, nil
}

// severalIn reports whether packets have come from more than one call.
func (w *worker) severalIn() bool {
	first := engine.FlowIn(&w.arrivals[0].datagram)
	for i := range w.arrivals {
		if engine.FlowIn(&w.arrivals[i].datagram) != first {
			return true
		}
	}
	return false
}

func (w *worker) moveBacklogIn() {
	n := w.inBacklog.PopBatch(w.inTurn)
	w.moveIn(w.inTurn[:n])
}

// moveIn gives packets to the host.
func (w *worker) moveIn(batch []arrival) {
	w.inbound = w.inbound[:0]
	for i := range batch {
		w.inbound = append(w.inbound, batch[i].datagram)
	}
	w.port.Inbound(w.inbound)
	for i := range batch {
		w.outer.free(&batch[i])
	}
}

// out moves packets from the host to the peers. It reports whether there were any.
// They wait while the network is busy, and otherwise as in does.
func (w *worker) out() (bool, error) {
	w.read = w.read[:0]
	var err error
	if w.read, err = w.tun.Read(w.read, w.slots, w.rounds()*w.batch); err != nil {
		return false, err
	}
	w.outbound = w.outbound[:0]
	for _, packet := range w.read {
		if w.plane.loops(packet[engine.Headroom:]) {
			w.plane.looped.Add(1)
			w.slots.put(packet[:slotLen])
			continue
		}
		w.outbound = append(w.outbound, packet)
	}
	room := w.hasRoom()
	if room && w.outBacklog.Len() == 0 && len(w.read) < maxRounds*w.batch && (len(w.outbound) <= w.batch || !w.severalOut()) {
		for at := 0; at < len(w.outbound); at += w.batch {
			w.moveOut(w.outbound[at:min(at+w.batch, len(w.outbound))])
		}
		return len(w.read) > 0, nil
	}
	for _, packet := range w.outbound {
		size := len(packet) - engine.Headroom + packetCost
		if lost, was := w.outBacklog.Push(w.plane.engine.FlowOut(packet), size, packet); was {
			w.plane.engine.DropOut(lost)
			w.slots.put(lost[:slotLen])
		}
	}
	moved := 0
	if room {
		moved = w.outBacklog.PopBatch(w.outTurn)
		w.moveOut(w.outTurn[:moved])
	}
	return len(w.read)+moved > 0, nil
}

// severalOut reports whether packets go to more than one call.
func (w *worker) severalOut() bool {
	first := w.plane.engine.FlowOut(w.outbound[0])
	for _, packet := range w.outbound {
		if w.plane.engine.FlowOut(packet) != first {
			return true
		}
	}
	return false
}

// moveOut gives packets to the peers.
func (w *worker) moveOut(batch [][]byte) {
	if len(batch) == 0 {
		return
	}
	w.port.Outbound(batch)
	for _, packet := range batch {
		w.slots.put(packet[:slotLen])
	}
}

const (
	// maxStandstill is how long packets from the host wait for a network device
	// that takes nothing. It holds up packets by all others, which is worth a
	// pause, not a stop.
	maxStandstill = 20 * time.Millisecond
	// roomInterval is how long a worker that has nothing else to do waits for
	// room: not every device says when it has some.
	roomInterval = time.Millisecond
)

// hasRoom reports whether a batch can be sent, or dropped, as it has waited for
// long enough.
func (w *worker) hasRoom() bool {
	if w.outer.hasRoom(w.batch) {
		w.blocked = time.Time{}
		return true
	}
	now := time.Now()
	if w.blocked.IsZero() {
		w.blocked = now
	}
	if now.Sub(w.blocked) < maxStandstill {
		return false
	}
	w.blocked = time.Time{}
	w.outer.assumeRoom()
	return true
}

// wait returns when there may be something to do.
func (w *worker) wait() {
	w.outer.armReceive(w.poller)
	if w.tun != nil {
		w.poller.arm(w.tun.fd, unix.EPOLLIN)
	}
	if w.outBacklog.Len() == 0 {
		w.poller.wait(0)
	} else {
		w.outer.armRoom(w.poller)
		w.poller.wait(roomInterval)
	}
}
