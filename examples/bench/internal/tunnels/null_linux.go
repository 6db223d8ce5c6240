package tunnels

import (
	"encoding/json"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/netns"
	"github.com/gopptp/gopptp/examples/bench/internal/null"
)

const nullDevice = "null0"

// Null is our data plane with nothing in it.
func Null(xdp bool) Kind {
	return func(t *Tunnel) error {
		err := t.ends(func(ns *netns.Namespace, server bool) (*child.Process, error) {
			o := null.Options{
				Device: nullDevice, XDP: xdp, Interface: netns.Device,
				Local: outerClient.Addr(), Peer: outerServer.Addr(),
			}
			other := t.Server
			if server {
				o.Local, o.Peer, other = o.Peer, o.Local, t.Client
			}
			var err error
			if o.PeerMAC, err = other.MAC(); err != nil {
				return nil, err
			}
			return child.StartRole(ns, "null", o, nil)
		})
		if err != nil {
			return err
		}
		t.Profiled = true
		return t.point(nullDevice, tunnelMTU)
	}
}

func nullRole(config json.RawMessage) (any, <-chan error, error) {
	var o null.Options
	if err := json.Unmarshal(config, &o); err != nil {
		return nil, nil, err
	}
	return forward(null.Open(o))
}

// forward runs what has been opened.
func forward(run func() error, err error) (any, <-chan error, error) {
	if err != nil {
		return nil, nil, err
	}
	failed := make(chan error, 1)
	go func() { failed <- run() }()
	return nil, failed, nil
}
