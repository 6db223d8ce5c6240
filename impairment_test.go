package gopptp_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// fate is what becomes of a packet.
type fate struct {
	name   string
	copies []time.Duration // when it arrives, once or more often; none: it is lost
	within time.Duration   // how long a set-up with it takes at the most
	run    int             // how many packets in a row it befalls; zero: one
}

var fates = []fate{
	{name: "lost", within: 1200 * time.Millisecond},
	{name: "lost with the next two", within: 5 * time.Second, run: 3},
	{name: "twice", copies: []time.Duration{0, 0}, within: 600 * time.Millisecond},
	{name: "10ms late", copies: []time.Duration{10 * time.Millisecond}, within: 1200 * time.Millisecond},
	{name: "400ms late", copies: []time.Duration{400 * time.Millisecond}, within: 1200 * time.Millisecond},
	{name: "4s late", copies: []time.Duration{4 * time.Second}, within: 1200 * time.Millisecond},
	{name: "again after 4s", copies: []time.Duration{0, 4 * time.Second}, within: 600 * time.Millisecond},
}

// strike lets a fate befall the GRE packet that is sent after n others, in either
// direction. All packets take latency. The function that is returned tells how
// many have been sent.
func (w *world) strike(n int, f fate, latency time.Duration) func() int {
	sent := 0
	w.net.Impair(memory.Impairment{Delay: latency})
	w.net.Filter(func(p memory.Packet) bool {
		sent++
		if i := sent - 1; i < n || i >= n+max(f.run, 1) {
			return true
		}
		p.Data = bytes.Clone(p.Data)
		for _, late := range f.copies {
			time.AfterFunc(latency+late, func() { w.net.Inject(p) })
		}
		return false
	})
	return func() int {
		w.net.Filter(nil) // so that nobody counts meanwhile
		return sent
	}
}

// goroutines returns how many there are in the bubble, once all have come to
// rest. Only traces tell bubbles apart.
func goroutines() int {
	synctest.Wait()
	own := make([]byte, 100)
	own = own[:runtime.Stack(own, false)]
	bubble := bytes.Index(own, []byte(", synctest bubble "))
	end := bytes.IndexByte(own, ']')
	all := make([]byte, 1<<20)
	return bytes.Count(all[:runtime.Stack(all, true)], own[bubble:end+1])
}

// requireNothingLeft checks that the session that was is gone without a trace.
// before is what goroutines returned when there was none yet.
func (w *world) requireNothingLeft(server *gopptp.Server, before int) {
	w.t.Helper()
	time.Sleep(time.Second) // control connections end last
	require.Equal(w.t, before, goroutines())
	stats := server.Stats()
	require.Zero(w.t, stats.Sessions)
	require.Zero(w.t, stats.Up)
	require.Zero(w.t, stats.HalfOpen)
	require.Zero(w.t, stats.Connections)
	require.Equal(w.t, w.poolSize, w.pool.Free())
	require.Empty(w.t, w.server.Attached())
	require.Empty(w.t, w.host(clientAddr).Attached())
}

// policies are a server's and a client's, and what they agree on.
type policies struct {
	server, client gopptp.EncryptionPolicy
	encryption     string
	modes          mppe.Modes
}

func (p policies) String() string {
	return fmt.Sprintf("server %v client %v %s", p.server, p.client, p.encryption)
}

// eachPolicies are those that differ in the packets of CCP: agreed by both ends or
// by one end's wish, refused, terminated, or none at all.
var eachPolicies = []policies{
	{gopptp.EncryptionRequire, gopptp.EncryptionRequire, "MPPE 128-bit stateless", mppe.AllowStateless},
	{gopptp.EncryptionRequire, gopptp.EncryptionRequire, "MPPE 128-bit stateful", mppe.AllowStateful},
	{gopptp.EncryptionAllow, gopptp.EncryptionPrefer, "MPPE 128-bit stateless", mppe.AllowStateless},
	{gopptp.EncryptionDeny, gopptp.EncryptionPrefer, "none", 0},
	{gopptp.EncryptionPrefer, gopptp.EncryptionDeny, "none", 0},
	{gopptp.EncryptionAllow, gopptp.EncryptionAllow, "none", 0},
}

