// Package memory is a data plane without an operating system: hosts on a network
// within the process, for tests of programs that use gopptp.
//
// A [Network] joins any number of hosts. Each [Host] has a data plane, listens
// for and makes control connections, and is the host on whose side users'
// packets leave the tunnels: [Host.Send] puts one in, [Host.Packets] has those
// that come out. Between data planes, the network loses, doubles, delays and
// reorders GRE packets as told; control connections are reliable, as TCP is.
//
// What goes through a data plane here goes through the same code as in package
// userspace, but for socket and TUN device. There is no privilege to have and
// no device to leave behind.
//
// A network does nothing that virtual time would not understand: in a bubble of
// testing/synctest, hours of a session take milliseconds and every timer fires
// to the nanosecond. [Network.Close] ends all goroutines, so that the bubble
// can end; call it after servers and sessions are closed.
package memory
