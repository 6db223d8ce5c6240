// Package systemd is the gateway's end of what systemd has for its services: it takes
// sockets that are open already, so that nobody is refused while the gateway starts anew,
// and tells how it is. Without systemd all of it does nothing.
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
	"github.com/coreos/go-systemd/v22/daemon"
)

// Sockets are those that systemd passes, which are open already, by where clients connect.
type Sockets map[netip.AddrPort]net.Listener

// Passed returns them. There are none without systemd, or without a socket unit.
func Passed() (Sockets, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return nil, fmt.Errorf("sockets of systemd: %w", err)
	}
	sockets := make(Sockets)
	for _, l := range passed {
		if l == nil { // is no socket for connections
			continue
		}
		addr, ok := local(l.Addr())
		if !ok {
			return nil, fmt.Errorf("systemd passes a socket of %v, where no client connects", l.Addr())
		}
		sockets[addr] = l
	}
	return sockets, nil
}

// Check returns an error if one of the sockets is none of listen: clients who connect there
// would wait in vain, as systemd has it open, whatever the gateway does.
func (s Sockets) Check(listen []netip.AddrPort) error {
	for _, addr := range slices.SortedFunc(maps.Keys(s), netip.AddrPort.Compare) {
		if !slices.Contains(listen, addr) {
			return fmt.Errorf("systemd passes a socket of %v, which is not one of listen: take it out of the socket unit first", addr)
		}
	}
	return nil
}

// Listen returns the socket of an address, and opens it if systemd has not.
func (s Sockets) Listen(addr netip.AddrPort) (net.Listener, error) {
	if l := s[addr]; l != nil {
		return l, nil
	}
	return net.Listen("tcp4", addr.String())
}

// local is an address as listen has it. A socket for IPv6 takes connections of IPv4, too.
func local(a net.Addr) (netip.AddrPort, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	addr := tcp.AddrPort().Addr().Unmap()
	if addr == netip.IPv6Unspecified() {
		addr = netip.IPv4Unspecified()
	}
	return netip.AddrPortFrom(addr, tcp.AddrPort().Port()), true
}

// Manager tells systemd how the gateway is. It implements serve.Manager.
type Manager struct{ Log *slog.Logger }

func (m Manager) tell(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.Log.Warn("systemd cannot be told how the gateway is", "state", state, "error", err)
	}
}

// Ready is when the gateway serves, or goes on serving after Reloading.
func (m Manager) Ready() { m.tell(daemon.SdNotifyReady) }

// Reloading is when the configuration is being taken anew.
func (m Manager) Reloading() {
	m.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping is when the gateway begins to end its sessions. systemd gives it the time that
// this may take, whatever TimeoutStopSec of the unit is.
func (m Manager) Stopping(most time.Duration) {
	m.tell(fmt.Sprintf("%s\nEXTEND_TIMEOUT_USEC=%d", daemon.SdNotifyStopping, most.Microseconds()))
}

// Watch tells systemd that the gateway lives as long as check returns, until ctx ends. It
// does so twice as often as the unit has WatchdogSec.
func (m Manager) Watch(ctx context.Context, check func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		m.Log.Warn("the watchdog of systemd", "error", err)
	}
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval / 2)
	defer ticker.Stop()
	for {
		check()
		m.tell(daemon.SdNotifyWatchdog)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