func (p policies) onServer(c *gopptp.ServerConfig) {
	c.Encryption, c.EncryptionModes = p.server, p.modes
}
func (p policies) onClient(c *gopptp.ClientConfig) {
	c.Encryption, c.EncryptionModes = p.client, p.modes
}

// countPackets returns how many GRE packets a set-up takes.
func countPackets(t *testing.T, p policies, latency time.Duration) (n int) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.serve(p.onServer)
		sent := w.strike(-1, fate{}, latency)
		w.dial(p.onClient)
		n = sent()
	})
	require.Greater(t, n, 10, "LCP, CHAP and IPCP take more than this")
	return n
}

// TestEachPacketOfSetUp lets each fate befall each packet of a set-up in turn. The
// session comes up all the same, without anybody having to wait long, and ends
// without a trace.
func TestEachPacketOfSetUp(t *testing.T) {
	for _, p := range eachPolicies {
		for _, latency := range []time.Duration{0, 30 * time.Millisecond} {
			if latency > 0 && p != eachPolicies[0] {
				continue // it is about who comes first, and the same with all
			}
			n := countPackets(t, p, latency)
			for _, f := range fates {
				if p != eachPolicies[0] && (f.name == "twice" || f.name == "10ms late") {
					continue // GRE heals these before anybody sees them
				}
				t.Run(fmt.Sprintf("%v/latency %v/%s", p, latency, f.name), func(t *testing.T) {
					for i := range n + 1 - max(f.run, 1) {
						synctest.Test(t, func(t *testing.T) {
							t.Logf("packet %d of %d", i, n)
							setUpStruck(t, p, i, f, latency)
						})
					}
				})
			}
		}
	}
}

func setUpStruck(t *testing.T, p policies, packet int, f fate, latency time.Duration) {
	w := newWorld(t)
	server := w.serve(p.onServer)
	w.host(clientAddr)
	before := goroutines()
	clear := false // a user's packet has been
	w.tapGRE(func(frame []byte) { clear = clear || isData(frame) })
	sent := w.strike(packet, f, latency)
	began := time.Now()
	s := w.dial(p.onClient)
	require.Less(t, time.Since(began), f.within+20*latency)
	theirs := w.session(server)
	sent() // the users' packets are to be spared
	if f.run == 0 {
		// Several losses may be healed by beginning a protocol again, which can
		// still lie ahead.
		w.exchange(s, 2)
	}
	time.Sleep(10 * time.Second) // old packets come, and requests are repeated
	w.exchange(s, 2)
	require.Equal(t, gopptp.StateUp, s.State())
	require.Equal(t, gopptp.StateUp, theirs.State())
	require.Equal(t, p.encryption, s.Encryption())
	require.Equal(t, p.encryption, theirs.Encryption())
	require.Equal(t, p.encryption == "none", clear)

	s.Close()
	<-s.Done()
	require.NoError(t, s.Err())
	<-theirs.Done()
	requireCause(t, theirs.Err(), gopptp.CausePeer, gopptp.StateUp)
	w.requireNothingLeft(server, before)
}

// TestEachPacketOfTearDown does the same at the end of a session, whoever ends it.
func TestEachPacketOfTearDown(t *testing.T) {
	for _, closer := range []string{"client", "server"} {
		for _, f := range fates {
			t.Run(closer+"/"+f.name, func(t *testing.T) {
				for i, n := 0, 1; i < n; i++ {
					synctest.Test(t, func(t *testing.T) {
						t.Logf("packet %d", i)
						n = max(n, tearDownStruck(t, closer == "client", i, f))
					})
				}
			})
		}
	}
}

