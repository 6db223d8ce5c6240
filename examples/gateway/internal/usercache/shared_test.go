package usercache

import (
	"errors"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
	"github.com/gopptp/gopptp/ppp"
)

var quiet = slog.New(slog.DiscardHandler)

const redisPassword = "not to be seen"

// startRedis runs a Redis server on a Unix socket until stop is called or the test ends.
func startRedis(t *testing.T) (u config.RedisURL, client *redis.Client, stop func()) {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("needs redis-server: scripts/apt.sh redis-server")
	}
	dir, err := os.MkdirTemp("", "gopptp-redis") // the name of a Unix socket is short
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "socket")
	cmd := exec.Command(program, "--port", "0", "--unixsocket", socket, "--dir", dir, "--save", "", "--requirepass", redisPassword)
	require.NoError(t, cmd.Start())
	stop = func() {
		if cmd.ProcessState == nil {
			cmd.Process.Signal(syscall.SIGTERM)
			cmd.Wait()
		}
	}
	t.Cleanup(stop)
	client = redis.NewClient(&redis.Options{Network: "unix", Addr: socket, Password: redisPassword})
	t.Cleanup(func() { client.Close() })
	require.Eventually(t, func() bool { return client.Ping(t.Context()).Err() == nil }, time.Minute, 10*time.Millisecond)
	text := url.URL{Scheme: "unix", User: url.UserPassword("", redisPassword), Path: socket}
	return config.RedisURL{URL: config.Secret(text.String())}, client, stop
}

func key(name string) string { return "gopptp:user:1:" + name }

// shares waits until a user is in the server.
func shares(t *testing.T, client *redis.Client, name string) {
	t.Helper()
	require.Eventually(t, func() bool { return client.Exists(t.Context(), key(name)).Val() == 1 }, time.Minute, time.Millisecond)
}

// node is a gateway's cache of a table.
func node(t *testing.T, s Source, redis config.RedisURL) *Cache {
	t.Helper()
	return nodeOf(t, s, redis, false)
}

func nodeOf(t *testing.T, s Source, redis config.RedisURL, clear bool) *Cache {
	t.Helper()
	cfg := config.Default().Database.Cache
	cfg.Poll, cfg.Redis = 10*time.Millisecond, redis
	c, err := New(s, cfg, clear, quiet)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.Eventually(t, func() bool { // it has looked for changes
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.floor > 0 || len(c.changed) > 0
	}, time.Minute, time.Millisecond)
	return c
}

func TestShared(t *testing.T) {
	u, client, stop := startRedis(t)
	alice := &userdb.User{Name: "alice", NTHash: chap.NTPasswordHash("a"), Password: ppp.Secret("a"), ExpiresAt: userdb.At(time.Now().Add(time.Hour))}
	require.NoError(t, alice.Routes.Set("192.168.7.0/24"))
	require.NoError(t, alice.Quota.Set("9223372036854775807"))
	s := &table{users: make(map[string]*userdb.User)}
	s.set("alice", alice)
	one, two := node(t, s, u), node(t, s, u)

	get(t, one, "alice")
	assert.Equal(t, 1, s.asked())
	shares(t, client, "alice")
	assert.Equal(t, alice, get(t, two, "alice"))
	assert.Equal(t, 1, s.asked(), "what one node knows the other does not ask for")
	assert.EqualValues(t, 1, two.Stats().SharedHits)
	assert.EqualValues(t, 1, one.Stats().SharedMisses)
	get(t, nodeOf(t, s, u, true), "alice")
	assert.Equal(t, 2, s.asked(), "who needs passwords in clear cannot know whether hers is missing")
	ttl, err := client.TTL(t.Context(), key("alice")).Result()
	require.NoError(t, err)
	assert.Greater(t, ttl, time.Hour)

	// Changed on one, forgotten by all; also by a node that begins only now.
	s.set("alice", &userdb.User{Name: "alice", Disabled: true})
	for _, c := range []*Cache{one, two, node(t, s, u)} {
		require.Eventually(t, func() bool { return get(t, c, "alice").Disabled }, time.Minute, time.Millisecond)
	}

	// What was read after the last change of its user is good for who begins only now,
	// whoever has been changed since.
	shares(t, client, "alice")
	s.set("bob", nil)
	before := s.asked()
	assert.True(t, get(t, node(t, s, u), "alice").Disabled)
	assert.Equal(t, before, s.asked())

	// What is not ours, or from before a change, counts for nothing.
	for _, text := range []string{"", "{}", "{", `{"read":"2030-01-01T00:00:00Z","record":{"seq":99,"row":{"name":"alice"}}}`,
		`{"read":"2030-01-01T00:00:00Z","record":{"seq":99,"row":{"name":"bob","disabled":false}}}`,
		`{"read":"2030-01-01T00:00:00Z","record":{"seq":1,"row":{"name":"alice","disabled":false}}}`,
	} {
		require.NoError(t, client.Set(t.Context(), key("alice"), text, 0).Err())
		assert.True(t, get(t, node(t, s, u), "alice").Disabled, text)
		require.Eventually(t, func() bool { return client.Get(t.Context(), key("alice")).Val() != text }, time.Minute, time.Millisecond, "is replaced")
	}

	// The database is down: what is shared does for a node that has just begun.
	fresh := node(t, s, u)
	s.fail(errors.New("down"), 0)
	before = s.asked()
	assert.True(t, get(t, fresh, "alice").Disabled)
	assert.Equal(t, before, s.asked())

	// Redis is down: the database does, and after a first time soon.
	s.fail(nil, 0)
	stop()
	s.set("bob", &userdb.User{Name: "bob"})
	require.Eventually(t, func() bool {
		bob, err := one.Get(t.Context(), "bob")
		return err == nil && bob != nil
	}, time.Minute, time.Millisecond)
	assert.Positive(t, one.Stats().SharedErrors)
	assert.LessOrEqual(t, one.Stats().SharedErrors, uint64(2), "who asked, and who removed bob")
}

func TestSharedURL(t *testing.T) {
	_, err := openShared(config.UserCache{Redis: config.RedisURL{URL: "redis://:secret@h/none"}}, false, new(atomic.Uint64), quiet)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "secret")
	sh, err := openShared(config.UserCache{Redis: config.RedisURL{URL: "rediss://:secret@h:1/2"}}, false, new(atomic.Uint64), quiet)
	require.NoError(t, err)
	defer sh.close()
	o := sh.client.Options()
	assert.Equal(t, "h", o.TLSConfig.ServerName)
	assert.Equal(t, "secret", o.Password)
	assert.Equal(t, 2, o.DB)
}
