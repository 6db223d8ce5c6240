package dataplane

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/userspace"
)

// lazy is a plane that is opened when it is first needed.
type lazy struct {
	log     *slog.Logger
	open    func() (Adopter, error)
	release func() // called when it is closed

	mu       sync.Mutex      // held while it opens
	plane    Adopter         // nil while it is not open
	prefixes *[]netip.Prefix // to be set when it is; nil: it has what it needs
	closed   bool
	err      error // why it could not be opened
	tried    time.Time
}

// retryInterval is how long an error to open is taken to last: calls should not each
// have to find out.
const retryInterval = 10 * time.Second

var errClosed = fmt.Errorf("dataplane: %w", net.ErrClosed)

// get opens the plane if it is not.
func (l *lazy) get() (Adopter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, errClosed
	case l.plane != nil:
		return l.plane, nil
	case l.err != nil && time.Since(l.tried) < retryInterval:
		return nil, l.err
	}
	plane, err := l.open()
	if err == nil && l.prefixes != nil {
		if err = setPrefixes(plane, *l.prefixes); err != nil {
			_ = plane.Close()
		}
	}
	if err != nil {
		l.err, l.tried = err, time.Now()
		l.log.Warn("dataplane: no userspace beside the kernel, for calls that this cannot carry", "err", err)
		return nil, err
	}
	l.plane = plane
	l.log.Info("dataplane: userspace beside the kernel, for calls that this cannot carry", "tun", l.name())
	return plane, nil
}

// nudge is for the plane if it is open.
func (l *lazy) nudge() {
	if !l.mu.TryLock() {
		return // it opens, which takes long
	}
	plane := l.plane
	l.mu.Unlock()
	if n, ok := plane.(gopptp.Nudged); ok {
		n.Nudge()
	}
}

// setPrefixes sets those of the plane, now or when it is opened.
func (l *lazy) setPrefixes(prefixes []netip.Prefix) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return errClosed
	case l.plane != nil:
		return setPrefixes(l.plane, prefixes)
	}
	l.prefixes = &prefixes
	return nil
}

func setPrefixes(plane Adopter, prefixes []netip.Prefix) error {
	if p, ok := plane.(interface{ SetPrefixes([]netip.Prefix) error }); ok {
		return p.SetPrefixes(prefixes)
	}
	return nil
}

func (l *lazy) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.closed = true
		defer l.release()
	}
	if l.plane == nil {
		return nil
	}
	return l.plane.Close()
}

func (l *lazy) deviceName() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.name()
}

func (l *lazy) name() string {
	if d, ok := l.plane.(deviceNamer); ok {
		return d.DeviceName()
	}
	return ""
}

func (l *lazy) stats() userspace.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.plane.(interface{ Stats() userspace.Stats }); ok {
		return s.Stats()
	}
	return userspace.Stats{}
}
