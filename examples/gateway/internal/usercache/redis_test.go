package usercache

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database/databasetest"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// redisServer is a Redis server with TLS that wants certificates of its clients, too. Its
// directory has ca.pem, server.pem for cache.example.net, client.pem, and their keys, and
// other.pem of nobody.
type redisServer struct {
	dir, program string
	addr         string
	cmd          *exec.Cmd
}

func newRedisServer(t *testing.T) *redisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs redis-server: scripts/apt.sh redis-server")
	}
	s := &redisServer{dir: t.TempDir(), program: program}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	s.addr = l.Addr().String()
	require.NoError(t, l.Close())
	ca, key := s.certify(t, "ca", nil, nil)
	s.certify(t, "server", ca, key)
	s.certify(t, "client", ca, key)
	s.certify(t, "other", nil, nil)
	s.start(t)
	t.Cleanup(s.kill)
	return s
}

// certify writes a certificate and its key, by the authority or as one.
func (s *redisServer) certify(t *testing.T, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		BasicConstraintsValid: true, IsCA: ca == nil, DNSNames: []string{"cache.example.net"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	c.Subject.CommonName = name
	if ca == nil {
		ca, caKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, ca, &key.PublicKey, caKey)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for file, block := range map[string]*pem.Block{name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: private}} {
		require.NoError(t, os.WriteFile(s.file(file), pem.EncodeToMemory(block), 0o600))
	}
	c, err = x509.ParseCertificate(der)
	require.NoError(t, err)
	return c, key
}

func (s *redisServer) file(name string) string { return filepath.Join(s.dir, name) }

func (s *redisServer) start(t *testing.T) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.addr)
	require.NoError(t, err)
	s.cmd = exec.Command(s.program, "--port", "0", "--bind", "127.0.0.1", "--tls-port", port, "--dir", s.dir, "--save", "",
		"--tls-cert-file", s.file("server.pem"), "--tls-key-file", s.file("server.key"), "--tls-ca-cert-file", s.file("ca.pem"),
		"--tls-auth-clients", "yes", "--requirepass", redisPassword)
	out := new(bytes.Buffer)
	s.cmd.Stdout = out
	require.NoError(t, s.cmd.Start())
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp4", s.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, time.Minute, 10*time.Millisecond)
}

func (s *redisServer) signal(t *testing.T, sig os.Signal) {
	t.Helper()
	require.NoError(t, s.cmd.Process.Signal(sig))
}

func (s *redisServer) kill() {
	if s.cmd.ProcessState == nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	}
}

// config is the section of a cache in front of it, with what is said of TLS.
func (s *redisServer) config(t *testing.T, tls string) config.UserCache {
	t.Helper()
	text := fmt.Sprintf("database: {url: /nowhere, cache: {redis: 'rediss://:%s@%s', redis_tls: {%s}}}\n",
		strings.ReplaceAll(redisPassword, " ", "%20"), s.addr, tls)
	cfg, problems := config.Parse(s.file("gateway.yaml"), []byte(text))
	require.Empty(t, problems)
	return cfg.Database.Cache
}

const (
	goodTLS = "ca_file: ca.pem, cert_file: client.pem, key_file: client.key, server_name: cache.example.net"
	user    = "alice"
)

