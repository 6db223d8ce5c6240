// Package pptp implements the control connection of the Point-to-Point
// Tunneling Protocol, RFC 2637 sections 1 to 3: the TCP connection to port 1723
// over which a PNS (the client of a VPN) and a PAC (its server) set up, watch
// and clear calls. The data of a call travels in GRE, see package gre.
//
// It has three layers, each usable without the ones above it:
//
//   - the codec: a type for each of the fifteen control messages, with Decode
//     and Append, and a [Framer] that cuts the TCP stream into messages;
//   - [Control]: the protocol machine of one control connection and its calls,
//     for either role, without I/O. Bytes and the time go in; bytes, events
//     and a deadline come out;
//   - [Conn]: a Control that runs over a net.Conn, and [Dial] and [Serve].
//
// # Security
//
// PPTP must not be relied upon for secrecy or authenticity. The control
// connection is neither encrypted nor authenticated: whoever can reach it or
// sits on the path can read, forge and end it, and MS-CHAPv2 and MPPE, which
// protect the data, are both broken. Use this package to talk to what exists,
// not to build something new. The package itself treats all that a peer sends
// as hostile: sizes are checked before use, buffers are bounded, and every
// state has a deadline. Text from a peer is passed on as it came and may hold
// any octet but NUL: quote it before it is shown.
//
// # What it does not do
//
// A control connection that stops answering is noticed by its echoes, and a
// call whose set-up does not get on is given up alone: the RFC would have the
// whole control connection closed for it (section 3.2.1). That there is one
// control connection between two addresses is not enforced, since clients
// behind a NAT share one; the collision of section 3.1.3 is resolved for those
// who ask for it, see [Collisions]. Management messages do not exist.
//
// # Goroutines
//
// Messages, Framer, Output and Control are plain values: one goroutine at a
// time may use them. A Conn does all its work on one event loop; which of its
// methods may be called elsewhere is said at each.
package pptp
