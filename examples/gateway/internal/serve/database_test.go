package serve

import (
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
)

// Users of the database come in with what they are granted there; one who is disabled
// does no more. Accounting is in the database, too.
func TestDatabase(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.db")
	cfg := config.Default().Database
	cfg.URL.File = file
	db, err := database.Open(&cfg)
	require.NoError(t, err)
	defer db.Close()
	require.NoError(t, db.Migrate(t.Context()))
	store := userdb.New(db, false)
	carol := &userdb.User{Name: "carol", NTHash: chap.NTPasswordHash("staple battery")}
	require.NoError(t, carol.Address.Set("10.9.1.1"))
	require.NoError(t, carol.SessionTimeout.Set("1h"))
	require.NoError(t, store.Add(t.Context(), carol))
	shadow := &userdb.User{Name: "alice", NTHash: chap.NTPasswordHash("another")}
	require.NoError(t, store.Add(t.Context(), shadow))

	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig+"database: {url: 'sqlite:"+file+"'}\naccounting: {sql: true, directory: "+t.TempDir()+"}\n")
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err, "the configuration comes first")
		assert.Equal(t, "10.9.1.2", alice.Local().String(), "10.9.1.1 is carol's")
		session, err := w.dial("192.0.2.8", `CORP\carol`, "staple battery")
		require.NoError(t, err)
		assert.Equal(t, "10.9.1.1", session.Local().String())
		_, err = w.dial("192.0.2.9", "mallory", "staple battery")
		assert.Error(t, err)

		require.NoError(t, store.Update(t.Context(), "carol", func(u *userdb.User) error { u.Disabled = true; return nil }))
		time.Sleep(2 * time.Second) // cache.poll
		synctest.Wait()
		_, err = w.dial("192.0.2.8", "carol", "staple battery")
		assert.ErrorContains(t, err, "disabled")

		time.Sleep(time.Hour)
		synctest.Wait()
		<-session.Done()
		down := w.log.records("session down")
		require.Len(t, down, 1)
		assert.Equal(t, "carol", down[0]["user"])
		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)

		// Both are accounted for, and the run of the gateway.
		rows := make(map[string]string)
		list, err := db.Query("SELECT user_name, COALESCE(cause, 'up') FROM accounting")
		require.NoError(t, err)
		defer list.Close()
		for list.Next() {
			var user, cause string
			require.NoError(t, list.Scan(&user, &cause))
			rows[user] = cause
		}
		assert.Equal(t, map[string]string{"alice": "Admin-Reboot", "carol": "Session-Timeout"}, rows)
		var runs int
		require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM accounting_runs WHERE ended_at IS NOT NULL").Scan(&runs))
		assert.Equal(t, 1, runs)
	})
}

// An address that is fixed to a user while the gateway runs is soon kept from others.
func TestFixedLater(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.db")
	synctest.Test(t, func(t *testing.T) {
		w := start(t, gatewayConfig+"database: {url: 'sqlite:"+file+"'}\n")
		cfg := config.Default().Database
		cfg.URL.File = file
		db, err := database.Open(&cfg)
		require.NoError(t, err)
		defer db.Close()
		store := userdb.New(db, false)
		dave := &userdb.User{Name: "dave", NTHash: chap.NTPasswordHash("horse battery")}
		require.NoError(t, dave.Address.Set("10.9.1.1"))
		require.NoError(t, store.Add(t.Context(), dave))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		alice, err := w.dial("192.0.2.7", "alice", "correct horse")
		require.NoError(t, err)
		assert.Equal(t, "10.9.1.2", alice.Local().String())
		session, err := w.dial("192.0.2.8", "dave", "horse battery")
		require.NoError(t, err)
		assert.Equal(t, "10.9.1.1", session.Local().String())
		assert.Len(t, w.log.records("addresses are kept for users in the database to whom they are fixed"), 1)

		require.NoError(t, store.Delete(t.Context(), "dave"))
		time.Sleep(30 * time.Second)
		synctest.Wait()
		assert.Len(t, w.log.records("addresses are kept for users in the database to whom they are fixed"), 2, "it is anybody's again")
		w.signals <- syscall.SIGTERM
		w.stopped()
		require.NoError(t, w.err)
	})
}
