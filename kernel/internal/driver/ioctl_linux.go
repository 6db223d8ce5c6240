package driver

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel's ioctl of PPP take an int of 32 bits or a structure, by pointer.

func ioctl(fd int, name string, request uint, arg unsafe.Pointer) error {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	if e != 0 {
		return os.NewSyscallError(name, e)
	}
	return nil
}

func ioctlSet(fd int, name string, request uint, value int32) error {
	return ioctl(fd, name, request, unsafe.Pointer(&value))
}

func ioctlGet(fd int, name string, request uint) (value int32, err error) {
	err = ioctl(fd, name, request, unsafe.Pointer(&value))
	return value, err
}

// Bits of PPPIOCGFLAGS and PPPIOCSFLAGS. SC_MUST_COMP is none of those used here: it
// keeps nothing from passing in clear, and hides scDecompressError.
const (
	scCompressProtocol       = 0x00000001 // of a channel
	scCompressAddressControl = 0x00000002 // of a channel
	scCCPOpen                = 0x00000040
	scCCPUp                  = 0x00000080
	scDecompressRun          = 0x00002000 // read only
	scDecompressError        = 0x00400000 // read only
	scDecompressFatal        = 0x00800000 // read only
)

// npioctl is struct npioctl.
type npioctl struct {
	protocol int32
	mode     int32
}

const (
	npPass = 0
	npDrop = 1
)

// compressOption is struct ppp_option_data.
type compressOption struct {
	option   *byte
	length   uint32
	transmit int32
}

// idleTimes is struct ppp_idle64, in seconds.
type idleTimes struct{ transmit, receive int64 }
