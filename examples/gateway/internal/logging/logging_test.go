package logging

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

func open(t *testing.T, cfg config.Log) *Log {
	t.Helper()
	l, err := Open(&cfg, io.Discard)
	require.NoError(t, err)
	t.Cleanup(func() { assert.Zero(t, l.Dropped()) })
	return l
}

func read(t *testing.T, c net.PacketConn) string {
	t.Helper()
	b := make([]byte, 1<<17)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	n, _, err := c.ReadFrom(b)
	require.NoError(t, err)
	return string(b[:n])
}

func TestStderr(t *testing.T) {
	var out bytes.Buffer
	l, err := Open(&config.Log{Level: slog.LevelInfo, Format: config.LogJSON, Output: config.LogStderr}, &out)
	require.NoError(t, err)
	l.Debug("hidden")
	l.Level.Set(slog.LevelDebug)
	l.Debug("seen", "session", "1")
	l.Close()
	assert.NotContains(t, out.String(), "hidden")
	assert.Regexp(t, `^{"time":"[^"]+","level":"DEBUG","msg":"seen","session":"1"}\n$`, out.String())
	assert.Zero(t, l.Dropped())
}

// Whoever logs goes on when nobody reads standard error any more, as with a journald that hangs.
func TestStderrThatIsStuck(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	l, err := Open(&config.Log{Format: config.LogJSON, Output: config.LogStderr}, w)
	require.NoError(t, err)
	text := strings.Repeat("x", 500)
	for i := range queued + 500 {
		l.Info("much", "number", i, "text", text)
	}
	assert.Positive(t, l.Dropped())
	lines := bufio.NewScanner(r)
	for i := range 100 {
		require.True(t, lines.Scan())
		assert.True(t, strings.HasSuffix(lines.Text(), fmt.Sprintf(`,"level":"INFO","msg":"much","number":%d,"text":"%s"}`, i, text)), "each is whole, and in order")
	}
	l.Close()
}

// A syslog server gets each record with its severity, by UDP and by a Unix socket.
func TestSyslog(t *testing.T) {
	udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer udp.Close()
	path := filepath.Join(t.TempDir(), "log")
	local, err := net.ListenPacket("unixgram", path)
	require.NoError(t, err)
	defer local.Close()
	for name, c := range map[string]struct {
		conn net.PacketConn
		addr config.SyslogAddr
	}{
		"udp":  {udp, config.SyslogAddr{Network: "udp", Address: udp.LocalAddr().String()}},
		"unix": {local, config.SyslogAddr{Network: "unixgram", Address: path}},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, config.Log{Level: slog.LevelDebug, Format: config.LogText, Output: config.LogSyslog, Syslog: c.addr})
			defer l.Close()
			const daemon = 3 << 3
			for _, r := range []struct {
				level    slog.Level
				severity int
			}{{slog.LevelDebug, 7}, {slog.LevelInfo, 6}, {slog.LevelWarn, 4}, {slog.LevelError, 3}} {
				l.With("session", "0123").WithGroup("g").Log(t.Context(), r.level, "what\nhas happened", "user", "a\nb")
				assert.Regexp(t, fmt.Sprintf(`^<%d>.* %s\[\d+\]: level=%v msg="what\\nhas happened" session=0123 g.user="a\\nb"\n$`,
					daemon+r.severity, identifier, r.level), read(t, c.conn), "a record is a line, whatever is in it")
			}
			l.Info(strings.Repeat("x", 100_000))
			assert.Less(t, len(read(t, c.conn)), maxField+200)
		})
	}
}

// parseJournal reads journald's native format.
func parseJournal(t *testing.T, b string) map[string]string {
	t.Helper()
	fields := make(map[string]string)
	for b != "" {
		line, rest, ok := strings.Cut(b, "\n")
		require.True(t, ok, "%q", b)
		name, value, plain := strings.Cut(line, "=")
		if !plain {
			n := binary.LittleEndian.Uint64([]byte(rest[:8]))
			value, rest = rest[8:8+n], rest[8+n:]
			require.Equal(t, byte('\n'), rest[0])
			rest = rest[1:]
		}
		require.Regexp(t, `^[A-Z][A-Z0-9_]{0,63}$`, name)
		fields[name] = value
		b = rest
	}
	return fields
}

