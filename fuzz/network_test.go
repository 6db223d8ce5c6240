package fuzz

import (
	"bytes"
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
)

// wire is the way between a client and the server, as the fuzzer would have it. It
// takes from its script what becomes of each packet and each write.
type wire struct {
	mu     sync.Mutex // packets go both ways, and TCP too
	script script
	net    *memory.Network
}

// What becomes of a packet. All other numbers let it pass.
const (
	fateLost = iota
	fateTwice
	fateLate
	fateChanged // an octet is
	fateCut
	fateLonger
	fateReplaced
	fateCount

	fateOthers = 4 * fateCount // so that most pass
)

// fate returns what becomes of b: the copies of it that arrive, how much later, and
// whether it is as it was.
func (w *wire) fate(b []byte) (copies [][]byte, late time.Duration, pass bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.script.b) == 0 || len(b) == 0 {
		return nil, 0, true
	}
	b = bytes.Clone(b)
	switch w.script.next() % fateOthers {
	case fateLost:
		return nil, 0, false
	case fateTwice:
		copies = [][]byte{b, b}
	case fateLate:
		copies, late = [][]byte{b}, time.Duration(w.script.next())*20*time.Millisecond
	case fateChanged:
		at := int(w.script.next()) % len(b)
		b[at] = w.script.next()
		copies = [][]byte{b}
	case fateCut:
		copies = [][]byte{b[:int(w.script.next())%len(b)]}
	case fateLonger:
		copies = [][]byte{append(b, w.script.octets()...)}
	case fateReplaced:
		copies = [][]byte{w.script.octets()}
	default:
		return nil, 0, true
	}
	return copies, late, false
}

// filter is for the GRE packets of the client.
func (w *wire) filter(p memory.Packet) bool {
	if p.From != otherAddr && p.To != otherAddr {
		return true
	}
	copies, late, pass := w.fate(p.Data)
	for _, b := range copies {
		time.AfterFunc(late, func() { w.net.Inject(memory.Packet{From: p.From, To: p.To, Data: b}) })
	}
	return pass
}

// stream is the client's control connection. What the server writes is left alone:
// it takes no harm from a client that closes the connection.
type stream struct {
	net.Conn
	wire *wire
}

func (s *stream) Write(b []byte) (int, error) {
	copies, late, pass := s.wire.fate(b)
	if pass {
		return s.Conn.Write(b)
	}
	time.Sleep(late)
	for _, c := range copies {
		if _, err := s.Conn.Write(c); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// FuzzNetwork has a client on a network that loses, doubles, delays and changes
// what the fuzzer wants. The session comes up or ends for a plain reason, both in
// time, and the neighbour does not notice.
func FuzzNetwork(f *testing.F) {
	const pass = 255
	f.Add([]byte{0})
	for kind := range byte(fateCount) {
		for skip := range 12 {
			f.Add(append(append([]byte{kind % 8}, bytes.Repeat([]byte{pass}, 2*skip)...), kind, 9, 9, kind, 12, 200))
		}
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		synctest.Test(t, func(t *testing.T) {
			s := script{ops}
			policy := s.next()
			w := newWorld(t, policy)
			wire := &wire{script: s, net: w.net}
			w.net.Filter(wire.filter)
			client := w.net.Host(otherAddr)
			modes := mppe.AllowStateless
			if policy&4 != 0 {
				modes = mppe.AllowStateful
			}
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), setupTimeout)
			defer cancel()
			session, err := gopptp.Dial(ctx, serverAddr.String(), gopptp.ClientConfig{
				Dataplane: client.Dataplane(),
				DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
					nc, err := client.DialContext(ctx, network, addr)
					return &stream{nc, wire}, err
				},
				User: user, Password: password, RequestDNS: true,
				Encryption: policies[policy>>3&3], EncryptionModes: modes, KeyLengths: mppe.AllKeyLengths,
			})
			require.Less(t, time.Since(began), setupTimeout+grace)
			if err != nil {
				var failure *gopptp.SessionError
				require.True(t, errors.As(err, &failure), "%v", err)
				require.NotEqual(t, gopptp.CauseNone, failure.Cause)
			} else {
				for range 20 {
					client.Send(datagram(session.Local(), tunnelServer, []byte("up")))
					w.host.Send(datagram(tunnelServer, session.Local(), []byte("down")))
					time.Sleep(100 * time.Millisecond)
					w.exchange()
					w.check()
				}
				session.Close()
				began = time.Now()
				<-session.Done()
				require.Less(t, time.Since(began), grace)
			}
			w.net.Filter(nil)
			w.exchange()
			time.Sleep(rest)
			w.check()
			w.atRest()
		})
	})
}
