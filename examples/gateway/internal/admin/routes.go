package admin

import (
	"net/http"
	"net/http/pprof"
	"strings"
)

// handler answers a request, or says what is wrong with it before it has written anything.
type handler func(w http.ResponseWriter, r *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := h(w, r); err != nil {
		writeProblem(w, err)
	}
}

// route is something that can be asked for.
type route struct {
	method, path string // the path as http.ServeMux takes it
	role         Role
	handler      http.Handler
}

// routes is everything that there is.
type routes []route

const api = "/api/v1"

func (s *Server) routes() routes {
	list := routes{
		{"GET", "/sessions", RoleRead, handler(s.sessions)},
		{"GET", "/sessions/{id}", RoleRead, handler(s.session)},
		{"DELETE", "/sessions/{id}", RoleOperate, handler(s.disconnectOne)},
		{"GET", "/sessions/{id}/trace", RoleOperate, handler(s.trace)},
		{"POST", "/disconnect", RoleOperate, handler(s.disconnect)},
		{"GET", "/state", RoleRead, handler(s.state)},
		{"POST", "/drain", RoleOperate, handler(s.drain)},
		{"POST", "/undrain", RoleOperate, handler(s.undrain)},
		{"POST", "/reload", RoleOperate, handler(s.reload)},
		{"GET", "/bans", RoleRead, handler(s.bans)},
		{"POST", "/bans", RoleOperate, handler(s.ban)},
		{"DELETE", "/bans", RoleOperate, handler(s.unban)},
		{"GET", "/stats", RoleRead, handler(s.stats)},
		{"GET", "/sections", RoleRead, handler(s.sections)},
		{"GET", "/sections/{name}", RoleRead, handler(s.section)},
		{"GET", "/events", RoleRead, handler(s.stream)},
		{"GET", "/openapi.json", RoleNone, http.HandlerFunc(openAPI)},
	}
	for i := range list {
		list[i].path = api + list[i].path
	}
	list = append(list, s.monitoring()...)
	return append(list,
		route{"GET", "/{$}", RoleNone, file("index.html", "text/html; charset=utf-8")},
		route{"GET", "/app.js", RoleNone, file("app.js", "text/javascript; charset=utf-8")},
		route{"GET", "/icon.svg", RoleNone, file("icon.svg", "image/svg+xml")},
		route{"GET", "/style.css", RoleNone, file("style.css", "text/css; charset=utf-8")},
		route{"GET", "/stats", RoleRead, handler(s.stats)},
		route{"GET", "/debug/pprof/", RoleRead, http.HandlerFunc(profiles)},
		route{"GET", "/debug/pprof/cmdline", RoleRead, http.HandlerFunc(pprof.Cmdline)},
		route{"GET", "/debug/pprof/profile", RoleRead, http.HandlerFunc(pprof.Profile)},
		route{"GET", "/debug/pprof/trace", RoleRead, http.HandlerFunc(pprof.Trace)},
		route{"GET", "/debug/pprof/symbol", RoleRead, http.HandlerFunc(pprof.Symbol)},
		route{"POST", "/debug/pprof/symbol", RoleRead, http.HandlerFunc(pprof.Symbol)},
	)
}

// mux serves the routes to those who may have them.
func (list routes) mux() *http.ServeMux {
	mux := http.NewServeMux() // the default one is open to any package of the program
	methods := make(map[string][]string)
	for _, r := range list {
		mux.Handle(r.method+" "+r.path, needs(r.role, r.handler))
		methods[r.path] = append(methods[r.path], r.method)
	}
	// What http.ServeMux would say itself, as a Problem.
	for path, allowed := range methods {
		if strings.HasPrefix(path, api) {
			mux.Handle(path, notAllowed(strings.Join(allowed, ", ")))
		}
	}
	mux.Handle(api+"/", handler(func(_ http.ResponseWriter, r *http.Request) error {
		return problem(http.StatusNotFound, "there is nothing at %s", r.URL.Path)
	}))
	return mux
}

func notAllowed(methods string) http.Handler {
	return handler(func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Allow", methods)
		return problem(http.StatusMethodNotAllowed, "%s is not possible here; possible: %s", r.Method, methods)
	})
}
