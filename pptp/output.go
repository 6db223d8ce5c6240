package pptp

// Output collects what a Control wants done: octets to write to the TCP
// connection and events. Its owner passes it to every call, carries out what
// it holds and resets it. One Output serves any number of Controls, one after
// the other. The zero value is ready.
type Output struct {
	buf    []byte
	events []Event
}

// Bytes returns what is to be written, whole messages in order. It is valid
// until the next call that is given the Output.
func (o *Output) Bytes() []byte { return o.buf }

// Events returns what happened, in order. It is valid until Reset.
func (o *Output) Events() []Event { return o.events }

// Reset forgets everything and keeps the memory.
func (o *Output) Reset() {
	clear(o.events) // they must not live on
	o.events = o.events[:0]
	o.buf = o.buf[:0]
}

func (o *Output) emit(e Event) { o.events = append(o.events, e) }
