package radius

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
)

// fake is a server in the process. Its fields may be changed between requests.
type fake struct {
	secret   string
	silent   atomic.Bool
	delay    atomic.Int64 // nanoseconds
	unsigned bool
	packets  atomic.Int64
	mangle   func(wire []byte, request *radius.Packet)
	refuse   error // of connections
}

// serve answers one socket.
func (f *fake) serve(c net.Conn) {
	for b := make([]byte, 4096); ; {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		f.packets.Add(1)
		p, err := radius.Parse(b[:n], []byte(f.secret))
		if err != nil || f.silent.Load() {
			continue
		}
		code := radius.CodeAccessAccept
		if p.Code == radius.CodeAccountingRequest {
			code = radius.CodeAccountingResponse
		}
		wire := f.answer(p, code)
		if f.mangle != nil {
			f.mangle(wire, p)
		}
		time.AfterFunc(time.Duration(f.delay.Load()), func() { c.Write(wire) })
	}
}

// answer is a packet that has a Message-Authenticator at its end.
func (f *fake) answer(p *radius.Packet, code radius.Code) []byte {
	a := p.Response(code)
	a.Add(rfc2865.ReplyMessage_Type, radius.Attribute(f.secret)) // says who answers
	if !f.unsigned {
		a.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
		signLast(a)
	}
	wire, err := a.Encode()
	if err != nil {
		panic(err)
	}
	return wire
}

// signLast computes the Message-Authenticator, which is the last attribute.
func signLast(p *radius.Packet) {
	wire, err := p.MarshalBinary()
	if err != nil {
		panic(err)
	}
	mac := hmac.New(md5.New, p.Secret)
	mac.Write(wire)
	mac.Sum(p.Attributes[len(p.Attributes)-1].Attribute[:0])
}

// cluster is a client of fakes, each with the name of its secret. It ends with the test,
// which runs in a bubble.
func cluster(t *testing.T, cfg ClientConfig, fakes ...*fake) *Client {
	t.Helper()
	for len(cfg.Servers) < len(fakes) {
		cfg.Servers = append(cfg.Servers, ServerConfig{})
	}
	for i, f := range fakes {
		cfg.Servers[i].Address, cfg.Servers[i].Secret = f.secret+":1812", f.secret
	}
	c, err := NewClient(cfg)
	require.NoError(t, err)
	var serving sync.WaitGroup
	for i, f := range fakes {
		c.servers[i].connect = func() (net.Conn, error) {
			if f.refuse != nil {
				return nil, f.refuse
			}
			ours, theirs := net.Pipe()
			serving.Go(func() { f.serve(theirs) })
			return ours, nil
		}
	}
	t.Cleanup(func() {
		c.Close()
		serving.Wait()
	})
	return c
}

func ask(c *Client) (*Reply, error) {
	return c.Exchange(context.Background(), &Request{Code: radius.CodeAccessRequest, Password: []byte("secret")})
}

// asked is who answered, and how long it took.
func asked(t *testing.T, c *Client) (who string, took time.Duration) {
	t.Helper()
	began := time.Now()
	reply, err := ask(c)
	require.NoError(t, err)
	assert.Equal(t, radius.CodeAccessAccept, reply.Code)
	assert.Equal(t, rfc2865.ReplyMessage_GetString(reply.Packet)+":1812", reply.Server.Name())
	return rfc2865.ReplyMessage_GetString(reply.Packet), time.Since(began)
}

func TestRetransmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{secret: "a"}
		c := cluster(t, ClientConfig{}, f)
		f.silent.Store(true)
		began := time.Now()
		_, err := ask(c)
		require.ErrorIs(t, err, ErrNoAnswer)
		assert.Equal(t, 10*time.Second, time.Since(began))
		st := c.Stats()
		assert.EqualValues(t, 1, st.Unanswered)
		assert.EqualValues(t, 1, st.Servers[0].Requests)
		assert.EqualValues(t, 3, st.Servers[0].Timeouts)
		assert.EqualValues(t, f.packets.Load()-1, st.Servers[0].Retransmits)
		assert.GreaterOrEqual(t, f.packets.Load(), int64(10))
		assert.False(t, st.Servers[0].Alive)
		assert.Zero(t, st.Servers[0].Waiting)
		assert.Zero(t, st.InFlight)

		// It is asked nevertheless, as there is no other.
		f.silent.Store(false)
		_, took := asked(t, c)
		assert.Zero(t, took)
		assert.True(t, c.Stats().Servers[0].Alive)
	})
}

func TestFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{secret: "a"}, &fake{secret: "b"}
		c := cluster(t, ClientConfig{
			Servers:      []ServerConfig{{Priority: 0}, {Priority: 1}},
			StatusServer: true,
		}, a, b)
		who, _ := asked(t, c)
		assert.Equal(t, "a", who)
		a.silent.Store(true)
		for range 3 {
			who, took := asked(t, c)
			assert.Equal(t, "b", who)
			assert.Equal(t, 3*time.Second, took)
		}
		who, took := asked(t, c) // it is dead now
		assert.Equal(t, "b", who)
		assert.Zero(t, took)

		before := c.Stats().Servers[0]
		time.Sleep(35 * time.Second)
		assert.EqualValues(t, 1, c.Stats().Servers[0].Probes)
		assert.False(t, c.Stats().Servers[0].Alive)
		a.silent.Store(false)
		time.Sleep(35 * time.Second)
		after := c.Stats().Servers[0]
		assert.True(t, after.Alive)
		before.Alive, before.Probes, before.Links = true, after.Probes, after.Links
		assert.Equal(t, before, after, "probes are no requests, and their answers admit nobody")
		who, _ = asked(t, c)
		assert.Equal(t, "a", who)
	})
}

// Without Status-Server, one request in HoldDown finds out.
func TestHoldDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{secret: "a"}, &fake{secret: "b"}
		c := cluster(t, ClientConfig{Servers: []ServerConfig{{}, {Priority: 1}}, DeadAfter: 1}, a, b)
		a.silent.Store(true)
		asked(t, c)
		sent := a.packets.Load()
		time.Sleep(29 * time.Second)
		asked(t, c)
		assert.Equal(t, sent, a.packets.Load())
		time.Sleep(time.Second)
		_, took := asked(t, c)
		assert.Equal(t, 3*time.Second, took)
		assert.Greater(t, a.packets.Load(), sent)
		a.silent.Store(false)
		time.Sleep(30 * time.Second)
		who, _ := asked(t, c)
		assert.Equal(t, "a", who)
	})
}

// Nor would anybody else find out that a backup is back, while those before it answer.
func TestHoldDownOfBackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{secret: "a"}, &fake{secret: "b"}
		c := cluster(t, ClientConfig{Servers: []ServerConfig{{}, {Priority: 1}}, DeadAfter: 1, Patience: 7 * time.Second}, a, b)
		a.silent.Store(true)
		b.silent.Store(true)
		ask(c)
		require.False(t, c.Stats().Servers[0].Alive)
		require.False(t, c.Stats().Servers[1].Alive)
		a.silent.Store(false)
		who, _ := asked(t, c)
		assert.Equal(t, "a", who)
		time.Sleep(31 * time.Second)
		who, took := asked(t, c) // b is asked first, in vain
		assert.Equal(t, "a", who)
		assert.Equal(t, 3*time.Second, took)
		_, took = asked(t, c)
		assert.Zero(t, took)
		b.silent.Store(false)
		time.Sleep(31 * time.Second)
		who, _ = asked(t, c)
		assert.Equal(t, "b", who)
		assert.True(t, c.Stats().Servers[1].Alive)
		who, _ = asked(t, c)
		assert.Equal(t, "a", who)
	})
}

// A socket by which a server is not reached any more, as its name has another address or
// the gateway has, makes room for another one. Who waits on it may yet have an answer.
func TestDeafSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		deaf, f := &fake{secret: "a"}, &fake{secret: "a"}
		c := cluster(t, ClientConfig{DeadAfter: 1}, deaf)
		dial, sockets := c.servers[0].connect, 0
		c.servers[0].connect = func() (net.Conn, error) {
			if sockets++; sockets == 1 {
				return dial()
			}
			ours, theirs := net.Pipe()
			go f.serve(theirs)
			return ours, nil
		}
		deaf.delay.Store(int64(5 * time.Second))
		late := make(chan time.Duration, 1)
		began := time.Now()
		go func() {
			_, err := ask(c)
			assert.NoError(t, err)
			late <- time.Since(began)
		}()
		time.Sleep(3500 * time.Millisecond)
		require.False(t, c.Stats().Servers[0].Alive)
		_, took := asked(t, c)
		assert.Zero(t, took)
		assert.Equal(t, 2, sockets)
		assert.Equal(t, 5*time.Second, <-late)
		synctest.Wait()
		st := c.Stats().Servers[0]
		assert.Equal(t, 1, st.Links)
		assert.Zero(t, st.LinkFailures)
	})
}

// An answer that is late is welcome while another server is asked.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{secret: "a"}, &fake{secret: "b"}
		c := cluster(t, ClientConfig{Servers: []ServerConfig{{}, {Priority: 1}}}, a, b)
		a.delay.Store(int64(4 * time.Second))
		b.silent.Store(true)
		who, took := asked(t, c)
		assert.Equal(t, "a", who)
		assert.Equal(t, 4*time.Second, took)
		assert.True(t, c.Stats().Servers[0].Alive)
		time.Sleep(10 * time.Second) // the answers to what was sent again
		assert.NotZero(t, c.Stats().Servers[0].Unexpected)
		assert.EqualValues(t, 1, c.Stats().Servers[0].Latency.Counts[12])
		assert.Equal(t, 4*time.Second, c.Stats().Servers[0].Latency.Sum)
	})
}

