package child

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestParseCPU(t *testing.T) {
	d, err := parseCPU("5944 (a b) c)) S 1 5944 5944 0 -1 4194304 100 0 0 0 123 45 0 0 20 0 1 0 1 2 3")
	require.NoError(t, err)
	require.Equal(t, 1680*time.Millisecond, d)
	_, err = parseCPU("")
	require.Error(t, err)
	_, err = parseCPU("1 (x) S 1 2 3 4 5 6 7 8 9 10 eleven 12")
	require.Error(t, err)
}

func TestTail(t *testing.T) {
	var l tail
	for range 1000 {
		_, err := l.Write([]byte("1234567890\n"))
		require.NoError(t, err)
	}
	require.Less(t, len(l.String()), 5<<10)
}
