package admin

import (
	"cmp"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bans are who may not come in for a while. Its methods are safe for concurrent use.
type Bans interface {
	// List returns those that are in force, in no order.
	List() []Ban
	// Add begins one, or changes the end and the reason of one that is there. What it
	// refuses to ban is an error.
	Add(b Ban) error
	// Remove ends one, and reports whether it was there.
	Remove(user string, source netip.Prefix) bool
}

// Ban keeps a user out, or a source, or a user from that source.
type Ban struct {
	User   string       // empty: all
	Source netip.Prefix // not valid: everywhere
	Until  time.Time
	Reason string
}

// BanInForce is a Ban as it is encoded.
type BanInForce struct {
	User    string    `json:"user,omitempty"`
	Source  string    `json:"source,omitempty"`
	Until   time.Time `json:"until"`
	Seconds float64   `json:"seconds"` // that are left
	Reason  string    `json:"reason,omitempty"`
}

func inForce(b Ban, now time.Time) BanInForce {
	return BanInForce{User: b.User, Source: networkText(b.Source), Until: b.Until.Round(0), Seconds: seconds(b.Until.Sub(now)), Reason: b.Reason}
}

// networkText is an address, where a network has but one.
func networkText(p netip.Prefix) string {
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

// BanOrder is the body of POST /api/v1/bans.
type BanOrder struct {
	User     string `json:"user,omitempty"`
	Source   string `json:"source,omitempty"`   // an address or a network
	Duration string `json:"duration,omitempty"` // such as 30m; empty: an hour
	Reason   string `json:"reason,omitempty"`
}

// The limits of what can be ordered.
const (
	defaultBan = time.Hour
	maxBan     = 10 * 365 * 24 * time.Hour
	maxReason  = 200
	maxBans    = 10_000 // in one answer
)

func (o *BanOrder) ban(now time.Time) (Ban, error) {
	b := Ban{User: o.User, Reason: o.Reason}
	if o.User == "" && o.Source == "" {
		return b, badRequest("give a user, a source, or both")
	}
	if o.Source != "" {
		network, err := parseNetwork(o.Source)
		if err != nil {
			return b, badRequest("source: %v", err)
		}
		b.Source = network
	}
	if len(o.Reason) > maxReason {
		return b, badRequest("reason has %d octets; it can have %d", len(o.Reason), maxReason)
	}
	length, err := time.ParseDuration(cmp.Or(o.Duration, defaultBan.String()))
	if err != nil || length < time.Second || length > maxBan {
		return b, badRequest("duration: %q is not a duration from 1s to %v", o.Duration, maxBan)
	}
	b.Until = now.Add(length)
	return b, nil
}

// BanList is the answer to GET /api/v1/bans, the one that ends first before the others.
type BanList struct {
	Bans  []BanInForce `json:"bans"`
	Total int          `json:"total"` // of which not all may be in Bans
}

var errNoBans = problem(http.StatusNotImplemented, "this gateway keeps no bans")

func (s *Server) bans(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	limit := p.number("limit", defaultPage, 1, maxBans)
	if err := p.end(); err != nil {
		return err
	}
	if s.gateway.Bans == nil {
		return errNoBans
	}
	list, now := s.gateway.Bans.List(), time.Now()
	slices.SortFunc(list, func(a, b Ban) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.User, b.User), a.Source.Addr().Compare(b.Source.Addr()))
	})
	answer := BanList{Bans: []BanInForce{}, Total: len(list)}
	for _, b := range list[:min(limit, len(list))] {
		answer.Bans = append(answer.Bans, inForce(b, now))
	}
	writeJSON(w, answer)
	return nil
}

func (s *Server) ban(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	var order BanOrder
	if err := decodeBody(r, &order); err != nil {
		return err
	}
	b, err := order.ban(time.Now())
	if err != nil {
		return err
	}
	if s.gateway.Bans == nil {
		return errNoBans
	}
	if err := s.gateway.Bans.Add(b); err != nil {
		var p *Problem
		if errors.As(err, &p) {
			return p
		}
		return problem(http.StatusUnprocessableEntity, "%v", err)
	}
	who := clientOf(r).name
	s.gateway.Log.Info("banned", "user", b.User, "source", networkText(b.Source), "until", b.Until, "by", who)
	s.gateway.Events.Publish(BanEvent(b, strings.TrimSuffix("by "+who+": "+b.Reason, ": ")))
	writeJSON(w, inForce(b, time.Now()))
	return nil
}

func (s *Server) unban(w http.ResponseWriter, r *http.Request) error {
	p := paramsOf(r)
	user, source := p.text("user"), p.network("source")
	if err := p.end(); err != nil {
		return err
	}
	switch {
	case user == "" && !source.IsValid():
		return badRequest("give a user, a source, or both")
	case s.gateway.Bans == nil:
		return errNoBans
	case !s.gateway.Bans.Remove(user, source):
		return problem(http.StatusNotFound, "there is no such ban")
	}
	who := clientOf(r).name
	s.gateway.Log.Info("ban ended", "user", user, "source", networkText(source), "by", who)
	s.gateway.Events.Publish(Event{Kind: EventUnban, User: user, Network: networkText(source), Text: "by " + who})
	w.WriteHeader(http.StatusNoContent)
	return nil
}
