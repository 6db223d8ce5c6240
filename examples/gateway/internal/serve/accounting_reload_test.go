package serve

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
)

// statuses are the records of sessions that a server has, and those of the gateway.
func statuses(records []radiustest.Record) (list []string) {
	for _, r := range records {
		list = append(list, strings.TrimSpace(r.Get("Acct-Status-Type")+" "+r.Get("User-Name")))
	}
	return list
}

// Who is told of sessions is another one after each reload; each has what it is to have,
// once, and no session notices. The servers are real.
func TestReloadAccounting(t *testing.T) {
	t.Parallel()
	one, two := radiustest.Start(t, radiustest.Config{}), radiustest.Start(t, radiustest.Config{})
	dir := t.TempDir()
	file := filepath.Join(dir, "users.db")
	socket := filepath.Join(dir, "admin")
	plain := gatewayConfig + "database: {url: 'sqlite:" + file + "'}\nadmin: {listen: 'unix:" + socket + "'}\n"
	text := func(s *radiustest.Server, more string) string {
		return plain + fmt.Sprintf("accounting: {directory: %s, servers: [{address: '%v', secret: %s}]%s}\n", dir, s.Acct, radiustest.Secret, more)
	}
	w := startInRealTime(t, plain)
	reloads := 0
	reload := func(text string) {
		t.Helper()
		w.reloadsInRealTime(text)
		reloads++
		w.await("configuration taken anew", reloads)
	}
	alice, err := w.dialInRealTime(1, "alice", "correct horse")
	require.NoError(t, err)
	w.await("session up", 1)
	reload(text(one, ""))
	assert.Equal(t, []string{"Accounting-On", "Start alice"}, statuses(one.Await(2)))
	bob, err := w.dialInRealTime(2, "bob", "battery staple")
	require.NoError(t, err)
	one.Await(3)
	reload(text(two, ", sql: true, interval: 3m, jitter: 20, checkpoint: 7s, max_records: 5000"))
	bob.Close()
	<-bob.Done()
	assert.Equal(t, []string{"Stop bob"}, statuses(two.Await(1)), "is in the place of the other, and knows what that knew")

	var figures struct {
		Unwritten int
		Sinks     []struct {
			Sink      string
			Delivered int
			Oldest    float64
		}
		Servers []struct {
			AccountingReplies int `json:"accounting_replies"`
		}
	}
	cfg, _, _ := w.load()
	operator := admin.NewClient(cfg.Admin.Listen)
	require.Eventually(t, func() bool {
		b, err := operator.Get(t.Context(), "/api/v1/sections/accounting")
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &figures))
		require.Len(t, figures.Sinks, 2)
		return figures.Sinks[1].Delivered == 4
	}, 20*time.Second, time.Millisecond, "the database knows that the gateway is on, that two have begun, and that one has ended")
	assert.Equal(t, "radius", figures.Sinks[0].Sink)
	require.Len(t, figures.Servers, 1)

	w.reloadsInRealTime(strings.Replace(text(two, ""), "directory: "+dir, "directory: "+t.TempDir(), 1))
	w.await("the configuration is not taken, and nothing has changed", 1)
	assert.Contains(t, strings.Join(w.changes(), "\n"), "accounting.directory: cannot change while the gateway runs, as the queue is in it")

	reload(plain + "accounting: {directory: " + dir + ", sql: true}\n")
	two.Await(2)
	assert.Equal(t, gopptp.StateUp, alice.State())
	w.signals <- syscall.SIGTERM
	w.stopped()
	require.NoError(t, w.err)
	assert.Equal(t, []string{"Accounting-On", "Start alice", "Start bob"}, statuses(one.Records()))
	assert.Equal(t, []string{"Stop bob", "Accounting-Off"}, statuses(two.Records()))
	assert.Equal(t, one.Records()[0].Get("Acct-Session-Id"), two.Records()[1].Get("Acct-Session-Id"))

	db, err := sql.Open("sqlite", file)
	require.NoError(t, err)
	defer db.Close()
	var users, ends string
	require.NoError(t, db.QueryRow("SELECT group_concat(user_name), group_concat(reason) FROM (SELECT * FROM accounting ORDER BY user_name)").Scan(&users, &ends))
	assert.Equal(t, "alice,bob", users)
	assert.Equal(t, "shutdown,peer", ends)
	var runs int
	require.NoError(t, db.QueryRow("SELECT COUNT(*) FROM accounting_runs WHERE began_at IS NOT NULL AND ended_at IS NOT NULL").Scan(&runs))
	assert.Equal(t, 1, runs)
	for _, secret := range []string{radiustest.Secret, "correct horse"} {
		assert.NotContains(t, w.log.text(), secret)
	}
}
