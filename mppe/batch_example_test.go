package mppe_test

import (
	"fmt"

	"github.com/gopptp/gopptp/mppe"
)

// Packets of two sessions are encrypted side by side, and decrypted.
func ExampleBatch() {
	var batch mppe.Batch
	var packets [][]byte
	var decryptors []*mppe.Decryptor
	for i := range 2 {
		params := mppe.Params{KeyLength: mppe.Key128, Key: mppe.Key{byte(i)}}
		enc, err := mppe.NewEncryptor(params)
		if err != nil {
			fmt.Println(err)
			return
		}
		dec, _ := mppe.NewDecryptor(params)
		packet := fmt.Appendf(make([]byte, mppe.HeaderLen), "\x00\x21from session %d", i)
		batch.Seal(enc, packet)
		packets, decryptors = append(packets, packet), append(decryptors, dec)
	}
	batch.Flush() // now they can be sent

	var inner [2][]byte
	for i, packet := range packets {
		var err error
		if inner[i], err = batch.Open(decryptors[i], packet, 0); err != nil {
			fmt.Println(err)
			return
		}
	}
	batch.Flush() // now they can be read
	fmt.Printf("%q\n", inner)
	// Output:
	// ["\x00!from session 0" "\x00!from session 1"]
}
