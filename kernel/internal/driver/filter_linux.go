package driver

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/ppp"
)

// program is a classic BPF program under construction. Jumps are to labels, which stand
// for what follows them. A load beyond the packet's end ends a program with 0, which
// drops it.
type program struct {
	code   []unix.SockFilter
	labels map[string]int
	jumps  []jump
}

type jump struct {
	at      int
	yes, no string // empty: what follows
}

func (p *program) op(code uint16, k uint32) {
	p.code = append(p.code, unix.SockFilter{Code: code, K: k})
}

func (p *program) label(name string) {
	if p.labels == nil {
		p.labels = make(map[string]int)
	}
	p.labels[name] = len(p.code)
}

// jump goes to yes if test (BPF_JEQ and others) holds between the accumulator and k.
func (p *program) jump(test uint16, k uint32, yes, no string) {
	p.jumps = append(p.jumps, jump{at: len(p.code), yes: yes, no: no})
	p.op(unix.BPF_JMP|test|unix.BPF_K, k)
}

func (p *program) assemble() []unix.SockFilter {
	distance := func(at int, label string) uint8 {
		if label == "" {
			return 0
		}
		return uint8(p.labels[label] - at - 1)
	}
	for _, j := range p.jumps {
		p.code[j.at].Jt, p.code[j.at].Jf = distance(j.at, j.yes), distance(j.at, j.no)
	}
	return p.code
}

// Shorthands of what the programs do.
const (
	loadByte      = unix.BPF_LD | unix.BPF_B | unix.BPF_IND // from X on
	loadHalf      = unix.BPF_LD | unix.BPF_H | unix.BPF_IND
	and           = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
	add           = unix.BPF_ALU | unix.BPF_ADD | unix.BPF_K
	addX          = unix.BPF_ALU | unix.BPF_ADD | unix.BPF_X
	shiftRight    = unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K
	toX           = unix.BPF_MISC | unix.BPF_TAX
	fromX         = unix.BPF_MISC | unix.BPF_TXA
	loadX         = unix.BPF_LDX | unix.BPF_IMM
	loadHeaderLen = unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH // X = 4 * (octet & 15)
	ret           = unix.BPF_RET | unix.BPF_K

	pass = 1<<32 - 1 // all of it
	drop = 0
)

// Bits of the first and second octet of a GRE header (RFC 2637 section 4.1).
const (
	greHasSequence = 0x10
	greHasAck      = 0x80
	greVersion     = 0x07
)

// enterPayload moves X from a GRE header to the PPP header's protocol field in it, and
// goes to none if there is no payload.
func (p *program) enterPayload(none string) {
	p.op(loadByte, 0)
	p.jump(unix.BPF_JSET, greHasSequence, "", none)
	p.op(loadByte, 1)
	p.op(and, greHasAck)
	p.op(shiftRight, 5) // the acknowledgement's four octets
	p.op(add, 12)
	p.op(addX, 0)
	p.op(toX, 0)
	p.op(loadHalf, 0)
	p.jump(unix.BPF_JEQ, 0xff03, "", "protocol")
	p.op(fromX, 0)
	p.op(add, 2)
	p.op(toX, 0)
	p.label("protocol")
}

// restartCodes goes to yes for the packets that Filter.NoRestart means, of which X is at
// the protocol field.
func (p *program) restartCodes(yes, no string) {
	p.op(loadByte, 2)
	p.jump(unix.BPF_JEQ, uint32(ppp.ConfigureRequest), yes, "")
	p.jump(unix.BPF_JEQ, uint32(ppp.TerminateRequest), yes, "")
	p.jump(unix.BPF_JEQ, uint32(ppp.TerminateAck), yes, no)
}

// socketFilter is what a PPTP socket runs on GRE headers.
func socketFilter(f Filter) []unix.SockFilter {
	var p program
	p.op(loadX, 0)
	p.enterPayload("pass")
	p.op(loadByte, 0)
	p.jump(unix.BPF_JSET, 1, "", "full")
	// A compressed protocol field is that of a user's packet, in clear or not.
	if f.NoClear {
		p.jump(unix.BPF_JEQ, uint32(ppp.ProtocolCompressed), "pass", "drop")
	} else {
		p.op(ret, pass)
	}
	p.label("full")
	p.op(loadHalf, 0)
	if f.NoClear {
		p.jump(unix.BPF_JEQ, uint32(ppp.ProtocolCompressed), "pass", "")
		p.jump(unix.BPF_JGE, 0x8000, "", "drop") // control protocols
	}
	if f.NoRestart {
		p.jump(unix.BPF_JEQ, uint32(ppp.ProtocolCCP), "", "pass")
		p.restartCodes("drop", "pass")
	}
	p.label("pass")
	p.op(ret, pass)
	p.label("drop")
	p.op(ret, drop)
	return p.assemble()
}

// guardFilter is for a packet socket that gets IP packets: those of CCP that
// Filter.NoRestart has sockets drop, and the requests of LCP.
func guardFilter() []unix.SockFilter {
	const protocol, fragment = 9, 6
	var p program
	p.op(loadX, 0)
	p.op(loadByte, protocol)
	p.jump(unix.BPF_JEQ, unix.IPPROTO_GRE, "", "drop")
	p.op(loadHalf, fragment)
	p.jump(unix.BPF_JSET, 0x3fff, "drop", "")
	p.op(loadHeaderLen, 0)
	p.op(loadByte, 1)
	p.op(and, greVersion)
	p.jump(unix.BPF_JEQ, 1, "", "drop")
	p.op(loadHalf, 2)
	p.jump(unix.BPF_JEQ, gre.ProtocolPPP, "", "drop")
	p.enterPayload("drop")
	p.op(loadHalf, 0)
	p.jump(unix.BPF_JEQ, uint32(ppp.ProtocolCCP), "ccp", "")
	p.jump(unix.BPF_JEQ, uint32(ppp.ProtocolLCP), "", "drop")
	p.op(loadByte, 2)
	p.jump(unix.BPF_JEQ, uint32(ppp.ConfigureRequest), "pass", "drop")
	p.label("ccp")
	p.restartCodes("pass", "drop")
	p.label("pass")
	p.op(ret, pass)
	p.label("drop")
	p.op(ret, drop)
	return p.assemble()
}

func attachFilter(fd int, filter []unix.SockFilter) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{
		Len:    uint16(len(filter)),
		Filter: unsafe.SliceData(filter),
	}))
}
