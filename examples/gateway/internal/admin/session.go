package admin

import (
	"net/http"
	"net/netip"
	"reflect"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
)

// Session is what a list has of a session that is up.
type Session struct {
	ID         gopptp.SessionID `json:"id"`
	User       string           `json:"user"`
	Group      string           `json:"group,omitempty"`
	Source     netip.AddrPort   `json:"source"`  // of the control connection
	Address    netip.Addr       `json:"address"` // in the tunnel
	UpAt       time.Time        `json:"up_at"`
	Uptime     float64          `json:"uptime_seconds"`
	Encryption string           `json:"encryption"`
	// Octets of users' packets, from the peer and to it.
	ReceivedOctets uint64 `json:"received_octets"`
	SentOctets     uint64 `json:"sent_octets"`
	// Traffic is there if it was asked for, and once there are two samples of it.
	Traffic *Traffic `json:"traffic,omitempty"`
}

// Traffic is how much passes now, or may at most, in bit/s.
type Traffic struct {
	FromPeer uint64 `json:"from_peer"`
	ToPeer   uint64 `json:"to_peer"`
}

// Page is the answer to GET /api/v1/sessions.
type Page struct {
	Sessions []Session `json:"sessions"`
	Total    int       `json:"total"`          // that match, on all pages
	Next     string    `json:"next,omitempty"` // the cursor of the next page; empty: this is the last
}

// Detail is one session in full.
type Detail struct {
	Session
	State            string         `json:"state"`
	StartedAt        time.Time      `json:"started_at"`
	Server           netip.AddrPort `json:"server"` // our end of the control connection
	Gateway          netip.Addr     `json:"gateway"`
	DNS              []netip.Addr   `json:"dns"`
	NBNS             []netip.Addr   `json:"nbns"`
	IPv6Prefix       string         `json:"ipv6_prefix,omitempty"`
	IPv6Peer         string         `json:"ipv6_peer,omitempty"` // link-local
	MTU              int            `json:"mtu"`
	PeerInfo         string         `json:"peer_info"` // of the control connection
	PeerName         string         `json:"peer_name,omitempty"`
	CallInfo         string         `json:"call_info"`
	CallSerialNumber uint16         `json:"call_serial_number"`
	Backend          string         `json:"backend,omitempty"` // who let the user in
	Pool             string         `json:"pool,omitempty"`
	Quota            uint64         `json:"quota_octets,omitempty"`
	Limits           *Traffic       `json:"limits,omitempty"`                  // zero: none in that direction
	SessionTimeout   float64        `json:"session_timeout_seconds,omitempty"` // from up_at on
	IdleTimeout      float64        `json:"idle_timeout_seconds,omitempty"`
	Counters         Figures        `json:"counters"` // gopptp.Counters
}

// viewOf describes a session for a list.
func viewOf(s *gopptp.Session, now time.Time) Session {
	c := s.Counters()
	return Session{
		ID: s.ID(), User: s.User(), Group: grant.Of(s).Group, Source: s.RemoteAddr(), Address: s.Peer(),
		UpAt: s.UpAt().Round(0), Uptime: seconds(now.Sub(s.UpAt())), Encryption: s.Encryption(),
		ReceivedOctets: c.ReceivedOctets, SentOctets: c.SentOctets,
	}
}

// seconds is a duration to the millisecond.
func seconds(d time.Duration) float64 { return d.Round(time.Millisecond).Seconds() }

func detailOf(s *gopptp.Session, now time.Time) Detail {
	g := grant.Of(s)
	d := Detail{
		Session: viewOf(s, now), State: s.State().String(), StartedAt: s.StartedAt().Round(0),
		Server: s.LocalAddr(), Gateway: s.Local(), DNS: notNil(s.DNS()), NBNS: notNil(s.NBNS()), MTU: s.MTU(),
		PeerInfo: s.PeerInfo().String(), PeerName: s.PeerInfo().HostName,
		CallInfo: s.CallInfo().String(), CallSerialNumber: s.CallSerialNumber(),
		Backend: g.Backend, Pool: g.Pool, Quota: g.Quota,
		Counters: figuresOf(reflect.ValueOf(s.Counters())),
	}
	session, idle := s.Timeouts()
	d.SessionTimeout, d.IdleTimeout = seconds(session), seconds(idle)
	if r := s.Rates(); r.Limited() {
		d.Limits = &Traffic{FromPeer: r.FromPeer.BitsPerSecond, ToPeer: r.ToPeer.BitsPerSecond}
	}
	if p := s.IPv6Prefix(); p.IsValid() {
		d.IPv6Prefix, d.IPv6Peer = p.String(), s.PeerIPv6().String()
	}
	return d
}

// notNil has an empty list encoded as one.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) sessions(w http.ResponseWriter, r *http.Request) error {
	q, err := parseList(r)
	if err != nil {
		return err
	}
	var traffic map[gopptp.SessionID]Traffic
	if q.rates {
		if traffic, err = s.sampler.traffic(r.Context()); err != nil {
			return err
		}
	}
	list, next, total := page(q, s.candidates(q), traffic)
	answer := Page{Sessions: make([]Session, len(list)), Total: total}
	now := time.Now()
	for i, one := range list {
		view := viewOf(one, now)
		if t, ok := traffic[view.ID]; ok {
			view.Traffic = &t
		}
		answer.Sessions[i] = view
	}
	if next != nil {
		answer.Next = next.String()
	}
	writeJSON(w, answer)
	return nil
}

// candidates are the sessions to look for a query's in: few, where an index has them.
func (s *Server) candidates(q *listQuery) []*gopptp.Session {
	live := s.gateway.Live
	switch {
	case q.user != "":
		return live.ByUser(q.user)
	case q.source.IsValid() && q.source.IsSingleIP():
		return live.BySource(q.source.Addr())
	case q.address.IsValid() && q.address.IsSingleIP():
		if one := live.ByAddress(q.address.Addr()); one != nil {
			return []*gopptp.Session{one}
		}
		return nil
	}
	return live.All()
}

// find returns the session that the path names.
func (s *Server) find(r *http.Request) (*gopptp.Session, error) {
	id := r.PathValue("id")
	if one := s.gateway.Live.Get(gopptp.SessionID(id)); one != nil {
		return one, nil
	}
	return nil, problem(http.StatusNotFound, "no session has the ID %q", id)
}

func (s *Server) session(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	one, err := s.find(r)
	if err != nil {
		return err
	}
	writeJSON(w, detailOf(one, time.Now()))
	return nil
}
