// Package gre is the data channel of PPTP: the enhanced GRE of RFC 2637
// section 4, which carries the PPP frames of a call between its two ends.
//
// It has the header codec ([Header]), the sequence numbers and
// acknowledgements of each direction of a call ([Sender], [Receiver]), and the
// table that finds the call a packet belongs to ([Demux]). It opens no socket,
// reads no clock and starts no goroutine: packets and the time are arguments,
// deadlines are values.
//
// The transmit window and its adaptive time-out (RFC 2637 sections 4.2 and 4.4)
// are an option, [Flow]. Real peers neither need nor keep them, and a tunnel that
// stops sending because an acknowledgement was lost only adds a stall to what the
// protocols inside already do for themselves. It is for a peer that drops what
// exceeds its window, and switches itself off where there is none.
//
// A Header, Sender, Flow or Receiver belongs to one goroutine at a time; where the
// two directions of a call run on different goroutines, a lock of the owner
// must cover both, as acknowledgements travel from one to the other. A Demux
// may be used by all goroutines at once.
//
// Nothing in enhanced GRE is authenticated. Who can send packets with a peer's
// address and a 16-bit call ID can put frames into the call, and can disturb
// its sequence. The package bounds what such packets cost and how long a call
// takes to recover from them; it cannot keep them out.
package gre
