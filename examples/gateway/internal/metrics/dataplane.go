package metrics

import (
	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
)

// Dataplane adds what the data plane counts beside the sessions' own counters, if it does.
func (m *Metrics) Dataplane(plane gopptp.Dataplane) {
	if p, ok := plane.(interface{ Stats() dataplane.Stats }); ok {
		m.registry.MustRegister(dataplaneTable(p.Stats))
	}
}

func dataplaneTable(stats func() dataplane.Stats) *table[dataplane.Stats] {
	type S = dataplane.Stats
	t := one(stats)
	const calls = "Open calls in each plane."
	t.gauge("gopptp_dataplane_calls", calls, func(s *S) float64 { return float64(s.KernelCalls) }, "plane", "kernel")
	t.gauge("gopptp_dataplane_calls", calls, func(s *S) float64 { return float64(s.UserspaceCalls) }, "plane", "userspace")
	for reason, n := range map[string]func(s *S) uint64{
		"no_call_id": func(s *S) uint64 { return s.Moved.NoCallID },
		"collision":  func(s *S) uint64 { return s.Moved.Collision },
		"key_length": func(s *S) uint64 { return s.Moved.KeyLength },
		"rates":      func(s *S) uint64 { return s.Moved.Rates },
		"stateful":   func(s *S) uint64 { return s.Moved.Stateful },
	} {
		t.counter("gopptp_dataplane_moved_total", "Calls that the kernel could not carry, or should not.", n, "reason", reason)
	}

	t.gauge("gopptp_userspace_calls", "Calls in the userspace plane.", func(s *S) float64 { return float64(s.Userspace.Calls) })
	const gre, xdp = "GRE packets of PPTP in the userspace plane.", "Those GRE packets that went by AF_XDP."
	t.counter("gopptp_gre_packets_total", gre, func(s *S) uint64 { return s.Userspace.GRE.Received }, "direction", "received")
	t.counter("gopptp_gre_packets_total", gre, func(s *S) uint64 { return s.Userspace.GRE.Sent }, "direction", "sent")
	t.counter("gopptp_gre_xdp_packets_total", xdp, func(s *S) uint64 { return s.Userspace.GRE.ReceivedXDP }, "direction", "received")
	t.counter("gopptp_gre_xdp_packets_total", xdp, func(s *S) uint64 { return s.Userspace.GRE.SentXDP }, "direction", "sent")
	for reason, n := range map[string]func(s *S) uint64{
		"unknown_call":       func(s *S) uint64 { return s.Userspace.GRE.UnknownCall },
		"malformed":          func(s *S) uint64 { return s.Userspace.GRE.ReceivedMalformed },
		"receive_queue_full": func(s *S) uint64 { return s.Userspace.GRE.ReceiveQueueFull },
		"send_queue_full":    func(s *S) uint64 { return s.Userspace.GRE.SendQueueFull },
		"send_too_large":     func(s *S) uint64 { return s.Userspace.GRE.SendTooLarge },
		"send_refused":       func(s *S) uint64 { return s.Userspace.GRE.SendRefused },
	} {
		t.counter("gopptp_gre_dropped_packets_total", "GRE packets that the userspace plane, or the kernel before it, dropped outside of any call.", n, "reason", reason)
	}
	const tun = "Users' packets on the TUN device: received from the host, and sent to it."
	t.counter("gopptp_tun_packets_total", tun, func(s *S) uint64 { return s.Userspace.TUN.Received }, "direction", "received")
	t.counter("gopptp_tun_packets_total", tun, func(s *S) uint64 { return s.Userspace.TUN.Sent }, "direction", "sent")
	for reason, n := range map[string]func(s *S) uint64{
		"no_call":   func(s *S) uint64 { return s.Userspace.TUN.NoCall },
		"not_ip":    func(s *S) uint64 { return s.Userspace.TUN.NotIP },
		"link":      func(s *S) uint64 { return s.Userspace.TUN.Link },
		"too_large": func(s *S) uint64 { return s.Userspace.TUN.TooLarge },
		"looped":    func(s *S) uint64 { return s.Userspace.TUN.Looped },
		"refused":   func(s *S) uint64 { return s.Userspace.TUN.Refused },
	} {
		t.counter("gopptp_tun_dropped_packets_total", "Packets on the TUN device that went no further.", n, "reason", reason)
	}
	return t
}
