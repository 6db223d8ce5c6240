// Package layers has PPTP in the form of gopacket layers: control messages,
// enhanced GRE, PPP, LCP, CHAP, PAP, IPCP, IPV6CP, CCP, and the compressed
// datagrams that are MPPE. The decoding is that of this module's protocol
// packages. EAP stays a payload.
//
// # In a program that uses gopacket
//
// An import is enough, be it a blank one. It registers the layer types 1723 to
// 1732 and changes what gopacket itself does with
//
//   - GRE of version 1 with PPP in it: [EnhancedGRE] and [PPP] in place of
//     gopacket's GRE and PPP. All other GRE is decoded as before.
//   - TCP: a segment to or from port 1723 that begins with a control message
//     gives [PPTP]. gopacket takes the payload of TCP for a mere payload unless
//     DecodeOptions.DecodeStreamsAsDatagrams is set; any other segment is
//     treated as before. With that option, all segments of the port are taken
//     for PPTP.
//   - PPP protocol numbers, whatever PPP comes from: those above are known, so
//     that a capture of PPPoE gains LCP as well. IPv4, IPv6 and MPLS get their
//     layer type, which they lack.
//
// Each layer says what is in it by its String method, so that printing a packet
// gives something to read. A password of PAP is not printed.
//
// # Streams
//
// A packet is decoded without regard to those before it. A control message that
// is spread over two segments is a [gopacket.Fragment] in the first, and a
// payload or an error in the second; a [pptp.Framer] behind a TCP reassembler
// is for who needs all of them. For the same reason a compressed datagram is
// read as MPPE, whatever CCP has agreed on, and nothing is decrypted here.
//
// # Reuse
//
// All types implement [gopacket.DecodingLayer] and
// [gopacket.SerializableLayer]. DecodeFromBytes sets every field anew, and
// slices refer to the octets that were decoded, with the exception of
// [PPTP.Messages], whose texts are copies. In a [gopacket.DecodingLayerParser]
// the way from GRE to the payload of PPP allocates nothing. There, [EnhancedGRE]
// takes the place of gopacket's GRE, and the packets of plain GRE are errors.
//
// SerializeTo leaves the layer as it is and writes what its fields say. The
// length of a control packet always follows from its contents, that of
// [EnhancedGRE] does with SerializeOptions.FixLengths.
//
// What cannot be decoded gives a [*DecodeError], in a packet as a
// [gopacket.DecodeFailure].
//
// Layers are not safe for concurrent use; a decoded packet may be read by all
// goroutines at once.
package layers
