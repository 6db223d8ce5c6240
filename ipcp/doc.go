// Package ipcp is the Internet Protocol Control Protocol of PPP (RFC 1332), with
// the name server addresses of RFC 1877, and its sister for IPv6 (RFC 5072), for
// either end of a tunnel.
//
// An [IPCP] is a [ppp.Automaton] with the options of IPCP around it. It
// implements [ppp.Layer]: a [ppp.Link] drives it, and its owner reads the
// addresses once it is open. A server names its own address and gives the peer
// one, and name servers if it has them; a client asks for its address, and for
// name servers if it wants them, and takes what it is given.
//
// An [IPV6CP] is the same for IPv6. It settles the interface identifiers of both
// ends, from which link-local addresses follow; all others come by router
// advertisements, which are not here.
//
// Van Jacobson compression, the IP-Addresses option, Mobile IPv4 and IPv6 header
// compression are rejected.
//
// Nothing here does I/O, keeps time, configures a host or is safe for
// concurrent use: one goroutine at a time may use an IPCP or IPV6CP.
package ipcp
