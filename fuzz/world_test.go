package fuzz

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
)

const (
	user     = "mallory"
	password = "guess"
)

var (
	serverAddr    = netip.MustParseAddrPort("192.0.2.1:1723")
	neighbourAddr = netip.MustParseAddr("198.51.100.1")
	otherAddr     = netip.MustParseAddr("198.51.100.66")
	tunnelServer  = netip.MustParseAddr("10.9.0.1")
)

const (
	maxSessions  = 8
	setupTimeout = 20 * time.Second
	// grace is what an orderly end takes beyond what it ends.
	grace = 10 * time.Second
	// rest is how long it takes until nothing is left of a peer that says no
	// more: both ends' echoes, and then the end of all.
	rest = 5 * time.Minute
	// maxGoroutines is how many a connection and its sessions may take.
	maxGoroutines = 8
)

// world is a server with a neighbour: a client that has done nothing wrong.
type world struct {
	t         *testing.T
	net       *memory.Network
	host      *memory.Host
	server    *gopptp.Server
	pool      *gopptp.Pool
	poolSize  int
	neighbour *gopptp.Session
	away      *memory.Host // the neighbour's
	packets   byte
	before    int // goroutines
}

// policies is what the server does about encryption.
var policies = []gopptp.EncryptionPolicy{
	gopptp.EncryptionRequire, gopptp.EncryptionPrefer, gopptp.EncryptionAllow, gopptp.EncryptionDeny,
}

func newWorld(t *testing.T, policy byte) *world {
	w := &world{t: t, net: memory.NewNetwork()}
	t.Cleanup(w.net.Close)
	w.host = w.net.Host(serverAddr.Addr())
	var err error
	w.pool, err = gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.9.1.0/28"))})
	require.NoError(t, err)
	w.poolSize = w.pool.Free()
	users := map[string]*gopptp.LocalUser{
		"alice": {NTHash: chap.NTPasswordHash("correct horse")},
		user:    {NTHash: chap.NTPasswordHash(password)},
	}
	modes := mppe.AllowStateless
	if policy&4 != 0 {
		modes = mppe.AllowStateful
	}
	w.server, err = gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: w.host.Dataplane(),
		Authenticator: gopptp.NewLocalAuthenticator(func(_ context.Context, name string) (*gopptp.LocalUser, error) {
			return users[name], nil
		}),
		Pool:            w.pool,
		LocalAddress:    tunnelServer,
		DNS:             []netip.Addr{netip.MustParseAddr("10.9.0.53")},
		Encryption:      policies[policy&3],
		EncryptionModes: modes,
		KeyLengths:      mppe.AllKeyLengths,
		Loops:           1, // so that who blocks one blocks all
		Limits:          gopptp.Limits{MaxSessions: maxSessions, MaxPerSource: 4, SetupTimeout: setupTimeout},
	})
	require.NoError(t, err)
	l, err := w.host.Listen(serverAddr.Port())
	require.NoError(t, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		w.server.Serve(context.Background(), l)
	}()
	t.Cleanup(func() {
		w.server.Close()
		<-served
	})

	w.away = w.net.Host(neighbourAddr)
	w.net.Host(otherAddr)
	w.neighbour = w.dial(w.away, "alice", "correct horse", policies[policy&3], modes)
	synctest.Wait()
	w.exchange()
	w.before = w.goroutines()
	return w
}

// dial brings a session up.
func (w *world) dial(from *memory.Host, name, word string, policy gopptp.EncryptionPolicy, modes mppe.Modes) *gopptp.Session {
	s, err := gopptp.Dial(context.Background(), serverAddr.String(), gopptp.ClientConfig{
		Dataplane: from.Dataplane(), DialContext: from.DialContext,
		User: name, Password: word, Encryption: policy, EncryptionModes: modes, KeyLengths: mppe.AllKeyLengths,
	})
	require.NoError(w.t, err)
	w.t.Cleanup(func() {
		s.Close()
		<-s.Done()
	})
	return s
}

// exchange has the neighbour send a packet to the server, and get one.
func (w *world) exchange() {
	w.t.Helper()
	require.Equal(w.t, gopptp.StateUp, w.neighbour.State())
	own := w.neighbour.Local()
	for _, way := range []struct {
		from, to *memory.Host
		src, dst netip.Addr
	}{{w.away, w.host, own, tunnelServer}, {w.host, w.away, tunnelServer, own}} {
		w.packets++
		p := datagram(way.src, way.dst, []byte{'n', w.packets})
		way.from.Send(p)
		for deadline := time.After(5 * time.Second); ; {
			select {
			case got := <-way.to.Packets():
				if !bytes.Equal(p, got) {
					continue // of whom the fuzzer plays
				}
			case <-deadline:
				require.FailNow(w.t, "the neighbour's packet does not arrive")
			}
			break
		}
	}
}

// check looks whether the server is as it should be whatever its peers do.
func (w *world) check() {
	w.t.Helper()
	stats := w.server.Stats()
	require.LessOrEqual(w.t, stats.Sessions, maxSessions)
	require.LessOrEqual(w.t, stats.Connections, 1+4)
	require.LessOrEqual(w.t, w.goroutines(), w.before+maxGoroutines*(stats.Connections+stats.Sessions))
	require.LessOrEqual(w.t, len(w.host.Attached()), stats.Sessions)
	for _, s := range w.server.Sessions() {
		if s.UpAt().IsZero() {
			require.Less(w.t, time.Since(s.StartedAt()), setupTimeout+grace, "%v", s.State())
		}
	}
}

// atRest checks that nothing is left but the neighbour.
func (w *world) atRest() {
	w.t.Helper()
	stats := w.server.Stats()
	require.Equal(w.t, 1, stats.Sessions)
	require.Equal(w.t, 1, stats.Up)
	require.Equal(w.t, 1, stats.Connections)
	require.Zero(w.t, stats.HalfOpen)
	require.Equal(w.t, w.poolSize-1, w.pool.Free())
	require.Len(w.t, w.host.Attached(), 1)
	w.exchange()
	require.Equal(w.t, w.before, w.goroutines())
}

// goroutines returns how many there are in the bubble, at rest.
func (w *world) goroutines() int {
	synctest.Wait()
	own := make([]byte, 100)
	own = own[:runtime.Stack(own, false)]
	bubble := bytes.Index(own, []byte(", synctest bubble "))
	end := bytes.IndexByte(own, ']')
	all := make([]byte, 256<<10)
	return bytes.Count(all[:runtime.Stack(all, true)], own[bubble:end+1])
}

// datagram is an IPv4 packet.
func datagram(src, dst netip.Addr, payload []byte) []byte {
	b := make([]byte, 20, 20+len(payload))
	from, to := src.As4(), dst.As4()
	b[0], b[8], b[9] = 0x45, 64, 253
	binary.BigEndian.PutUint16(b[2:], uint16(20+len(payload)))
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum>>16+sum))
	return append(b, payload...)
}

// script is what the fuzzer says. It gives zeroes when there is no more.
type script struct{ b []byte }

func (s *script) next() (v byte) {
	if len(s.b) > 0 {
		v, s.b = s.b[0], s.b[1:]
	}
	return v
}

// octets returns as many as the next one says, or those that there are.
func (s *script) octets() []byte {
	n := min(int(s.next()), len(s.b))
	b := s.b[:n]
	s.b = s.b[n:]
	return b
}
