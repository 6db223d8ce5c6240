package serve

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// BenchmarkScrape is what a scrape costs with nobody in and with 10,000: their counters are
// read one by one, and what comes of it is as large as with none.
func BenchmarkScrape(b *testing.B) {
	const many = 10_000
	for _, sessions := range []int{0, many} {
		b.Run(fmt.Sprintf("%d sessions", sessions), func(b *testing.B) {
			m := startMonitored(b, deadServer, "10.9.1.1-10.9.1.40", "10.10.0.0/16")
			m.dialMany(sessions)
			length := 0
			for b.Loop() {
				length = len(m.scrape())
			}
			b.ReportMetric(float64(length), "octets")
			b.ReportMetric(float64(m.compressed()), "octets_gzip")
		})
	}
}

// dialMany has so many sessions up, of which all belong to one user.
func (m *monitored) dialMany(n int) {
	m.t.Helper()
	d := gopptp.NewDialer(gopptp.DialerConfig{})
	m.t.Cleanup(func() { d.Close() })
	next := make(chan int)
	errs := make(chan error, n)
	var wait sync.WaitGroup
	for range 32 {
		wait.Go(func() {
			for i := range next {
				h := m.network.Host(netip.AddrFrom4([4]byte{100, 64, byte(i >> 8), byte(i)}))
				ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
				_, err := d.Dial(ctx, "192.0.2.1", gopptp.ClientConfig{
					Dataplane: h.Dataplane(), DialContext: h.DialContext, User: "alice", Password: "correct horse",
				})
				cancel()
				errs <- err
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wait.Wait()
	for range n {
		require.NoError(m.t, <-errs)
	}
	m.eventually("gopptp_sessions_up", fmt.Sprint(n))
}

// compressed is how long a scrape is as Prometheus asks for it.
func (m *monitored) compressed() int64 {
	m.t.Helper()
	request, err := http.NewRequest(http.MethodGet, m.address+"/metrics", nil)
	require.NoError(m.t, err)
	request.Header.Set("Accept-Encoding", "gzip") // so that nobody unpacks it
	r, err := http.DefaultClient.Do(request)
	require.NoError(m.t, err)
	defer r.Body.Close()
	require.Equal(m.t, "gzip", r.Header.Get("Content-Encoding"))
	n, err := io.Copy(io.Discard, r.Body)
	require.NoError(m.t, err)
	return n
}
