package statefile

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "missing")
		name := filepath.Join(dir, "numbers.json")
		log := new(bytes.Buffer)
		snapshots := 0
		f := Open(Config{
			Name: name, What: "numbers", Delay: 10 * time.Second, Log: slog.New(slog.NewTextHandler(log, nil)),
			Snapshot: func() any { snapshots++; return []int{snapshots} },
		})
		read := func() (v []int) {
			require.NoError(t, Read(name, &v))
			return v
		}
		step := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait()
		}
		step(time.Hour)
		assert.Zero(t, snapshots, "nothing has changed")

		// It cannot be written, which is said once, and written again when there is more.
		for range 2 {
			f.Changed()
			f.Changed()
			step(11 * time.Second)
		}
		assert.Equal(t, 1, strings.Count(log.String(), "numbers cannot be written"))
		require.NoError(t, os.Mkdir(dir, 0o700))
		f.Changed()
		step(5 * time.Second)
		f.Changed()
		assert.Empty(t, read())
		step(5 * time.Second)
		assert.Equal(t, []int{3}, read(), "both changes at once")
		assert.Contains(t, log.String(), "numbers are written again")
		info, err := os.Stat(name)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode())

		step(time.Hour)
		f.Changed()
		f.Close()
		assert.Equal(t, []int{4}, read(), "at the end without delay")
		left, err := os.ReadDir(dir)
		require.NoError(t, err)
		assert.Len(t, left, 1)
	})
}

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	var v []int
	assert.NoError(t, Read(name, &v), "there is none")
	f, err := os.Create(name)
	require.NoError(t, err)
	assert.ErrorContains(t, Read(name, &v), "unexpected end")
	require.NoError(t, f.Truncate(maxSize+1))
	require.NoError(t, f.Close())
	assert.ErrorContains(t, Read(name, &v), "has more than")
	assert.Error(t, Read(filepath.Join(name, "within"), &v))
}
