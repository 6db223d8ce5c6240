// Package chap is the Challenge Handshake Authentication Protocol (RFC 1994)
// with the algorithm MS-CHAPv2 (RFC 2759), for both roles.
//
// MS-CHAPv2 is broken: whoever records an exchange finds the NT hash, and with
// it everything the password protects, by one search for a DES key. It serves
// compatibility, not secrecy.
//
// [Authenticator] challenges a peer and asks its owner for a verdict, by the
// event [ppp.AuthRequest]. [VerifyMSCHAPv2] is that verdict for who has the NT
// hashes; a RADIUS server gives it as well. [Peer] answers challenges and
// verifies that the authenticator knows the password too. Everything lost is
// sent again, and duplicates are harmless.
//
// CHAP-MD5 and MS-CHAPv1 are not done.
//
// Nothing here is safe for concurrent use, does I/O or keeps time. Hashes never
// print.
package chap
