// Package lcp is the Link Control Protocol of PPP (RFC 1661 §5 and §6) as a
// PPTP tunnel needs it, for either end.
//
// An [LCP] is a [ppp.Automaton] with LCP's options and packets around it. It
// implements [ppp.LinkControl]: a [ppp.Link] drives it, and its owner reads what
// was agreed on once it is open.
//
// It negotiates the maximum receive unit, the authentication of either end, the
// magic number with the detection of a looped-back line, and the compression of
// the protocol field and of address and control. The character map is accepted
// and means nothing in a tunnel. Every other option of the peer is rejected.
// It answers and sends echoes, passes Protocol-Rejects both ways, and reports
// the Identification and Time-Remaining packets of RFC 1570.
//
// Link quality monitoring, callback, Multilink and everything of asynchronous
// lines are not done.
//
// Nothing here does I/O, keeps time or is safe for concurrent use: one
// goroutine at a time may use an LCP.
package lcp
