package dataplane

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/userspace"
)

// Plane is a data plane of one or two others. It is safe for concurrent use.
type Plane struct {
	log    *slog.Logger
	mode   Mode
	reason string

	// With a kernel, other is opened when it is first needed; nil: never. Without,
	// it is there from the beginning.
	kernel gopptp.Dataplane
	other  *lazy
	insist bool // only what the kernel cannot do at all is not for it

	mu    sync.Mutex
	stats Stats
	// moved are the calls whose ID is of the kernel's range, but which have moved.
	moved map[callKey]struct{}
}

// callKey is what tells calls apart to peers.
type callKey struct {
	peer netip.Addr
	id   uint16
}

var _ gopptp.Nudged = (*Plane)(nil)

// Adopter is a data plane that can take over calls, as a [userspace.Plane] is.
type Adopter interface {
	gopptp.Dataplane
	Adopt(cfg gopptp.CallConfig, a userspace.Adopted, h gopptp.CallHandler) (gopptp.Call, error)
}

var _ Adopter = (*userspace.Plane)(nil)

// Nudge implements gopptp.Nudged.
func (p *Plane) Nudge() {
	if p.other != nil {
		p.other.nudge()
	}
}

// Open makes a data plane in the network namespace of the calling thread.
func Open(opts Options) (*Plane, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	opts = opts.withDefaults()
	if opts.Mode == Userspace {
		return openUserspace(&opts, "as ordered")
	}
	err := opts.against(kernel.Probe)
	if err == nil {
		var p *Plane
		if p, err = openKernel(opts); err == nil {
			return p, nil
		}
	}
	if opts.Mode == Kernel {
		return nil, fmt.Errorf("dataplane: mode kernel: %w", err)
	}
	return openUserspace(&opts, err.Error())
}

func openUserspace(o *Options, reason string) (*Plane, error) {
	u, err := userspace.Open(o.Userspace)
	if err != nil {
		return nil, err
	}
	o.Logger.Info("dataplane: userspace moves the packets", "mode", o.Mode, "reason", reason)
	return &Plane{log: o.Logger, mode: Userspace, reason: reason, other: &lazy{plane: u, release: func() {}}}, nil
}

func openKernel(o Options) (*Plane, error) {
	if !o.NoSpill {
		o = o.mixed()
	}
	k, err := kernel.Open(o.Kernel)
	if err != nil {
		return nil, err
	}
	p := Compose(k, nil, o.Logger)
	p.insist = o.Mode == Kernel
	if !o.NoSpill {
		p.other = userspaceLater(o)
	}
	p.reason = "it can do all that is needed"
	o.Logger.Info("dataplane: the kernel moves the packets", "mode", o.Mode, "reason", p.reason)
	return p, nil
}

// userspaceLater is userspace in the network namespace of the calling thread.
func userspaceLater(o Options) *lazy {
	home := currentNamespace()
	o.Userspace.Prefixes = besideKernel(o.Userspace.Prefixes)
	return &lazy{log: o.Logger, release: home.close, open: func() (u Adopter, err error) {
		if e := home.do(func() { u, err = userspace.Open(o.Userspace) }); e != nil {
			return nil, e
		}
		return u, err
	}}
}

// besideKernel leaves out prefixes of IPv4, which would lead the kernel's calls astray: each
// call has routes of its own.
func besideKernel(prefixes []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(prefixes), func(p netip.Prefix) bool { return p.Addr().Is4() })
}

// SetPrefixes replaces Options.Userspace.Prefixes, see [userspace.Plane.SetPrefixes]. A
// composed plane of others has them as they are.
func (p *Plane) SetPrefixes(prefixes []netip.Prefix) error {
	if p.other == nil {
		return nil
	}
	if p.kernel != nil {
		prefixes = besideKernel(prefixes)
	}
	return p.other.setPrefixes(prefixes)
}

// Compose makes a Plane of others, such as those of tests: with calls of kernel that
// move to what userspace returns, which is called when the first has to. A nil userspace
// has such calls fail. Closing the Plane closes both.
//
// The two have ranges of call IDs of their own. Calls of kernel have a method Sent() uint32,
// the last GRE sequence number that was used, counted from 1; those that do not cannot move.
func Compose(kernel gopptp.Dataplane, userspace func() (Adopter, error), log *slog.Logger) *Plane {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	p := &Plane{log: log, mode: Kernel, kernel: kernel, moved: make(map[callKey]struct{})}
	if userspace != nil {
		p.other = &lazy{log: log, open: userspace, release: func() {}}
	}
	return p
}

