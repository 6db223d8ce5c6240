// Package ppp is the part of the Point-to-Point Protocol (RFC 1661) that all
// its protocols share: frames, control packets, configuration options, the
// option negotiation automaton and the phases of a link.
//
// Everything here is free of I/O: a [Link] is given frames, events and the time,
// and leaves frames and events in an [Output]; its owner sends the frames, heeds
// the events and calls Tick once the Deadline has come. Nothing starts a
// goroutine, takes a lock or reads a clock, so one event loop can own any number
// of links, and tests run in virtual time. A Link and its layers belong to one
// goroutine at a time.
//
// LCP, PAP, CHAP, EAP, CCP with MPPE, IPCP and IPV6CP are in packages of their own
// beside this one. They plug in through [LinkControl], [Auth] and [Layer]; a user
// may register further protocols in the same way. Multilink, link quality
// monitoring and asynchronous framing (RFC 1662) have no place in PPTP and none
// here.
package ppp