func tearDownStruck(t *testing.T, client bool, packet int, f fate) int {
	w := newWorld(t)
	server := w.serve(nil)
	w.host(clientAddr)
	before := goroutines()
	ours := w.dial(nil)
	theirs := w.session(server)
	w.exchange(ours, 1)
	time.Sleep(time.Second) // the last acknowledgements
	if !client {
		ours, theirs = theirs, ours
	}

	sent := w.strike(packet, f, 0)
	began := time.Now()
	ours.Close()
	<-ours.Done()
	<-theirs.Done()
	require.Less(t, time.Since(began), 5*time.Second)
	require.NoError(t, ours.Err())
	requireCause(t, theirs.Err(), gopptp.CausePeer, gopptp.StateUp)
	n := sent()
	require.Greater(t, n, 1)

	time.Sleep(10 * time.Second) // old packets find nobody
	w.requireNothingLeft(server, before)
	again := w.dial(nil)
	w.exchange(again, 1)
	return n
}

// tampered is a TCP connection whose Writes go through a function. That has to
// sleep where the other end is to see what it has written so far.
type tampered struct {
	net.Conn
	write func(c net.Conn, b []byte) error
}

func (c *tampered) Write(b []byte) (int, error) {
	if err := c.write(c.Conn, b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// tamperedListener accepts such connections.
type tamperedListener struct {
	net.Listener
	write func(net.Conn, []byte) error
}

func (l tamperedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tampered{c, l.write}, nil
}

// tamper lets write do what Write does on the control connections, at both ends.
// The function that is returned makes the client's.
func (w *world) tamper(write func(net.Conn, []byte) error) func(*gopptp.ClientConfig) {
	w.listen = func(l net.Listener) net.Listener { return tamperedListener{l, write} }
	return func(c *gopptp.ClientConfig) {
		dial := c.DialContext
		c.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			nc, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &tampered{nc, write}, nil
		}
	}
}

// sessionOver brings a session up and down over tampered control connections.
func sessionOver(t *testing.T, write func(net.Conn, []byte) error) {
	w := newWorld(t)
	onClient := w.tamper(write)
	server := w.serve(nil)
	w.host(clientAddr)
	before := goroutines()
	s := w.dial(onClient)
	theirs := w.session(server)
	w.exchange(s, 1)
	s.Close()
	<-s.Done()
	require.NoError(t, s.Err())
	<-theirs.Done()
	requireCause(t, theirs.Err(), gopptp.CausePeer, gopptp.StateUp)
	time.Sleep(10 * time.Second)
	w.requireNothingLeft(server, before)
}

// writeAll writes parts as segments of their own.
func writeAll(c net.Conn, parts ...[]byte) error {
	for i, b := range parts {
		if i > 0 {
			time.Sleep(time.Millisecond)
		}
		if _, err := c.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// TestControlMessagesSplit cuts every message of the control connection after
// each of its octets in turn, and after all of them.
func TestControlMessagesSplit(t *testing.T) {
	longest := 0
	for at := 1; at <= max(longest, 1); at++ {
		synctest.Test(t, func(t *testing.T) {
			sessionOver(t, func(c net.Conn, b []byte) error {
				longest = max(longest, len(b))
				if at >= len(b) {
					return writeAll(c, b)
				}
				return writeAll(c, b[:at], b[at:])
			})
		})
	}
	require.GreaterOrEqual(t, longest, 168, "an Outgoing-Call-Request")
	synctest.Test(t, func(t *testing.T) {
		sessionOver(t, func(c net.Conn, b []byte) error { return writeAll(c, slices.Collect(slices.Chunk(b, 1))...) })
	})
}

// TestControlMessagesTogether has a client say all that it has to say in one
// two segments, wherever they meet.
func TestControlMessagesTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		w.host(clientAddr)
		before := goroutines()
		var all []byte
		for _, m := range []pptp.Message{
			&pptp.StartControlConnectionRequest{ProtocolVersion: pptp.ProtocolVersion, HostName: "together"},
			&pptp.OutgoingCallRequest{CallID: 7, PacketRecvWindowSize: 64},
			&pptp.EchoRequest{Identifier: 99},
			&pptp.OutgoingCallRequest{CallID: 8, PacketRecvWindowSize: 64},
			&pptp.CallClearRequest{CallID: 7},
			&pptp.CallClearRequest{CallID: 8},
			&pptp.StopControlConnectionRequest{Reason: pptp.StopLocalShutdown},
		} {
			all = m.Append(all)
		}
		for cut := 0; cut < len(all); cut += 7 {
			nc := w.connect()
			require.NoError(t, writeAll(nc, all[:cut], all[cut:]))
			var types []pptp.MessageType
			got, err := io.ReadAll(nc)
			require.NoError(t, err)
			for len(got) > 0 {
				m, n, err := pptp.DecodeMessage(got)
				require.NoError(t, err)
				types, got = append(types, m.Type()), got[n:]
			}
			require.Equal(t, []pptp.MessageType{
				pptp.TypeStartControlConnectionReply, pptp.TypeOutgoingCallReply, pptp.TypeEchoReply,
				pptp.TypeOutgoingCallReply, pptp.TypeCallDisconnectNotify, pptp.TypeCallDisconnectNotify,
				pptp.TypeStopControlConnectionReply,
			}, types)
			require.NoError(t, nc.Close())
		}
		w.requireNothingLeft(server, before)
		w.exchange(w.dial(nil), 1)
	})
}

