// Package loop runs the sessions of a server or a client: one goroutine that
// executes posted functions in order and fires deadlines from one heap.
//
// A session belongs to exactly one Loop for its whole life, so its state needs
// no lock. A Loop has one runtime timer, whatever the number of Timers.
//
// Post, Close and Done may be used from any goroutine; a Timer's Set on the loop
// only, that is in a posted function or in one that a Timer calls. None of them
// may block: whatever else the loop serves would wait.
package loop
