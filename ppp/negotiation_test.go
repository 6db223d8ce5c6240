package ppp

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRestartTimer(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.open()
	r.up()
	first := r.sent()
	require.Equal(t, []Code{ConfigureRequest}, codesOf(first))

	// Ten requests in all, the same each time, at doubling intervals up to 3 s.
	var waits []time.Duration
	requests := 1
	for r.a.State() == ReqSent {
		before := r.now
		sig := r.tick()
		waits = append(waits, r.now.Sub(before))
		if r.a.State() == Stopped {
			require.Equal(t, SignalFinished, sig)
			break
		}
		require.Zero(t, sig)
		require.Equal(t, first, r.sent())
		requests++
	}
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	require.Equal(t, []time.Duration{
		ms(300), ms(600), ms(1200), ms(2400), ms(3000), ms(3000), ms(3000), ms(3000), ms(3000), ms(3000),
	}, waits)
	require.Equal(t, DefaultMaxConfigure, requests)
	require.ErrorIs(t, r.a.Err(), ErrNoAnswer)
	require.Empty(t, r.sent())
	require.True(t, r.a.Deadline().IsZero())
}

func TestTickBeforeDeadline(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(ReqSent)
	r.now = r.a.Deadline().Add(-1)
	require.Zero(t, r.a.Tick(r.now, &r.out))
	require.Empty(t, r.sent())
	r.now = r.now.Add(1)
	r.a.Tick(r.now, &r.out)
	require.Len(t, r.sent(), 1)
}

func TestMaxConfigure(t *testing.T) {
	for _, n := range []int{1, 3, 50} {
		r := newRig(t, AutomatonConfig{MaxConfigure: n})
		r.open()
		r.up()
		for !r.a.Deadline().IsZero() {
			r.tick()
		}
		require.Len(t, r.sent(), n)
		require.ErrorIs(t, r.a.Err(), ErrNoAnswer)
	}
}

func TestMaxTerminate(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	require.Equal(t, SignalDown, r.a.Close(r.now, &r.out))
	require.Zero(t, r.tick())
	pkts := r.sent()
	require.Equal(t, []Code{TerminateRequest, TerminateRequest}, codesOf(pkts))
	require.NotEqual(t, pkts[0].ID, pkts[1].ID)
	require.Equal(t, SignalFinished, r.tick())
	require.Equal(t, Closed, r.a.State())
	require.NoError(t, r.a.Err())
	require.Empty(t, r.sent())
}

func TestPeerTerminates(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	require.Equal(t, SignalDown, r.input(Packet{Code: TerminateRequest, ID: 7}))
	require.Equal(t, []Packet{{Code: TerminateAck, ID: 7, Data: []byte{}}}, r.sent())
	require.ErrorIs(t, r.a.Err(), ErrTerminated)
	before := r.now
	require.Equal(t, SignalFinished, r.tick())
	require.Equal(t, lingerTimeout, r.now.Sub(before))
	require.Equal(t, Stopped, r.a.State())
	require.ErrorIs(t, r.a.Err(), ErrTerminated)
}

func TestFail(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	err := fmt.Errorf("reason")
	require.Equal(t, SignalDown, r.a.Fail(err, r.now, &r.out))
	require.Equal(t, Closing, r.a.State())
	require.Equal(t, SignalFinished, r.input(Packet{Code: TerminateAck, ID: r.a.id}))
	require.Equal(t, err, r.a.Err())
}

// TestCatastrophicReject checks that rejecting each of the seven codes that a
// protocol cannot do without ends it, and no other.
func TestCatastrophicReject(t *testing.T) {
	for code := range 256 {
		r := newRig(t, AutomatonConfig{})
		r.enter(ReqSent)
		sig := r.input(Packet{Code: CodeReject, ID: 1, Data: []byte{byte(code), 1, 0, 4}})
		if code >= 1 && code <= 7 {
			require.Equal(t, SignalFinished, sig)
			require.ErrorIs(t, r.a.Err(), ErrRejected)
			require.ErrorContains(t, r.a.Err(), Code(code).String())
		} else {
			require.Zero(t, sig)
			require.Equal(t, ReqSent, r.a.State())
			require.NoError(t, r.a.Err())
		}
	}
}