// The server is believed who has the right certificate, and nobody else.
func TestRedisTLS(t *testing.T) {
	s := newRedisServer(t)
	var errors atomic.Uint64
	log := new(lockedBuffer)
	open := func(tls string) *shared {
		sh, err := openShared(s.config(t, tls), false, &errors, slog.New(slog.NewTextHandler(log, nil)))
		require.NoError(t, err)
		t.Cleanup(sh.close)
		return sh
	}
	good := open(goodTLS)
	alice := &userdb.User{Name: user, NTHash: chap.NTPasswordHash("a")}
	good.put(user, entry{userdb.Record{User: alice, Seq: 7}, time.Now()})
	other := open(goodTLS)
	require.Eventually(t, func() bool {
		e, found, err := other.get(user)
		return err == nil && found && assert.Equal(t, alice, e.User)
	}, time.Minute, 10*time.Millisecond)

	for name, tls := range map[string]string{
		"another authority":           strings.Replace(goodTLS, "ca.pem", "other.pem", 1),
		"the authorities of the host": strings.Replace(goodTLS, "ca_file: ca.pem, ", "", 1),
		"another name":                strings.Replace(goodTLS, "cache.example.net", "cache.example.com", 1),
		"the name in its URL":         strings.Replace(goodTLS, ", server_name: cache.example.net", "", 1),
		"no certificate":              "ca_file: ca.pem, server_name: cache.example.net",
		"the certificate of another":  strings.NewReplacer("client.pem", "other.pem", "client.key", "other.key").Replace(goodTLS),
	} {
		sh := open(tls)
		require.Eventually(t, func() bool { // a first try may be given up before it is refused
			_, found, err := sh.get(user)
			assert.False(t, found, name)
			return err != nil
		}, time.Minute, 10*time.Millisecond, name)
		sh.try()
		assert.True(t, sh.failed.Load(), name)
	}
	text := log.String()
	assert.Contains(t, text, "does not do")
	assert.NotContains(t, text, redisPassword)
	assert.NotContains(t, text, "answers again")
}

// The drill: the server hangs, and then is killed, while users log in. All come in, and
// only those who were waiting for it just then notice anything.
func TestRedisHangs(t *testing.T) {
	s := newRedisServer(t)
	cfg := databasetest.SQLite(t)
	cfg.Cache = s.config(t, goodTLS)
	cfg.Cache.Size = 1 // so that next to everybody is asked for there
	u, log := open(t, cfg)
	const users, workers = 50, 4
	for i := range users {
		add(t, u, fmt.Sprint("user", i), "password")
	}
	var logins atomic.Int64
	var slowest atomic.Int64
	var all sync.WaitGroup
	stop := make(chan struct{})
	t.Cleanup(all.Wait)
	t.Cleanup(sync.OnceFunc(func() { close(stop) }))
	for w := range workers {
		all.Go(func() {
			for i := w; ; i += 7 {
				begin := time.Now()
				if _, err := logIn(u, fmt.Sprint("user", i%users), "password"); err != nil {
					t.Errorf("after %d log-ins: %v", logins.Load(), err)
					return
				}
				slowest.Store(max(slowest.Load(), int64(time.Since(begin))))
				logins.Add(1)
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
	}
	more := func(what string, of func(Stats) uint64) {
		t.Helper()
		begin := of(u.Stats())
		require.Eventually(t, func() bool { return of(u.Stats()) > begin+20 }, time.Minute, time.Millisecond, "%s\n%s", what, log)
	}
	hits := func(s Stats) uint64 { return s.SharedHits }
	asked := func(s Stats) uint64 { return s.Misses }
	more("the server answers", hits)
	for _, fault := range []struct {
		name        string
		begin, over func()
	}{
		{"hangs", func() { s.signal(t, syscall.SIGSTOP) }, func() { s.signal(t, syscall.SIGCONT) }},
		{"is killed", s.kill, func() { s.start(t) }},
	} {
		before := u.Stats()
		slowest.Store(0)
		fault.begin()
		for range 2 {
			more("the database answers while it "+fault.name, asked)
		}
		t.Logf("it %s: the slowest log-in took %v", fault.name, time.Duration(slowest.Load()))
		// Each worker can have waited for it once, and its own goroutine.
		assert.LessOrEqual(t, u.Stats().SharedErrors-before.SharedErrors, uint64(workers+1), "%s", fault.name)
		fault.over()
		more("the server answers again after it "+fault.name, hits)
	}
	assert.GreaterOrEqual(t, strings.Count(log.String(), "does not do"), 2)
}
