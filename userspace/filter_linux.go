package userspace

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/gre"
)

// greFilter is the classic BPF program that lets a raw socket see PPTP's packets
// only. Other GRE tunnels of the host then cost it no copy and no wake-up. It
// runs on packets as raw(7) delivers them, from the IP header on. One that is
// too short for a load is dropped by the kernel.
var greFilter = [...]unix.SockFilter{
	// X = length of the IP header.
	{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
	// The version is in the low bits of the second octet (RFC 2637 section 4.1).
	{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 1},
	{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x07},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 1, Jf: 3},
	{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},
	{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: gre.ProtocolPPP, Jf: 1},
	{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1}, // all of it
	{Code: unix.BPF_RET | unix.BPF_K, K: 0},
}

func attachFilter(fd int, filter []unix.SockFilter) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len:    uint16(len(filter)),
		Filter: unsafe.SliceData(filter),
	})
}