// TestAnswers gives answers to our Configure-Request, {1, MRU 1500},
// {5, magic}, {7}.
func TestAnswers(t *testing.T) {
	mru, magic, pfc := Option{1, []byte{5, 220}}, Option{5, []byte{1, 2, 3, 4}}, Option{7, nil}
	whole := Options{mru, magic, pfc}
	raw := func(o ...Option) []byte { return Options(o).Append(nil) }
	for _, c := range []struct {
		name string
		code Code
		id   int // added to the right one
		data []byte
		next State // ReqSent: dropped, unless resent
		sent bool
	}{
		{"ack", ConfigureAck, 0, whole.Append(nil), AckRcvd, false},
		{"ack, other id", ConfigureAck, 1, whole.Append(nil), ReqSent, false},
		{"ack, earlier id", ConfigureAck, -1, whole.Append(nil), ReqSent, false},
		{"ack, option missing", ConfigureAck, 0, raw(mru, magic), ReqSent, false},
		{"ack, option added", ConfigureAck, 0, raw(mru, magic, pfc, Option{8, nil}), ReqSent, false},
		{"ack, order changed", ConfigureAck, 0, raw(magic, mru, pfc), ReqSent, false},
		{"ack, value changed", ConfigureAck, 0, raw(Option{1, []byte{5, 0}}, magic, pfc), ReqSent, false},
		{"ack, empty", ConfigureAck, 0, nil, ReqSent, false},
		{"nak", ConfigureNak, 0, raw(Option{1, []byte{5, 0}}), ReqSent, true},
		{"nak, option added", ConfigureNak, 0, raw(Option{3, []byte{0xc0, 0x23}}), ReqSent, true},
		{"nak, other id", ConfigureNak, 1, raw(mru), ReqSent, false},
		{"nak, malformed", ConfigureNak, 0, []byte{1, 9, 0}, ReqSent, false},
		{"reject one", ConfigureReject, 0, raw(magic), ReqSent, true},
		{"reject two", ConfigureReject, 0, raw(mru, pfc), ReqSent, true},
		{"reject all", ConfigureReject, 0, whole.Append(nil), ReqSent, true},
		{"reject, other id", ConfigureReject, 1, raw(magic), ReqSent, false},
		{"reject, empty", ConfigureReject, 0, nil, ReqSent, false},
		{"reject, not asked", ConfigureReject, 0, raw(Option{8, nil}), ReqSent, false},
		{"reject, value changed", ConfigureReject, 0, raw(Option{1, []byte{5, 0}}), ReqSent, false},
		{"reject, order changed", ConfigureReject, 0, raw(pfc, mru), ReqSent, false},
		{"reject, twice the same", ConfigureReject, 0, raw(mru, mru), ReqSent, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, AutomatonConfig{})
			r.enter(ReqSent)
			id := r.a.requestID
			r.input(Packet{Code: c.code, ID: id + uint8(c.id), Data: c.data})
			require.Equal(t, c.next, r.a.State())
			taken := c.sent || c.next != ReqSent
			require.Equal(t, taken, r.a.Dropped() == 0)
			require.Equal(t, taken, len(r.policy.acked)+len(r.policy.naked)+len(r.policy.ref) == 1)
			pkts := r.sent()
			require.Equal(t, c.sent, len(pkts) == 1)
			if c.sent {
				require.Equal(t, ConfigureRequest, pkts[0].Code)
				require.NotEqual(t, id, pkts[0].ID, "a new request has a new identifier")
			}

			// The same once more is always too late.
			dropped := r.a.Dropped()
			r.input(Packet{Code: c.code, ID: id + uint8(c.id), Data: c.data})
			require.Equal(t, dropped+1, r.a.Dropped())
			require.Equal(t, c.next, r.a.State())
			require.Empty(t, r.sent())
		})
	}
}

