package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
	"github.com/gopptp/gopptp/userspace"
)

// The floods: what one peer can send without end. All are sent as fast as the sender's
// host takes them.
const (
	floodControl   = "echo requests on the control connection"
	floodUnknown   = "GRE for calls that nobody has"
	floodCall      = "GRE for its call, of random sequence numbers and octets"
	floodEcho      = "LCP echo requests"
	floodConfigure = "LCP configure requests, and calls again and again"
	floodTerminate = "LCP terminate requests, and calls again and again"
)

var floods = []string{floodControl, floodUnknown, floodCall, floodEcho, floodConfigure, floodTerminate}

// roles are what this program can be started as.
var roles = map[string]child.Role{roleFlooder: flood}

const roleFlooder = "flooder"

// floodConfig says what a flooder does.
type floodConfig struct {
	Kind   string
	Server string // its address
}

// flooder is one peer that floods.
type flooder struct {
	server netip.Addr
	raw    int // a socket for GRE
	plane  *keeper
}

// flood is the role of a process that floods for as long as it lives.
func flood(text json.RawMessage) (any, <-chan error, error) {
	var c floodConfig
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, nil, err
	}
	f := new(flooder)
	var err error
	if f.server, err = netip.ParseAddr(c.Server); err != nil {
		return nil, nil, err
	}
	if f.raw, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_GRE); err != nil {
		return nil, nil, err
	}
	run := map[string]func() error{
		floodControl:   f.control,
		floodUnknown:   f.unknown,
		floodCall:      f.ofCall,
		floodEcho:      func() error { return f.frames(lcpEchoRequest) },
		floodConfigure: func() error { return f.frames(ppp.ConfigureRequest) },
		floodTerminate: func() error { return f.frames(ppp.TerminateRequest) },
	}[c.Kind]
	if run == nil {
		return nil, nil, fmt.Errorf("no such flood: %q", c.Kind)
	}
	if c.Kind != floodControl && c.Kind != floodUnknown {
		plane, err := userspace.Open(userspace.Options{Device: discard{}, XDP: userspace.XDPOff, Workers: 1})
		if err != nil {
			return nil, nil, err
		}
		f.plane = &keeper{Dataplane: plane}
	}
	failed := make(chan error, 1)
	go func() {
		// The gateway may end whatever it likes: then there is more to come.
		for {
			if err := run(); errors.Is(err, errFlooder) {
				failed <- err
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	return nil, failed, nil
}

// errFlooder is for what is no doing of the gateway.
var errFlooder = errors.New("flooder")

const lcpEchoRequest ppp.Code = 9

// control floods a control connection.
func (f *flooder) control() error {
	nc, err := net.Dial("tcp4", netip.AddrPortFrom(f.server, gopptp.DefaultPort).String())
	if err != nil {
		return err
	}
	defer nc.Close()
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	b := (&pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion}).Append(nil)
	for {
		if _, err := nc.Write(b); err != nil {
			return err
		}
		b = b[:0]
		for id := range uint32(64) {
			b = (&pptp.EchoRequest{Identifier: id}).Append(b)
		}
	}
}

// unknown sends GRE packets for all call IDs in turn.
func (f *flooder) unknown() error {
	return f.packets(func(n uint32) gre.Header {
		return gre.Header{CallID: uint16(n), HasSequence: true, Sequence: n}
	})
}

// ofCall sends GRE packets into a call of its own.
func (f *flooder) ofCall() error {
	s, err := f.dial()
	if err != nil {
		return err
	}
	defer s.Close()
	return f.packets(func(n uint32) gre.Header {
		return gre.Header{CallID: uint16(f.plane.peer.Load()), HasSequence: true, Sequence: n * 0x9e3779b1}
	})
}

// packets sends GRE packets of random octets, until that fails.
func (f *flooder) packets(header func(n uint32) gre.Header) error {
	payload := make([]byte, 64)
	rand.Read(payload)
	binary.BigEndian.PutUint16(payload, uint16(ppp.ProtocolCompressed))
	to := &unix.SockaddrInet4{Addr: f.server.As4()}
	var b []byte
	for n := uint32(0); ; n++ {
		h := header(n)
		h.PayloadLength = uint16(len(payload))
		b = append(h.Append(b[:0]), payload...)
		switch err := unix.Sendto(f.raw, b, 0, to); err {
		case nil, unix.EINTR, unix.ENOBUFS, unix.EAGAIN:
		default:
			return fmt.Errorf("%w: %w", errFlooder, err)
		}
	}
}

// frames sends LCP packets of one kind in a session that was up, until that has ended.
func (f *flooder) frames(code ppp.Code) error {
	s, err := f.dial()
	if err != nil {
		return err
	}
	defer s.Close()
	call := *f.plane.call.Load()
	frame := ppp.AppendHeader(nil, ppp.ProtocolLCP, ppp.HeaderCompression{})
	at := len(frame)
	frame = (&ppp.Packet{Code: code, Data: make([]byte, 4)}).Append(frame)
	if code == ppp.ConfigureRequest {
		frame = (&ppp.Packet{Code: code}).Append(frame[:at]) // without options: acceptable
	}
	for {
		for range 1000 {
			frame[at+1]++ // the identifier
			if err := call.WriteControl(frame); err != nil {
				return err
			}
		}
		select {
		case <-s.Done():
			return s.Err()
		default:
		}
	}
}

func (f *flooder) dial() (*gopptp.Session, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return gopptp.Dial(ctx, f.server.String(), gopptp.ClientConfig{Dataplane: f.plane, User: user, Password: password})
}

// keeper is a data plane that keeps its last call.
type keeper struct {
	gopptp.Dataplane
	call atomic.Pointer[gopptp.Call]
	peer atomic.Uint32 // its ID of the call
}

func (k *keeper) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	call, err := k.Dataplane.Open(cfg, h)
	k.call.Store(&call)
	return &keptCall{call, k}, err
}

type keptCall struct {
	gopptp.Call
	keeper *keeper
}

func (c *keptCall) Connect(p gopptp.PeerCall) error {
	c.keeper.peer.Store(uint32(p.ID))
	return c.Call.Connect(p)
}

// discard is a host's side of the tunnels where nobody is.
type discard struct{}

// Deliver implements userspace.Device.
func (discard) Deliver([][]byte) {}
