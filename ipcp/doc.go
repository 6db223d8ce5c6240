// Package ipcp is the Internet Protocol Control Protocol of PPP (RFC 1332), with
// the name server addresses of RFC 1877, for either end of a tunnel.
//
// An [IPCP] is a [ppp.Automaton] with the options of IPCP around it. It
// implements [ppp.Layer]: a [ppp.Link] drives it, and its owner reads the
// addresses once it is open. A server names its own address and gives the peer
// one, and name servers if it has them; a client asks for its address, and for
// name servers if it wants them, and takes what it is given.
//
// Van Jacobson compression, the IP-Addresses option and Mobile IPv4 are rejected.
// IPv6 has a protocol of its own, which is not here.
//
// Nothing here does I/O, keeps time, configures a host or is safe for
// concurrent use: one goroutine at a time may use an IPCP.
package ipcp
