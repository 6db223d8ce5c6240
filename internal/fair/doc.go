// Package fair is a bounded queue that is fair between flows.
//
// It is for a worker of the data plane that has more packets than it can serve at
// once: they wait here, before the cipher, and a session that sends more than its
// share waits for itself. It does no I/O, has no clock, allocates nothing after New
// and belongs to one goroutine. An empty queue costs a worker nothing, as it need
// not use it.
//
// # Order
//
// Deficit round robin (Shreedhar and Varghese): each flow that waits may send a
// quantum a round, and owes what its last packet exceeded it by. So at any time two
// flows that both wait have sent the same since, but for a quantum and a packet. As
// in FQ-CoDel (RFC 8290), a flow that had nothing waiting is served before the
// others for its first quantum: a ping does not wait behind a download. It cannot
// have that twice in a round. Packets of one flow stay in order.
//
// # Bound
//
// When the queue is full, the longest flow loses its newest packet. So who floods
// pays, and nobody else: a flow loses nothing as long as another has a quantum more
// waiting than it.
//
// The longest is found without a search: flows that have something waiting are on
// lists by how many quanta that is, and the highest list that is not empty goes up
// and down with what is pushed and taken. Hence "longest" is exact to a quantum.
// Every operation is O(1) amortized for packets that are no larger than a few quanta.
//
// # Flows
//
// A flow is a number of 32 bits, such as a call ID, and goes to one of a fixed number
// of buckets, by a keyed hash: who chooses his number cannot choose whom he shares
// one with. Flows of one bucket share its share. The key changes whenever the queue
// is empty, when no order can be lost, so that bad luck does not last.
//
// # Size
//
// What is shared is what the caller counts as size. Octets share the line. Where a
// packet costs as much as many octets, as it does before the cipher, size should be
// octets plus that: it keeps a flood of tiny packets from taking all places without
// being the longest.
package fair
