// Package tunnels has the tunnels that are compared: each between two network
// namespaces of its own, a client's and a server's, with all that runs in them.
package tunnels

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/netns"
	"github.com/gopptp/gopptp/examples/bench/internal/traffic"
)

// Addresses are the same in each pair of namespaces.
var (
	outerClient = netip.MustParsePrefix("192.0.2.1/30")
	outerServer = netip.MustParsePrefix("192.0.2.2/30")
	innerServer = netip.MustParseAddr("10.9.0.1")
	innerPool   = netip.MustParsePrefix("10.9.64.0/18")
	innerClient = innerPool.Addr().Next()
)

// Tunnel is one that is up.
type Tunnel struct {
	Client, Server *netns.Namespace
	// ClientAddresses are those of the sessions.
	ClientAddresses []netip.Addr
	ServerAddress   netip.Addr
	// Gateway is the server's end of the tunnel; nil if there is no tunnel.
	Gateway *child.Process
	// Profiled: its processor time can be told apart by Gateway.Profile.
	Profiled bool

	processes []*child.Process
}

// Close ends all processes of the tunnel, and lets its namespaces go.
func (t *Tunnel) Close() {
	for _, p := range t.processes {
		p.Stop()
	}
	t.Client.Close()
	t.Server.Close()
}

// Dead returns why a process of the tunnel has ended, or nil.
func (t *Tunnel) Dead() error {
	for _, p := range t.processes {
		select {
		case <-p.Done():
			return fmt.Errorf("a process has ended: %s", p.Output())
		default:
		}
	}
	return nil
}

// Kind makes a tunnel between two namespaces: it starts processes and says who they
// are, in t.
type Kind func(t *Tunnel) error

// Open makes a tunnel, with an iperf3 server behind it.
func Open(kind Kind) (*Tunnel, error) {
	client, server, err := netns.Pair(outerClient, outerServer)
	if err != nil {
		return nil, err
	}
	t := &Tunnel{Client: client, Server: server}
	err = kind(t)
	if err == nil {
		err = t.keep(traffic.ServeTCP(server))
	}
	if err != nil {
		// What is about to end says why.
		time.Sleep(100 * time.Millisecond)
		err = errors.Join(err, t.Dead())
		t.Close()
		return nil, err
	}
	return t, nil
}

// keep makes a process one of the tunnel.
func (t *Tunnel) keep(p *child.Process, err error) error {
	if p != nil && err == nil {
		t.processes = append(t.processes, p)
	}
	return err
}

// Plain is no tunnel.
func Plain(t *Tunnel) error {
	t.ClientAddresses, t.ServerAddress = []netip.Addr{outerClient.Addr()}, outerServer.Addr()
	return nil
}

// ends starts something at both ends, the server first.
func (t *Tunnel) ends(start func(ns *netns.Namespace, server bool) (*child.Process, error)) error {
	var err error
	if t.Gateway, err = start(t.Server, true); err != nil {
		return err
	}
	_ = t.keep(t.Gateway, nil)
	return t.keep(start(t.Client, false))
}

// point gives both ends of a tunnel from one address to another what they need.
func (t *Tunnel) point(device string, mtu int) error {
	t.ClientAddresses, t.ServerAddress = []netip.Addr{innerClient}, innerServer
	return errors.Join(
		t.Client.Configure(device, innerClient, innerServer, mtu),
		t.Server.Configure(device, innerServer, innerClient, mtu))
}

// eventually waits for something that another process does.
func eventually(what string, is func() bool) error {
	for end := time.Now().Add(5 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("in vain: " + what)
		}
	}
	return nil
}
