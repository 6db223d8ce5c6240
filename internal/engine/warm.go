package engine

import "unsafe"

// The memory of a call among thousands has been forgotten by the processor's caches
// when its next packet comes, and to fetch it takes longer than all else that is
// done for a packet in clear. But a processor fetches many things at once, if
// nothing stands between them, such as a lock. So a batch begins with a look at the
// memory of all calls it has packets of.

// lookahead is how many packets are looked up before the first of them is dealt
// with.
const lookahead = 64

// cacheLine is the size of a line on most processors. With others it is a line more
// or less that is fetched.
const cacheLine = 64

// warmIn has what packets from the peer need fetched. The result is of no use, but
// must be used, or nothing would be fetched.
//
//go:norace
func warmIn(arrivals []arrival) (w byte) {
	for i := range arrivals {
		c := arrivals[i].call
		if i > 0 && c == arrivals[i-1].call {
			continue
		}
		w += touch(unsafe.Pointer(c), 1) + touch(unsafe.Pointer(&c.in), 2) + touch(unsafe.Pointer(&c.num), 4)
	}
	for i := range arrivals {
		c := arrivals[i].call
		if i > 0 && c == arrivals[i-1].call {
			continue
		}
		if n := c.in.network; n != nil {
			w += touch(unsafe.Pointer(n), 2)
		}
		if d := c.in.decryption.decryptor; d != nil {
			w += touch(unsafe.Pointer(d), 1)
		}
	}
	return w
}

// warmOut is warmIn for packets from the host.
//
//go:norace
func warmOut(departures []departure) (w byte) {
	for i := range departures {
		c := departures[i].call
		if i > 0 && c == departures[i-1].call {
			continue
		}
		w += touch(unsafe.Pointer(c), 2) + touch(unsafe.Pointer(&c.out), 1) + touch(unsafe.Pointer(&c.num), 4)
	}
	for i := range departures {
		c := departures[i].call
		if i > 0 && c == departures[i-1].call {
			continue
		}
		if n := c.out.network; n != nil {
			w += touch(unsafe.Pointer(n), 2)
		}
		if e := c.out.encryptor; e != nil {
			w += touch(unsafe.Pointer(e), 1)
		}
	}
	return w
}

// warmAlarms is warmIn for what fire needs.
//
//go:norace
func warmAlarms(due []alarm) (w byte) {
	for i := range due {
		c := due[i].call
		w += touch(unsafe.Pointer(c), 2) + touch(unsafe.Pointer(&c.num), 4)
	}
	return w
}

// touch reads an octet of each of n lines that follow p, with no lock held: it does
// not matter what it reads.
//
//go:norace
func touch(p unsafe.Pointer, n int) (w byte) {
	for i := range n {
		w += *(*byte)(unsafe.Add(p, i*cacheLine))
	}
	return w
}
