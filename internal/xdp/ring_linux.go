package xdp

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is memory shared with the kernel: entries that one side produces and the
// other consumes, in order. The indices run freely and wrap at 2^32.
type ring[T unix.XDPDesc | uint64] struct {
	entries            []T
	mask               uint32
	producer, consumer *uint32
	flags              *uint32
	next               uint32 // our own index; what is before it may not be published yet
	memory             []byte
}

func newRing[T unix.XDPDesc | uint64](fd int, page int64, size int, offset unix.XDPRingOffset) (ring[T], error) {
	var entry T
	memory, err := unix.Mmap(fd, page, int(offset.Desc)+size*int(unsafe.Sizeof(entry)),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return ring[T]{}, err
	}
	return ring[T]{
		entries:  unsafe.Slice((*T)(unsafe.Pointer(&memory[offset.Desc])), size),
		mask:     uint32(size - 1),
		producer: (*uint32)(unsafe.Pointer(&memory[offset.Producer])),
		consumer: (*uint32)(unsafe.Pointer(&memory[offset.Consumer])),
		flags:    (*uint32)(unsafe.Pointer(&memory[offset.Flags])),
		memory:   memory,
	}, nil
}

func (r *ring[T]) close() {
	if r.memory != nil {
		unix.Munmap(r.memory)
	}
	*r = ring[T]{}
}

// available is how many entries the kernel has produced for us, and unconsumed how
// many of ours it has not consumed.
func (r *ring[T]) available() uint32  { return atomic.LoadUint32(r.producer) - r.next }
func (r *ring[T]) unconsumed() uint32 { return r.next - atomic.LoadUint32(r.consumer) }

// take returns the next entry of the kernel, put the place of our next one.
func (r *ring[T]) take() *T { r.next++; return &r.entries[(r.next-1)&r.mask] }
func (r *ring[T]) put() *T  { return r.take() }

// release gives back what was taken, publish hands over what was put.
func (r *ring[T]) release() { atomic.StoreUint32(r.consumer, r.next) }
func (r *ring[T]) publish() { atomic.StoreUint32(r.producer, r.next) }

// needsWakeup is true if the kernel sees what was published only when called.
func (r *ring[T]) needsWakeup() bool {
	return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}
