package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestDatabase(t *testing.T) {
	cfg, problems := Parse("gw.yaml", []byte(`
database:
  url: postgres://gw:secret@db.example.net/users?sslmode=verify-full
  connections: 3
  timeout: 1s
  cache: {ttl: 1m, negative_ttl: 0s, size: 10, stale: 2h, poll: 5s, redis: 'rediss://:hidden@cache.example.net/1'}
`))
	require.Empty(t, problems)
	assert.Equal(t, Database{
		URL:         DatabaseURL{Postgres: "postgres://gw:secret@db.example.net/users?sslmode=verify-full"},
		Connections: 3,
		Timeout:     time.Second,
		Cache: UserCache{
			TTL: time.Minute, Size: 10, Stale: 2 * time.Hour, Poll: 5 * time.Second, Redis: RedisURL{"rediss://:hidden@cache.example.net/1"},
		},
	}, cfg.Database)
	assert.True(t, cfg.Database.Enabled())
	assert.Equal(t, "postgres://gw@db.example.net/users", cfg.Database.URL.String())
	assert.Equal(t, "rediss://@cache.example.net/1", cfg.Database.Cache.Redis.String())
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		text := fmt.Sprintf(format, cfg.Database)
		assert.NotContains(t, text, "secret", format)
		assert.NotContains(t, text, "hidden", format)
	}
	assert.False(t, Default().Database.Enabled())
}

func TestDatabaseURL(t *testing.T) {
	for text, file := range map[string]string{
		"/var/lib/a.db":          "/var/lib/a.db",
		"sqlite:/var/lib/../a":   "/var/a",
		"sqlite:///var/lib/a.db": "/var/lib/a.db",
	} {
		u, err := parseDatabaseURL(text)
		assert.NoError(t, err, text)
		assert.Equal(t, DatabaseURL{File: file}, u, text)
	}
	for _, text := range []string{"a.db", "sqlite:a.db", "sqlite:", "/dir/", "/a?mode=ro", "mysql://host/db", "postgres", "postgres://h:x y@/\x7f"} {
		_, err := parseDatabaseURL(text)
		assert.ErrorIs(t, err, errDatabaseURL, text)
	}
	for _, text := range []string{"redis://h", "rediss://u:p@h:1/2", "unix:///run/r.sock"} {
		_, err := parseRedisURL(text)
		assert.NoError(t, err, text)
	}
	for _, text := range []string{"h:6379", "redis:", "http://h", "unix:", "redis://\x7f"} {
		_, err := parseRedisURL(text)
		assert.ErrorIs(t, err, errRedisURL, text)
	}
}

