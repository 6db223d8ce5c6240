package xdp

import (
	"fmt"
	"math/bits"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// FrameSize is the room of a frame to send.
	FrameSize = 2048
	// MaxReceive is the size of the longest frame that is redirected: what is left
	// of FrameSize behind the headroom that the kernel keeps.
	MaxReceive = FrameSize - unix.XDP_PACKET_HEADROOM

	// batch is the number of frames that are handed to the kernel at once.
	batch = 64
	// kernelBudget is what one call sends, in copy mode, unless it can be raised.
	kernelBudget = 32

	releaseTime = 500 * time.Millisecond
)

// Socket receives from one queue of an interface, and sends.
//
// Its memory is divided into frames: those in front are for receiving. They are
// with the kernel (in the fill ring, then in the receive ring) or with the caller.
// The others are for sending, and are free, with the caller, or with the kernel
// (in the transmit ring, then in the completion ring). Each ring has room for all
// the frames that could be in it, so that none is ever full.
type Socket struct {
	fd       int
	memory   []byte
	received uint64 // octets of memory for receiving
	zeroCopy bool
	budget   uint32 // how many frames a call sends

	// Receive and Free.
	fill     ring[uint64]
	rx       ring[unix.XDPDesc]
	unfilled int // put into fill and not published

	// Frame, Submit, Discard and Flush.
	tx         ring[unix.XDPDesc]
	completion ring[uint64]
	free       []uint64 // a stack, as what was used last is in the cache
}

// Stats counts what a socket lost.
type Stats struct {
	// RxDropped counts packets for which there was no frame, RxRingFull those
	// for which the receive ring had no place.
	RxDropped, RxRingFull uint64
	// FillRingEmpty counts how often a driver found no frame to receive into.
	FillRingEmpty uint64
	// TxInvalid counts what we submitted wrongly.
	TxInvalid uint64
}

// openSocket opens a socket that is not bound yet.
func openSocket(o *Options) (_ *Socket, err error) {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, explain("AF_XDP socket", err)
	}
	s := &Socket{fd: fd}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	s.received = uint64(o.RxFrames) * FrameSize
	s.memory, err = unix.Mmap(-1, 0, int(s.received)+o.TxRing*FrameSize,
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, explain("memory for frames", err)
	}
	register := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&s.memory[0]))), Len: uint64(len(s.memory)), Size: FrameSize}
	// Older kernels know the structure without its last field.
	if err := s.set(unix.XDP_UMEM_REG, unsafe.Pointer(&register), unsafe.Offsetof(register.Tx_metadata_len)); err != nil {
		return nil, explain("memory for frames", err)
	}
	fillSize := 1 << bits.Len(uint(o.RxFrames-1))
	for _, r := range []struct{ option, size int }{
		{unix.XDP_UMEM_FILL_RING, fillSize},
		{unix.XDP_UMEM_COMPLETION_RING, o.TxRing},
		{unix.XDP_RX_RING, o.RxRing},
		{unix.XDP_TX_RING, o.TxRing},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_XDP, r.option, r.size); err != nil {
			return nil, explain("rings", err)
		}
	}
	var offsets unix.XDPMmapOffsets
	if err := s.get(unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&offsets), unsafe.Sizeof(offsets)); err != nil {
		return nil, explain("rings", err)
	}
	if s.fill, err = newRing[uint64](fd, unix.XDP_UMEM_PGOFF_FILL_RING, fillSize, offsets.Fr); err != nil {
		return nil, explain("fill ring", err)
	}
	if s.completion, err = newRing[uint64](fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, o.TxRing, offsets.Cr); err != nil {
		return nil, explain("completion ring", err)
	}
	if s.rx, err = newRing[unix.XDPDesc](fd, unix.XDP_PGOFF_RX_RING, o.RxRing, offsets.Rx); err != nil {
		return nil, explain("receive ring", err)
	}
	if s.tx, err = newRing[unix.XDPDesc](fd, unix.XDP_PGOFF_TX_RING, o.TxRing, offsets.Tx); err != nil {
		return nil, explain("transmit ring", err)
	}
	s.budget = kernelBudget
	if unix.SetsockoptInt(fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, o.TxRing) == nil { // Linux 6.17
		s.budget = uint32(o.TxRing)
	}

	for address := uint64(0); address < s.received; address += FrameSize {
		*s.fill.put() = address
	}
	s.fill.publish()
	s.free = make([]uint64, 0, o.TxRing)
	for address := uint64(len(s.memory)); address > s.received; {
		address -= FrameSize
		s.free = append(s.free, address)
	}
	return s, nil
}

// bind makes the socket that of a queue.
func (s *Socket) bind(ifindex, queue int, flags uint16) error {
	address := unix.SockaddrXDP{Flags: flags, Ifindex: uint32(ifindex), QueueID: uint32(queue)}
	err := unix.Bind(s.fd, &address)
	// The kernel lets go of a queue some time after the socket that had it is closed.
	for end := time.Now().Add(releaseTime); err == unix.EBUSY && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		err = unix.Bind(s.fd, &address)
	}
	if err != nil {
		return err
	}
	var options uint32
	if s.get(unix.XDP_OPTIONS, unsafe.Pointer(&options), unsafe.Sizeof(options)) == nil { // Linux 5.3
		s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	}
	return nil
}

