// Package cpu says what a data plane spent its processor time on, by a CPU profile.
package cpu

import (
	"bytes"
	"fmt"
	"regexp"
	"time"

	"github.com/google/pprof/profile"
)

// Kind of a part.
type Kind uint8

const (
	Kernel  Kind = iota // system calls
	Cipher              // package mppe
	Own                 // the rest of our code
	Runtime             // of Go: its scheduler, timers and memory
)

// Part of the way of a packet.
type Part struct {
	Name string
	Kind Kind
}

// Parts are all there are, in the order of the way: from the peer to the host, and
// back. Each sample is of the first of rules that fits.
var (
	receive     = Part{"receive", Kernel}
	decapsulate = Part{"decapsulate", Own}
	decrypt     = Part{"decrypt", Cipher}
	tunWrite    = Part{"TUN write", Kernel}
	tunRead     = Part{"TUN read", Kernel}
	encapsulate = Part{"encapsulate", Own}
	encrypt     = Part{"encrypt", Cipher}
	send        = Part{"send", Kernel}
	wait        = Part{"wait", Kernel}
	rest        = Part{"rest", Own}
	runtime     = Part{"Go runtime", Runtime}

	Parts = []Part{receive, decapsulate, decrypt, tunWrite, tunRead, encapsulate, encrypt, send, wait, rest, runtime}
)

// rule assigns samples to a part.
type rule struct {
	part   Part
	kernel bool           // is about time in the kernel
	frame  *regexp.Regexp // that the stack has; nil: any stack
}

const module = `^github\.com/gopptp/gopptp/`

var rules = []rule{
	// What the kernel does, by which of our functions asked it.
	{tunRead, true, regexp.MustCompile(module + `.*(tunDevice|tunQueue|tunPort)\)\.(r|R)ead`)},
	{tunWrite, true, regexp.MustCompile(module + `.*(tunDevice|tunQueue|tunPort)\)\.(w|W)rite`)},
	{wait, true, regexp.MustCompile(`(?i)(poll|futex|usleep|netpoll)`)},
	{receive, true, regexp.MustCompile(module + `.*(recvmmsg|\.receive|\.Receive)`)},
	{send, true, regexp.MustCompile(module + `.*(sendmmsg|\.send|\.Send|\.kick|\.Kick|\.flush|\.Flush)`)},
	{wait, true, nil},

	{decrypt, false, regexp.MustCompile(module + `mppe\..*(Open|Decrypt)`)},
	{encrypt, false, regexp.MustCompile(module + `mppe\..*(Seal|Encrypt)`)},
	// A batch is worked through at its end, both ways alike.
	{decrypt, false, regexp.MustCompile(module + `internal/engine\.\(\*inBatch\)\.decrypt$`)},
	{encrypt, false, regexp.MustCompile(module + `mppe\.`)},

	{decapsulate, false, regexp.MustCompile(module + `(internal/engine\.\(\*\w+\)\.Inbound$|internal/engine\.\(\*inBatch\)|` +
		`userspace\..*\.(receive|receiveOnce|Deliver)$|internal/xdp\..*(Receive|Fill))`)},
	{encapsulate, false, regexp.MustCompile(module + `(internal/engine\.\(\*\w+\)\.Outbound$|internal/engine\.\(\*outBatch\)|` +
		`userspace\..*\.(Send|sendPending|readTUN)$|internal/xdp\..*(Send|Complete))`)},
	{rest, false, regexp.MustCompile(module)},
	{runtime, false, nil},
}

// system is the functions that are in the kernel, or just about to be.
var system = regexp.MustCompile(`^(internal/runtime/syscall.*\.(Syscall6|EpollWait)|syscall\.(raw|Raw)?(S|s)yscall\w*|` +
	`runtime\.(futex|epollwait|usleep|write1|read|madvise|mmap|munmap|tgkill|osyield|timer_settime)(\.abi0)?|` +
	`runtime/internal/syscall\.Syscall6)$`)

// classify finds the part of a stack, from its leaf to its root.
func classify(stack []string) Part {
	kernel := len(stack) > 0 && system.MatchString(stack[0])
	for _, r := range rules {
		if r.kernel != kernel {
			continue
		}
		if r.frame == nil {
			return r.part
		}
		for _, name := range stack {
			if r.frame.MatchString(name) {
				return r.part
			}
		}
	}
	return rest
}

// Split is the time of each part.
type Split map[Part]time.Duration

// Total is the sum of all parts.
func (s Split) Total() (sum time.Duration) {
	for _, d := range s {
		sum += d
	}
	return sum
}

// Of is the share of a kind in the total.
func (s Split) Of(k Kind) float64 {
	var sum time.Duration
	for p, d := range s {
		if p.Kind == k {
			sum += d
		}
	}
	return float64(sum) / float64(max(s.Total(), 1))
}

// Add adds what a profile has, as runtime/pprof writes it.
func (s Split) Add(data []byte) error {
	p, err := profile.Parse(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("CPU profile: %w", err)
	}
	at := -1
	for i, t := range p.SampleType {
		if t.Type == "cpu" && t.Unit == "nanoseconds" {
			at = i
		}
	}
	if at < 0 {
		return fmt.Errorf("CPU profile: no processor time in it")
	}
	for _, sample := range p.Sample {
		s[classify(stackOf(sample))] += time.Duration(sample.Value[at])
	}
	return nil
}

// stackOf lists the functions of a sample, those that are inlined included.
func stackOf(sample *profile.Sample) (names []string) {
	for _, location := range sample.Location {
		for _, line := range location.Line {
			if line.Function != nil {
				names = append(names, line.Function.Name)
			}
		}
	}
	return names
}
