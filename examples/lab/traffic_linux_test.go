package lab

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serveBulk starts the far end of bulk transfers in the host.
func (h host) serveBulk(t *testing.T) {
	t.Helper()
	p := h.start(t, "bulk-server", os.Args[0], "bulk-server", net.JoinHostPort("0.0.0.0", strconv.Itoa(bulkPort)))
	p.await(t, "listening on", 10*time.Second)
}

// ping sends n echo requests through dev; every one must be answered.
func (h host) ping(t *testing.T, dev, to string, n int) {
	t.Helper()
	require.NoError(t, h.pingErr(dev, to, n))
}

func (h host) pingErr(dev, to string, n int) error {
	_, err := run(h.within("ping", "-q", "-I", dev, "-c", strconv.Itoa(n), "-i", "0.02", "-W", "2", to)...)
	return err
}

// bulk transfers size bytes each way through dev, checked, and returns the
// rates as text.
func (h host) bulk(t *testing.T, dev, to string, size int) string {
	t.Helper()
	out, err := h.bulkErr(dev, to, size)
	require.NoError(t, err)
	return out
}

func (h host) bulkErr(dev, to string, size int) (string, error) {
	out, err := run(h.within(os.Args[0], "bulk-client", "-dev", dev, "-bytes", fmt.Sprint(size),
		net.JoinHostPort(to, strconv.Itoa(bulkPort)))...)
	return strings.TrimSpace(out), err
}
