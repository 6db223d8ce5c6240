package tunnels

import (
	"encoding/json"

	"github.com/gopptp/gopptp/examples/bench/internal/child"
	"github.com/gopptp/gopptp/examples/bench/internal/naive"
	"github.com/gopptp/gopptp/examples/bench/internal/netns"
)

const naiveDevice = "naive0"

// Naive is the way that one does it first.
func Naive(mppe bool) Kind {
	return func(t *Tunnel) error {
		err := t.ends(func(ns *netns.Namespace, server bool) (*child.Process, error) {
			o := naive.Options{Device: naiveDevice, Peer: outerServer.Addr(), MPPE: mppe, Server: server}
			if server {
				o.Peer = outerClient.Addr()
			}
			return child.StartRole(ns, "naive", o, nil)
		})
		if err != nil {
			return err
		}
		return t.point(naiveDevice, tunnelMTU)
	}
}

func naiveRole(config json.RawMessage) (any, <-chan error, error) {
	var o naive.Options
	if err := json.Unmarshal(config, &o); err != nil {
		return nil, nil, err
	}
	return forward(naive.Open(o))
}
