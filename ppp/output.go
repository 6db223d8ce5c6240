package ppp

// Event is something a protocol tells the owner of its link. Each package
// documents the events it emits; the owner switches on their types.
type Event any

// Action is one thing an Output holds: a frame to send, or an event.
type Action struct {
	Frame []byte // protocol number in two octets, then the packet; valid until Reset
	Event Event  // nil for a frame
}

// Output collects, in order, what the protocols of a link want done. Its owner
// passes it to every call, carries the actions out and resets it. One Output
// serves all the links of an event loop; it is not safe for concurrent use.
type Output struct {
	actions []outputAction
	buf     []byte
}

type outputAction struct {
	start, end int // of buf
	event      Event
}

// Len is the number of actions. It may grow while they are carried out, when
// an event leads to further calls.
func (o *Output) Len() int { return len(o.actions) }

// At returns action i.
func (o *Output) At(i int) Action {
	a := o.actions[i]
	return Action{Frame: o.buf[a.start:a.end:a.end], Event: a.event}
}

// Reset forgets all actions and keeps the memory.
func (o *Output) Reset() {
	clear(o.actions) // events must not live on
	o.actions = o.actions[:0]
	o.buf = o.buf[:0]
}

// Send adds a frame that carries pkt.
func (o *Output) Send(p Protocol, pkt Packet) {
	start := len(o.buf)
	o.buf = append(o.buf, byte(p>>8), byte(p))
	o.buf = pkt.Append(o.buf)
	o.actions = append(o.actions, outputAction{start: start, end: len(o.buf)})
}

// Emit adds an event.
func (o *Output) Emit(e Event) {
	o.actions = append(o.actions, outputAction{event: e})
}
