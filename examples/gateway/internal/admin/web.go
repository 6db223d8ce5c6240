package admin

import (
	"crypto/sha256"
	"crypto/tls"
	"embed"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/tokens"
)

// page has the files of the web page. They hold nothing that is anybody's secret: what they
// show, they ask the API for.
//
//go:embed web
var webFiles embed.FS

func file(name, kind string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		text, err := webFiles.ReadFile("web/" + name)
		if err != nil {
			writeProblem(w, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Cache-Control", "no-cache")
		w.Write(text)
	})
}

// Web is an address for those who have a token, from anywhere.
type Web struct {
	listener net.Listener
	logins   *logins
}

// ListenWeb opens the address that a configuration says.
func ListenWeb(cfg *config.AdminWeb, log *slog.Logger) (*Web, error) {
	list, err := newFresh(log, func() (tokens.List, error) {
		list, problems := tokens.Load(cfg.TokensFile)
		if len(problems) > 0 {
			return nil, problems
		}
		return list, nil
	}, cfg.TokensFile)
	if err != nil {
		return nil, err
	}
	w := &Web{logins: &logins{tokens: list, secure: cfg.Certificate != "", log: log, known: make(map[[sha256.Size]byte]login)}}
	var certificate *fresh[*tls.Certificate]
	if w.logins.secure {
		certificate, err = newFresh(log, func() (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(cfg.Certificate, cfg.Key)
			return &c, err
		}, cfg.Certificate, cfg.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
	}
	if w.listener, err = net.Listen("tcp", cfg.Listen.String()); err != nil {
		return nil, err
	}
	if certificate != nil {
		w.listener = tls.NewListener(w.listener, &tls.Config{
			MinVersion:     tls.VersionTLS12,
			NextProtos:     []string{"http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate.get(), nil },
		})
	}
	return w, nil
}

// Addr is where it is.
func (w *Web) Addr() net.Addr { return w.listener.Addr() }

// Close closes an address that is not served.
func (w *Web) Close() error { return w.listener.Close() }

// ServeWeb has the address served until Close, which closes it. Whoever has no token gets
// the page that asks for one, /healthz, and nothing else.
func (s *Server) ServeWeb(web *Web) {
	mux := http.NewServeMux()
	mux.Handle("POST /login", handler(web.logins.logIn))
	mux.Handle("POST /logout", handler(web.logins.logOut))
	mux.Handle("/", s.mux)
	s.serve(web.listener, sameOrigin(authorize(web.logins.gate, mux)))
}
