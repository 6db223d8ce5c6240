package admin

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/tokens"
)

// website is an address for those who have a token.
type website struct {
	t             *testing.T
	url           string
	file          string // of tokens
	read, operate string // tokens
	client        http.Client
	cfg           config.AdminWeb
	log           lockedBuffer
}

// publish gives the world such an address, on a free port of the loopback interface.
func (w *world) publish(certificate, key string) *website {
	w.t.Helper()
	s := &website{t: w.t, file: filepath.Join(w.t.TempDir(), "tokens")}
	var err error
	s.read, err = tokens.Add(s.file, "alice", tokens.Read)
	require.NoError(w.t, err)
	s.operate, err = tokens.Add(s.file, "oscar", tokens.Operate)
	require.NoError(w.t, err)
	s.cfg = config.AdminWeb{
		Listen:     config.WebAddr{AddrPort: netip.MustParseAddrPort("127.0.0.1:0")},
		TokensFile: s.file, Certificate: certificate, Key: key,
	}
	web, err := ListenWeb(&s.cfg, slog.New(slog.NewTextHandler(&s.log, nil)))
	require.NoError(w.t, err)
	w.server.ServeWeb(web)
	s.url = "http://" + web.Addr().String()
	if certificate != "" {
		s.url = "https://" + web.Addr().String()
	}
	s.client.Jar, _ = cookiejar.New(nil)
	transport := new(http.Transport)
	if certificate != "" {
		pool := x509.NewCertPool()
		text, err := os.ReadFile(certificate)
		require.NoError(w.t, err)
		require.True(w.t, pool.AppendCertsFromPEM(text))
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	s.client.Transport = transport
	w.t.Cleanup(s.client.CloseIdleConnections)
	return s
}

// do asks for something; headers are pairs.
func (s *website) do(method, path, body string, headers ...string) (int, string, http.Header) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := s.client.Do(req)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return resp.StatusCode, string(text), resp.Header
}

func (s *website) status(method, path string, headers ...string) int {
	s.t.Helper()
	status, _, _ := s.do(method, path, "", headers...)
	return status
}

func TestBearer(t *testing.T) {
	w := start(t, nil)
	s := w.publish("", "")
	for _, r := range w.server.routes() {
		path := strings.NewReplacer("{id}", "x", "{name}", "x", "{$}", "").Replace(r.path)
		if r.role == RoleNone {
			assert.Equal(t, 200, s.status(r.method, path), path)
			continue
		}
		status, _, header := s.do(r.method, path, "")
		assert.Equal(t, 401, status, path)
		assert.Equal(t, `Bearer realm="gateway"`, header.Get("WWW-Authenticate"))
		if r.role == RoleOperate {
			assert.Equal(t, 403, s.status(r.method, path, "Authorization", "Bearer "+s.read), path)
		}
	}
	assert.Equal(t, 200, s.status("GET", "/api/v1/state", "Authorization", "Bearer "+s.read))
	assert.Equal(t, 200, s.status("POST", "/api/v1/undrain", "Authorization", "bearer "+s.operate))
	for _, header := range []string{"", "Bearer", "Bearer ", "Bearer " + s.read + "x", s.read, "Basic " + s.read, "Bearer alice"} {
		assert.Equal(t, 401, s.status("GET", "/api/v1/state", "Authorization", header), header)
	}
	_, text, _ := s.do("GET", "/api/v1/state", "", "Authorization", "Bearer "+s.operate)
	assert.Contains(t, text, `"role": "operate"`)
	assert.NotContains(t, s.log.String(), s.read)
}

func TestLogIn(t *testing.T) {
	w := start(t, nil)
	s := w.publish("", "")
	status, text, header := s.do("POST", "/login", `{"token": "`+s.operate+`"}`)
	require.Equal(t, 204, status, text)
	cookie := header.Get("Set-Cookie")
	for _, want := range []string{"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} {
		assert.Contains(t, cookie, want)
	}
	assert.NotContains(t, cookie, s.operate)
	assert.Regexp(t, `msg="logged in to the page" name=oscar role=operate source=127\.0\.0\.1:\d+\n`, s.log.String())
	assert.Equal(t, 200, s.status("POST", "/api/v1/undrain"))

	// What other sites have the browser do.
	assert.Equal(t, 403, s.status("POST", "/api/v1/undrain", "Sec-Fetch-Site", "cross-site"))
	assert.Equal(t, 403, s.status("POST", "/api/v1/undrain", "Origin", "http://evil.example"))
	assert.Equal(t, 403, s.status("POST", "/login", "Origin", "http://evil.example"))
	assert.Equal(t, 401, s.status("POST", "/api/v1/undrain", "Authorization", "Bearer wrong"), "a token stands before a cookie")

	assert.Equal(t, 204, s.status("POST", "/logout"))
	assert.Equal(t, 401, s.status("GET", "/api/v1/state"))
	assert.Equal(t, 401, s.status("GET", "/api/v1/state", "Cookie", strings.Split(cookie, ";")[0]), "even if somebody kept it")

	for body, want := range map[string]int{`{"token": "wrong"}`: 401, `{"token": ""}`: 401, `{}`: 401, `{"password": "x"}`: 400, `[`: 400} {
		status, _, header := s.do("POST", "/login", body)
		assert.Equal(t, want, status, body)
		assert.Empty(t, header.Get("Set-Cookie"))
	}
}

