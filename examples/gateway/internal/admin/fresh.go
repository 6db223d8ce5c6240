package admin

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// fresh is what files hold, read anew when they have changed. If they cannot be read then,
// what they held before stays, and the log says so.
type fresh[T any] struct {
	load  func() (T, error)
	files []string
	log   *slog.Logger

	mu    sync.Mutex
	stamp string
	value T
}

func newFresh[T any](log *slog.Logger, load func() (T, error), files ...string) (*fresh[T], error) {
	f := &fresh[T]{load: load, files: files, log: log}
	f.stamp = f.look()
	value, err := load()
	f.value = value
	return f, err
}

func (f *fresh[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.look()
	if now == f.stamp {
		return f.value
	}
	f.stamp = now
	value, err := f.load()
	if err != nil {
		f.log.Error("admin: a file has changed and cannot be used; what it held before stays in force", "files", strings.Join(f.files, " "), "error", err)
		return f.value
	}
	f.value = value
	return value
}

// look says how the files look from outside.
func (f *fresh[T]) look() string {
	var b strings.Builder
	for _, name := range f.files {
		if info, err := os.Stat(name); err == nil {
			fmt.Fprintf(&b, "%d %d %v\n", info.ModTime().UnixNano(), info.Size(), info.Mode())
		} else {
			b.WriteString("none\n")
		}
	}
	return b.String()
}