// A server that is known not to be there costs no time.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &fake{secret: "a", refuse: net.ErrWriteToConnected}, &fake{secret: "b"}
		c := cluster(t, ClientConfig{Servers: []ServerConfig{{}, {Priority: 1}}}, a, b)
		who, took := asked(t, c)
		assert.Equal(t, "b", who)
		assert.Zero(t, took)
		b.refuse, a.refuse = a.refuse, nil
		who, _ = asked(t, c)
		assert.Equal(t, "a", who)

		// And where it is the only one, it is tried until patience ends.
		a.refuse = b.refuse
		only := cluster(t, ClientConfig{}, &fake{secret: "c", refuse: a.refuse})
		began := time.Now()
		_, err := ask(only)
		require.ErrorIs(t, err, ErrNoAnswer)
		require.ErrorIs(t, err, a.refuse)
		assert.Equal(t, 10*time.Second, time.Since(began))
		assert.LessOrEqual(t, only.Stats().Servers[0].Retransmits, uint64(12))
	})
}

// A connection on which nothing comes any more, though it has not ended, is replaced.
func TestSilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{secret: "a"}
		c := cluster(t, ClientConfig{DeadAfter: 1, Servers: []ServerConfig{{TLS: new(tls.Config)}}}, f)
		asked(t, c)
		f.silent.Store(true)
		time.AfterFunc(2*time.Second, func() { f.silent.Store(false) })
		_, took := asked(t, c)
		assert.Equal(t, 3*time.Second, took)
		st := c.Stats().Servers[0]
		assert.EqualValues(t, 3, f.packets.Load(), "nothing is sent twice on a connection")
		assert.EqualValues(t, 1, st.LinkFailures)
		assert.Equal(t, 1, st.Links)
		assert.True(t, st.Alive)
	})
}

// A connection on which something comes that is no packet ends.
func TestBrokenStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{secret: "a", mangle: func(b []byte, _ *radius.Packet) { b[2], b[3] = 0xff, 0xff }}
		c := cluster(t, ClientConfig{Servers: []ServerConfig{{TLS: new(tls.Config)}}}, f)
		_, err := ask(c)
		require.ErrorIs(t, err, ErrNoAnswer)
		st := c.Stats().Servers[0]
		assert.NotZero(t, st.Malformed)
		assert.Equal(t, st.Malformed, st.LinkFailures)
	})
}

// A server that comes and goes is probed by one.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{secret: "a"}
		c := cluster(t, ClientConfig{DeadAfter: 1, Patience: 4 * time.Second, StatusServer: true}, f)
		for range 4 {
			f.silent.Store(true)
			ask(c)
			f.silent.Store(false)
			asked(t, c)
		}
		f.silent.Store(true)
		ask(c)
		before := c.Stats().Servers[0].Probes
		time.Sleep(10 * time.Minute)
		assert.LessOrEqual(t, c.Stats().Servers[0].Probes-before, uint64(20))
	})
}

// Any number of requests goes over a few sockets; what is too much waits.
func TestManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{secret: "a"}
		c := cluster(t, ClientConfig{InFlight: 600}, f)
		f.delay.Store(int64(2 * time.Second))
		var asking sync.WaitGroup
		for range 900 {
			asking.Go(func() {
				_, err := ask(c)
				assert.NoError(t, err)
			})
		}
		time.Sleep(time.Second)
		synctest.Wait()
		st := c.Stats()
		assert.Equal(t, 600, st.InFlight)
		assert.Equal(t, 300, st.Waiting)
		assert.Equal(t, 3, st.Servers[0].Links)
		assert.Equal(t, 600, st.Servers[0].Waiting)
		asking.Wait()
		assert.EqualValues(t, 900, c.Stats().Servers[0].Accepts)
		assert.Zero(t, c.Stats().Servers[0].BadAuthenticators)

		f.silent.Store(true)
		for i := range 601 {
			asking.Go(func() {
				time.Sleep(time.Duration(i))
				_, err := ask(c)
				if i < 600 {
					assert.ErrorIs(t, err, ErrNoAnswer)
				} else {
					assert.Error(t, err) // one may get a place in the last moment
				}
			})
		}
		asking.Wait()
	})
}

