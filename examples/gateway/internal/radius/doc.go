// Package radius has the gateway ask RADIUS servers who may come in, and do what they
// order later.
//
// Client is the way to the servers: it chooses among them by priority, weight and health,
// repeats what is lost and goes to another server when one is silent, all within one
// request's patience. A few sockets carry any number of requests (RFC 2865), or TLS
// connections do (RFC 6614). It is good for any request; accounting uses it, too.
//
// Authenticator is a gopptp.Authenticator over a Client: all methods of the gateway,
// EAP of any kind among them, and what a server grants, as a gopptp.AuthResult with a
// grant.Grant. DynAuth is the other direction, Disconnect-Request and CoA-Request (RFC
// 5176).
//
// What is signed is checked, and counted and ignored where it is wrong. Unless told
// otherwise, an answer to an Access-Request without Message-Authenticator is taken for
// forged: its other signature can be, by whoever is on the way (CVE-2024-3596).
package radius
