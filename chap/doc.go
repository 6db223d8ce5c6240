// Package chap is the Challenge Handshake Authentication Protocol for both roles:
// CHAP-MD5 (RFC 1994), MS-CHAPv1 (RFC 2433) and MS-CHAPv2 (RFC 2759).
//
// None of them is secret. CHAP-MD5 yields to guessing and gives no MPPE keys.
// MS-CHAPv1 and MS-CHAPv2 are broken: whoever records an exchange finds the NT
// hash, and with it everything the password protects, by one search for a DES
// key. They serve compatibility. Only MS-CHAPv2 has the authenticator prove
// itself; a Peer of the others answers anybody's challenge. Where both ends must
// prove themselves, let each have a secret of its own: with a common one, our
// challenge to an impostor may come back to us as his (RFC 1994, Security
// Considerations).
//
// [Authenticator] challenges a peer and asks its owner for a verdict, by the
// event [ppp.AuthRequest]. [VerifyMD5], [VerifyMSCHAPv1] and [VerifyMSCHAPv2] are
// that verdict for who has the secrets or the NT hashes; a RADIUS server gives it
// as well. A verdict may let the peer try once more, with a new challenge, or
// change its password, which comes as another request for
// [VerifyPasswordChange]. An accepted peer is challenged anew at an interval, if
// so configured; it must keep its name.
//
// [Peer] answers challenges, and asks its owner for other credentials by the
// event [CredentialsNeeded] where the authenticator invites them.
//
// Everything lost is sent again, and duplicates are harmless.
//
// LAN Manager responses are neither made nor verified, but passed on. Version 1
// of the password change (RFC 2433 §9) is not done, nor that by LAN Manager
// hashes.
//
// Nothing here is safe for concurrent use, does I/O or keeps time. Hashes and
// passwords never print.
package chap
