package accounting

import "context"

// Sink is where records go: a RADIUS server, a database. Each sink of a Queue has a line
// of its own, so that none waits for another.
type Sink interface {
	// Name tells the sinks apart, in the file of the queue, too, so it must stay.
	Name() string
	// Send delivers records, and calls done for each as soon as it has been: the record is
	// then gone for good, so the other side must have it safe. With an error, done says
	// that the record can never be delivered, such as one that the other side cannot hold;
	// it is dropped, and reported. What done was not called for comes again, and why is
	// what Send returns, or nil if there is nothing such.
	//
	// No two of the records are of one session, so they may go in any order, or at once;
	// later ones of these sessions come in a later Send. On and Off come alone. A record
	// may come twice, as after a crash between its delivery and the note of it: it is the
	// same then, in its Session, Kind and Time. Send is called by one goroutine at a time;
	// done may be called by any until Send returns.
	Send(ctx context.Context, records []Record, done func(i int, err error)) error
}
