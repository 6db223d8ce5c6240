package usercache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// A shared cache that takes longer than that is of no use, and is left alone for a while:
// the database is there.
const (
	sharedTimeout = 250 * time.Millisecond
	sharedPause   = 5 * time.Second
)

// shared is a Redis server. It holds NT hashes, and what it says is believed.
type shared struct {
	client *redis.Client
	keep   time.Duration
	log    *slog.Logger
	failed atomic.Bool  // as it was last
	pause  atomic.Int64 // until then it is left alone; nanoseconds since start
	start  time.Time
}

var errPaused = errors.New("the shared cache is left alone for a moment")

func openShared(cfg config.UserCache, log *slog.Logger) (*shared, error) {
	o, err := redis.ParseURL(string(cfg.Redis.URL))
	if err != nil {
		return nil, fmt.Errorf("database.cache.redis: %w", err) // which names no password
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = sharedTimeout, sharedTimeout, sharedTimeout, sharedTimeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = -1, 1
	redis.SetLogger(silent{}) // what it would say, our errors do
	return &shared{client: redis.NewClient(o), keep: cfg.TTL + cfg.Stale, log: log, start: time.Now()}, nil
}

// silent is a logger of the Redis client.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// sharedEntry is a value in Redis, for all gateways that know the version in its key.
type sharedEntry struct {
	Read   time.Time     `json:"read"`
	Record userdb.Record `json:"record"`
}

func key(name string) string { return "gopptp:user:1:" + name }

func (s *shared) get(ctx context.Context, name string) (e entry, found bool, err error) {
	ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return e, false, err
	}
	defer cancel()
	text, err := s.client.Get(ctx, key(name)).Bytes()
	if errors.Is(err, redis.Nil) {
		return e, false, s.end(nil)
	}
	if s.end(err) != nil {
		return e, false, err
	}
	var v sharedEntry
	if err := json.Unmarshal(text, &v); err != nil || v.Record.User == nil {
		return e, false, fmt.Errorf("%s in the shared cache is not ours: %w", key(name), err)
	}
	// Clocks differ: what seems to be of the future is of now.
	age := max(0, time.Since(v.Read))
	return entry{v.Record, time.Now().Add(-age)}, true, nil
}

func (s *shared) put(ctx context.Context, name string, e entry) error {
	text, err := json.Marshal(sharedEntry{e.read, e.Record})
	if err != nil {
		return err
	}
	ctx, cancel, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	return s.end(s.client.Set(ctx, key(name), text, s.keep).Err())
}

func (s *shared) remove(ctx context.Context, names []string) error {
	for some := range slices.Chunk(names, 500) {
		keys := make([]string, len(some))
		for i, name := range some {
			keys[i] = key(name)
		}
		ctx, cancel, err := s.begin(ctx)
		if err != nil {
			return err
		}
		err = s.end(s.client.Del(ctx, keys...).Err())
		cancel()
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *shared) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if int64(time.Since(s.start)) < s.pause.Load() {
		return nil, nil, errPaused
	}
	ctx, cancel := context.WithTimeout(ctx, sharedTimeout)
	return ctx, cancel, nil
}

func (s *shared) end(err error) error {
	switch {
	case err != nil:
		s.pause.Store(int64(time.Since(s.start) + sharedPause))
		if !s.failed.Swap(true) {
			s.log.Warn("the shared cache of users does not answer; the database is asked in its place", "err", err)
		}
	case s.failed.CompareAndSwap(true, false):
		s.log.Info("the shared cache of users answers again")
	}
	return err
}

func (s *shared) close() { s.client.Close() }
