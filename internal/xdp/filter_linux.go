package xdp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"
)

// Key is what the packets of a call that we receive have in common.
type Key struct {
	Peer, Local netip.Addr // IPv4
	CallID      uint16     // ours, that the peer puts into its packets
}

// mapKey is a Key as the program makes it from a packet.
type mapKey struct {
	peer, local [4]byte
	callID      uint32 // the two octets, loaded in native byte order
}

func (k Key) mapKey() (mapKey, error) {
	if !k.Peer.Is4() || !k.Local.Is4() {
		return mapKey{}, fmt.Errorf("xdp: addresses of a call are not IPv4: %v, %v", k.Peer, k.Local)
	}
	return mapKey{
		peer:   k.Peer.As4(),
		local:  k.Local.As4(),
		callID: uint32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, k.CallID))),
	}, nil
}

// Filter is the calls whose packets are redirected.
type Filter struct {
	mu sync.RWMutex
	fd int // of the map, or -1
}

// NewFilter returns a filter for up to maxCalls calls. They take memory as they
// come.
func NewFilter(maxCalls int) (*Filter, error) {
	fd, err := createMap(unix.BPF_MAP_TYPE_HASH, 12, 1, uint32(maxCalls), unix.BPF_F_NO_PREALLOC)
	if err != nil {
		return nil, explain("BPF map", err)
	}
	return &Filter{fd: fd}, nil
}

// Add makes interfaces redirect the packets of a call. It wraps [ErrFull] if there
// is no room. It is no error if the call is there already.
func (f *Filter) Add(k Key) error {
	return f.change(k, func(fd int, key *mapKey) error {
		err := updateElement(fd, key, new(uint8))
		if err == unix.E2BIG {
			return ErrFull
		}
		return err
	})
}

// Remove leaves the packets of a call to the network stack again. It is no error
// if the call is not there.
func (f *Filter) Remove(k Key) error {
	return f.change(k, func(fd int, key *mapKey) error {
		err := deleteElement(fd, key)
		if err == unix.ENOENT {
			return nil
		}
		return err
	})
}

func (f *Filter) change(k Key, apply func(fd int, key *mapKey) error) error {
	key, err := k.mapKey()
	if err != nil {
		return err
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fd < 0 {
		return errClosed
	}
	return apply(f.fd, &key)
}

// load returns a program with a map of sockets, one for each receive queue.
func (f *Filter) load(queues int) (program, sockets int, err error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.fd < 0 {
		return -1, -1, errClosed
	}
	sockets, err = createMap(unix.BPF_MAP_TYPE_XSKMAP, 4, 4, uint32(queues), 0)
	if err != nil {
		return -1, -1, explain("XSKMAP", err)
	}
	program, err = loadProgram(filterProgram(f.fd, sockets, true), unix.BPF_F_XDP_HAS_FRAGS)
	if err == unix.EINVAL { // before Linux 5.18
		program, err = loadProgram(filterProgram(f.fd, sockets, false), 0)
	}
	if err != nil {
		unix.Close(sockets)
		return -1, -1, explain("XDP program", err)
	}
	return program, sockets, nil
}

// Close closes the filter. Interfaces that have it go on with the calls it had.
func (f *Filter) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fd < 0 {
		return errClosed
	}
	err := unix.Close(f.fd)
	f.fd = -1
	return err
}
