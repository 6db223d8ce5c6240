package mppe_test

import (
	"fmt"
	"time"

	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// Two ends encrypt and decrypt a packet in place.
func Example() {
	var hashHash [16]byte   // MD4 of the NT password hash
	var ntResponse [24]byte // what the client sent
	client := mppe.DeriveKeys(hashHash, ntResponse, mppe.Client)
	server := mppe.DeriveKeys(hashHash, ntResponse, mppe.Server)

	enc, err := mppe.NewEncryptor(mppe.Params{KeyLength: mppe.Key128, Key: client.Send})
	if err != nil {
		fmt.Println(err)
		return
	}
	dec, err := mppe.NewDecryptor(mppe.Params{KeyLength: mppe.Key128, Key: server.Recv})
	if err != nil {
		fmt.Println(err)
		return
	}
	packet := append(make([]byte, mppe.HeaderLen), "\x00\x21an IP packet"...)
	enc.Seal(packet)
	fmt.Printf("header % x\n", packet[:mppe.HeaderLen])
	inner, err := dec.Open(packet, 0)
	fmt.Printf("%q %v\n", inner, err)
	fmt.Println(client.Send)
	// Output:
	// header 90 00
	// "\x00!an IP packet" <nil>
	// [redacted]
}

// A CCP asks for MPPE and learns that the peer will not have it.
func ExampleCCP() {
	ccp := mppe.NewCCP(mppe.CCPConfig{Required: true})
	var out ppp.Output
	now := time.Now()
	ccp.Open(now, &out)
	ccp.Up(now, &out)

	fmt.Printf("%T\n", out.At(0).Event)
	var request ppp.Packet
	request.Decode(out.At(1).Frame[2:])
	fmt.Printf("%v % x\n", request.Code, request.Data)

	reject := ppp.Packet{Code: ppp.ConfigureReject, ID: request.ID, Data: request.Data}
	ccp.Input(reject.Append(nil), now, &out)
	fmt.Println(ccp.Err())
	// Output:
	// mppe.PrepareReceive
	// Configure-Request 12 06 01 00 00 40
	// mppe: peer refuses the encryption that is required: it rejects the option
}

// In stateful mode a loss is made good by a reset, which CCP carries.
func Example_stateful() {
	keys, err := mppe.GivenKeys(make([]byte, 16), make([]byte, 16)) // from a RADIUS server
	if err != nil {
		fmt.Println(err)
		return
	}
	agreed := mppe.Agreed{KeyLength: mppe.Key56, Stateful: true} // by CCP
	send, _ := keys.SendParams(agreed)
	recv, _ := keys.RecvParams(agreed)
	enc, _ := mppe.NewEncryptor(send)
	dec, _ := mppe.NewDecryptor(recv) // the keys are equal here

	seal := func() []byte {
		b := append(make([]byte, mppe.HeaderLen), "\x00\x21an IP packet"...)
		enc.Seal(b)
		return b
	}
	seal() // is lost
	_, err = dec.Open(seal(), 1)
	fmt.Println(err == mppe.ErrReset) // CCP.RequestReset

	enc.Flush() // the event ResetRequested at the other end
	inner, err := dec.Open(seal(), 2)
	fmt.Printf("%q %v\n", inner, err)
	// Output:
	// true
	// "\x00!an IP packet" <nil>
}