// TestControlMessagesLate holds up each message of the control connection in turn,
// and all that follow it.
func TestControlMessagesLate(t *testing.T) {
	for _, late := range []time.Duration{10 * time.Millisecond, 400 * time.Millisecond, 4 * time.Second} {
		for i, n := 0, 1; i < n; i++ {
			t.Run(fmt.Sprintf("%v/%d", late, i), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var sent atomic.Int32
					sessionOver(t, func(c net.Conn, b []byte) error {
						if int(sent.Add(1)) == i+1 {
							time.Sleep(late)
						}
						return writeAll(c, b)
					})
					n = max(n, int(sent.Load()))
				})
			})
			require.Less(t, n, 20)
		}
	}
}

// TestControlConnectionBreaks breaks it instead of each message in turn, set-up and
// end. Both ends see it and leave nothing behind.
func TestControlConnectionBreaks(t *testing.T) {
	broken := true
	for i := 0; broken; i++ {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				broken = controlBreaks(t, i)
			})
		})
		require.Less(t, i, 20)
	}
}

func controlBreaks(t *testing.T, message int) (broken bool) {
	w := newWorld(t)
	var sent atomic.Int32
	onClient := w.tamper(func(c net.Conn, b []byte) error {
		if int(sent.Add(1)) == message+1 {
			return c.Close()
		}
		return writeAll(c, b)
	})
	server := w.serve(nil)
	w.host(clientAddr)
	before := goroutines()
	began := time.Now()
	s, err := w.tryDial(onClient)
	if err != nil {
		var failure *gopptp.SessionError
		require.ErrorAs(t, err, &failure)
		require.Contains(t, []gopptp.Cause{gopptp.CauseControl, gopptp.CauseLostCarrier}, failure.Cause)
	} else {
		theirs := w.session(server)
		w.exchange(s, 1)
		s.Close()
		<-s.Done()
		<-theirs.Done()
		require.NoError(t, s.Err())
		requireCause(t, theirs.Err(), gopptp.CausePeer, gopptp.StateUp)
	}
	require.Less(t, time.Since(began), 5*time.Second)
	w.requireNothingLeft(server, before)
	return int(sent.Load()) > message
}

// TestTenThousandPackets sends that many each way over a network that loses a
// tenth of them, doubles a tenth, and lets them overtake each other. What arrives is
// intact and in order, and nothing is ever decrypted with a wrong key.
func TestTenThousandPackets(t *testing.T) {
	for name, c := range map[string]struct {
		modes mppe.Modes
		least int // that arrive
		rate  time.Duration
	}{
		// Of those that come late, some come too late.
		"stateless": {mppe.AllowStateless, 8500, time.Millisecond},
		// Each loss costs a round trip, of some 30 ms here.
		"stateful": {mppe.AllowStateful, 5000, 20 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { tenThousandPackets(t, c.modes, c.least, c.rate) })
		})
	}
}

