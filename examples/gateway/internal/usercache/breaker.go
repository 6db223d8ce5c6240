package usercache

import (
	"sync"
	"time"
)

// trips is how many queries must fail in a row for the database to be taken for down.
const trips = 3

// breaker has queries fail at once while the database is down. Who looks for changes goes
// on asking, whatever the breaker says; once it has an answer, one query may try.
type breaker struct {
	mu       sync.Mutex
	failures int       // in a row
	since    time.Time // down since; zero: it is not
	mayTry   bool
}

// allow reports whether the database may be asked, whereupon done must be called.
func (b *breaker) allow() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	try := b.since.IsZero() || b.mayTry
	b.mayTry = false
	return try
}

// done tells how a query went. wasDown is not zero with the first success after the
// database was down, and went says that it has gone down now.
func (b *breaker) done(good bool) (wasDown time.Duration, went bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if good {
		if !b.since.IsZero() {
			wasDown = max(time.Since(b.since), 1)
		}
		b.failures, b.since = 0, time.Time{}
		return wasDown, false
	}
	b.failures++
	if b.failures >= trips && b.since.IsZero() {
		b.since = time.Now()
		return 0, true
	}
	return 0, false
}

// answers tells that the database answers who looks for changes.
func (b *breaker) answers() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mayTry = !b.since.IsZero()
}

func (b *breaker) down() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.since.IsZero()
}
