package lab

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/userspace"
)

const sessionsTable = "sessions, MPPE-128"

// measureSessions has many clients call, and none of them go.
func (size benchSize) measureSessions(t *testing.T, w benchWay, r *benchReport) {
	server, clients := network(t, 1)
	syslog(t)
	s := w.start(t, server, mppe128)
	l := openSessionLoad(t, clients[0])

	l.call(t, s, size.WarmSessions, size.AtOnce)
	kernel, processes := kernelMemory(t), s.memory(t)
	all, own, began := busy(t), s.cpu(t), time.Now()
	l.call(t, s, size.Sessions, size.AtOnce)
	took := time.Since(began)
	all, own = busy(t)-all, s.cpu(t)-own
	n := float64(size.Sessions)
	r.add(sessionsTable, "set up", "1/s", w.name, n/took.Seconds())
	r.add(sessionsTable, "CPU of all", "ms a session", w.name, 1e3*all.Seconds()/n)
	r.add(sessionsTable, "CPU of the server's processes", "ms a session", w.name, 1e3*own.Seconds()/n)
	kernel, processes = kernelMemory(t)-kernel, s.memory(t)-processes
	r.add(sessionsTable, "memory of the server's processes", "KB a session", w.name, processes/n/1e3)
	r.add(sessionsTable, "memory of the kernel", "KB a session", w.name, kernel/n/1e3)
	t.Logf("%.1f sessions a second, %.0f ms CPU each, %.0f of it the server's; a session has %.1f KB in processes, %.1f KB in the kernel",
		n/took.Seconds(), 1e3*all.Seconds()/n, 1e3*own.Seconds()/n, processes/n/1e3, kernel/n/1e3)
}

// sessionLoad makes sessions that carry nothing.
type sessionLoad struct {
	host  host
	plane gopptp.Dataplane
	up    int
}

func openSessionLoad(t *testing.T, h host) *sessionLoad {
	t.Helper()
	var plane *userspace.Plane
	require.NoError(t, h.enter(func() (err error) {
		plane, err = userspace.Open(userspace.Options{})
		return err
	}))
	t.Cleanup(func() { plane.Close() })
	return &sessionLoad{h, controlOnly{plane}, 0}
}

// call makes n more sessions, which last until the test ends.
func (l *sessionLoad) call(t *testing.T, s *benchServer, n, atOnce int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	calls := make(chan struct{}, n)
	for range n {
		calls <- struct{}{}
	}
	close(calls)
	var mu sync.Mutex
	var sessions []*gopptp.Session
	t.Cleanup(func() {
		var closing sync.WaitGroup
		for _, s := range sessions {
			closing.Go(func() { s.Close() })
		}
		closing.Wait()
	})
	together(t, atOnce, func(int) error {
		for range calls {
			session, err := gopptp.Dial(ctx, serverAddr, l.host.calls(l.plane, gopptp.EncryptionRequire))
			if err != nil {
				return err
			}
			mu.Lock()
			sessions = append(sessions, session)
			mu.Unlock()
		}
		return nil
	})
	l.up += n
	eventually(t, 10*time.Second, "all sessions are up", func() bool { return s.up() == l.up })
}

// controlOnly is a data plane whose calls carry control frames only. It costs a client
// nothing but its sockets.
type controlOnly struct{ gopptp.Dataplane }

func (p controlOnly) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	call, err := p.Dataplane.Open(cfg, h)
	if err != nil {
		return nil, err
	}
	return controlCall{call, h}, nil
}

type controlCall struct {
	gopptp.Call
	handler gopptp.CallHandler
}

// Attach implements gopptp.Call.
func (c controlCall) Attach(gopptp.Network) error {
	go c.handler.Attached(nil)
	return nil
}

// Detach implements gopptp.Call.
func (controlCall) Detach() error { return nil }

// connectionMemory is what a TCP connection has in the kernel, both of its ends, in
// octets.
func connectionMemory(t *testing.T, n int) float64 {
	t.Helper()
	var per float64
	t.Run("connections", func(t *testing.T) {
		server, clients := network(t, 1)
		l, err := server.listen(serverAddr + ":7003")
		require.NoError(t, err)
		defer l.Close()
		connect := func(n int) {
			for range n {
				here, err := clients[0].dial("", l.Addr().String())
				require.NoError(t, err)
				t.Cleanup(func() { here.Close() })
				there, err := l.Accept()
				require.NoError(t, err)
				t.Cleanup(func() { there.Close() })
			}
		}
		connect(10)
		before := kernelMemory(t)
		connect(n)
		per = (kernelMemory(t) - before) / float64(n)
		t.Logf("%.1f KB", per/1e3)
	})
	return per
}
