package admin

import (
	"context"
	"net/http"
)

// Role is what a client may do.
type Role uint8

// The roles. Each may do what those before it may.
const (
	RoleNone    Role = iota // what needs no log-in: /healthz, and the page that asks for one
	RoleRead                // look at everything
	RoleOperate             // change something, and see the packets of users
)

var roleNames = [...]string{"none", "read", "operate"}

// String is the role in one word.
func (r Role) String() string { return roleNames[r] }

// client is who has asked.
type client struct {
	name string // for the log
	role Role
}

// A gate says who a client is.
type gate func(r *http.Request) client

// open takes everybody who can reach the address for one with a role.
func open(name string, role Role) gate {
	return func(*http.Request) client { return client{name, role} }
}

type clientKey struct{}

// clientOf returns who has asked.
func clientOf(r *http.Request) client {
	c, _ := r.Context().Value(clientKey{}).(client)
	return c
}

// authorize has the gate look at every request.
func authorize(g gate, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), clientKey{}, g(r))))
	})
}

// needs refuses those who may not.
func needs(role Role, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch c := clientOf(r); {
		case c.role >= role:
			next.ServeHTTP(w, r)
		case c.role == RoleNone:
			w.Header().Set("WWW-Authenticate", `Bearer realm="gateway"`)
			writeProblem(w, problem(http.StatusUnauthorized, "this needs a token that the gateway knows"))
		default:
			writeProblem(w, problem(http.StatusForbidden, "%s may look, and change nothing: that needs the role operate", c.name))
		}
	})
}
