// Package ppptest is what the tests of the PPP protocols have in common: two
// layers on a [Line], one layer before a [Hand] that the test plays, and both
// roles of an authentication in an [Exchange]. All of it runs in virtual time,
// on the goroutine of the test.
package ppptest
