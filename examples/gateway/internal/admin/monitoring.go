package admin

import (
	"net"
	"net/http"
)

// ServeMonitoring has l served until Close, with what a monitoring network and a load
// balancer ask for, for everybody who can reach it, and with nothing else.
func (s *Server) ServeMonitoring(l net.Listener) {
	s.serve(l, authorize(open("the monitoring address", RoleRead), s.monitoring().mux()))
}

// monitoring are the routes of that.
func (s *Server) monitoring() routes {
	list := routes{{"GET", "/healthz", RoleNone, http.HandlerFunc(s.healthz)}}
	if s.gateway.Ready != nil {
		list = append(list, route{"GET", "/readyz", RoleNone, s.gateway.Ready})
	}
	if s.gateway.Metrics != nil {
		list = append(list, route{"GET", "/metrics", RoleRead, s.gateway.Metrics})
	}
	return list
}
