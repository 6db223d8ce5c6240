package rlimit

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestRaise(t *testing.T) {
	var before unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &before))
	defer unix.Setrlimit(unix.RLIMIT_NOFILE, &before)
	set := func(cur uint64) {
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: cur, Max: before.Max}))
	}
	limit := func() (l unix.Rlimit) {
		require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &l))
		return l
	}

	set(200)
	got, err := Raise(100)
	require.NoError(t, err)
	require.EqualValues(t, 200, got, "there are enough")
	require.EqualValues(t, 200, limit().Cur)

	got, err = Raise(300)
	require.NoError(t, err)
	require.EqualValues(t, 300, got)
	require.EqualValues(t, unix.Rlimit{Cur: 300, Max: before.Max}, limit(), "no more than that, and the hard limit stays")

	// Above the hard limit, only who has the capability gets all; who has not gets
	// what there is.
	need := before.Max + 1
	got, err = Raise(need)
	require.NoError(t, err)
	require.Contains(t, []uint64{before.Max, need}, got)
	require.Equal(t, got, limit().Cur)
}
