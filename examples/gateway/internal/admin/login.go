package admin

import (
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/tokens"
)

const (
	// cookieName is that of a log-in. With TLS it has a prefix by which browsers take it
	// from this host alone.
	cookieName   = "gopptp"
	cookiePrefix = "__Host-"
	// loginFor is how long one lasts.
	loginFor = 12 * time.Hour
	// maxLogins is how many there are by one token; the next takes the place of the oldest.
	maxLogins = 100
)

// logins are those who came by a token, and those who logged in with one on the page. A
// log-in is a random number of its own, so that no browser keeps the token; it is good for
// as long as the token is.
type logins struct {
	tokens *fresh[tokens.List]
	secure bool // by TLS
	log    *slog.Logger

	mu    sync.Mutex
	known map[[sha256.Size]byte]login // by the hash of the cookie
}

type login struct {
	token tokens.Digest
	ends  time.Time
}

// gate says who a client is, by its Authorization, or else its cookie.
func (l *logins) gate(r *http.Request) client {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return client{}
		}
		return l.client(tokens.DigestOf(strings.TrimSpace(token)))
	}
	cookie, err := r.Cookie(l.cookie())
	if err != nil {
		return client{}
	}
	l.mu.Lock()
	known, ok := l.known[sha256.Sum256([]byte(cookie.Value))]
	l.mu.Unlock()
	if !ok || time.Now().After(known.ends) {
		return client{}
	}
	return l.client(known.token)
}

func (l *logins) client(d tokens.Digest) client {
	entry := l.tokens.get().Find(d)
	if entry == nil {
		return client{}
	}
	role := RoleRead
	if entry.Role == tokens.Operate {
		role = RoleOperate
	}
	return client{entry.Name, role}
}

func (l *logins) cookie() string {
	if l.secure {
		return cookiePrefix + cookieName
	}
	return cookieName
}

// logIn takes a token and answers with a cookie.
func (l *logins) logIn(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Token string `json:"token"`
	}
	if err := decodeBody(r, &body); err != nil {
		return err
	}
	digest := tokens.DigestOf(strings.TrimSpace(body.Token))
	who := l.client(digest)
	if who.role == RoleNone {
		return problem(http.StatusUnauthorized, "the gateway does not know this token")
	}
	l.log.Info("logged in to the page", "name", who.name, "role", who.role, "source", r.RemoteAddr)
	value := rand.Text()
	l.add(value, login{digest, time.Now().Add(loginFor)})
	l.setCookie(w, value, int(loginFor/time.Second))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// add forgets those that are over, and of the same token the oldest, if there are too many.
func (l *logins) add(value string, one login) {
	l.mu.Lock()
	defer l.mu.Unlock()
	own, oldest, now := 0, one.ends, time.Now()
	var key [sha256.Size]byte
	for k, other := range l.known {
		if now.After(other.ends) {
			delete(l.known, k)
		} else if other.token == one.token {
			own++
			if other.ends.Before(oldest) {
				key, oldest = k, other.ends
			}
		}
	}
	if own >= maxLogins {
		delete(l.known, key)
	}
	l.known[sha256.Sum256([]byte(value))] = one
}

func (l *logins) logOut(w http.ResponseWriter, r *http.Request) error {
	if cookie, err := r.Cookie(l.cookie()); err == nil {
		l.mu.Lock()
		delete(l.known, sha256.Sum256([]byte(cookie.Value)))
		l.mu.Unlock()
	}
	l.setCookie(w, "", -1)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (l *logins) setCookie(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: l.cookie(), Value: value, Path: "/", MaxAge: age,
		HttpOnly: true, Secure: l.secure, SameSite: http.SameSiteStrictMode,
	})
}
