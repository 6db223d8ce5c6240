package radius

import "time"

// order names a request: it is its authenticator, a digest of all of it and of the secret.
// Where it came from is none of it, as that can be forged.
type order = [16]byte

// maxSeen bounds the orders that are remembered, at some 200 octets each.
const maxSeen = 16384

// answered remembers the answers to orders, for as long as these could come again.
type answered struct {
	answers map[order]answer
	queue   []order // the oldest first
}

type answer struct {
	wire []byte
	at   time.Time
}

// get returns the answer to an order that has come before.
func (a *answered) get(o order, now time.Time) ([]byte, bool) {
	for len(a.queue) > 0 && now.Sub(a.answers[a.queue[0]].at) > 2*window { // a clock may be ahead
		a.forget()
	}
	ans, ok := a.answers[o]
	return ans.wire, ok
}

func (a *answered) put(o order, wire []byte, now time.Time) {
	if a.answers == nil {
		a.answers = make(map[order]answer)
	}
	if len(a.queue) >= maxSeen {
		a.forget()
	}
	a.answers[o] = answer{wire, now}
	a.queue = append(a.queue, o)
}

func (a *answered) forget() {
	delete(a.answers, a.queue[0])
	a.queue = a.queue[1:]
	if len(a.queue) == 0 {
		a.queue = nil // and the array with it
	}
}
