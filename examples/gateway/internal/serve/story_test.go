package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/internal/radiustest"
)

// The log has the whole story of a session under its ID, from the TCP connection, which
// has the same remote address, to the delivery of its Stop.
func TestStoryOfASession(t *testing.T) {
	server := radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: "carol", Password: "carols"}}})
	m := startMonitored(t, fmt.Sprintf("{address: '%v', secret: %s}", server.Auth, radiustest.Secret))
	s, err := m.dial(7, "carol", "carols")
	require.NoError(t, err)
	m.await("session up")
	id := m.log.records("session up")[0]["session"].(string)
	s.Close()
	<-s.Done()
	story := func() (lines []map[string]any) {
		for line := range strings.Lines(m.log.text()) {
			var r map[string]any
			if json.Unmarshal([]byte(line), &r) == nil && r["session"] == id {
				lines = append(lines, r)
			}
		}
		return lines
	}
	has := func(msg string, attrs map[string]any) bool {
		for _, r := range story() {
			if r["msg"] != msg {
				continue
			}
			same := true
			for k, v := range attrs {
				same = same && r[k] == v
			}
			if same {
				return true
			}
		}
		return false
	}
	chapters := []struct {
		msg   string
		attrs map[string]any
	}{
		{"session", map[string]any{"state": "call"}},
		{"session", map[string]any{"state": "establish"}},
		{"session", map[string]any{"state": "authenticate"}},
		{"RADIUS", map[string]any{"answer": "Access-Accept", "server": server.Auth.String()}},
		{"log-in", map[string]any{"outcome": "accepted", "user": "carol", "radius": true}},
		{"session", map[string]any{"state": "network"}},
		{"session up", map[string]any{"user": "carol"}},
		{"accounting: delivered", map[string]any{"kind": "start", "sink": "sql"}},
		{"session down", map[string]any{"cause": "peer"}},
		{"accounting: delivered", map[string]any{"kind": "stop", "sink": "sql"}},
	}
	for _, c := range chapters {
		require.Eventually(t, func() bool { return has(c.msg, c.attrs) }, time.Minute, 5*time.Millisecond, "%s %v in:\n%v", c.msg, c.attrs, story())
	}
	remote := m.log.records("session up")[0]["remote"]
	accepted := m.log.records("control connection")
	require.Len(t, accepted, 1)
	assert.Equal(t, remote, accepted[0]["remote"])
	assert.NotContains(t, m.log.text(), "carols", "no password")
	assert.NotContains(t, m.log.text(), radiustest.Secret)
}
