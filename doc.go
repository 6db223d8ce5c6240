// Package gopptp is PPTP for Go: a client, a server and what they are made of.
//
// # Broken cryptography
//
// PPTP protects nothing. MS-CHAPv2 can be undone with one DES key search from a
// recorded handshake, MPPE is RC4 without integrity, and the control connection
// is in clear. Use this package to serve devices that can do nothing else, over
// networks that you would send the same packets over in clear, and plan their
// replacement.
//
// # Use
//
// [Dial] brings a tunnel to a server up. [NewServer] and [Server.Serve] accept
// clients. Both give a [Session]: its state, user, addresses, counters, and why
// it ended. Both need a [Dataplane], which carries the GRE side of the calls:
//
//   - package userspace uses a raw socket and one TUN device, on Linux, with
//     CAP_NET_RAW and CAP_NET_ADMIN;
//   - package kernel has the Linux kernel carry the packets, where it has the PPTP
//     driver, and package dataplane chooses between the two;
//   - package memory stays within the process, for tests in virtual time.
//
// A server asks an [Authenticator] who may come in, which suits a local secrets
// file ([NewLocalAuthenticator]) as well as a RADIUS server, and an
// [AddressPool] for the peers' addresses. An [Observer] follows the sessions,
// and a [TraceFunc] sees the control traffic.
//
// A server that runs can be given another configuration ([Server.Reconfigure]), and be
// emptied ([Server.Drain]), while who is in stays; a session can be given other limits
// ([Session.SetTimeouts], [Session.SetRates]), be looked at ([Session.Trace]) and be ended
// for a reason ([Session.End]).
//
// The protocols are packages of their own, usable alone: pptp (RFC 2637), gre
// (its enhanced GRE), ppp and lcp (RFC 1661), chap (RFC 1994, RFC 2433, RFC 2759),
// pap (RFC 1334), eap (RFC 2284), mppe (RFC 3078, RFC 3079, RFC 1962) and ipcp
// (RFC 1332, RFC 1877, RFC 5072). They do no I/O and keep no time.
//
// # IPv6
//
// The tunnel carries IPv4, and IPv6 beside it if both ends want it
// ([IPv6Config], ClientConfig.IPv6). IPv4 is what a session needs to be up. A
// server gives each session a /64 and announces it; the client's address in it
// comes a little after the session, see [Session.IPv6Address]. Either protocol may
// end without the other.
//
// # Not done
//
// Incoming calls (RFC 2637 §2.9 to §2.11) are refused; package pptp has them.
// Nothing listens on IPv6: PPTP knows no such thing. Methods of authentication
// other than MS-CHAPv2, and MPPE other than 128-bit stateless, are there and have
// to be asked for.
package gopptp
