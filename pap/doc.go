// Package pap is the Password Authentication Protocol (RFC 1334 §2) for both
// roles.
//
// It sends the password in clear, in GRE packets that anybody on the way can
// read, and yields no keys for MPPE. It is for old peers, and for servers behind
// which only a one-way hash of the password exists.
//
// [Authenticator] waits for the peer to name itself and asks its owner for a
// verdict, by the event [ppp.AuthRequest], which then has a Password. [Peer]
// sends name and password until it is answered. Everything lost is sent again,
// and duplicates are harmless.
//
// Nothing here is safe for concurrent use, does I/O or keeps time. Passwords
// never print.
package pap
