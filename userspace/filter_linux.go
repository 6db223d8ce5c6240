package userspace

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/gre"
)

// greFilter returns the classic BPF program that lets a raw socket see PPTP's
// packets only, and of these a share by call ID. Other GRE tunnels of the host then
// cost it no copy and no wake-up, and each call's packets come to one worker. It
// runs on packets as raw(7) delivers them, from the IP header on. One that is too
// short for a load is dropped by the kernel.
func greFilter(calls share) []unix.SockFilter {
	return []unix.SockFilter{
		// X = length of the IP header.
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
		// The version is in the low bits of the second octet (RFC 2637 section 4.1).
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 1},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x07},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 1, Jf: 6},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: gre.ProtocolPPP, Jf: 4},
		// The call ID is ours, the receiver's.
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 6},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(calls.of)},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(calls.index), Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1}, // all of it
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}

func attachFilter(fd int, filter []unix.SockFilter) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len:    uint16(len(filter)),
		Filter: unsafe.SliceData(filter),
	})
}
