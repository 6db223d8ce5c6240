package naive

import (
	"fmt"
	"io"
	"sync/atomic"
)

// forwarder is one end of the tunnel. Each of its directions has a goroutine.
type forwarder struct {
	host, wire io.ReadWriter // IP packets; GRE packets, read with their IP header

	send, receive *cipher // nil: in clear
	sequence      uint32  // of the next packet
	acked         uint32
	received      atomic.Uint32 // the highest sequence number
}

func newForwarder(host, wire io.ReadWriter, encrypt, server bool) *forwarder {
	f := &forwarder{host: host, wire: wire, sequence: 1}
	if encrypt {
		f.send, f.receive = newCipher([16]byte{1}), newCipher([16]byte{2})
		if server {
			f.send, f.receive = f.receive, f.send
		}
		// Ends have different keys for their directions, as in a session.
	}
	return f
}

// run moves packets until a read fails.
func (f *forwarder) run() error {
	failed := make(chan error, 2)
	go func() { failed <- f.outbound() }()
	go func() { failed <- f.inbound() }()
	return <-failed
}

func (f *forwarder) outbound() error {
	buf := make([]byte, headroom+2048)
	for {
		n, err := f.host.Read(buf[headroom:])
		if err != nil {
			return fmt.Errorf("TUN device: %w", err)
		}
		// What the wire does not take is lost, as any packet may be.
		_, _ = f.wire.Write(f.encapsulate(buf[:headroom+n]))
	}
}

func (f *forwarder) inbound() error {
	buf := make([]byte, 4096)
	for {
		n, err := f.wire.Read(buf)
		if err != nil {
			return fmt.Errorf("raw socket: %w", err)
		}
		if packet := f.decapsulate(buf[:n]); packet != nil {
			_, _ = f.host.Write(packet)
		}
	}
}