// Open implements gopptp.Dataplane.
func (p *Plane) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	cfg.Local, cfg.Peer = cfg.Local.Unmap(), cfg.Peer.Unmap()
	c := &call{plane: p, cfg: cfg}
	if p.kernel == nil {
		return p.openOther(c, h)
	}
	c.relay = &relay{handler: h}
	k, err := p.openKernel(cfg, c.relay)
	if errors.Is(err, kernel.ErrNoCallID) && p.other != nil {
		inner, spilled := p.openOther(c, h)
		if spilled != nil {
			return nil, fmt.Errorf("%w; userspace: %w", err, spilled)
		}
		p.log.Debug("dataplane: a call begins in userspace", "peer", cfg.Peer, "reason", err)
		p.count(func(s *Stats) { s.Moved.NoCallID++ })
		return inner, nil
	}
	if err != nil {
		return nil, err
	}
	c.become(k)
	c.onKernel = true
	p.count(func(s *Stats) { s.KernelCalls++ })
	return c, nil
}

// openOther makes c a call that is not the kernel's.
func (p *Plane) openOther(c *call, h gopptp.CallHandler) (gopptp.Call, error) {
	u, err := p.other.get()
	if err != nil {
		return nil, err
	}
	inner, err := u.Open(c.cfg, h)
	if err != nil {
		return nil, err
	}
	c.become(inner)
	p.count(func(s *Stats) { s.UserspaceCalls++ })
	return c, nil
}

// maxRefused bounds the IDs that are given back, as calls that have moved have them.
const maxRefused = 16

// openKernel opens a call in the kernel, which does not know what has moved.
func (p *Plane) openKernel(cfg gopptp.CallConfig, r *relay) (gopptp.Call, error) {
	for range maxRefused {
		c, err := p.kernel.Open(cfg, kernelSide{r})
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		_, taken := p.moved[callKey{cfg.Peer, c.ID()}]
		p.mu.Unlock()
		if !taken {
			return c, nil
		}
		defer c.Close() // not before another is found
	}
	return nil, kernel.ErrNoCallID
}

// Close implements gopptp.Dataplane.
func (p *Plane) Close() error {
	var errs []error
	if p.kernel != nil {
		errs = append(errs, p.kernel.Close())
	}
	if p.other != nil {
		errs = append(errs, p.other.close())
	}
	return errors.Join(errs...)
}

// Mode is which plane was chosen: Kernel or Userspace.
func (p *Plane) Mode() Mode { return p.mode }

// Reason is why, in words for a log.
func (p *Plane) Reason() string { return p.reason }

// Stats counts calls.
type Stats struct {
	// KernelCalls and UserspaceCalls are the numbers of calls that are open in each
	// plane.
	KernelCalls, UserspaceCalls int
	// Moved are the calls that did not stay in the kernel, since Open.
	Moved Moved
	// Userspace is what that plane counts; zero while it is not open.
	Userspace userspace.Stats
}

// Moved counts calls by the reason why the kernel could not carry them, or should not.
type Moved struct {
	NoCallID  uint64 // all call IDs were taken
	Collision uint64 // another call had the same peer and peer's call ID
	KeyLength uint64 // it has no keys of that length
	Rates     uint64 // it cannot limit sessions
	Stateful  uint64 // their encryption is stateful
}

// Stats returns the counters.
func (p *Plane) Stats() Stats {
	p.mu.Lock()
	s := p.stats
	p.mu.Unlock()
	if p.other != nil {
		s.Userspace = p.other.stats()
	}
	return s
}

func (p *Plane) count(f func(s *Stats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.stats)
}

// DeviceName is the name of the TUN device, or "" if there is none yet. In the kernel
// each call has a device of its own, see [DeviceName].
func (p *Plane) DeviceName() string {
	if p.other == nil {
		return ""
	}
	return p.other.deviceName()
}

// DeviceName is the name of the network device that a call's packets take, or "" if it
// has none, or none yet.
func DeviceName(c gopptp.Call) string {
	if d, ok := c.(deviceNamer); ok {
		return d.DeviceName()
	}
	return ""
}

type deviceNamer interface{ DeviceName() string }