func TestJournald(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	listen := func() net.PacketConn {
		c, err := net.ListenPacket("unixgram", path)
		require.NoError(t, err)
		return c
	}
	c := listen()
	level := new(slog.LevelVar)
	q := newQueue("journald", &journal{path: path}, io.Discard)
	defer q.close()
	l := slog.New(newJournalHandler(level, q))

	l.Debug("hidden")
	l.With("server", "192.0.2.9:1812").WithGroup("radius").Warn("session up", "session", "0123", slog.Group("b", "c-d", 5), "took", time.Second, "text", "one\ntwo=3\n")
	assert.Equal(t, map[string]string{
		"MESSAGE":               `session up server=192.0.2.9:1812 radius.session=0123 radius.b.c-d=5 radius.took=1s radius.text="one\ntwo=3\n"`,
		"PRIORITY":              "4",
		"SYSLOG_IDENTIFIER":     identifier,
		"GOPPTP_SERVER":         "192.0.2.9:1812",
		"GOPPTP_RADIUS_SESSION": "0123",
		"GOPPTP_RADIUS_B_C_D":   "5",
		"GOPPTP_RADIUS_TOOK":    "1s",
		"GOPPTP_RADIUS_TEXT":    "one\ntwo=3\n",
	}, parseJournal(t, read(t, c)), "what users send can be no field of its own")
	level.Set(slog.LevelDebug)
	l.Debug("plain")
	assert.Equal(t, map[string]string{"MESSAGE": "plain", "PRIORITY": "7", "SYSLOG_IDENTIFIER": identifier}, parseJournal(t, read(t, c)))
	var many []any
	for i := range 100 {
		many = append(many, strings.Repeat("n", 50)+fmt.Sprint(i), strings.Repeat("v", 20_000))
	}
	l.Error("much", many...)
	b := read(t, c)
	assert.Less(t, len(b), maxRecord+3*maxField)
	assert.Equal(t, "3", parseJournal(t, b)["PRIORITY"])

	// A journald that has started anew gets what came meanwhile.
	c.Close()
	require.NoError(t, removeSocket(path))
	l.Info("while it is gone")
	c = listen()
	defer c.Close()
	assert.Equal(t, "while it is gone", parseJournal(t, read(t, c))["MESSAGE"])
}

// A record that the kernel does not take for one datagram is lost, and those behind it are not.
func TestJournaldTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	c, err := net.ListenPacket("unixgram", path)
	require.NoError(t, err)
	defer c.Close()
	j := &journal{path: path}
	require.NoError(t, j.write(record{text: []byte("MESSAGE=first\n")}))
	require.NoError(t, j.conn.SetWriteBuffer(4096))
	q := newQueue("journald", j, io.Discard)
	l := slog.New(newJournalHandler(slog.LevelInfo, q))
	l.Info("large", "a", strings.Repeat("x", maxField), "b", strings.Repeat("y", maxField))
	l.Info("small")
	assert.Equal(t, "first", parseJournal(t, read(t, c))["MESSAGE"])
	assert.Equal(t, "small", parseJournal(t, read(t, c))["MESSAGE"])
	q.close()
	assert.EqualValues(t, 1, q.dropped.Load())
}

// stuck is a sink that takes nothing until it is told to.
type stuck struct {
	mu      sync.Mutex
	works   bool
	records []string
}

func (s *stuck) write(r record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.works {
		return errors.New("no")
	}
	s.records = append(s.records, string(r.text))
	return nil
}

func (s *stuck) close() {}

// A sink that takes nothing holds up nobody. What there is room for comes when it works
// again, in order, and the rest is counted; standard error has it once a minute.
func TestSinkThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stderr bytes.Buffer
		s := new(stuck)
		q := newQueue("syslog", s, &stderr)
		l := slog.New(newLineHandler(config.LogText, &slog.HandlerOptions{ReplaceAttr: without(slog.TimeKey)}, maxField, q))
		begin := time.Now()
		l.Info("first")
		synctest.Wait() // the queue is at it
		for range queued + 10 {
			l.Info("more")
		}
		assert.Equal(t, begin, time.Now())
		assert.EqualValues(t, 10, q.dropped.Load())
		time.Sleep(90 * time.Second)
		synctest.Wait()
		assert.Equal(t, 2, strings.Count(stderr.String(), "syslog takes no records: no\n"))
		s.mu.Lock()
		s.works = true
		s.mu.Unlock()
		time.Sleep(maxRetry)
		synctest.Wait()
		require.Len(t, s.records, queued+1)
		assert.Equal(t, "level=INFO msg=first", s.records[0])
		q.close()
	})
}

// A gateway that ends does not wait for long.
func TestCloseWithSinkThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue("syslog", new(stuck), io.Discard)
		q.put(record{})
		q.put(record{})
		begin := time.Now()
		q.close()
		assert.Less(t, time.Since(begin), closeLimit+time.Second)
		<-q.closed
		assert.EqualValues(t, 2, q.dropped.Load())
	})
}

func TestFieldName(t *testing.T) {
	assert.Equal(t, "REMOTE_ADDR", fieldName("remote.addr"))
	assert.Regexp(t, regexp.MustCompile(`^X{40}$`), fieldName(strings.Repeat("x", 100)))
}

func removeSocket(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
