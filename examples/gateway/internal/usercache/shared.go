package usercache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

const (
	// sharedTimeout is how long a shared cache is of use to who waits for it: the database
	// is there. Once it has taken longer, or said something else than yes, nobody waits for
	// it until it has been tried out.
	sharedTimeout = 250 * time.Millisecond
	// sharedRetry is how often that is done.
	sharedRetry = time.Second
	// sharedDial is how long a connection may take, which nobody waits for that long.
	sharedDial = 5 * time.Second
	// sharedQueue is how many writes wait at most, sharedBatch how many go at once.
	sharedQueue, sharedBatch = 2048, 256
)

// shared is a Redis server. It holds NT hashes, and what it says is believed. Those who look
// for a user wait for what it has, and for nothing else: its own goroutine writes.
type shared struct {
	client *redis.Client
	prefix string // of keys
	keep   time.Duration
	log    *slog.Logger
	errors *atomic.Uint64
	failed atomic.Bool // until it has been tried out

	writes chan write
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	done   chan struct{}
}

// write is a user to be written, or some to be removed.
type write struct {
	user    string
	entry   entry
	removed []string
}

var errPaused = errors.New("the shared cache is left alone for a moment")

// openShared returns the shared cache of a configuration; errors counts its failures. With
// clear, what is in it has passwords in clear, where there are any.
func openShared(cfg config.UserCache, clear bool, errors *atomic.Uint64, log *slog.Logger) (*shared, error) {
	o, err := redis.ParseURL(string(cfg.Redis.URL))
	if err != nil {
		return nil, fmt.Errorf("database.cache.redis: %w", err) // which names no password
	}
	if tls := cfg.RedisTLS.Client(); tls != nil {
		o.TLSConfig = tls
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = sharedDial, sharedTimeout, sharedTimeout, sharedTimeout
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = -1, 1
	// A connection is ready after one round trip.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	s := &shared{client: redis.NewClient(o), keep: cfg.TTL + cfg.Stale, log: log, errors: errors,
		writes: make(chan write, sharedQueue), done: make(chan struct{})}
	s.prefix = "gopptp:user:1:"
	if clear { // of no use to the others, who must not have them, and theirs not to us
		s.prefix = "gopptp:user-clear:1:"
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	go s.run()
	return s, nil
}

// The client has one logger for all, and what it would say our errors do.
func init() { redis.SetLogger(silent{}) }

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// sharedEntry is a value in Redis, for all gateways that know the kind and the version in its
// key.
type sharedEntry struct {
	Read   time.Time     `json:"read"`
	Record userdb.Record `json:"record"`
}

func (s *shared) key(name string) string { return s.prefix + name }

// get asks for a user.
func (s *shared) get(name string) (e entry, found bool, err error) {
	if s.failed.Load() {
		return e, false, errPaused
	}
	var text []byte
	err = s.ask(func(ctx context.Context) (err error) {
		text, err = s.client.Get(ctx, s.key(name)).Bytes()
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	})
	if err != nil || text == nil {
		return e, false, err
	}
	var v sharedEntry
	if err := json.Unmarshal(text, &v); err != nil || v.Record.User == nil || v.Record.User.Name != name {
		s.errors.Add(1)
		return e, false, fmt.Errorf("%s in the shared cache is not ours: %w", s.key(name), err)
	}
	// Clocks differ: what seems to be of the future is of now.
	age := max(0, time.Since(v.Read))
	return entry{v.Record, time.Now().Add(-age)}, true, nil
}

// put has a user be written, and remove has some be removed: soon, if that is possible.
func (s *shared) put(name string, e entry) { s.write(write{user: name, entry: e}) }

func (s *shared) remove(names []string) { s.write(write{removed: names}) }

func (s *shared) write(w write) {
	if s.failed.Load() {
		return
	}
	select {
	case s.writes <- w:
	default: // what is not there is read from the database; what is too old counts for nothing
	}
}

// run writes, and tries the server out when it has failed.
func (s *shared) run() {
	defer close(s.done)
	ticker := time.NewTicker(sharedRetry)
	defer ticker.Stop()
	for {
		select {
		case w := <-s.writes:
			if !s.failed.Load() {
				s.writeSome(w)
			}
		case <-ticker.C:
			if s.failed.Load() {
				s.try()
			}
		case <-s.ctx.Done():
			return
		}
	}
}

// writeSome writes what is waiting, in order.
func (s *shared) writeSome(w write) {
	p := s.client.Pipeline()
	for {
		for _, name := range w.removed {
			p.Del(s.ctx, s.key(name))
		}
		if text, err := json.Marshal(sharedEntry{w.entry.read, w.entry.Record}); err == nil && w.user != "" {
			p.Set(s.ctx, s.key(w.user), text, s.keep)
		}
		if p.Len() >= sharedBatch {
			break
		}
		select {
		case w = <-s.writes:
			continue
		default:
		}
		break
	}
	_ = s.ask(func(ctx context.Context) error { _, err := p.Exec(ctx); return err })
}

// try writes, since a server that can only be read is of no use.
func (s *shared) try() {
	ctx, cancel := context.WithTimeout(s.ctx, sharedTimeout)
	defer cancel()
	if s.client.Set(ctx, s.key(""), "", time.Minute).Err() == nil { // nobody has that name
		s.failed.Store(false)
		s.log.Info("the shared cache of users answers again")
	}
}

func (s *shared) ask(f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(s.ctx, sharedTimeout)
	defer cancel()
	err := f(ctx)
	if err == nil || s.ctx.Err() != nil {
		return err
	}
	s.errors.Add(1)
	if !s.failed.Swap(true) {
		s.log.Warn("the shared cache of users does not do; the database is asked in its place", "err", err)
	}
	return err
}

func (s *shared) close() {
	s.cancel()
	<-s.done
	s.client.Close()
}