func tenThousandPackets(t *testing.T, modes mppe.Modes, least int, every time.Duration) {
	const packets = 10000
	w := newWorld(t)
	server := w.serve(func(c *gopptp.ServerConfig) { c.EncryptionModes = modes })
	s := w.dial(func(c *gopptp.ClientConfig) { c.EncryptionModes = modes })
	theirs := w.session(server)
	rejected := 0 // what was decrypted with a wrong key is no protocol, as a rule
	w.tapGRE(func(frame []byte) {
		if proto, b, err := ppp.DecodeFrame(frame); err == nil && proto == ppp.ProtocolLCP &&
			len(b) > 0 && ppp.Code(b[0]) == ppp.ProtocolReject {
			rejected++
		}
	})
	w.impair(1)
	up := &stream{t: t, from: w.host(clientAddr), to: w.server}
	down := &stream{t: t, from: w.server, to: w.host(clientAddr)}
	longest := [2]int{} // sent without one that arrived
	for range packets {
		up.send(w.packet(s.Local(), tunnelServer, 300))
		down.send(w.packet(tunnelServer, s.Local(), 300))
		time.Sleep(every)
		for i, way := range []*stream{up, down} {
			way.receive()
			longest[i] = max(longest[i], len(way.pending))
		}
	}
	w.heal()
	time.Sleep(10 * time.Second)
	up.receive()
	down.receive()
	sent := []uint64{s.Counters().SentPackets, theirs.Counters().SentPackets}

	require.Zero(t, rejected)
	require.Equal(t, gopptp.StateUp, s.State())
	for i, c := range []gopptp.Counters{theirs.Counters(), s.Counters()} {
		got := []*stream{up, down}[i].received
		t.Logf("%d packets arrived, at the most %d in a row did not", got, longest[i])
		require.Greater(t, got, least)
		require.Less(t, time.Duration(longest[i])*every, 2*time.Second, "it recovers soon")
		require.EqualValues(t, got, c.ReceivedPackets)
		require.EqualValues(t, packets, sent[i])
		require.Positive(t, c.Reordered)
		require.Positive(t, c.Duplicates)
		require.Zero(t, c.DroppedMalformed)
		require.Zero(t, c.DroppedSource)
		require.Zero(t, c.DroppedClear)
		require.Equal(t, modes == mppe.AllowStateful, c.DroppedEncrypted > 0)
	}
	// If the last of them was lost it takes one more to see that, in stateful mode.
	up.send(w.packet(s.Local(), tunnelServer, 300))
	down.send(w.packet(tunnelServer, s.Local(), 300))
	time.Sleep(time.Second)
	up.receive()
	down.receive()
	w.exchange(s, 10)
}

// stream is the packets that one host sends to another, and what has become of
// them.
type stream struct {
	t        *testing.T
	from, to *memory.Host
	pending  [][]byte // sent after the last one that was received
	received int
}

func (s *stream) send(p []byte) {
	s.pending = append(s.pending, p)
	s.from.Send(p)
}

// receive takes what has arrived: packets that were sent, unchanged, in order,
// and none of them twice.
func (s *stream) receive() {
	s.t.Helper()
	synctest.Wait()
	for {
		select {
		case p := <-s.to.Packets():
			i := slices.IndexFunc(s.pending, func(q []byte) bool { return bytes.Equal(p, q) })
			require.GreaterOrEqual(s.t, i, 0, "a packet was not sent, or came before")
			s.pending = s.pending[i+1:]
			s.received++
		default:
			return
		}
	}
}

// TestManyPacketsLost loses so many in a row that MPPE's count of 12 bits goes
// round, and a bit less or more.
func TestManyPacketsLost(t *testing.T) {
	for _, lost := range []int{2048, 4095, 4096, 4097, 8192} {
		t.Run(fmt.Sprint(lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				server := w.serve(nil)
				s := w.dial(nil)
				w.exchange(s, 3)
				w.dropGRE(func(int) bool { return true })
				p := w.packet(s.Local(), tunnelServer, 100)
				for range lost {
					w.host(clientAddr).Send(p)
				}
				synctest.Wait()
				w.dropGRE(nil)
				w.exchange(s, 10)
				c := w.session(server).Counters()
				require.EqualValues(t, 13, c.ReceivedPackets)
				require.GreaterOrEqual(t, c.Lost, uint64(lost))
				require.Zero(t, c.DroppedEncrypted)
			})
		})
	}
}
