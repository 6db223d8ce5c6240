package admin

import "net/http"

// Section is what another part of the gateway says of its state, such as its pools or the
// health of its RADIUS servers, for operators and for the page. Snapshot returns what can
// be encoded as JSON, promptly and of bounded size; it is safe for concurrent use.
type Section struct {
	Name     string // lower case, a word
	Snapshot func() any
}

func (s *Server) sections(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	answer := make(map[string]any, len(s.gateway.Sections))
	for _, one := range s.gateway.Sections {
		answer[one.Name] = one.Snapshot()
	}
	writeJSON(w, answer)
	return nil
}

func (s *Server) section(w http.ResponseWriter, r *http.Request) error {
	if err := paramsOf(r).end(); err != nil {
		return err
	}
	name := r.PathValue("name")
	for _, one := range s.gateway.Sections {
		if one.Name == name {
			writeJSON(w, one.Snapshot())
			return nil
		}
	}
	return problem(http.StatusNotFound, "there is no section %q", name)
}
