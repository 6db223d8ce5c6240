package ppp

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawOption draws one of few types and values, so that lists have much in common.
func drawOption(t *rapid.T) Option {
	return Option{rapid.Uint8Range(1, 3).Draw(t, "type"), rapid.SliceOfN(rapid.Byte(), 0, 1).Draw(t, "data")}
}

func TestOptionsProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		opts := Options(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Option {
			return Option{rapid.Byte().Draw(t, "type"), rapid.SliceOfN(rapid.Byte(), 0, 253).Draw(t, "data")}
		}), 0, 8).Draw(t, "options"))
		b := opts.Append([]byte("before"))[len("before"):]
		got := Options{{99, nil}} // what was there before is gone
		n, err := got.Decode(b)
		require.NoError(t, err)
		require.Equal(t, len(b), n)
		require.Len(t, got, len(opts))
		for i := range opts {
			require.True(t, opts[i].Equal(got[i]))
			first, ok := got.Get(opts[i].Type)
			require.True(t, ok)
			require.Equal(t, opts[i].Type, first.Type)
		}
		clone := got.Clone()
		clear(b)
		require.Equal(t, opts.Append(nil), clone.Append(nil), "a clone aliases nothing")

		// However it is cut, what is left of it decodes up to an option's end.
		b = opts.Append(nil)
		cut := rapid.IntRange(0, len(b)).Draw(t, "cut")
		n, err = got.Decode(b[:cut])
		require.Equal(t, string(b[:n]), string(got.Append(nil)))
		if err != nil {
			require.ErrorIs(t, err, ErrOptionLength)
			require.Less(t, n, cut)
		} else {
			require.Equal(t, cut, n)
		}
	})
}

// isSubsequence is what a Configure-Reject must be of a request (RFC 1661 §5.4),
// told in another way than inOrder does.
func isSubsequence(part, whole Options) bool {
	if len(part) == 0 {
		return true
	}
	for i, o := range whole {
		if o.Equal(part[0]) && isSubsequence(part[1:], whole[i+1:]) {
			return true
		}
	}
	return false
}

// TestAnswersProperty gives a request every kind of answer. An Ack counts only if
// it is of what was sent, a Reject if it is of some of that in the same order, and
// both only if the identifier is right and nothing has been answered before.
func TestAnswersProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, AutomatonConfig{MaxConfigure: 100})
		r.policy.ask = rapid.SliceOfN(rapid.Custom(drawOption), 0, 5).Draw(rt, "request")
		r.enter(ReqSent)
		for range rapid.IntRange(1, 5).Draw(rt, "answers") {
			answered := r.a.answered
			answer := rapid.Custom(func(rt *rapid.T) Options {
				if rapid.Bool().Draw(rt, "any") {
					return rapid.SliceOfN(rapid.Custom(drawOption), 0, 5).Draw(rt, "answer")
				}
				var part Options
				for _, o := range r.policy.ask {
					if rapid.Bool().Draw(rt, "keep") {
						part = append(part, o)
					}
				}
				return part
			}).Draw(rt, "options")
			p := Packet{
				Code: rapid.SampledFrom([]Code{ConfigureAck, ConfigureNak, ConfigureReject}).Draw(rt, "code"),
				ID:   r.a.requestID + rapid.SampledFrom([]uint8{0, 0, 0, 1, 255}).Draw(rt, "off"),
				Data: answer.Append(nil),
			}
			fits := p.ID == r.a.requestID && !answered
			switch p.Code {
			case ConfigureAck:
				fits = fits && slices.Equal(p.Data, r.policy.ask.Append(nil))
			case ConfigureReject:
				fits = fits && len(answer) > 0 && isSubsequence(answer, r.policy.ask)
			}
			heeded := len(r.policy.acked) + len(r.policy.naked) + len(r.policy.ref)
			dropped := r.a.Dropped()
			r.input(p)
			heeded = len(r.policy.acked) + len(r.policy.naked) + len(r.policy.ref) - heeded
			require.Equal(rt, fits, heeded == 1, "%v %v", p, r.policy.ask)
			require.Equal(rt, !fits, r.a.Dropped() == dropped+1)
		}
	})
}

