package gopptp

import (
	"log/slog"
	"maps"
	"sync"
	"time"
)

// reporter logs refusals, of which there may be very many: of each kind a few lines in
// a while, and then how many more there were. A flood of peers is none of lines.
type reporter struct {
	log func() *slog.Logger

	mu    sync.Mutex
	kinds map[string]*reported // by reason, of which there are few
}

type reported struct {
	msg   string
	lines int
	more  int
	timer *time.Timer
}

const (
	reportLines  = 5
	reportWindow = 10 * time.Second
)

// refused logs one refusal. reason must be one of few.
func (r *reporter) refused(msg, reason string, args ...any) {
	r.mu.Lock()
	k := r.kinds[reason]
	if k == nil {
		if r.kinds == nil {
			r.kinds = make(map[string]*reported)
		}
		k = &reported{msg: msg}
		k.timer = time.AfterFunc(reportWindow, func() { r.summarize(reason, k) })
		r.kinds[reason] = k
	}
	if k.lines == reportLines {
		k.more++
		r.mu.Unlock()
		return
	}
	k.lines++
	r.mu.Unlock()
	r.log().Warn(msg, append([]any{"reason", reason}, args...)...)
}

// summarize ends the window of one kind.
func (r *reporter) summarize(reason string, k *reported) {
	r.mu.Lock()
	if r.kinds[reason] != k {
		r.mu.Unlock()
		return
	}
	delete(r.kinds, reason)
	more := k.more
	r.mu.Unlock()
	if more > 0 {
		r.log().Warn(k.msg, "reason", reason, "more", more, "within", reportWindow)
	}
}

// flush logs what is left to be said, when nothing will be refused any more.
func (r *reporter) flush() {
	r.mu.Lock()
	kinds := maps.Clone(r.kinds) // listeners may still turn somebody away
	r.mu.Unlock()
	for reason, k := range kinds {
		k.timer.Stop()
		r.summarize(reason, k)
	}
}
