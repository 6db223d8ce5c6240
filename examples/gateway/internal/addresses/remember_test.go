package addresses

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// remembering is pools of four addresses with a file.
func remembering(file string) Config {
	return Config{File: file, Own: addr("10.0.0.1"), Pools: []Pool{
		{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.1", "10.0.0.5")}, Sticky: time.Hour, Quarantine: time.Minute},
		{Name: "other", Ranges: []gopptp.PoolRange{span("10.1.0.1", "10.1.0.2")}},
	}}
}

// Who comes back after a restart has the address from before it, also after a crash; and
// nobody else gets it any sooner than without one.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := remembering(filepath.Join(t.TempDir(), "addresses.json"))
		w := start(t, cfg)
		for _, user := range []string{"a", "b", "c", "d"} {
			w.get(user, "")
		}
		assert.Equal(t, "10.1.0.1", w.get("e", "other"))
		w.free("10.0.0.2") // a's
		time.Sleep(30 * time.Minute)
		w.free("10.0.0.3") // b's
		w.free("10.1.0.1")
		w.Close()

		// Stopped, and started again for a moment: c's and d's may never have been given back.
		time.Sleep(29 * time.Minute)
		w = start(t, cfg)
		assert.Contains(t, w.told(), "addresses=4")
		assert.Equal(t, []Stats{
			{Name: "default", Next: "", Size: 4, Quarantined: 2, Remembered: 2},
			{Name: "other", Size: 2},
		}, w.Stats())
		assert.Equal(t, "10.0.0.4", w.get("c", ""))
		assert.Equal(t, "10.0.0.3", w.get("b", ""))
		assert.Equal(t, "10.0.0.2", w.get("x", ""), "what has rested for longest, past its quarantine")
		w.free("10.0.0.2")
		w.free("10.0.0.3")
		time.Sleep(31 * time.Second)
		w.get("c", "other")

		// Crashed, with a part of that in its file, and found by a gateway whose clock is
		// behind.
		var k kept
		text, err := os.ReadFile(cfg.File)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, &k))
		for i := range k.Addresses {
			if !k.Addresses[i].Since.IsZero() {
				k.Addresses[i].Since = k.Addresses[i].Since.Add(time.Duration(i) * time.Hour)
			}
		}
		text, err = json.Marshal(k)
		require.NoError(t, err)
		w.Close()
		require.NoError(t, os.WriteFile(cfg.File, text, 0o600))
		w = start(t, cfg)
		assert.Equal(t, "10.0.0.3", w.get("b", ""))
		assert.Equal(t, "10.0.0.4", w.get("c", ""))
		time.Sleep(time.Hour)
		assert.Equal(t, 0, w.Stats()[0].Remembered, "and no longer than from now on")
		w.Close()

		// Other pools: those that are gone leave nothing.
		cfg.Pools = []Pool{{Name: "default", Ranges: []gopptp.PoolRange{span("10.0.0.3", "10.0.0.3"), span("10.2.0.1", "10.2.0.1")}, Sticky: time.Hour}}
		cfg.Fixed = []netip.Addr{addr("10.0.0.4")}
		w = start(t, cfg)
		assert.Equal(t, "10.2.0.1", w.get("c", ""))
		assert.Equal(t, "10.0.0.3", w.get("b", ""))
		w.Close()
	})
}

// A file that is of no use is no more than that, and is replaced.
func TestDamagedFile(t *testing.T) {
	for _, text := range []string{
		"", "{", "\x00\x00\x00", `{"version":1,"addresses":[{"address":"10.0.0"}]}`,
		`{"version":2,"addresses":[]}`, `{"version":1,"addresses":[{"address":"10.0.0.2","user":"a","since":"then"}]}`, `[]`,
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := remembering(filepath.Join(t.TempDir(), "addresses.json"))
			require.NoError(t, os.WriteFile(cfg.File, []byte(text), 0o600))
			w := start(t, cfg)
			assert.Contains(t, w.told(), "level=ERROR", "%q", text)
			assert.Equal(t, "10.0.0.2", w.get("b", ""))
			time.Sleep(time.Minute)
			w.Close()
			w = start(t, cfg)
			assert.Contains(t, w.told(), "addresses=1")
			assert.Equal(t, "10.0.0.2", w.get("b", ""))
			w.Close()
		})
	}

	// What cannot be is left out.
	synctest.Test(t, func(t *testing.T) {
		cfg := remembering(filepath.Join(t.TempDir(), "addresses.json"))
		require.NoError(t, os.WriteFile(cfg.File, []byte(`{"version":1,"addresses":[
			{"address":"10.0.0.1","user":"gateway"}, {"address":"","user":"nobody"}, {"address":"fd00::1","user":"six"},
			{"address":"10.0.0.3","user":"b"}, {"address":"10.0.0.3","user":"c"}, {"address":"10.9.9.9","user":"d"}]}`), 0o600))
		w := start(t, cfg)
		assert.Contains(t, w.told(), "addresses=1")
		assert.Equal(t, "10.0.0.3", w.get("b", ""))
		assert.Equal(t, Stats{Name: "default", Size: 4, Used: 1}, w.Stats()[0])
		w.Close()
	})
}

// 10,000 sessions and as many addresses that are remembered are written and read in
// passing.
func BenchmarkSnapshot(b *testing.B) {
	w := start(b, Config{Pools: []Pool{{Name: "default", Ranges: []gopptp.PoolRange{network("10.0.0.0/16")}, Sticky: time.Hour}}})
	for i := range 20_000 {
		a := w.get(fmt.Sprint("user", i), "")
		if i%2 == 0 {
			w.free(a)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(w.snapshot().Addresses) != 20_000 {
			b.Fatal("not all")
		}
	}
}
