package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
)

// Problem is the body of every answer that refuses something, by RFC 9457 without types:
// the status says what kind it is.
type Problem struct {
	Title  string `json:"title"`  // the status in words
	Status int    `json:"status"` // of HTTP
	Detail string `json:"detail"` // what is wrong, on one line
	// Problems are those of a configuration that was refused, a line each.
	Problems []string `json:"problems,omitempty"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

func problem(status int, format string, args ...any) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) *Problem {
	return problem(http.StatusBadRequest, format, args...)
}

// writeProblem answers with an error: a Problem as it is, any other as a failure of the
// gateway's.
func writeProblem(w http.ResponseWriter, err error) {
	var p *Problem
	if !errors.As(err, &p) {
		p = problem(http.StatusInternalServerError, "%v", err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // that the client is gone is no matter
}
