package null

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/internal/offload"
	"github.com/gopptp/gopptp/internal/xdp"
)

const (
	ethernetLen = 14
	ipLen       = 20
)

// express is the wire by AF_XDP.
type express struct {
	socket *xdp.Socket
	header [ethernetLen + ipLen]byte
	frames [batchLen][]byte
	n      int // of frames that are to be given back
	queued int
	frame  []byte // that slot has returned
}

func openXDP(o *Options) (*express, error) {
	link, err := netlink.LinkByName(o.Interface)
	if err != nil {
		return nil, err
	}
	filter, err := xdp.NewFilter(1)
	if err != nil {
		return nil, err
	}
	if err := filter.Add(xdp.Key{Peer: o.Peer, Local: o.Local, CallID: callID}); err != nil {
		return nil, err
	}
	device, err := xdp.OpenInterface(filter, link.Attrs().Index, xdp.Options{})
	if err != nil {
		return nil, err
	}
	// Who has a second queue gets nothing of one flow by it.
	w := &express{socket: device.Sockets()[0]}
	h := append(append(w.header[:0], o.PeerMAC...), link.Attrs().HardwareAddr...)
	h = append(h, 0x08, 0x00, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, unix.IPPROTO_GRE, 0, 0)
	h = append(append(h, o.Local.AsSlice()...), o.Peer.AsSlice()...)
	if len(h) != len(w.header) {
		return nil, errors.New("addresses of another kind than expected")
	}
	return w, nil
}

func (w *express) receive(take func(packet []byte)) error {
	if w.n = w.socket.Receive(w.frames[:]); w.n == 0 {
		if err := await(w.socket.FD()); err != nil {
			return err
		}
		w.n = w.socket.Receive(w.frames[:])
	}
	for _, frame := range w.frames[:w.n] {
		take(frame[ethernetLen+ipLen:])
	}
	return nil
}

func (w *express) done() {
	for _, frame := range w.frames[:w.n] {
		w.socket.Free(frame)
	}
}

func (w *express) slot() []byte {
	if w.queued == batchLen {
		return nil
	}
	if w.frame = w.socket.Frame(); w.frame == nil {
		return nil
	}
	return w.frame[ethernetLen+ipLen:]
}

func (w *express) submit(packet []byte) {
	if packet == nil {
		w.socket.Discard(w.frame)
		return
	}
	copy(w.frame, w.header[:])
	ip := w.frame[ethernetLen:][:ipLen]
	binary.BigEndian.PutUint16(ip[2:], uint16(ipLen+len(packet)))
	binary.BigEndian.PutUint16(ip[10:], ^offload.Sum(ip, 0))
	w.socket.Submit(w.frame[:max(60, ethernetLen+ipLen+len(packet))])
	w.queued++
}

func (w *express) flush() error {
	w.queued = 0
	if err := w.socket.Flush(); err != nil && !errors.Is(err, xdp.ErrPending) {
		return fmt.Errorf("AF_XDP: %w", err)
	}
	return nil
}
