// Package mppe is Microsoft Point-to-Point Encryption (RFC 3078), the derivation
// of its keys (RFC 3079) and its negotiation by CCP (RFC 1962).
//
// MPPE is broken. It is RC4 without integrity, its keys are as good as the
// MS-CHAPv2 exchange they come from, and that falls to one search for a DES key.
// It serves compatibility, not secrecy.
//
// [DeriveKeys] gives the start keys of a session, [Encryptor] and [Decryptor]
// work on packets in place and allocate nothing. [CCP] is a [ppp.Layer] that
// asks for MPPE, accepts it, and refuses every compression. Only 128-bit keys in
// stateless mode are done; the other lengths and stateful mode have their place
// in [Params] and are refused with [ErrNotSupported].
//
// Nothing here is safe for concurrent use, does I/O or keeps time. Keys never
// print.
package mppe