func TestOrder(t *testing.T) {
	c := cluster(t, ClientConfig{StatusServer: true, Servers: []ServerConfig{
		{Priority: 2}, {Priority: 1, Weight: 3}, {Priority: 1},
	}}, &fake{secret: "backup"}, &fake{secret: "big"}, &fake{secret: "small"})
	first := make(map[string]int)
	for range 4000 {
		order := c.order(&Request{})
		require.Len(t, order, 3)
		require.Equal(t, "backup:1812", order[2].Name())
		first[order[0].Name()]++
	}
	assert.InDelta(t, 3000, first["big:1812"], 200) // seven standard deviations
	c.servers[1].dead = true
	c.servers[2].dead = true
	assert.Equal(t, "backup:1812", c.order(&Request{})[0].Name())
	assert.Equal(t, []*Server{c.servers[2]}, c.order(&Request{Server: c.servers[2]}))
}

// Answers that cannot be trusted are counted, and are none.
func TestUntrusted(t *testing.T) {
	for name, test := range map[string]struct {
		fake    *fake
		allow   bool
		counted func(ServerStats) uint64
	}{
		"response authenticator": {&fake{mangle: func(b []byte, _ *radius.Packet) { b[5] ^= 1 }}, false, func(s ServerStats) uint64 { return s.BadAuthenticators }},
		"message authenticator":  {&fake{mangle: func(b []byte, p *radius.Packet) { b[len(b)-1] ^= 1; resign(b, p) }}, true, func(s ServerStats) uint64 { return s.BadAuthenticators }},
		"unsigned":               {&fake{unsigned: true}, false, func(s ServerStats) uint64 { return s.Unsigned }},
		"identifier":             {&fake{mangle: func(b []byte, _ *radius.Packet) { b[1]++ }}, false, func(s ServerStats) uint64 { return s.Unexpected }},
		"code":                   {&fake{unsigned: true, mangle: func(b []byte, p *radius.Packet) { b[0] = 5; resign(b, p) }}, true, func(s ServerStats) uint64 { return s.Malformed }},
		"length":                 {&fake{mangle: func(b []byte, _ *radius.Packet) { b[2] = 0xff }}, false, func(s ServerStats) uint64 { return s.Malformed }},
		"attribute":              {&fake{mangle: func(b []byte, _ *radius.Packet) { b[21] = 1 }}, false, func(s ServerStats) uint64 { return s.Malformed }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := test.fake
				f.secret = "a"
				c := cluster(t, ClientConfig{AllowUnsigned: test.allow}, f)
				_, err := ask(c)
				require.ErrorIs(t, err, ErrNoAnswer)
				st := c.Stats().Servers[0]
				assert.NotZero(t, test.counted(st))
				assert.Zero(t, st.Accepts)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := cluster(t, ClientConfig{AllowUnsigned: true}, &fake{secret: "a", unsigned: true})
		asked(t, c)

		// But EAP is signed always (RFC 3579 §3.2).
		eap := &radius.Packet{}
		require.NoError(t, rfc2869.EAPMessage_Set(eap, []byte{2, 1, 0, 5, 1}))
		_, err := c.Exchange(context.Background(), &Request{Code: radius.CodeAccessRequest, Attributes: eap.Attributes})
		require.ErrorIs(t, err, ErrNoAnswer)
		assert.NotZero(t, c.Stats().Servers[0].Unsigned)
	})
}

// resign makes the response authenticator right again, as an impostor who has found a
// collision could.
func resign(wire []byte, request *radius.Packet) {
	copy(wire[authenticatorAt:headerSize], request.Authenticator[:])
	sum := md5.New()
	sum.Write(wire)
	sum.Write(request.Secret)
	sum.Sum(wire[authenticatorAt:authenticatorAt])
}

func TestExchangeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{secret: "a"}
		c := cluster(t, ClientConfig{}, f)
		f.silent.Store(true)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := c.Exchange(ctx, &Request{Code: radius.CodeAccessRequest})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Zero(t, c.Stats().Unanswered)

		time.AfterFunc(time.Second, func() { c.Close() })
		began := time.Now()
		_, err = ask(c)
		require.ErrorIs(t, err, ErrNoAnswer)
		assert.Equal(t, time.Second, time.Since(began))

		_, err = cluster(t, ClientConfig{}, &fake{secret: "b"}).Exchange(context.Background(), &Request{Server: c.servers[0]})
		require.ErrorIs(t, err, errAnother)

		_, err = c.Exchange(context.Background(), &Request{Code: radius.CodeAccessRequest, Password: make([]byte, 129)})
		require.Error(t, err)
	})
}

func TestClientConfig(t *testing.T) {
	for _, servers := range [][]ServerConfig{
		nil,
		{{Address: "192.0.2.1", Secret: "s"}},
		{{Address: "192.0.2.1:1812"}},
		{{Address: "192.0.2.1:1812", Secret: " "}},
		{{Address: "192.0.2.1:1812", Secret: "s", Tries: 11}},
		{{Address: "192.0.2.1:1812", Secret: "s", Weight: -1}},
	} {
		_, err := NewClient(ClientConfig{Servers: servers})
		assert.Error(t, err, "%+v", servers)
	}
}