// A token that is taken back is worth nothing at once, and neither are its log-ins; a file
// that is wrong changes nothing.
func TestTokensChange(t *testing.T) {
	w := start(t, nil)
	s := w.publish("", "")
	status, _, _ := s.do("POST", "/login", `{"token": "`+s.operate+`"}`)
	require.Equal(t, 204, status)
	require.NoError(t, os.WriteFile(s.file, []byte("nonsense\n"), 0o600))
	assert.Equal(t, 200, s.status("GET", "/api/v1/state"))
	assert.Equal(t, 200, s.status("GET", "/api/v1/state"))
	assert.Equal(t, 1, strings.Count(s.log.String(), "needs name, role and hash"), s.log.String())

	carol, line, err := tokens.New("carol", tokens.Read)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(s.file, []byte(line), 0o600))
	assert.Equal(t, 401, s.status("GET", "/api/v1/state"))
	assert.Equal(t, 200, s.status("GET", "/api/v1/state", "Authorization", "Bearer "+carol))
}

// Who logs in very often takes no place of anybody else's.
func TestLoginsAreBounded(t *testing.T) {
	l := &logins{known: make(map[[32]byte]login)}
	alice, oscar := tokens.DigestOf("alice"), tokens.DigestOf("oscar")
	l.add("over", login{oscar, time.Now().Add(-time.Second)})
	l.add("first", login{oscar, time.Now().Add(time.Second * 1000)})
	for i := range maxLogins + 10 {
		l.add(fmt.Sprint(i), login{alice, time.Now().Add(time.Hour + time.Duration(i)*time.Minute)})
	}
	assert.Len(t, l.known, maxLogins+1)
	assert.Contains(t, l.known, sha256.Sum256([]byte("first")))
	assert.NotContains(t, l.known, sha256.Sum256([]byte("9")), "the oldest")
	assert.Contains(t, l.known, sha256.Sum256([]byte("10")))
}

func TestPageHeaders(t *testing.T) {
	w := start(t, nil)
	s := w.publish("", "")
	for path, kind := range map[string]string{"/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css"} {
		status, text, header := s.do("GET", path, "")
		assert.Equal(t, 200, status)
		assert.Contains(t, header.Get("Content-Type"), kind)
		assert.Contains(t, header.Get("Content-Security-Policy"), "default-src 'none'")
		assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
		assert.NotContains(t, text, "http://", "is without anything from elsewhere")
		assert.NotContains(t, text, "https://")
		assert.NotContains(t, text, "innerHTML")
	}
}

// certificate writes one for 127.0.0.1.
func certificate(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(block), 0o600))
	}
}

// With TLS, cookies are for TLS alone; a certificate that is renewed is used at once.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := dir+"/cert.pem", dir+"/key.pem"
	certificate(t, cert, key, 1)
	w := start(t, nil)
	s := w.publish(cert, key)
	status, _, header := s.do("POST", "/login", `{"token": "`+s.read+`"}`)
	assert.Equal(t, 204, status)
	assert.True(t, strings.HasPrefix(header.Get("Set-Cookie"), "__Host-gopptp="))
	assert.Contains(t, header.Get("Set-Cookie"), "; Secure")
	assert.Equal(t, 200, s.status("GET", "/api/v1/state"))
	_, err := http.Get("http" + strings.TrimPrefix(s.url, "https") + "/healthz")
	assert.Error(t, err, "in clear")

	certificate(t, cert, key, 2)
	conn, err := tls.Dial("tcp", strings.TrimPrefix(s.url, "https://"), &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer conn.Close()
	assert.EqualValues(t, 2, conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64())

	s.cfg.Key = dir + "/none.pem"
	_, err = ListenWeb(&s.cfg, slog.New(slog.DiscardHandler))
	assert.ErrorContains(t, err, "certificate: open "+dir+"/none.pem")
	s.cfg.TokensFile = dir + "/none"
	_, err = ListenWeb(&s.cfg, slog.New(slog.DiscardHandler))
	assert.ErrorContains(t, err, "cannot be read")
}

// No token is in what is written to a log.
func TestNoTokenInLogs(t *testing.T) {
	var log bytes.Buffer
	w := start(t, func(g *Gateway) {
		g.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	s := w.publish("", "")
	s.status("POST", "/api/v1/drain", "Authorization", "Bearer "+s.operate)
	w.server.Close()
	assert.Contains(t, log.String(), "by=oscar")
	assert.NotContains(t, log.String(), strings.TrimPrefix(s.operate, "gopptp_"))
}
