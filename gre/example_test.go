package gre_test

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/gre"
)

// A packet on its way through one end of a call: the header goes in front of
// the payload in place, and comes off again at the other end.
func Example() {
	// Our side. The buffer has room for the largest header.
	var sender gre.Sender
	frame := []byte{0xff, 0x03, 0xc0, 0x21, 9, 1, 0, 8, 0, 0, 0, 0} // an Echo-Request of LCP
	buf := append(make([]byte, gre.MaxHeaderLen), frame...)
	header := gre.Header{
		PayloadLength: uint16(len(frame)),
		CallID:        0x1234, // the peer's
		HasSequence:   true,
		Sequence:      sender.Next(),
	}
	packet := buf[header.Prepend(buf, gre.MaxHeaderLen):]
	fmt.Printf("% x\n", packet)

	// The peer's.
	var calls gre.Demux[string]
	local, peer := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")
	if err := calls.Insert(local, peer, 0x1234, "the call"); err != nil {
		fmt.Println(err)
		return
	}
	var got gre.Header
	n, err := got.Decode(packet)
	if err != nil {
		fmt.Println(err)
		return
	}
	call, ok := calls.Lookup(local, peer, got.CallID)
	fmt.Println(call, ok, got.Sequence, len(packet[n:][:got.PayloadLength]))
	// Output:
	// 30 01 88 0b 00 0c 12 34 00 00 00 00 ff 03 c0 21 09 01 00 08 00 00 00 00
	// the call true 0 12
}

// Packets that overtake each other are put in order; one that does not come is
// given up when those behind it have waited long enough.
func ExampleReceiver() {
	receiver := gre.NewReceiver(gre.ReceiverConfig{Hold: 20 * time.Millisecond})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	show := func(packets []gre.Packet) {
		for _, p := range packets {
			fmt.Printf("%d %s, %d missing\n", p.Sequence, p.Payload, p.Missing)
		}
	}
	for _, sequence := range []uint32{0, 2, 1, 5} {
		show(receiver.Push(nil, sequence, fmt.Appendf(nil, "packet %d", sequence), now))
	}
	now = receiver.Deadline() // an owner sets a timer to it
	show(receiver.Tick(nil, now))

	ack, ok := receiver.TakeAck()
	fmt.Println("acknowledge", ack, ok)
	fmt.Printf("%+v\n", receiver.Counters())
	// Output:
	// 0 packet 0, 0 missing
	// 1 packet 1, 0 missing
	// 2 packet 2, 0 missing
	// 5 packet 5, 2 missing
	// acknowledge 5 true
	// {Packets:4 Reordered:1 Lost:2 Late:0 Duplicates:0 OutOfRange:0 Resyncs:0 Acks:1}
}

// A peer that buffers four packets is sent no more than it can take. One of its
// acknowledgements stands for all packets before.
func ExampleFlow() {
	var sender gre.Sender
	flow := gre.NewFlow(gre.FlowConfig{Window: 4})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for packet := range 3 {
		if flow.Room() == 0 {
			fmt.Println("packet", packet, "has to wait")
			break
		}
		flow.Sent(sender.Next(), now)
	}
	now = now.Add(20 * time.Millisecond)
	sender.Ack(1)
	flow.Ack(1, now)
	fmt.Println("room for", flow.Room())

	flow.Sent(sender.Next(), now)
	now = flow.Deadline() // no acknowledgement comes
	flow.Tick(now)
	fmt.Println("room for", flow.Room(), "after", flow.Counters().Timeouts, "time-out")
	// Output:
	// packet 2 has to wait
	// room for 3
	// room for 2 after 1 time-out
}
