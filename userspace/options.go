package userspace

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"runtime"
	"slices"
	"strings"
)

// Device is a host's side of the tunnels that is within the process. It takes the
// users' packets out of them; [Plane.Send] is the other direction.
type Device interface {
	// Deliver takes IP packets. It may change them in place, is called from several
	// goroutines, must not keep packets nor call the Plane back, and must not block for
	// long.
	Deliver(packets [][]byte)
}

// Options say how [Open] makes a data plane. The zero value is useful.
type Options struct {
	// TUNName names the TUN device, in at most 15 octets. A "%d" in it stands
	// for the first number that is free. Empty: "pptp%d".
	TUNName string
	// MTU of the TUN device in octets, 576 to 1500. The host sends no larger
	// packet into any tunnel. A session whose own MTU is smaller costs the host
	// a route that says so. Zero: 1456, which is what an outer MTU of 1500
	// leaves with MPPE.
	MTU int
	// Addresses are the host's on the TUN device from Open to Close. A server
	// names its address in the tunnels, so that services can listen on it
	// whether a session is up or not; an address of a session that is not here
	// comes and goes with its sessions.
	Addresses []netip.Addr
	// Prefixes are routed to the TUN device from Open to Close. A server names
	// the networks that it gives its peers addresses from, so that no session
	// costs a route of its own; what a session routes beyond them is added and
	// removed with it. Not the default route. Prefixes and addresses of IPv6 need
	// a kernel with IPv6. [Plane.SetPrefixes] changes them.
	Prefixes []netip.Prefix
	// Device, if not nil, takes the place of the TUN device: users' packets come from
	// this process and go to it, past the host's network stack. Nothing of the host is
	// changed, and of the privileges CAP_NET_RAW is enough. TUNName, MTU, Addresses,
	// Prefixes and NoOffload say nothing then, and must not be set.
	Device Device
	// NoMSSClamp leaves the maximum segment size of TCP connections in the
	// tunnels alone. Otherwise it is lowered to what fits.
	NoMSSClamp bool
	// FlowControl keeps the transmit window of RFC 2637 §4.2, as far as a peer
	// acknowledges what it gets: what is beyond its window waits, and more is
	// dropped. It is for peers that lose what they cannot buffer. Most need and
	// keep none, and a window slows them down on long paths.
	FlowControl bool
	// ReceiveBuffer is how much the kernel may queue of what peers send, in
	// octets of its own bookkeeping, about 2,300 a packet. 256 KiB to 1 GiB.
	// Zero: 4 MiB.
	ReceiveBuffer int
	// SendBuffer is how much may wait for the network device, counted alike.
	// 256 KiB to 1 GiB. Zero: 2 MiB.
	SendBuffer int
	// Workers is how many goroutines move packets, 1 to 64, each with a queue of
	// the TUN device and a socket of its own; a call belongs to one of them. Zero:
	// one for each processor that the process may use but one, as the host's
	// network stack and the sessions have work too; four at the most.
	Workers int
	// Batch is how many packets go through one system call, and are encrypted or
	// decrypted side by side, 1 to 256. A worker never waits for a batch to fill.
	// Zero: 64.
	Batch int
	// XDP says whether packets take AF_XDP past the host's network stack, where
	// that can be. The raw sockets take all else.
	XDP XDPMode
	// Ring is how many packets can wait in an AF_XDP socket in each direction, a
	// power of two, 64 to 65536. Each socket, one for each receive queue of a
	// network interface, locks 4 KiB of memory for each, and some. Zero: 2048.
	Ring int
	// NoOffload has the host hand over, and take, single packets with checksums,
	// rather than TCP's and UDP's in large pieces that are split and joined here.
	NoOffload bool
	// FirstCallID and LastCallID are the range of our call IDs that Open gives out,
	// where the host has PPTP calls that are not of this data plane: packets of other
	// calls then cost it nothing, but for those of Adopt. Zero: 1 and 65535.
	FirstCallID, LastCallID uint16
	// Logger is told what goes wrong outside of any call. Nil: silent.
	Logger *slog.Logger
}

// XDPMode says when AF_XDP is used.
type XDPMode int

const (
	// XDPAuto uses it on network interfaces that packets of calls go by, if the
	// driver can run XDP programs, and on veth.
	XDPAuto XDPMode = iota
	// XDPOff never does.
	XDPOff
	// XDPOn uses it also where the driver cannot (generic XDP). Open fails where
	// the kernel cannot do it at all, or the process may not.
	XDPOn
)

