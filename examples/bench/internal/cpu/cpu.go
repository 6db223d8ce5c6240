// Package cpu says what a data plane spent its processor time on, by a CPU profile.
package cpu

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
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
// back.
var (
	receive     = Part{"receive", Kernel}
	decapsulate = Part{"decapsulate", Own}
	decrypt     = Part{"decrypt", Cipher}
	join        = Part{"join segments", Own}
	tunWrite    = Part{"TUN write", Kernel}
	tunRead     = Part{"TUN read", Kernel}
	split       = Part{"split segments", Own}
	encapsulate = Part{"encapsulate", Own}
	encrypt     = Part{"encrypt", Cipher}
	send        = Part{"send", Kernel}
	wait        = Part{"wait", Kernel}
	rest        = Part{"rest", Own}
	runtime     = Part{"Go runtime", Runtime}

	Parts = []Part{receive, decapsulate, decrypt, join, tunWrite, tunRead, split, encapsulate, encrypt, send, wait, rest, runtime}
)

// rule assigns samples to a part. The first that fits counts.
type rule struct {
	part   Part
	kernel bool // is about time in the kernel
	// frames are what the stack has, each anywhere in it.
	frames []*regexp.Regexp
}

const (
	module = `^github\.com/gopptp/gopptp/`
	null   = module + `examples/bench/internal/null\.`
)

func frames(expressions ...string) (list []*regexp.Regexp) {
	for _, e := range expressions {
		list = append(list, regexp.MustCompile(e))
	}
	return list
}

// The directions of a worker. What its package does for one of them is below it.
const (
	in  = module + `userspace\.\(\*worker\)\.in$|` + null + `inbound$`
	out = module + `userspace\.\(\*worker\)\.out$|` + null + `outbound$`
)

var rules = []rule{
	// What the kernel does, by which of our functions asked it.
	{tunRead, true, frames(module + `userspace\.\(\*tun\w+\)\.[rR]ead|` + null + `readTUN$`)},
	{tunWrite, true, frames(module + `userspace\.\(\*tun\w+\)\.([wW]rite|Deliver)|` + null + `writeTUN$`)},
	{wait, true, frames(`^runtime\.(netpoll|futex|usleep)|EpollWait|` + module + `userspace\.\(\*poller\)|` + null + `await$`)},
	{receive, true, frames(module + `userspace\.(recvmmsg|.*\.receive)|` + module + `internal/xdp\..*\.(Receive|Free)$|` + null + `.*\.receive$`)},
	{send, true, frames(module + `userspace\.(sendmmsg|.*\.[sS]end)|` + module + `internal/xdp\..*\.Flush$|` + null + `.*\.flush$`)},
	{wait, true, nil},

	{decrypt, false, frames(module+`mppe\.`, in)},
	{encrypt, false, frames(module+`mppe\.`, out)},
	{join, false, frames(module+`internal/offload\.\(\*(Coalescer|group|segment)\)`, in)},
	{split, false, frames(module+`internal/offload\.(\(\*Splitter\)|FinishChecksum)`, out)},
	{decapsulate, false, frames(in)},
	{encapsulate, false, frames(out)},
	{rest, false, frames(module)},
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
		if r.kernel == kernel && r.fits(stack) {
			return r.part
		}
	}
	return rest
}

func (r *rule) fits(stack []string) bool {
	for _, frame := range r.frames {
		if !slices.ContainsFunc(stack, frame.MatchString) {
			return false
		}
	}
	return true
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

// Merge adds another split, so many times.
func (s Split) Merge(o Split, times float64) {
	for p, d := range o {
		s[p] += time.Duration(float64(d) * times)
	}
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