func TestDatabaseProblems(t *testing.T) {
	dir := t.TempDir()
	url := filepath.Join(dir, "url")
	require.NoError(t, os.WriteFile(url, []byte("postgres://gw:secret@db/users\n"), 0o600))
	bad := filepath.Join(dir, "bad")
	require.NoError(t, os.WriteFile(bad, []byte("secret"), 0o644))
	require.NoError(t, os.Chmod(bad, 0o644)) // whatever the umask
	redis := filepath.Join(dir, "redis")
	require.NoError(t, os.WriteFile(redis, []byte("redis://:secret@h\n"), 0o600))

	cfg, problems := Parse(filepath.Join(dir, "gw.yaml"), []byte("database: {url_file: url, cache: {redis_file: redis}}\n"))
	require.Empty(t, problems)
	assert.Equal(t, DatabaseURL{Postgres: "postgres://gw:secret@db/users"}, cfg.Database.URL)
	assert.Equal(t, RedisURL{"redis://:secret@h"}, cfg.Database.Cache.Redis)

	for text, want := range map[string]string{
		"{url: 'http://user:secret@h'}":                             "database.url: " + errDatabaseURL.Error(),
		"{url: /a, url_file: url}":                                  "database.url_file: a database has an url or an url_file, not both",
		"{url_file: none}":                                          "database.url_file: " + dir + "/none cannot be read: no such file or directory",
		"{url_file: bad}":                                           "database.url_file: " + errDatabaseURL.Error(),
		"{connections: 0}":                                          "database.connections: 0 is not from 1 to 1000",
		"{timeout: 0s}":                                             "database.timeout: 0s is not from 100ms to 1m0s",
		"{cache: {ttl: 0s}}":                                        "database.cache.ttl: 0s is not from 1s to 24h0m0s",
		"{cache: {negative_ttl: 2h}}":                               "database.cache.negative_ttl: 2h0m0s is not from 0s to 1h0m0s",
		"{cache: {size: -1}}":                                       "database.cache.size: -1 is not from 0 to 16777216",
		"{cache: {stale: -1s}}":                                     "database.cache.stale: -1s is not from 0s to 720h0m0s",
		"{cache: {poll: 10ms}}":                                     "database.cache.poll: 10ms is not from 100ms to 1h0m0s",
		"{cache: {redis: cache}}":                                   "database.cache.redis: " + errRedisURL.Error(),
		"{cache: {redis_file: redis, redis: 'redis://h'}}":          "database.cache.redis_file: the server is given by redis or by redis_file, not by both",
		"{cache: {redis: 'redis://h', redis_tls: {ca_file: a}}}":    "database.cache.redis_tls: is for a server with TLS, whose URL begins with rediss://",
		"{cache: {redis_tls: {server_name: a}}}":                    "database.cache.redis_tls: is for a server with TLS, whose URL begins with rediss://",
		"{cache: {redis: 'rediss://h', redis_tls: {ca_file: a}}}":   "database.cache.redis_tls.ca_file: " + dir + "/a cannot be read: no such file or directory",
		"{cache: {redis: 'rediss://h', redis_tls: {ca_file: url}}}": "database.cache.redis_tls.ca_file: " + dir + "/url has no certificate in PEM",
		"{cache: {redis: 'rediss://h', redis_tls: {cert_file: a}}}": "database.cache.redis_tls.cert_file: has no key_file with it",
		"{url: /a, cache: {size: 0, redis: 'redis://h'}}":           "warning: database.cache.redis: is not asked for anything: size is 0, so that nothing is cached",
	} {
		_, problems := Parse(filepath.Join(dir, "gw.yaml"), []byte("database: "+text+"\n"))
		require.NotEmpty(t, problems, text)
		line := problems[0].String()
		assert.Contains(t, line, "gw.yaml:1: "+want)
		assert.NotContains(t, problems.Error(), "secret@", text)
	}
}

func TestRedisTLS(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	read := func(tls string) *ClientTLS {
		cfg, problems := Parse(filepath.Join(dir, "gw.yaml"), []byte("database: {cache: {redis: 'rediss://cache.example.net:6380', redis_tls: {"+tls+"}}}\n"))
		require.Empty(t, problems)
		return &cfg.Database.Cache.RedisTLS
	}
	assert.Nil(t, read("").Client(), "as the URL says")
	c := read("ca_file: ca.pem, cert_file: gateway.pem, key_file: gateway.key").Client()
	assert.Equal(t, "cache.example.net", c.ServerName)
	assert.NotNil(t, c.RootCAs)
	assert.Len(t, c.Certificates, 1)
	c = read("server_name: cache").Client()
	assert.Equal(t, "cache", c.ServerName)
	assert.Nil(t, c.RootCAs, "those of the host")
}

func TestAccountingSQL(t *testing.T) {
	_, problems := Parse("gw.yaml", []byte("accounting: {sql: true}\n"))
	require.Len(t, problems, 1)
	assert.Equal(t, "gw.yaml:1: accounting.sql: needs a database, by database.url", problems[0].String())
	cfg, problems := Parse("gw.yaml", []byte("accounting: {sql: true}\ndatabase: {url: /a}\n"))
	require.Empty(t, problems)
	assert.True(t, cfg.Accounting.SQL)
}
