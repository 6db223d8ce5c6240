// Package eap is the Extensible Authentication Protocol over PPP (RFC 2284, and
// RFC 3748 where that is clearer) for both roles.
//
// [Authenticator] asks the peer for its identity and carries what follows,
// unread, between the peer and its owner: each response is an event
// [ppp.AuthRequest], and each verdict has the next request, or the end. So a
// RADIUS server, or whatever knows the method, can do any of them, EAP-TLS
// included. The Authenticator sees to identifiers, repetition and duplicates.
//
// [Server] answers such an event for an owner with a store of users, by
// [MSCHAPv2Server] and [MD5Server] or other methods that implement
// [ServerMethod]. A peer that refuses one is led to the next. What a peer is told
// is the same for a user that does not exist and a wrong password, and takes as
// long.
//
// [Peer] proves us to a server by its methods, of which [MSCHAPv2] and [MD5] are
// here; a user may add others by implementing [Method]. A server that asks for
// another one is told which they are.
//
// A Success is sent once and confirmed by nobody. A Peer whose method has come
// to its good end takes the first packet of a network protocol for it, by
// [ppp.Presumer].
//
// Not done: other attempts and password changes in EAP-MSCHAPv2, expanded types
// (RFC 3748 §5.7).
//
// Nothing here but a Server is safe for concurrent use; nothing does I/O or keeps
// time. Passwords and hashes never print.
package eap
