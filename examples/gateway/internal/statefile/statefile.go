// Package statefile keeps what a part of the gateway knows in a file over a restart: as a
// whole, in JSON, written by a goroutine of its own some time after it has changed. So what
// changes never waits for a disk, and a crash leaves the last file or the next one.
package statefile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"
)

// Config says what is kept, and where.
type Config struct {
	Name string
	// What is kept, for the log.
	What string
	// Delay is how long changes are gathered before they are written.
	Delay time.Duration
	// Snapshot returns what the file is to have, and does not block for long.
	Snapshot func() any
	Log      *slog.Logger
}

// File is a file that is written as long as it is open.
type File struct {
	Config
	dirty, stop, done chan struct{}
	failing           bool // has been said in the log
}

// Open begins to write the file when there are changes.
func Open(cfg Config) *File {
	f := &File{Config: cfg, dirty: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go f.run()
	return f
}

// Changed has the file be written soon. It does not block. A nil File is none.
func (f *File) Changed() {
	if f == nil {
		return
	}
	select {
	case f.dirty <- struct{}{}:
	default:
	}
}

// Close writes what has changed, and ends.
func (f *File) Close() {
	if f == nil {
		return
	}
	close(f.stop)
	<-f.done
}

func (f *File) run() {
	defer close(f.done)
	for {
		select {
		case <-f.dirty:
		case <-f.stop:
			select {
			case <-f.dirty:
				f.write()
			default:
			}
			return
		}
		timer := time.NewTimer(f.Delay)
		select {
		case <-timer.C:
		case <-f.stop:
			timer.Stop()
		}
		// What changes from here on is another change.
		select {
		case <-f.dirty:
		default:
		}
		f.write()
	}
}

func (f *File) write() {
	switch err := replace(f.Name, f.Snapshot()); {
	case err == nil && f.failing:
		f.failing = false
		f.Log.Info(f.What+" are written again", "file", f.Name)
	case err != nil && !f.failing:
		f.failing = true
		f.Log.Error(f.What+" cannot be written: a restart will forget them", "file", f.Name, "err", err)
	}
}

// replace replaces a file as a whole.
func replace(name string, v any) (err error) {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*") // for its owner only
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), name)
}

// maxSize bounds what is read.
const maxSize = 64 << 20

// Read reads a file into v. One that is not there leaves v as it is.
func Read(name string, v any) error {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return err
	} else if info.Size() > maxSize {
		return fmt.Errorf("%s has more than %d octets", name, maxSize)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSize))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
