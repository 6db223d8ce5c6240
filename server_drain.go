package gopptp

import (
	"net"

	"github.com/gopptp/gopptp/pptp"
)

// Why newcomers are refused.
const (
	reasonClosing  = "server is shutting down"
	reasonDraining = "server is draining"
)

// Drain has the server take in nobody any more, while those who are in stay: their
// sessions, and those being set up, go on for as long as they want. It is how a server is
// emptied before it is taken down, and Undrain undoes it.
//
// The listeners stay open, and newcomers are told, in a way that has clients try
// elsewhere at once and not time out: the reply to a Start-Control-Connection-Request is
// a general error for want of resources (RFC 2637 §2.2), that to a further call on a
// connection which is there is busy. Each counts as ServerStats.RefusedDraining. When
// Drain has returned, no session begins.
//
// A load balancer that only looks whether the port is open does not see it. The owner of
// the server is to tell it, from Draining.
func (s *Server) Drain() { s.setDraining(true) }

// Undrain has the server take in newcomers again, unless it has been closed.
func (s *Server) Undrain() { s.setDraining(false) }

// Draining reports whether newcomers are refused, by Drain, or by Shutdown or Close.
func (s *Server) Draining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining || s.closing
}

func (s *Server) setDraining(draining bool) {
	s.mu.Lock()
	changed := s.draining != draining && !s.closing
	s.draining = draining
	s.mu.Unlock()
	if changed {
		s.log().Info("draining", "on", draining)
	}
}

// newRefusedConn runs a control connection whose Start-Control-Connection-Request is to
// be refused, most likely. Others are not asked about: their clients may send the next
// message before they have the reply.
func (s *Server) newRefusedConn(nc net.Conn, c *serverConn) *pptp.Conn {
	cfg := s.settings.Load().connConfig(c.worker)
	cfg.ConfirmStart = true
	return pptp.NewConn(nc, cfg, c)
}

// startWhileDraining answers a Start-Control-Connection-Request on a connection that came
// while the server was draining.
func (c *serverConn) startWhileDraining() {
	if !c.server.Draining() {
		_ = c.conn.AcceptStart()
		return
	}
	c.server.count(func(st *ServerStats) { st.RefusedDraining++ })
	c.server.report.refused("control connection refused", reasonDraining, "remote", c.remote)
	_ = c.conn.RefuseStart(pptp.StartGeneralError, pptp.ErrorNoResource)
}
