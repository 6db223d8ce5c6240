package userspace

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/gre"
)

// greFilter returns the classic BPF program that lets a raw socket see PPTP's
// packets only, and of these a share by call ID, as far as ids admits them. Other GRE
// tunnels of the host then cost it no copy and no wake-up, and each call's packets come
// to one worker. It runs on packets as raw(7) delivers them, from the IP header on. One
// that is too short for a load is dropped by the kernel.
func greFilter(calls share, ids callIDs) []unix.SockFilter {
	const accept, drop = 255, 254 // to jump to; further than any jump here is
	f := []unix.SockFilter{
		// X = length of the IP header.
		{Code: unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH, K: 0},
		// The version is in the low bits of the second octet (RFC 2637 section 4.1).
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 1},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 0x07},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 1, Jf: drop},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 2},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: gre.ProtocolPPP, Jf: drop},
		// The call ID is ours, the receiver's.
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 6},
		{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(calls.of)},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(calls.index), Jf: drop},
	}
	if !ids.all() && len(ids.more) <= maxListed {
		f = append(f,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_IND, K: 6},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, K: uint32(ids.first), Jf: 1},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: uint32(ids.last), Jf: accept})
		for _, id := range ids.more {
			f = append(f, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(id), Jt: accept})
		}
		f = append(f, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
	}
	f = append(f,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1}, // all of it
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
	accepting, dropping := len(f)-2, len(f)-1
	for i := range f {
		for _, jump := range []*uint8{&f[i].Jt, &f[i].Jf} {
			switch *jump {
			case accept:
				*jump = uint8(accepting - i - 1)
			case drop:
				*jump = uint8(dropping - i - 1)
			}
		}
	}
	return f
}

// maxListed bounds the IDs that a filter compares one by one: beyond it, packets of
// others cost less.
const maxListed = 128

func attachFilter(fd int, filter []unix.SockFilter) error {
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len:    uint16(len(filter)),
		Filter: unsafe.SliceData(filter),
	})
}