func (s *Socket) set(option int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (s *Socket) get(option int, value unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_XDP, uintptr(option), uintptr(value),
		uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// close may be called on a socket that is half open, and again.
func (s *Socket) close() {
	if s.fd < 0 {
		return
	}
	unix.Close(s.fd)
	s.rx.close()
	s.tx.close()
	s.fill.close()
	s.completion.close()
	if s.memory != nil {
		unix.Munmap(s.memory)
	}
	*s = Socket{fd: -1}
}

// FD is the descriptor, to poll for frames that came.
func (s *Socket) FD() int { return s.fd }

// ZeroCopy is true if the driver reads and writes the frames itself.
func (s *Socket) ZeroCopy() bool { return s.zeroCopy }

// Sends is false if the queue is for receiving only, where an interface has more
// queues for that than for sending. Frame returns nil then.
func (s *Socket) Sends() bool { return cap(s.free) > 0 }

// Receive gets the next Ethernet frames, and returns how many there are. They
// belong to the caller until Free. It never blocks.
func (s *Socket) Receive(frames [][]byte) int {
	if s.fd < 0 {
		return 0
	}
	s.refill()
	n := min(int(s.rx.available()), len(frames))
	if n == 0 {
		return 0
	}
	for i := range frames[:n] {
		d := s.rx.take()
		end := d.Addr | (FrameSize - 1) + 1
		frames[i] = s.memory[d.Addr : d.Addr+uint64(d.Len) : end]
	}
	s.rx.release()
	return n
}

// Free gives a received frame, or any part of it, back. Frames may be given back
// in any order, but what is with the caller is missing for receiving.
func (s *Socket) Free(frame []byte) {
	if s.fd < 0 {
		return
	}
	address := s.address(frame)
	if address >= s.received {
		panic("xdp: not a received frame")
	}
	*s.fill.put() = address &^ (FrameSize - 1)
	if s.unfilled++; s.unfilled == batch {
		s.refill()
	}
}

// refill hands over what was given back.
func (s *Socket) refill() {
	if s.unfilled != 0 {
		s.fill.publish()
		s.unfilled = 0
	}
	if s.fill.needsWakeup() {
		unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	}
}

// Frame returns a free frame of FrameSize octets, with whatever is in it, or nil
// if all are under way. It must be given to Submit or Discard.
func (s *Socket) Frame() []byte {
	if len(s.free) == 0 {
		s.reap()
		if len(s.free) == 0 {
			return nil
		}
	}
	address := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	end := address + FrameSize
	return s.memory[address:end:end]
}

// reap takes back what was sent.
func (s *Socket) reap() {
	if s.fd < 0 {
		return
	}
	n := s.completion.available()
	for range n {
		s.free = append(s.free, *s.completion.take()&^(FrameSize-1))
	}
	if n != 0 {
		s.completion.release()
	}
}

// Submit queues a part of what Frame returned, an Ethernet frame, to be sent by
// Flush.
func (s *Socket) Submit(frame []byte) {
	if s.fd < 0 {
		return
	}
	if len(frame) == 0 {
		s.Discard(frame)
		return
	}
	*s.tx.put() = unix.XDPDesc{Addr: s.transmitted(frame), Len: uint32(len(frame))}
}

// Discard takes back what Frame returned, unsent.
func (s *Socket) Discard(frame []byte) {
	if s.fd < 0 {
		return
	}
	s.free = append(s.free, s.transmitted(frame)&^(FrameSize-1))
}

// Pending returns how many frames the kernel may not have looked at yet. Where the
// driver sends on its own, that is no reason to wait.
func (s *Socket) Pending() int {
	if s.fd < 0 {
		return 0
	}
	return int(s.tx.unconsumed())
}

// Flush sends what was submitted. It never blocks: [ErrPending] says that the
// interface has no room for some of it. That stays queued for the next Flush,
// which nothing but time announces: poll does not tell of room in the interface.
func (s *Socket) Flush() error {
	if s.fd < 0 {
		return errClosed
	}
	s.reap() // early, to send what is in the cache
	s.tx.publish()
	pending := s.tx.unconsumed()
	if pending == 0 || !s.tx.needsWakeup() {
		return nil
	}
	// How far a call came cannot be told from the ring on all kernels, but it
	// was not to the end if there is an error.
	var errno unix.Errno
	for calls := pending/s.budget + 1; calls > 0; calls-- {
		_, _, errno = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EAGAIN {
			break
		}
	}
	switch errno {
	case 0:
		return nil
	case unix.EAGAIN, unix.EBUSY, unix.ENOBUFS:
		return ErrPending
	}
	return explain("send", errno)
}

// address returns where in the memory a frame begins.
func (s *Socket) address(frame []byte) uint64 {
	a := uint64(uintptr(unsafe.Pointer(unsafe.SliceData(frame))) - uintptr(unsafe.Pointer(unsafe.SliceData(s.memory))))
	if a >= uint64(len(s.memory)) {
		panic("xdp: not a frame of this socket")
	}
	return a
}

func (s *Socket) transmitted(frame []byte) uint64 {
	a := s.address(frame)
	if a < s.received {
		panic("xdp: not a frame to send")
	}
	return a
}

// Stats returns the counters.
func (s *Socket) Stats() (Stats, error) {
	if s.fd < 0 {
		return Stats{}, errClosed
	}
	var k unix.XDPStatistics
	if err := s.get(unix.XDP_STATISTICS, unsafe.Pointer(&k), unsafe.Sizeof(k)); err != nil {
		return Stats{}, fmt.Errorf("xdp: statistics: %w", err)
	}
	return Stats{
		RxDropped:     k.Rx_dropped,
		RxRingFull:    k.Rx_ring_full,
		FillRingEmpty: k.Rx_fill_ring_empty_descs,
		TxInvalid:     k.Tx_invalid_descs,
	}, nil
}
