package gopptp

import (
	"log/slog"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// A listener may turn somebody away while the server, which has ended, says what is left.
func TestReportFlushMeanwhile(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	r := reporter{log: func() *slog.Logger { return log }}
	const kinds, each = 100, reportLines + 1
	refused := make(chan struct{})
	go func() {
		defer close(refused)
		for i := range kinds * each {
			r.refused("refused", strconv.Itoa(i%kinds))
		}
	}()
	for over := false; !over; {
		r.flush()
		select {
		case <-refused:
			over = true
		default:
		}
	}
	r.flush()
	require.Empty(t, r.kinds)
}
