package metrics

import (
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/latency"
	"github.com/gopptp/gopptp/examples/gateway/internal/radius"
)

// radiusClient and radiusServer are snapshots with what a client is for.
type radiusClient struct {
	radius.ClientStats
	use string
}

type radiusServer struct {
	radius.ServerStats
	use string
}

// RADIUS adds clients of RADIUS servers, by what they are for: login and accounting.
//
// What is nil at the time is not there.
func (m *Metrics) RADIUS(clients map[string]func() *radius.Client) {
	take := func() (list []radiusClient) {
		for use, now := range clients {
			if c := now(); c != nil {
				list = append(list, radiusClient{c.Stats(), use})
			}
		}
		return list
	}
	m.registry.MustRegister(radiusClients(take), radiusServers(func() (list []radiusServer) {
		for _, c := range take() {
			for _, s := range c.Servers {
				list = append(list, radiusServer{s, c.use})
			}
		}
		return list
	}))
}

func radiusClients(take func() []radiusClient) *table[radiusClient] {
	type S = radiusClient
	t := many(take, func(s *S) []string { return []string{s.use} }, "use")
	t.gauge("gopptp_radius_in_flight", "Requests to RADIUS servers under way.", func(s *S) float64 { return float64(s.InFlight) })
	t.gauge("gopptp_radius_in_flight_limit", "How many requests to RADIUS servers may be under way; others wait.", func(s *S) float64 { return float64(s.MaxInFlight) })
	t.gauge("gopptp_radius_waiting", "Requests that wait for one under way to end.", func(s *S) float64 { return float64(s.ClientStats.Waiting) })
	t.counter("gopptp_radius_busy_total", "Requests that waited for that in vain.", func(s *S) uint64 { return s.Busy })
	t.counter("gopptp_radius_unanswered_total", "Requests that no RADIUS server answered.", func(s *S) uint64 { return s.Unanswered })
	return t
}

func radiusServers(take func() []radiusServer) *table[radiusServer] {
	type S = radiusServer
	t := many(take, func(s *S) []string { return []string{s.use, s.Server} }, "use", "server")
	t.gauge("gopptp_radius_server_alive", "1 while the server is taken for alive.", func(s *S) float64 { return truth(s.Alive) })
	t.gauge("gopptp_radius_server_priority", "Priority of the server; those with a lower number are asked first.", func(s *S) float64 { return float64(s.Priority) })
	t.gauge("gopptp_radius_server_links", "Sockets or connections to the server.", func(s *S) float64 { return float64(s.Links) })
	t.gauge("gopptp_radius_server_waiting", "Requests that wait for an answer of the server.", func(s *S) float64 { return float64(s.ServerStats.Waiting) })
	t.counter("gopptp_radius_requests_total", "Requests to the server, without probes and repetitions.", func(s *S) uint64 { return s.Requests })
	t.counter("gopptp_radius_retransmits_total", "Repetitions of requests.", func(s *S) uint64 { return s.Retransmits })
	t.counter("gopptp_radius_timeouts_total", "Requests that the server did not answer in time.", func(s *S) uint64 { return s.Timeouts })
	t.counter("gopptp_radius_probes_total", "Status-Server requests.", func(s *S) uint64 { return s.Probes })
	t.counter("gopptp_radius_link_failures_total", "Sockets and connections that could not be made, or broke.", func(s *S) uint64 { return s.LinkFailures })
	for code, n := range map[string]func(s *S) uint64{
		"access_accept":       func(s *S) uint64 { return s.Accepts },
		"access_reject":       func(s *S) uint64 { return s.Rejects },
		"access_challenge":    func(s *S) uint64 { return s.Challenges },
		"accounting_response": func(s *S) uint64 { return s.AccountingReplies },
	} {
		t.counter("gopptp_radius_answers_total", "Answers of the server that were taken.", n, "code", code)
	}
	for reason, n := range map[string]func(s *S) uint64{
		"bad_authenticator": func(s *S) uint64 { return s.BadAuthenticators },
		"unsigned":          func(s *S) uint64 { return s.Unsigned },
		"malformed":         func(s *S) uint64 { return s.Malformed },
		"unexpected":        func(s *S) uint64 { return s.Unexpected },
	} {
		t.counter("gopptp_radius_ignored_answers_total", "Answers from the address of the server that were not taken, by reason.", n, "reason", reason)
	}
	t.histogram("gopptp_radius_answer_seconds", "How long the server took to answer, from the first packet on.", latency.Bounds[:],
		func(s *S) ([]uint64, uint64, time.Duration) {
			return s.Latency.Counts[:], s.Latency.Count, s.Latency.Sum
		})
	return t
}

// DynAuth adds the orders of RADIUS servers.
func (m *Metrics) DynAuth(stats func() radius.DynAuthStats) {
	m.registry.MustRegister(dynAuthTable(stats))
}

func dynAuthTable(stats func() radius.DynAuthStats) *table[radius.DynAuthStats] {
	type S = radius.DynAuthStats
	t := one(stats)
	for outcome, n := range map[string]func(s *S) uint64{
		"disconnected": func(s *S) uint64 { return s.Disconnects },
		"changed":      func(s *S) uint64 { return s.Changes },
		"refused":      func(s *S) uint64 { return s.Refused },
		"repeated":     func(s *S) uint64 { return s.Repeated },
		"stranger":     func(s *S) uint64 { return s.Strangers },
		"forged":       func(s *S) uint64 { return s.Forged },
		"stale":        func(s *S) uint64 { return s.Stale },
		"malformed":    func(s *S) uint64 { return s.Malformed },
	} {
		t.counter("gopptp_radius_orders_total", "Disconnect and CoA requests of RADIUS servers, by what became of them.", n, "outcome", outcome)
	}
	return t
}
