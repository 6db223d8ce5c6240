package xdp

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// What errors of this package wrap, beside what the kernel said.
var (
	// ErrNotSupported says that the kernel was built without something, or is
	// too old, or that the interface's driver cannot do it.
	ErrNotSupported = errors.New("not supported by the kernel or the driver")
	// ErrPermission says that the process lacks a capability.
	ErrPermission = errors.New("needs CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW (or CAP_SYS_ADMIN)")
	// ErrLockedMemory says that RLIMIT_MEMLOCK is too low.
	ErrLockedMemory = errors.New("needs more locked memory: raise RLIMIT_MEMLOCK (ulimit -l) or have CAP_IPC_LOCK")
	// ErrBusy says that the interface has an XDP program already, or one of its
	// queues an AF_XDP socket, that are not ours.
	ErrBusy = errors.New("in use by somebody else")
	// ErrInterface says that the interface is not there, is down, or is no
	// Ethernet.
	ErrInterface = errors.New("no Ethernet interface that is up")
	// ErrFull says that a filter has as many calls as it can have.
	ErrFull = errors.New("xdp: filter is full")
	// ErrPending says that frames wait for the interface to have room.
	ErrPending = errors.New("xdp: frames are pending")
)

var errClosed = fmt.Errorf("xdp: closed: %w", net.ErrClosed)

// explain says what an error means that the kernel answered to op.
func explain(op string, err error) error {
	var meaning error
	switch err {
	case unix.EPERM, unix.EACCES:
		meaning = ErrPermission
	case unix.EAFNOSUPPORT:
		op += " (CONFIG_XDP_SOCKETS)"
		meaning = ErrNotSupported
	case unix.ENOSYS:
		op += " (CONFIG_BPF_SYSCALL)"
		meaning = ErrNotSupported
	case unix.EOPNOTSUPP, unix.EINVAL, unix.ENOPROTOOPT:
		meaning = ErrNotSupported
	case unix.ENOBUFS:
		meaning = ErrLockedMemory
	case unix.EBUSY, unix.EEXIST:
		meaning = ErrBusy
	case unix.ENODEV, unix.ENETDOWN, unix.ENXIO:
		meaning = ErrInterface
	default:
		return fmt.Errorf("xdp: %s: %w", op, err)
	}
	return fmt.Errorf("xdp: %s: %w: %w", op, meaning, err)
}
