package xdp

import (
	"encoding/binary"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

// instruction is one of eBPF, as the kernel has it in memory.
type instruction struct {
	code      uint8
	registers uint8
	offset    int16
	immediate int32
}

type register uint8

// r0 is what a function returns, r1 to r5 are its arguments and lost by a call,
// r6 to r9 survive it, r10 is the end of the stack.
const (
	r0 register = iota
	r1
	r2
	r3
	r4
	r5
	r6
	r10 register = 10
)

// Sizes of loads and stores.
const (
	octet    = unix.BPF_B
	halfword = unix.BPF_H
	word     = unix.BPF_W
)

// Functions of the kernel.
const (
	mapLookup    = 1
	redirectMap  = 51
	bufferLength = 188 // Linux 5.18
)

// Offsets in the program's argument, struct xdp_md.
const (
	data       = 0
	dataEnd    = 4
	queueIndex = 16
)

// What an XDP program returns.
const pass = 2

func encode(code uint8, dst, src register, offset int16, immediate int32) instruction {
	if cpu.IsBigEndian {
		dst, src = src, dst
	}
	return instruction{code, uint8(src)<<4 | uint8(dst), offset, immediate}
}

// load is dst = *(src + offset).
func load(size uint8, dst, src register, offset int16) instruction {
	return encode(unix.BPF_LDX|unix.BPF_MEM|size, dst, src, offset, 0)
}

// store is *(dst + offset) = src.
func store(size uint8, dst register, offset int16, src register) instruction {
	return encode(unix.BPF_STX|unix.BPF_MEM|size, dst, src, offset, 0)
}

// move is dst = src, and set is dst = value.
func move(dst, src register) instruction {
	return encode(unix.BPF_ALU64|unix.BPF_MOV|unix.BPF_X, dst, src, 0, 0)
}
func set(dst register, value int32) instruction {
	return encode(unix.BPF_ALU64|unix.BPF_MOV|unix.BPF_K, dst, 0, 0, value)
}

// compute is dst = dst operation value.
func compute(operation uint8, dst register, value int32) instruction {
	return encode(unix.BPF_ALU64|operation|unix.BPF_K, dst, 0, 0, value)
}

// call is r0 = function(r1, r2, r3, r4, r5).
func call(function int32) instruction {
	return encode(unix.BPF_JMP|unix.BPF_CALL, 0, 0, 0, function)
}

// exit returns r0.
func exit() instruction { return encode(unix.BPF_JMP|unix.BPF_EXIT, 0, 0, 0, 0) }

// program grows from its start to its end. All its branches lead to the end.
type program struct {
	instructions []instruction
	branches     []int
}

func (p *program) add(i ...instruction) { p.instructions = append(p.instructions, i...) }

// loadMap sets dst to a map. It is the one instruction of double length.
func (p *program) loadMap(dst register, fd int) {
	p.add(encode(unix.BPF_LD|unix.BPF_IMM|unix.BPF_DW, dst, unix.BPF_PSEUDO_MAP_FD, 0, int32(fd)), instruction{})
}

// passIf branches if "a condition b" is true, passIfValue if "a condition value" is.
func (p *program) passIf(a register, condition uint8, b register) {
	p.branches = append(p.branches, len(p.instructions))
	p.add(encode(unix.BPF_JMP|condition|unix.BPF_X, a, b, 0, 0))
}
func (p *program) passIfValue(a register, condition uint8, value int32) {
	p.branches = append(p.branches, len(p.instructions))
	p.add(encode(unix.BPF_JMP|condition|unix.BPF_K, a, 0, 0, value))
}

// end is where branches lead to.
func (p *program) end() []instruction {
	for _, from := range p.branches {
		p.instructions[from].offset = int16(len(p.instructions) - from - 1)
	}
	p.add(set(r0, pass), exit())
	return p.instructions
}

// Offsets in a frame.
const (
	etherType      = 12
	versionIHL     = 14
	fragment       = 20 // flags and offset
	ipProtocol     = 23
	source         = 26
	destination    = 30
	greVersion     = 35 // the last three bits
	greProtocol    = 36
	callID         = 40
	minFrame       = 42
	greEnhanced    = 1
	grePPP         = 0x880B
	notFirstOrLast = 0x3FFF // more fragments, and the offset
)

// network is what a load of the two octets of n in network byte order gives.
func network(n uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)))
}

// filterProgram redirects the frames of calls in the map to the socket of the
// queue that they came by, and passes the rest. With fragments it is for
// interfaces whose frames may be in several buffers: it sees the first only.
func filterProgram(calls, sockets int, fragments bool) []instruction {
	const context = r6
	var p program
	p.add(
		move(context, r1),
		load(word, r2, context, data),
		load(word, r3, context, dataEnd),
		move(r4, r2),
		compute(unix.BPF_ADD, r4, minFrame),
	)
	p.passIf(r4, unix.BPF_JGT, r3)
	for _, f := range []struct {
		size     uint8
		offset   int16
		mask     int32
		mismatch uint8
		value    int32
	}{
		{halfword, etherType, 0, unix.BPF_JNE, network(unix.ETH_P_IP)},
		{octet, versionIHL, 0, unix.BPF_JNE, 0x45},
		{octet, ipProtocol, 0, unix.BPF_JNE, unix.IPPROTO_GRE},
		{halfword, fragment, 0, unix.BPF_JSET, network(notFirstOrLast)},
		{halfword, greProtocol, 0, unix.BPF_JNE, network(grePPP)},
		{octet, greVersion, 7, unix.BPF_JNE, greEnhanced},
	} {
		p.add(load(f.size, r5, r2, f.offset))
		if f.mask != 0 {
			p.add(compute(unix.BPF_AND, r5, f.mask))
		}
		p.passIfValue(r5, f.mismatch, f.value)
	}
	// The key, see mapKey.
	p.add(
		load(word, r5, r2, source),
		store(word, r10, -12, r5),
		load(word, r5, r2, destination),
		store(word, r10, -8, r5),
		load(halfword, r5, r2, callID),
		store(word, r10, -4, r5),
	)
	// The verifier wants CAP_PERFMON for the difference of two pointers, and for
	// the sum of one with what is not a constant.
	if fragments {
		p.add(move(r1, context), call(bufferLength))
		p.passIfValue(r0, unix.BPF_JGT, MaxReceive)
	} else {
		p.add(compute(unix.BPF_ADD, r2, MaxReceive))
		p.passIf(r3, unix.BPF_JGT, r2)
	}
	p.loadMap(r1, calls)
	p.add(
		move(r2, r10),
		compute(unix.BPF_ADD, r2, -12),
		call(mapLookup),
	)
	p.passIfValue(r0, unix.BPF_JEQ, 0)
	p.add(load(word, r2, context, queueIndex))
	p.loadMap(r1, sockets)
	p.add(
		set(r3, pass), // if there is no socket
		call(redirectMap),
		exit(),
	)
	return p.end()
}
