package config

import (
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// Database is where users are kept in SQL.
type Database struct {
	URL         DatabaseURL   `yaml:"url"`
	URLFile     string        `yaml:"url_file"`
	Connections int           `yaml:"connections"`
	Timeout     time.Duration `yaml:"timeout"`
	Cache       UserCache     `yaml:"cache"`
}

func defaultDatabase() Database {
	return Database{
		Connections: 8,
		Timeout:     3 * time.Second,
		Cache: UserCache{
			TTL:         5 * time.Minute,
			NegativeTTL: 10 * time.Second,
			Size:        20000,
			Stale:       time.Hour,
			Poll:        time.Second,
		},
	}
}

// Enabled reports whether there is a database.
func (d *Database) Enabled() bool { return !d.URL.IsZero() }

// holdsSecrets reports whether the URLs hold passwords, and are not in files of their own.
func (d *Database) holdsSecrets() bool {
	return d.URLFile == "" && hasPassword(string(d.URL.Postgres)) ||
		d.Cache.RedisFile == "" && hasPassword(string(d.Cache.Redis.URL))
}

// UserCache is what is remembered of the database's users.
type UserCache struct {
	TTL         time.Duration `yaml:"ttl"`
	NegativeTTL time.Duration `yaml:"negative_ttl"`
	Size        int           `yaml:"size"`
	Stale       time.Duration `yaml:"stale"`
	Poll        time.Duration `yaml:"poll"`
	Redis       RedisURL      `yaml:"redis"`
	RedisFile   string        `yaml:"redis_file"`
	RedisTLS    ClientTLS     `yaml:"redis_tls"`
}

// DatabaseURL is the file of an SQLite database or the URL of a PostgreSQL one. It may
// hold a password, and prints without.
type DatabaseURL struct {
	File     string // SQLite
	Postgres Secret // or this
}

// IsZero reports whether there is none.
func (u DatabaseURL) IsZero() bool { return u == DatabaseURL{} }

// String is the URL without what is secret in it.
func (u DatabaseURL) String() string {
	if u.File != "" {
		return "sqlite:" + u.File
	}
	return withoutSecrets(string(u.Postgres))
}

// LogValue implements slog.LogValuer.
func (u DatabaseURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// RedisURL is the URL of a Redis server, as go-redis takes it. It prints without what is
// secret in it.
type RedisURL struct{ URL Secret }

// IsZero reports whether there is none.
func (u RedisURL) IsZero() bool { return u.URL == "" }

// String is the URL without what is secret in it.
func (u RedisURL) String() string { return withoutSecrets(string(u.URL)) }

// LogValue implements slog.LogValuer.
func (u RedisURL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// withoutSecrets leaves of a URL what says which server is meant.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return redacted
	}
	u.RawQuery, u.Fragment = "", "" // may hold a password, too
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// hasPassword reports whether a URL has one, be it as a parameter.
func hasPassword(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	_, has := u.User.Password()
	return has || u.Query().Has("password")
}

// What is wrong with a URL is said without repeating it.
var (
	errDatabaseURL = errors.New("is neither the file of an SQLite database, like sqlite:/var/lib/gopptp/gateway.db, nor the URL of a PostgreSQL one, like postgres://gateway@db.example.net/gateway")
	errRedisURL    = errors.New("is not the URL of a Redis server, like rediss://:password@cache.example.net:6379/0 or unix:///run/redis/redis.sock")
)

func parseDatabaseURL(text string) (DatabaseURL, error) {
	file, isFile := strings.CutPrefix(text, "sqlite:")
	switch {
	case text == "":
		return DatabaseURL{}, nil
	case isFile || strings.HasPrefix(text, "/"):
		if !filepath.IsAbs(file) || strings.ContainsAny(file, "?\x00") || strings.HasSuffix(file, "/") {
			return DatabaseURL{}, errDatabaseURL
		}
		return DatabaseURL{File: filepath.Clean(file)}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return DatabaseURL{}, errDatabaseURL
	}
	return DatabaseURL{Postgres: Secret(text)}, nil
}

func parseRedisURL(text string) (RedisURL, error) {
	if text == "" {
		return RedisURL{}, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return RedisURL{}, errRedisURL
	case u.Scheme == "unix" && u.Path != "", (u.Scheme == "redis" || u.Scheme == "rediss") && u.Host != "":
		return RedisURL{Secret(text)}, nil
	}
	return RedisURL{}, errRedisURL
}

// readURLs reads the URLs that are in files of their own, relative to dir.
func (c *Config) readURLs(dir string) (problems diag.Problems) {
	d := &c.Database
	problems.Add(readSecret(c, dir, "database.url_file", &d.URLFile, func(text string) (err error) {
		if d.Enabled() {
			return errors.New("a database has an url or an url_file, not both")
		}
		d.URL, err = parseDatabaseURL(text)
		return err
	})...)
	problems.Add(readSecret(c, dir, "database.cache.redis_file", &d.Cache.RedisFile, func(text string) (err error) {
		if !d.Cache.Redis.IsZero() {
			return errors.New("the server is given by redis or by redis_file, not by both")
		}
		d.Cache.Redis, err = parseRedisURL(text)
		return err
	})...)
	problems.Add(c.readRedisTLS(dir)...)
	return problems
}

// readRedisTLS reads the certificates for the Redis server, relative to dir.
func (c *Config) readRedisTLS(dir string) diag.Problems {
	const path = "database.cache.redis_tls"
	d := &c.Database.Cache
	if d.RedisTLS == (ClientTLS{}) || c.wrongWithin("database.cache") {
		return nil
	}
	u, err := url.Parse(string(d.Redis.URL))
	if err != nil || u.Scheme != "rediss" {
		return diag.Problems{c.At(path, "is for a server with TLS, whose URL begins with rediss://")}
	}
	if key, err := d.RedisTLS.load(dir, u.Hostname()); err != nil {
		return diag.Problems{c.At(path+"."+key, err.Error())}
	}
	return nil
}

// readSecret has take read the one line of a file, if one is named, and makes its name
// absolute.
func readSecret(c *Config, dir, path string, file *string, take func(text string) error) (problems diag.Problems) {
	if *file == "" || c.Wrong(path) {
		return nil
	}
	if !filepath.IsAbs(*file) {
		*file = filepath.Join(dir, *file)
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		p := Unreadable(*file, err)
		return diag.Problems{c.At(path, p.File+" "+p.Text)}
	}
	if err := take(strings.TrimSpace(string(text))); err != nil {
		problems.Add(c.At(path, err.Error()))
	}
	problems.Add(WorldReadable(*file)...)
	return problems
}

// database looks at values that must be in range.
func (k *checker) database() {
	d := &k.cfg.Database
	for _, n := range []struct {
		path            string
		value, min, max int
	}{
		{"database.connections", d.Connections, 1, 1000},
		{"database.cache.size", d.Cache.Size, 0, 1 << 24},
	} {
		if n.value < n.min || n.value > n.max {
			k.bad(n.path, "%d is not from %d to %d", n.value, n.min, n.max)
		}
	}
	for _, n := range []struct {
		path            string
		value, min, max time.Duration
	}{
		{"database.timeout", d.Timeout, 100 * time.Millisecond, time.Minute},
		{"database.cache.ttl", d.Cache.TTL, time.Second, 24 * time.Hour},
		{"database.cache.negative_ttl", d.Cache.NegativeTTL, 0, time.Hour},
		{"database.cache.stale", d.Cache.Stale, 0, 30 * 24 * time.Hour},
		{"database.cache.poll", d.Cache.Poll, 100 * time.Millisecond, time.Hour},
	} {
		if n.value < n.min || n.value > n.max {
			k.bad(n.path, "%v is not from %v to %v", n.value, n.min, n.max)
		}
	}
	if d.Enabled() && d.Cache.Size == 0 && !d.Cache.Redis.IsZero() {
		k.warn("database.cache.redis", "is not asked for anything: size is 0, so that nothing is cached")
	}
}