const (
	minMTU, maxMTU, defaultMTU = 576, 1500, 1456

	minBuffer, maxBuffer = 256 << 10, 1 << 30
	defaultReceiveBuffer = 4 << 20
	defaultSendBuffer    = 2 << 20

	maxWorkers, maxDefaultWorkers = 64, 4
	maxBatch, defaultBatch        = 256, 64

	minRing, maxRing, defaultRing = 64, 1 << 16, 2048

	maxNameLen = 15 // IFNAMSIZ without its NUL
)

// Validate reports everything that is wrong with o; each error names its field.
// Open does it first.
func (o *Options) Validate() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("userspace: Options.%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if len(o.TUNName) > maxNameLen {
		bad("TUNName", "%q has %d octets, at most %d fit", o.TUNName, len(o.TUNName), maxNameLen)
	}
	// What the kernel refuses in a name, which it would only call an invalid
	// argument. It takes one "%d" for a pattern, and nothing else with a "%".
	if strings.ContainsAny(o.TUNName, "/: \t\n\v\f\r\x00") || o.TUNName == "." || o.TUNName == ".." ||
		strings.Contains(strings.Replace(o.TUNName, "%d", "", 1), "%") {
		bad("TUNName", "%q cannot be the name of a device", o.TUNName)
	}
	if o.Device != nil && (o.TUNName != "" || o.MTU != 0 || len(o.Addresses)+len(o.Prefixes) > 0 || o.NoOffload) {
		bad("Device", "leaves no TUN device for TUNName, MTU, Addresses, Prefixes or NoOffload")
	}
	if o.MTU != 0 && (o.MTU < minMTU || o.MTU > maxMTU) {
		bad("MTU", "%d is not within %d and %d", o.MTU, minMTU, maxMTU)
	}
	for i, a := range o.Addresses {
		field := fmt.Sprintf("Addresses[%d]", i)
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
			bad(field, "%v is not the address of a host", a)
		} else if slices.Contains(o.Addresses[:i], a) {
			bad(field, "%v is there already", a)
		}
	}
	for i, p := range o.Prefixes {
		field := fmt.Sprintf("Prefixes[%d]", i)
		switch {
		case !p.IsValid() || p.Addr().Is4In6():
			bad(field, "%v is not a prefix", p)
		case p != p.Masked():
			bad(field, "%v has bits set behind its length, as in %v", p, p.Masked())
		case p.Bits() == 0:
			bad(field, "the default route would take the tunnels' own packets; use the Routes of a session")
		default:
			for j, q := range o.Prefixes[:i] {
				if p == q {
					bad(field, "%v is Prefixes[%d] already", p, j)
				}
			}
		}
	}
	for _, b := range []struct {
		field string
		size  int
	}{
		{"ReceiveBuffer", o.ReceiveBuffer},
		{"SendBuffer", o.SendBuffer},
	} {
		if b.size != 0 && (b.size < minBuffer || b.size > maxBuffer) {
			bad(b.field, "%d is not within %d and %d", b.size, minBuffer, maxBuffer)
		}
	}
	for _, n := range []struct {
		field        string
		number, most int
	}{
		{"Workers", o.Workers, maxWorkers},
		{"Batch", o.Batch, maxBatch},
	} {
		if n.number < 0 || n.number > n.most {
			bad(n.field, "%d is not within 1 and %d", n.number, n.most)
		}
	}
	if o.Ring != 0 && (o.Ring < minRing || o.Ring > maxRing || o.Ring&(o.Ring-1) != 0) {
		bad("Ring", "%d is no power of two within %d and %d", o.Ring, minRing, maxRing)
	}
	if first, last := max(o.FirstCallID, 1), o.LastCallID; last != 0 && last < first {
		bad("LastCallID", "%d is before the first, %d", last, first)
	}
	if o.XDP < XDPAuto || o.XDP > XDPOn {
		bad("XDP", "%d is none of the modes", o.XDP)
	}
	return errors.Join(errs...)
}

// withDefaults returns o with its zero fields filled in.
func (o Options) withDefaults() Options {
	if o.TUNName == "" {
		o.TUNName = "pptp%d"
	}
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	if o.ReceiveBuffer == 0 {
		o.ReceiveBuffer = defaultReceiveBuffer
	}
	if o.SendBuffer == 0 {
		o.SendBuffer = defaultSendBuffer
	}
	if o.Workers == 0 {
		o.Workers = min(max(runtime.GOMAXPROCS(0)-1, 1), maxDefaultWorkers)
	}
	if o.Batch == 0 {
		o.Batch = defaultBatch
	}
	if o.Ring == 0 {
		o.Ring = defaultRing
	}
	o.FirstCallID = max(o.FirstCallID, 1)
	if o.LastCallID == 0 {
		o.LastCallID = math.MaxUint16
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}
