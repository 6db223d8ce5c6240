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

// sameOrigin refuses what a web page of elsewhere has a browser change.
func sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(handler(func(http.ResponseWriter, *http.Request) error {
		return problem(http.StatusForbidden, "a web page of another origin asks for this")
	}))
	return protection.Handler(next)
}
