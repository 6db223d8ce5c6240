package admin

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A trace of a session is a file that tshark understands.
func TestTrace(t *testing.T) {
	w := start(t, nil)
	w.dial("192.0.2.2", "alice")
	id := w.list("").Sessions[0].ID
	stream, err := w.client.Stream(t.Context(), "/sessions/"+string(id)+"/trace")
	require.NoError(t, err)
	defer stream.Close()
	require.NoError(t, w.client.Do(t.Context(), "DELETE", "/sessions/"+string(id), nil, nil))

	name := filepath.Join(t.TempDir(), "trace.pcapng")
	file, err := os.Create(name)
	require.NoError(t, err)
	_, err = file.ReadFrom(stream)
	require.NoError(t, err, "ends with the session, in order")
	file.Close()
	file, err = os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	r, err := pcapgo.NewNgReader(file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	require.NoError(t, err)
	packets := 0
	for {
		_, ci, err := r.ReadPacketData()
		if err != nil {
			break
		}
		packets++
		assert.WithinDuration(t, time.Now(), ci.Timestamp, time.Minute)
	}
	assert.GreaterOrEqual(t, packets, 3)

	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("needs tshark: scripts/apt.sh tshark")
	}
	out, err := exec.CommandContext(t.Context(), tshark, "-n", "-r", name).CombinedOutput()
	require.NoError(t, err, string(out))
	text := string(out)
	assert.Contains(t, text, "Termination Request")
	assert.Contains(t, text, "Termination Ack")
	assert.Contains(t, text, "Call-Disconnect-Notify")
	assert.NotContains(t, text, "Malformed")
	assert.NotContains(t, text, "[BoundErrorUnreassembled")
	assert.Regexp(t, `192\.0\.2\.1 → 192\.0\.2\.2 +PPTP `, text)
	t.Log("\n" + strings.TrimSpace(text))
}

func TestBadTraces(t *testing.T) {
	w := start(t, nil)
	w.dial("192.0.2.2", "alice")
	path := "/sessions/" + string(w.list("").Sessions[0].ID) + "/trace"
	for query, want := range map[string]string{
		"?duration=0s":      `duration: "0s" is not a duration from 1s to 1h0m0s`,
		"?duration=2h":      `duration: "2h" is not a duration from 1s to 1h0m0s`,
		"?duration=forever": `duration: "forever" is not a duration from 1s to 1h0m0s`,
		"?packets=some":     `packets: "some" is neither true nor false`,
		"?snap=1":           `unknown parameter "snap"`,
	} {
		status, text := w.refused("GET", path+query, nil)
		assert.Equal(t, http.StatusBadRequest, status)
		assert.Equal(t, want, text)
	}
	status, _ := w.refused("GET", "/sessions/x/trace", nil)
	assert.Equal(t, http.StatusNotFound, status)
	// Its packets pass by no device of this host.
	status, text := w.refused("GET", path+"?packets=true", nil)
	assert.Equal(t, http.StatusNotImplemented, status)
	assert.Contains(t, text, "packets of users cannot be had here")

	w.server.traces.Store(maxTraces)
	status, text = w.refused("GET", path, nil)
	assert.Equal(t, http.StatusServiceUnavailable, status)
	assert.Equal(t, "16 sessions are traced already", text)
}
