package admin

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// onlyLocalNames refuses requests for other hosts. A web page can have a browser on this
// host ask the address under the page's own name, and read the answer: DNS rebinding. A
// Unix socket may be behind a port of an operator's own machine, by ssh -L.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLocalName(r.Host) {
			writeProblem(w, problem(http.StatusMisdirectedRequest, "this address is for localhost and loopback addresses only"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLocalName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil { // has no port
		host = strings.Trim(hostport, "[]")
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// sameOrigin refuses what a web page of elsewhere has a browser ask for, but for a link to
// our page. It could not read the answer; but it could change something, have profiles
// taken, or take the places of those who follow the events.
func sameOrigin(next http.Handler) http.Handler {
	refuse := handler(func(http.ResponseWriter, *http.Request) error {
		return problem(http.StatusForbidden, "a web page of another origin asks for this")
	})
	protection := http.NewCrossOriginProtection() // of what changes something, where browsers do not say from which site
	protection.SetDenyHandler(refuse)
	next = protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		if (site == "cross-site" || site == "same-site") && (r.Method != http.MethodGet || r.URL.Path != "/") {
			refuse.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// policy has browsers load nothing but the files of our page, and show no answer within
// another one.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guarded has browsers take every answer for what it is said to be, and tell nobody of it.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
