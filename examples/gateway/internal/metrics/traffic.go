package metrics

import (
	"sync"

	"github.com/gopptp/gopptp"
)

// traffic is the sum of the counters of all sessions there have been. Those of sessions
// that live are read when somebody asks, so that nothing is counted twice.
type traffic struct {
	mu   sync.Mutex
	live map[*gopptp.Session]struct{}
	past gopptp.Counters
}

func (t *traffic) begin(s *gopptp.Session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.live[s] = struct{}{}
}

func (t *traffic) end(s *gopptp.Session) {
	c := s.Counters() // which are final
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.live, s)
	add(&t.past, &c)
}

func (t *traffic) sum() gopptp.Counters {
	t.mu.Lock()
	sum := t.past
	list := make([]*gopptp.Session, 0, len(t.live))
	for s := range t.live {
		list = append(list, s)
	}
	t.mu.Unlock()
	// Who ends meanwhile has the same counters as at its end, or less: the next sum is no
	// smaller than this one.
	for _, s := range list {
		c := s.Counters()
		add(&sum, &c)
	}
	return sum
}

// add adds the counters of c to those of sum.
func add(sum, c *gopptp.Counters) {
	sum.ReceivedPackets += c.ReceivedPackets
	sum.ReceivedOctets += c.ReceivedOctets
	sum.SentPackets += c.SentPackets
	sum.SentOctets += c.SentOctets
	sum.Lost += c.Lost
	sum.Reordered += c.Reordered
	sum.Duplicates += c.Duplicates
	sum.DroppedSource += c.DroppedSource
	sum.DroppedClear += c.DroppedClear
	sum.DroppedEncrypted += c.DroppedEncrypted
	sum.DroppedMalformed += c.DroppedMalformed
	sum.DroppedQueue += c.DroppedQueue
	sum.DroppedNetwork += c.DroppedNetwork
	sum.DroppedRate += c.DroppedRate
	sum.DroppedLink += c.DroppedLink
}

func trafficTable(sum func() gopptp.Counters) *table[gopptp.Counters] {
	type S = gopptp.Counters
	t := one(sum)
	const octets, packets = "Octets of users' IP packets.", "Users' IP packets."
	t.counter("gopptp_traffic_bytes_total", octets, func(s *S) uint64 { return s.ReceivedOctets }, "direction", "from_clients")
	t.counter("gopptp_traffic_bytes_total", octets, func(s *S) uint64 { return s.SentOctets }, "direction", "to_clients")
	t.counter("gopptp_traffic_packets_total", packets, func(s *S) uint64 { return s.ReceivedPackets }, "direction", "from_clients")
	t.counter("gopptp_traffic_packets_total", packets, func(s *S) uint64 { return s.SentPackets }, "direction", "to_clients")
	t.counter("gopptp_gre_lost_packets_total", "GRE packets of clients that never came.", func(s *S) uint64 { return s.Lost })
	t.counter("gopptp_gre_reordered_packets_total", "GRE packets of clients that came out of order, and were put right.", func(s *S) uint64 { return s.Reordered })
	t.counter("gopptp_gre_duplicate_packets_total", "GRE packets of clients that came twice, or too late, and were dropped.", func(s *S) uint64 { return s.Duplicates })
	for reason, n := range map[string]func(s *S) uint64{
		"source":    func(s *S) uint64 { return s.DroppedSource },
		"clear":     func(s *S) uint64 { return s.DroppedClear },
		"encrypted": func(s *S) uint64 { return s.DroppedEncrypted },
		"malformed": func(s *S) uint64 { return s.DroppedMalformed },
		"queue":     func(s *S) uint64 { return s.DroppedQueue },
		"network":   func(s *S) uint64 { return s.DroppedNetwork },
		"rate":      func(s *S) uint64 { return s.DroppedRate },
		"link":      func(s *S) uint64 { return s.DroppedLink },
	} {
		t.counter("gopptp_dropped_packets_total", "Packets of sessions that were not carried, by reason.", n, "reason", reason)
	}
	return t
}
