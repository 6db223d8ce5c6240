package traffic

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseIperf(t *testing.T) {
	o, err := parseIperf([]byte(`{"start":{},"end":{"sum_sent":{"bytes":9},"sum_received":{"seconds":2,"bytes":5e8,"bits_per_second":1}}}`))
	require.NoError(t, err)
	require.Equal(t, 2e9, o.BitsPerSecond())
	for _, bad := range []string{"", "{}", `{"error":"unable to connect"}`} {
		_, err := parseIperf([]byte(bad))
		require.Error(t, err)
	}
}
