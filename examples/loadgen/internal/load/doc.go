// Package load is a run: many clients that dial, stay, hang up and dial again, at a
// rate, and what is counted about it.
//
// One goroutine says who dials when. A goroutine makes each TCP connection; from then
// on a session belongs to an event loop of gopptp.Dialer, and its events come by an
// Observer.
package load
