package xdp

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The structures here are variants of the kernel's union bpf_attr, up to the last
// field that we set. The kernel takes what is missing as zero.

// bpf is the system call. It returns a descriptor, or 0.
func bpf(command uintptr, attr unsafe.Pointer, size uintptr) (int, error) {
	for {
		fd, _, errno := unix.Syscall(unix.SYS_BPF, command, uintptr(attr), size)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.EINTR, unix.EAGAIN: // the verifier met a signal
		default:
			return -1, errno
		}
	}
}

// pins makes pointers as bpf_attr has them, which the garbage collector does not
// see. What they lead to stays where it is until Unpin.
type pins struct{ runtime.Pinner }

func pin[T any](p *pins, v *T) uint64 {
	p.Pin(v)
	return uint64(uintptr(unsafe.Pointer(v)))
}

func createMap(kind, keySize, valueSize, maxEntries, flags uint32) (int, error) {
	attr := struct{ kind, keySize, valueSize, maxEntries, flags uint32 }{kind, keySize, valueSize, maxEntries, flags}
	return bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// elementAttr is for commands about one element of a map.
type elementAttr struct {
	fd                uint32
	_                 uint32
	key, value, flags uint64
}

func updateElement[K, V any](fd int, key *K, value *V) error {
	var p pins
	defer p.Unpin()
	attr := elementAttr{fd: uint32(fd), key: pin(&p, key), value: pin(&p, value), flags: unix.BPF_ANY}
	_, err := bpf(unix.BPF_MAP_UPDATE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

func deleteElement[K any](fd int, key *K) error {
	var p pins
	defer p.Unpin()
	attr := elementAttr{fd: uint32(fd), key: pin(&p, key)}
	_, err := bpf(unix.BPF_MAP_DELETE_ELEM, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	return err
}

func loadProgram(program []instruction, flags uint32) (int, error) {
	var p pins
	defer p.Unpin()
	license := [...]byte{'M', 'I', 'T', 0}
	attr := struct {
		kind, count             uint32
		instructions, license   uint64
		logLevel, logSize       uint32
		log                     uint64
		kernelVersion, flags    uint32
		name                    [unix.BPF_OBJ_NAME_LEN]byte
		ifindex, attachmentType uint32
	}{
		kind:           unix.BPF_PROG_TYPE_XDP,
		count:          uint32(len(program)),
		instructions:   pin(&p, &program[0]),
		license:        pin(&p, &license[0]),
		flags:          flags,
		name:           [...]byte{'p', 'p', 't', 'p', 15: 0},
		attachmentType: unix.BPF_XDP,
	}
	return bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}

// createLink attaches a program to an interface for as long as the descriptor is
// open.
func createLink(program, ifindex int, flags uint32) (int, error) {
	attr := struct{ program, ifindex, attachmentType, flags uint32 }{uint32(program), uint32(ifindex), unix.BPF_XDP, flags}
	return bpf(unix.BPF_LINK_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
}
