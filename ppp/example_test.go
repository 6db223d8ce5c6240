package ppp_test

import (
	"fmt"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// A frame is put together and taken apart.
func ExampleDecodeFrame() {
	request := ppp.Packet{Code: ppp.ConfigureRequest, ID: 1, Data: ppp.Options{
		{Type: 3, Data: []byte{192, 0, 2, 1}}, // IP-Address (RFC 1332 §3.3)
	}.Append(nil)}
	frame := ppp.AppendHeader(nil, ppp.ProtocolIPCP, ppp.HeaderCompression{AddressControl: true})
	frame = request.Append(frame)
	fmt.Printf("% x\n", frame)

	protocol, payload, err := ppp.DecodeFrame(frame)
	if err != nil {
		fmt.Println(err)
		return
	}
	var packet ppp.Packet
	if _, err := packet.Decode(payload); err != nil {
		fmt.Println(err)
		return
	}
	var options ppp.Options
	if _, err := options.Decode(packet.Data); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(protocol, packet.Code, packet.ID, options)
	// Output:
	// 80 21 01 01 00 0a 03 06 c0 00 02 01
	// IPCP Configure-Request 1 [{3 [192 0 2 1]}]
}

// plain is a Policy that asks for nothing and grants nothing.
type plain struct{}

func (plain) Begin()                                             {}
func (plain) Request(dst ppp.Options, _ *ppp.Output) ppp.Options { return dst }
func (plain) Judge(req ppp.Options, _ bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	if len(req) > 0 {
		return ppp.ConfigureReject, append(dst, req...)
	}
	return ppp.ConfigureAck, dst
}
func (plain) Acked(ppp.Options)   {}
func (plain) Naked(ppp.Options)   {}
func (plain) Refused(ppp.Options) {}

// A control protocol of one's own: a Policy on the automaton of RFC 1661. Here
// it meets a second one; the frames go from hand to hand, and the time is what
// the example says it is.
func ExampleAutomaton() {
	const protocol = 0x8035 // Banyan Vines Control Protocol
	a := ppp.NewAutomaton(ppp.AutomatonConfig{Protocol: protocol}, plain{})
	b := ppp.NewAutomaton(ppp.AutomatonConfig{Protocol: protocol}, plain{})
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

	var fromA, fromB ppp.Output
	for _, end := range []struct {
		layer *ppp.Automaton
		out   *ppp.Output
	}{{a, &fromA}, {b, &fromB}} {
		end.layer.Open(now, end.out) // the owner wants it
		end.layer.Up(now, end.out)   // the link is ready
	}
	show := func(from, to *ppp.Automaton, frame []byte, out *ppp.Output) {
		_, packet, _ := ppp.DecodeProtocol(frame)
		var p ppp.Packet
		p.Decode(packet)
		sig := to.Input(packet, now, out)
		fmt.Printf("%v: %v -> %v, up %t\n", p.Code, from.State(), to.State(), sig&ppp.SignalUp != 0)
	}
	show(a, b, fromA.At(0).Frame, &fromB)
	show(b, a, fromB.At(0).Frame, &fromA)
	show(b, a, fromB.At(1).Frame, &fromA)
	show(a, b, fromA.At(1).Frame, &fromB)
	fmt.Println(a.Opened(), b.Opened(), a.Deadline().IsZero())
	// Output:
	// Configure-Request: Req-Sent -> Ack-Sent, up false
	// Configure-Request: Ack-Sent -> Ack-Sent, up false
	// Configure-Ack: Ack-Sent -> Opened, up true
	// Configure-Ack: Opened -> Opened, up true
	// true true true
}