// TestAutomatonProperty lets events come in any order, and looks from outside
// whether the automaton keeps to what RFC 1661 is about.
func TestAutomatonProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, AutomatonConfig{
			MaxConfigure: rapid.IntRange(1, 4).Draw(rt, "MaxConfigure"),
			MaxTerminate: rapid.IntRange(1, 3).Draw(rt, "MaxTerminate"),
			MaxFailure:   rapid.IntRange(1, 3).Draw(rt, "MaxFailure"),
		})
		w := &watcher{rt: rt, rig: r}
		judge := func(req Options, last bool, dst Options) (Code, Options) {
			switch o := req[0]; o.Type {
			case 1:
				return ConfigureNak, append(dst, Option{o.Type, []byte{1}})
			case 2:
				return ConfigureReject, append(dst, o)
			}
			return ConfigureAck, append(dst, req...)
		}
		a := r.a
		input := func(p Packet) { w.do(func() Signal { return r.input(p) }) }
		request := func(typ uint8) {
			r.peerID += rapid.Uint8Range(0, 1).Draw(rt, "again")
			w.request = Packet{Code: ConfigureRequest, ID: r.peerID, Data: Options{{typ, []byte{7}}}.Append(nil)}
			input(w.request)
		}
		answer := func(code Code, data []byte) {
			input(Packet{Code: code, ID: a.requestID + rapid.SampledFrom([]uint8{0, 0, 0, 0, 1}).Draw(rt, "off"), Data: data})
		}
		actions := map[string]func(){
			"Up": func() {
				w.do(func() Signal { return a.Up(r.now, &r.out) })
			},
			"Down": func() {
				w.void()
				w.do(func() Signal { return a.Down(r.now, &r.out) })
			},
			"Open": func() {
				w.do(func() Signal { return a.Open(r.now, &r.out) })
			},
			"Close": func() {
				w.void()
				w.do(func() Signal { return a.Close(r.now, &r.out) })
			},
			"timeout": func() {
				if !a.Deadline().IsZero() {
					w.tick()
				}
			},
			"too early": func() {
				if at := a.Deadline(); !at.IsZero() {
					was := a.State()
					w.do(func() Signal { return a.Tick(at.Add(-1), &r.out) })
					require.Equal(rt, was, a.State())
				}
			},
			"good request":      func() { request(3) },
			"request":           func() { request(rapid.Uint8Range(1, 3).Draw(rt, "type")) },
			"right Ack":         func() { input(Packet{Code: ConfigureAck, ID: a.requestID, Data: slices.Clone(a.request)}) },
			"Ack":               func() { answer(ConfigureAck, slices.Clone(a.request)) },
			"Nak":               func() { answer(ConfigureNak, Options{{1, []byte{9}}}.Append(nil)) },
			"Reject":            func() { answer(ConfigureReject, r.policy.ask[:1].Append(nil)) },
			"Terminate-Request": func() { w.void(); input(Packet{Code: TerminateRequest, ID: 77}) },
			"Terminate-Ack": func() {
				if a.State() != AckSent { // it stays what it is then
					w.void()
				}
				input(Packet{Code: TerminateAck, ID: 77})
			},
			"Code-Reject of an unknown code": func() {
				if a.State() != Opened {
					w.theyAcked = false
				}
				input(Packet{Code: CodeReject, Data: []byte{byte(unknownCode), 1, 0, 4}})
			},
			"Code-Reject":     func() { w.void(); input(Packet{Code: CodeReject, Data: []byte{byte(ConfigureAck), 1, 0, 4}}) },
			"Protocol-Reject": func() { w.void(); w.do(func() Signal { return a.Rejected(r.now, &r.out) }) },
			"unknown code":    func() { input(Packet{Code: unknownCode, ID: 78}) },
			"Echo": func() {
				input(Packet{Code: testCode, ID: 79})
				require.Equal(rt, a.State() == Opened, slices.Contains(codesOf(w.packets), EchoReply))
			},
			"nonsense": func() {
				was := a.State()
				w.do(func() Signal {
					return a.Input([]byte{byte(rapid.IntRange(0, 12).Draw(rt, "code")), 1, 0, 3}, r.now, &r.out)
				})
				require.Equal(rt, was, a.State())
			},
		}
		// From anywhere but the ends, as it hardly ever gets far from there by chance.
		state := rapid.SampledFrom([]State{Opened, AckSent, AckRcvd, ReqSent, Starting}).Draw(rt, "state")
		r.enter(state)
		r.policy.judge = judge
		w.up = state == Opened
		w.weAcked = state == AckSent || w.up
		w.theyAcked = state == AckRcvd || w.up
		w.request = Packet{ConfigureRequest, r.peerID, r.a.acked}

		names := slices.Sorted(maps.Keys(actions))
		for range rapid.IntRange(0, 200).Draw(rt, "steps") {
			set := names
			if rapid.Bool().Draw(rt, "help") { // or else it hardly ever opens
				set = []string{"Open", "Up", "Down"}
				if a.State() >= ReqSent {
					set = []string{"right Ack", "good request", "timeout"}
				}
			}
			actions[rapid.SampledFrom(set).Draw(rt, "action")]()
		}
		// Left alone, it comes to rest once each counter has run out.
		for i := 0; !a.Deadline().IsZero(); i++ {
			require.Less(rt, i, 4+3+2, "no end of timeouts")
			w.tick()
		}
		// And a peer of good will opens it.
		for _, name := range []string{"Down", "Open", "Up", "good request", "right Ack"} {
			actions[name]()
		}
		require.True(rt, a.Opened())
	})
}

