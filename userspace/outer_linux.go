package userspace

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/engine"
)

// outer is a worker's way to the peers.
type outer struct {
	plane *Plane
	raw   *greSocket
	slots *slots // of the raw socket

	failedAt time.Time // of the raw socket
}

// Send implements engine.Wire. It never waits: what does not fit a queue is
// dropped and counted.
func (o *outer) Send(batch []engine.Datagram) { o.raw.Send(batch) }

// receive appends packets that have come. It does not wait.
func (o *outer) receive(arrivals []arrival) ([]arrival, error) {
	arrivals, err := o.raw.receive(arrivals)
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

// free gives the buffer of a packet back.
func (o *outer) free(a *arrival) {
	o.slots.put(a.buf)
	*a = arrival{}
}

// hasRoom reports whether n packets can be sent.
func (o *outer) hasRoom(n int) bool { return o.raw.hasRoom(n) }

// assumeRoom lets packets be sent, and if need be dropped.
func (o *outer) assumeRoom() { o.raw.room.Store(o.raw.capacity) }

// armReceive has p tell when receive has something.
func (o *outer) armReceive(p *poller) { p.arm(o.raw.fd, unix.EPOLLIN) }

// armRoom has p tell when receive has something, or hasRoom may have changed.
func (o *outer) armRoom(p *poller) { p.arm(o.raw.fd, unix.EPOLLIN|unix.EPOLLOUT) }
