// Package mppe is Microsoft Point-to-Point Encryption (RFC 3078), the derivation
// of its keys (RFC 3079) and its negotiation by CCP (RFC 1962).
//
// MPPE is broken. It is RC4 without integrity, its keys are as good as the
// MS-CHAPv2 exchange they come from, and that falls to one search for a DES key.
// It serves compatibility, not secrecy.
//
// [DeriveKeys] gives the start keys of a session, [GivenKeys] takes those of a
// RADIUS server. [CCP] is a [ppp.Layer] that agrees with the peer on a key length
// and a mode, and refuses every compression, MPPC among them. [Encryptor] and
// [Decryptor] work on packets in place and allocate nothing.
//
// A [Batch] does the same work on many packets side by side, in half the time and
// less; [Encryptor.SealBatch] and [Decryptor.OpenBatch] have one for packets of one
// session. On amd64 that is assembly, which the build tag purego leaves out.
//
// Keys of 40, 56 and 128 bits are done, in stateless and in stateful mode. 128
// bits and stateless mode are what a CCP wants unless it is told otherwise, and
// all that a tunnel should use. In stateful mode the owner carries resets between
// CCP and cipher: [ErrReset] of the Decryptor to [CCP.RequestReset], and the event
// [ResetRequested] to [Encryptor.Flush].
//
// Nothing here is safe for concurrent use, does I/O or keeps time. Keys never
// print.
package mppe