func TestMalformedOptionsDropped(t *testing.T) {
	for _, data := range [][]byte{
		{1},          // no length
		{1, 0},       // length 0
		{1, 1},       // length 1
		{1, 4, 5},    // beyond the end
		{1, 255, 5},  //
		{7, 2, 1},    // a second one without a length
		{7, 2, 1, 0}, //
	} {
		for _, s := range []State{Stopped, ReqSent, AckRcvd, AckSent, Opened} {
			r := newRig(t, AutomatonConfig{})
			r.enter(s)
			judged := r.policy.judged
			require.Zero(t, r.input(Packet{Code: ConfigureRequest, ID: 77, Data: data}))
			require.Equal(t, s, r.a.State())
			require.Equal(t, uint64(1), r.a.Dropped())
			require.Equal(t, judged, r.policy.judged)
			require.Empty(t, r.sent())
		}
	}
}

func TestMalformedPacketsDropped(t *testing.T) {
	for _, b := range [][]byte{nil, {1}, {1, 2, 0}, {1, 2, 0, 3}, {1, 2, 0, 5}, {5, 2, 255, 255, 0}} {
		r := newRig(t, AutomatonConfig{})
		r.enter(Opened)
		require.Zero(t, r.a.Input(b, r.now, &r.out))
		require.Equal(t, Opened, r.a.State())
		require.Equal(t, uint64(1), r.a.Dropped())
	}
}

func TestPaddingIsIgnored(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(ReqSent)
	b := (&Packet{Code: ConfigureAck, ID: r.a.requestID, Data: r.a.request}).Append(nil)
	r.a.Input(append(b, 0, 0, 0), r.now, &r.out)
	require.Equal(t, AckRcvd, r.a.State())
}

// TestMaxFailure checks that naks become rejects of the same options.
func TestMaxFailure(t *testing.T) {
	r := newRig(t, AutomatonConfig{MaxFailure: 3})
	var lasts []bool
	r.policy.judge = func(req Options, last bool, dst Options) (Code, Options) {
		lasts = append(lasts, last)
		return ConfigureNak, append(dst, Option{1, []byte{9, 9}}, Option{200, nil})
	}
	r.enter(ReqSent)
	for range 3 {
		r.request(Options{{1, []byte{1, 1}}, {7, nil}})
		pkts := r.sent()
		require.Equal(t, []Code{ConfigureNak}, codesOf(pkts))
		require.Equal(t, []byte{1, 4, 9, 9, 200, 2}, pkts[0].Data)
	}
	r.request(Options{{1, []byte{1, 1}}, {7, nil}})
	pkts := r.sent()
	require.Equal(t, []Code{ConfigureReject}, codesOf(pkts))
	require.Equal(t, []byte{1, 4, 1, 1}, pkts[0].Data, "as it was requested, and nothing appended")
	require.Equal(t, []bool{false, false, false, true}, lasts)

	// An Ack begins the count anew.
	r.policy.judge = nil
	r.request(Options{{7, nil}})
	require.Equal(t, []Code{ConfigureAck}, codesOf(r.sent()))
	r.policy.judge = nakAll
	r.request(Options{{1, []byte{1, 1}}})
	require.Equal(t, []Code{ConfigureNak}, codesOf(r.sent()))
}

// TestInsists has a policy that will not do without an option that the peer
// never names: there is nothing to reject.
func TestInsists(t *testing.T) {
	r := newRig(t, AutomatonConfig{MaxFailure: 3})
	r.policy.judge = func(_ Options, _ bool, dst Options) (Code, Options) {
		return ConfigureNak, append(dst, Option{3, []byte{10, 0, 0, 1}})
	}
	r.enter(ReqSent)
	for range 3 {
		r.request(nil)
		require.Equal(t, []Code{ConfigureNak}, codesOf(r.sent()))
	}
	r.request(nil)
	require.Equal(t, []Code{TerminateRequest}, codesOf(r.sent()))
	require.Equal(t, Closing, r.a.State())
	require.ErrorIs(t, r.a.Err(), ErrNoAgreement)
}

