// Package traffic makes the packets that users of tunnels would send, and judges what
// comes back: what is lost, late, doubled, damaged, or somebody else's.
//
// Each packet is marked with its flow, a sequence number and a checksum, and goes to
// something behind the tunnel that sends it back. Nothing of it passes the host's
// network stack: packets go to the data plane, and come from it, within the process.
package traffic
