package metrics

import "github.com/gopptp/gopptp/examples/gateway/internal/firewall"

// Firewall adds what the gateway's table in the host's firewall drops. There is none of it
// while the table cannot be read.
func (m *Metrics) Firewall(snapshot func() (firewall.Snapshot, error)) {
	m.registry.MustRegister(firewallTable(func() []firewall.Snapshot {
		s, err := snapshot()
		if err != nil {
			return nil
		}
		return []firewall.Snapshot{s}
	}))
}

func firewallTable(take func() []firewall.Snapshot) *table[firewall.Snapshot] {
	type S = firewall.Snapshot
	t := many(take, func(*S) []string { return nil })
	t.gauge("gopptp_firewall_enabled", "1 while the gateway has a table in the host's firewall.", func(s *S) float64 { return truth(s.Enabled) })
	t.gauge("gopptp_firewall_peers", "Addresses that GRE is accepted from.", func(s *S) float64 { return float64(s.Peers) })
	t.gauge("gopptp_firewall_banned", "Addresses and networks that the firewall keeps out.", func(s *S) float64 { return float64(s.Banned) })
	const packets, octets = "Packets that the firewall dropped.", "Octets of packets that the firewall dropped."
	t.counter("gopptp_firewall_dropped_packets_total", packets, func(s *S) uint64 { return s.StrangersPackets }, "of", "stranger")
	t.counter("gopptp_firewall_dropped_packets_total", packets, func(s *S) uint64 { return s.BannedPackets }, "of", "banned")
	t.counter("gopptp_firewall_dropped_octets_total", octets, func(s *S) uint64 { return s.StrangersOctets }, "of", "stranger")
	t.counter("gopptp_firewall_dropped_octets_total", octets, func(s *S) uint64 { return s.BannedOctets }, "of", "banned")
	t.counter("gopptp_firewall_restored_total", "Times that the table was made anew, as others had removed or changed it.", func(s *S) uint64 { return s.Restored })
	return t
}