func TestEndlessNaks(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.open()
	r.up()
	requests := 0
	for r.a.State() == ReqSent {
		requests += len(r.sent())
		require.LessOrEqual(t, requests, maxRounds)
		r.input(Packet{Code: ConfigureNak, ID: r.a.requestID, Data: []byte{1, 4, 1, 1}})
	}
	require.Equal(t, maxRounds, requests)
	require.Equal(t, Closing, r.a.State())
	require.Equal(t, []Code{TerminateRequest}, codesOf(r.sent()))
	require.ErrorIs(t, r.a.Err(), ErrNoAgreement)
	r.tick()
	require.Equal(t, SignalFinished, r.tick())
	require.ErrorIs(t, r.a.Err(), ErrNoAgreement)
}

// TestRepeatedRequest: a repetition of the request that we acked last may come
// late, when all is open, and is no renegotiation; any other request is one.
func TestRepeatedRequest(t *testing.T) {
	opts := Options{{1, []byte{5, 0}}}
	p := Packet{Code: ConfigureRequest, ID: 101, Data: opts.Append(nil)}
	opened := func() *rig {
		r := newRig(t, AutomatonConfig{})
		r.enter(AckRcvd)
		require.Equal(t, SignalUp, r.input(p))
		r.sent()
		return r
	}
	r := opened()
	r.now = r.now.Add(DefaultMaxTimeout - 1)
	require.Zero(t, r.input(p))
	require.Equal(t, Opened, r.a.State())
	require.Equal(t, []Packet{{ConfigureAck, 101, p.Data}}, r.sent())

	r.now = r.now.Add(1)
	require.Equal(t, SignalDown, r.input(p))
	require.Equal(t, AckSent, r.a.State())

	r = opened()
	begun := r.policy.begun
	p.ID++
	require.Equal(t, SignalDown, r.input(p))
	require.Equal(t, AckSent, r.a.State())
	require.Equal(t, begun+1, r.policy.begun)
	require.Equal(t, []Code{ConfigureRequest, ConfigureAck}, codesOf(r.sent()))
	require.Equal(t, SignalUp, r.ack())
}

// TestBegin: each negotiation begins exactly once, whoever begins it.
func TestBegin(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	require.Equal(t, 1, r.policy.begun)
	r.a.Down(r.now, &r.out)
	require.Equal(t, 1, r.policy.begun)
	r.up()
	require.Equal(t, 2, r.policy.begun)
	r.a.Rejected(r.now, &r.out) // Stopped
	r.request(Options{{1, []byte{5, 0}}})
	require.Equal(t, AckSent, r.a.State())
	require.Equal(t, 3, r.policy.begun)
	require.NoError(t, r.a.Err(), "why an earlier negotiation failed is forgotten")
}

func TestCodeRejectIsBounded(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	r.input(Packet{Code: unknownCode, ID: 1, Data: make([]byte, 4000)})
	pkts := r.sent()
	require.Equal(t, []Code{CodeReject}, codesOf(pkts))
	require.Len(t, pkts[0].Data, maxReject)
}

// TestTwoAutomatons lets two of them talk, with every pattern of eight losses.
func TestTwoAutomatons(t *testing.T) {
	for loss := range 256 {
		a, b := newRig(t, AutomatonConfig{}), newRig(t, AutomatonConfig{})
		b.policy.ask = Options{{8, nil}}
		a.open()
		b.open()
		a.up()
		b.up()
		sent := 0
		pass := func(from, to *rig) {
			for _, p := range from.sent() {
				if sent >= 8 || loss>>sent&1 == 0 {
					to.input(p)
				}
				sent++
			}
		}
		for step := 0; !a.a.Opened() || !b.a.Opened(); step++ {
			require.Less(t, step, 1000, "loss %08b", loss)
			for a.out.Len()+b.out.Len() > 0 {
				pass(a, b)
				pass(b, a)
			}
			if a.a.Opened() && b.a.Opened() {
				break
			}
			next := a.a.Deadline()
			if d := b.a.Deadline(); next.IsZero() || !d.IsZero() && d.Before(next) {
				next = d
			}
			require.False(t, next.IsZero())
			a.now, b.now = next, next
			a.a.Tick(next, &a.out)
			b.a.Tick(next, &b.out)
		}
		require.NoError(t, a.a.Err())
		require.NoError(t, b.a.Err())
		require.Equal(t, a.policy.ask.Append(nil), b.a.acked)
		require.Equal(t, b.policy.ask.Append(nil), a.a.acked)
	}
}
