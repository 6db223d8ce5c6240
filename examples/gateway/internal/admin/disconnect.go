package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
)

// Disconnect is the body of POST /api/v1/disconnect: whom to disconnect, by one of these.
type Disconnect struct {
	ID     gopptp.SessionID `json:"id,omitempty"`
	User   string           `json:"user,omitempty"`
	Source string           `json:"source,omitempty"` // an address or a network
	All    bool             `json:"all,omitempty"`
	// Confirm must be true with All, and with a network.
	Confirm bool `json:"confirm,omitempty"`
}

// Disconnected is the answer: how many sessions have been told to end.
type Disconnected struct {
	Disconnected int `json:"disconnected"`
}

// find returns the sessions, and whom they are of in words.
func (d *Disconnect) find(s *Server) (list []*gopptp.Session, whose string, err error) {
	given := 0
	for _, is := range []bool{d.ID != "", d.User != "", d.Source != "", d.All} {
		if is {
			given++
		}
	}
	live := s.gateway.Live
	switch {
	case given != 1:
		return nil, "", badRequest("give one of id, user, source and all, not %d of them", given)
	case d.ID != "":
		if one := live.Get(d.ID); one != nil {
			list = append(list, one)
		}
		return list, fmt.Sprintf("with the ID %q", d.ID), nil
	case d.User != "":
		return live.ByUser(d.User), fmt.Sprintf("of the user %q", d.User), nil
	case d.Source != "":
		network, err := parseNetwork(d.Source)
		if err != nil {
			return nil, "", badRequest("source: %v", err)
		}
		if !network.IsSingleIP() && !d.Confirm {
			return nil, "", badRequest("confirm must be true to disconnect a whole network")
		}
		return fromNetwork(live, network), "from " + d.Source, nil
	case !d.Confirm:
		return nil, "", badRequest("confirm must be true to disconnect all sessions")
	}
	return live.All(), "", nil
}

func fromNetwork(live interface {
	All() []*gopptp.Session
	BySource(netip.Addr) []*gopptp.Session
}, network netip.Prefix) (list []*gopptp.Session) {
	if network.IsSingleIP() {
		return live.BySource(network.Addr())
	}
	for _, one := range live.All() {
		if network.Contains(one.RemoteAddr().Addr()) {
			list = append(list, one)
		}
	}
	return list
}

func (s *Server) disconnect(w http.ResponseWriter, r *http.Request) error {
	var order Disconnect
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	if err := decodeBody(r, &order); err != nil {
		return err
	}
	list, whose, err := order.find(s)
	if err != nil {
		return err
	}
	if len(list) == 0 && !order.All {
		return problem(http.StatusNotFound, "there is no session %s", whose)
	}
	s.end(r, list)
	writeJSON(w, Disconnected{len(list)})
	return nil
}

func (s *Server) disconnectOne(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	one, err := s.find(r)
	if err != nil {
		return err
	}
	s.end(r, []*gopptp.Session{one})
	writeJSON(w, Disconnected{1})
	return nil
}

func (s *Server) end(r *http.Request, list []*gopptp.Session) {
	who, begin := clientOf(r).name, time.Now()
	for _, one := range list {
		one.End(gopptp.CauseAdmin, fmt.Errorf("disconnected by %s", who))
	}
	s.gateway.Log.Info("sessions disconnected", "by", who, "sessions", len(list), "took", time.Since(begin))
}