// watcher knows of an automaton what has been said on the wire.
type watcher struct {
	rt  *rapid.T
	rig *rig

	request Packet // the peer's last
	packets []Packet

	up        bool // This-Layer-Up was the last of its kind
	weAcked   bool // the peer's last request, as far as it still counts
	theyAcked bool // ours
	repeated  int  // requests in a row that timeouts sent
}

// void notes that something has come which ends the negotiation that was.
func (w *watcher) void() { w.weAcked, w.theyAcked = false, false }

// tick lets time pass until the deadline.
func (w *watcher) tick() {
	repeated := w.repeated
	w.do(w.rig.tick)
	if slices.Contains(codesOf(w.packets), ConfigureRequest) {
		w.repeated = repeated + 1
	}
	require.LessOrEqual(w.rt, w.repeated, w.rig.a.cfg.MaxConfigure)
}

// do lets an event happen and looks what has become of it.
func (w *watcher) do(f func() Signal) {
	rt, r := w.rt, w.rig
	acks := len(r.policy.acked)
	was, begun := r.a.State(), r.policy.begun
	w.repeated = 0
	sig := f()
	if sig&SignalDown != 0 {
		require.True(rt, w.up)
		w.up = false
		w.void()
	}
	if r.policy.begun != begun {
		w.void()
	}
	w.theyAcked = w.theyAcked || len(r.policy.acked) > acks
	w.packets = r.sent()
	for _, p := range w.packets {
		switch p.Code {
		case ConfigureRequest:
			w.theyAcked = false
		case ConfigureAck:
			require.Equal(rt, w.request.ID, p.ID)
			require.Equal(rt, w.request.Data, p.Data)
			w.weAcked = true
		case ConfigureNak, ConfigureReject:
			require.Equal(rt, w.request.ID, p.ID)
			require.NotEmpty(rt, p.Data)
			w.weAcked = false
		}
	}
	if sig&SignalUp != 0 {
		require.False(rt, w.up)
		w.up = true
	}
	state := r.a.State()
	require.Equal(rt, state == Opened, w.up)
	require.Equal(rt, state == Opened, r.a.Opened())
	if state == Opened {
		require.True(rt, w.weAcked, "opened from %v without having acked", was)
		require.True(rt, w.theyAcked, "opened from %v without having been acked", was)
		require.NoError(rt, r.a.Err())
		require.Zero(rt, sig&SignalFinished)
	}
	require.GreaterOrEqual(rt, r.a.counter, 0)
	require.LessOrEqual(rt, r.a.counter, max(r.a.cfg.MaxConfigure, r.a.cfg.MaxTerminate))
	require.Equal(rt, state.timed(), !r.a.Deadline().IsZero())
	if at := r.a.Deadline(); !at.IsZero() {
		require.True(rt, at.After(r.now.Add(-time.Nanosecond)))
		require.LessOrEqual(rt, at.Sub(r.now), DefaultMaxTimeout)
	}
	require.LessOrEqual(rt, len(w.packets), 2)
}
