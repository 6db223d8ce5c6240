package dataplane

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gopptp/gopptp"
)

// relay is between a call's handler and the planes that have the call: first the kernel,
// then perhaps userspace, and for a moment both.
type relay struct {
	handler gopptp.CallHandler
	// over is set when the call has moved: what else the kernel says of it is not meant
	// for the session.
	over    atomic.Bool
	overlap atomic.Pointer[overlap] // while the call moves
}

// side is one of the planes.
type side uint8

const (
	ofKernel side = iota
	ofUserspace
)

func (r *relay) frame(from side, frame []byte) {
	if o := r.overlap.Load(); o != nil && !o.first(from, frame) {
		return
	}
	r.handler.ControlFrame(frame)
}

// begin is called before userspace sees the call's packets. From then on frames come by
// either plane, or both.
func (r *relay) begin() { r.overlap.Store(&overlap{until: time.Now().Add(overlapTime)}) }

// kernelSide is the relay as the kernel sees it.
type kernelSide struct{ *relay }

func (k kernelSide) ControlFrame(frame []byte) { k.frame(ofKernel, frame) }
func (k kernelSide) Attached(err error) {
	if !k.over.Load() {
		k.handler.Attached(err)
	}
}
func (k kernelSide) ResetNeeded() {
	if !k.over.Load() {
		k.handler.ResetNeeded()
	}
}
func (k kernelSide) Failed(err error) {
	if !k.over.Load() {
		k.handler.Failed(err)
	}
}
func (k kernelSide) RouterAdvertised(a gopptp.RouterAdvertisement) {
	if h, ok := k.handler.(gopptp.IPv6Handler); ok && !k.over.Load() {
		h.RouterAdvertised(a)
	}
}

// userSide is the relay as userspace sees it.
type userSide struct{ *relay }

func (u userSide) ControlFrame(frame []byte) { u.frame(ofUserspace, frame) }
func (u userSide) Attached(err error)        { u.handler.Attached(err) }
func (u userSide) ResetNeeded()              { u.handler.ResetNeeded() }
func (u userSide) Failed(err error)          { u.handler.Failed(err) }
func (u userSide) RouterAdvertised(a gopptp.RouterAdvertisement) {
	if h, ok := u.handler.(gopptp.IPv6Handler); ok {
		h.RouterAdvertised(a)
	}
}

var _, _ gopptp.IPv6Handler = kernelSide{}, userSide{}

// overlap tells apart what both planes hand up from what one does. A protocol of PPP
// that is open takes the second copy of a Configure-Ack for a reason to begin anew.
type overlap struct {
	mu    sync.Mutex
	until time.Time
	seen  map[uint64]*[2]int // how often each side has handed up a frame, by its hash
}

const (
	// overlapTime is how long after the move a copy may come, and less than after which
	// a peer repeats itself.
	overlapTime = 500 * time.Millisecond
	// maxOverlap bounds the frames that are remembered. Of those beyond, both copies
	// are handed up.
	maxOverlap = 64
)

var hashSeed = maphash.MakeSeed()

// first reports whether the other side has not handed up this frame: of one that comes
// several times, as many as the side has that has more are.
func (o *overlap) first(from side, frame []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !time.Now().Before(o.until) {
		o.seen = nil
		return true
	}
	key := maphash.Bytes(hashSeed, frame)
	n := o.seen[key]
	if n == nil {
		if len(o.seen) == maxOverlap {
			return true
		}
		if o.seen == nil {
			o.seen = make(map[uint64]*[2]int)
		}
		n = new([2]int)
		o.seen[key] = n
	}
	n[from]++
	return n[from] > n[1-from]
}
