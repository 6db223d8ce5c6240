package ppp

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const testCode Code = 9 // the code of testExtension, an Echo-Request
const unknownCode Code = 99

// testPolicy asks for what ask holds and answers what judge says.
type testPolicy struct {
	ask    Options
	judge  func(req Options, last bool, dst Options) (Code, Options)
	begun  int
	judged int
	acked  []Options
	naked  []Options
	ref    []Options
}

func (p *testPolicy) Begin() { p.begun++ }
func (p *testPolicy) Request(dst Options, _ *Output) Options {
	return append(dst, p.ask...)
}
func (p *testPolicy) Judge(req Options, last bool, dst Options) (Code, Options) {
	p.judged++
	if p.judge == nil {
		return ConfigureAck, append(dst, req...)
	}
	return p.judge(req, last, dst)
}
func (p *testPolicy) Acked(sent Options)  { p.acked = append(p.acked, sent.Clone()) }
func (p *testPolicy) Naked(nak Options)   { p.naked = append(p.naked, nak.Clone()) }
func (p *testPolicy) Refused(rej Options) { p.ref = append(p.ref, rej.Clone()) }
func nakAll(req Options, _ bool, dst Options) (Code, Options) {
	for _, o := range req {
		dst = append(dst, Option{o.Type, []byte{0xaa}})
	}
	return ConfigureNak, dst
}

// testExtension answers testCode when opened.
type testExtension struct{ received []bool }

func (e *testExtension) Knows(c Code) bool { return c == testCode }
func (e *testExtension) Receive(p Packet, opened bool, _ time.Time, out *Output) {
	e.received = append(e.received, opened)
	if opened {
		out.Send(ProtocolIPCP, Packet{Code: EchoReply, ID: p.ID, Data: p.Data})
	}
}

// rig drives one automaton in virtual time.
type rig struct {
	t      *testing.T
	a      *Automaton
	policy testPolicy
	ext    testExtension
	out    Output
	now    time.Time
	peerID uint8
}

func newRig(t *testing.T, cfg AutomatonConfig) *rig {
	r := &rig{t: t, now: time.Unix(1000, 0), peerID: 100}
	r.policy.ask = Options{{1, []byte{5, 220}}, {5, []byte{1, 2, 3, 4}}, {7, nil}}
	cfg.Protocol = ProtocolIPCP
	cfg.Extension = &r.ext
	r.a = NewAutomaton(cfg, &r.policy)
	return r
}

// sent returns the packets sent since the last call.
func (r *rig) sent() (pkts []Packet) {
	for i := range r.out.Len() {
		f := r.out.At(i).Frame
		p, body, err := DecodeProtocol(f)
		require.NoError(r.t, err)
		require.Equal(r.t, ProtocolIPCP, p)
		var pkt Packet
		n, err := pkt.Decode(slices.Clone(body))
		require.NoError(r.t, err)
		require.Len(r.t, body, n)
		pkts = append(pkts, pkt)
	}
	r.out.Reset()
	return pkts
}

func codesOf(pkts []Packet) (codes []Code) {
	for _, p := range pkts {
		codes = append(codes, p.Code)
	}
	return codes
}

func (r *rig) open()  { r.a.Open(r.now, &r.out) }
func (r *rig) up()    { r.a.Up(r.now, &r.out) }
func (r *rig) close() { r.a.Close(r.now, &r.out) }
func (r *rig) input(p Packet) Signal {
	return r.a.Input(p.Append(nil), r.now, &r.out)
}

// tick lets the time pass until the deadline.
func (r *rig) tick() Signal {
	require.False(r.t, r.a.Deadline().IsZero())
	r.now = r.a.Deadline()
	return r.a.Tick(r.now, &r.out)
}

func (r *rig) request(opts Options) Signal {
	r.peerID++
	return r.input(Packet{Code: ConfigureRequest, ID: r.peerID, Data: opts.Append(nil)})
}

func (r *rig) ack() Signal {
	return r.input(Packet{Code: ConfigureAck, ID: r.a.requestID, Data: slices.Clone(r.a.request)})
}

// enter brings a new automaton into state s.
func (r *rig) enter(s State) {
	switch s {
	case Initial:
	case Starting:
		r.open()
	case Closed:
		r.up()
	case Stopped:
		r.enter(ReqSent)
		r.a.Rejected(r.now, &r.out)
	case Closing:
		r.enter(ReqSent)
		r.close()
	case Stopping:
		r.enter(Opened)
		r.a.Rejected(r.now, &r.out)
	case ReqSent:
		r.open()
		r.up()
	case AckRcvd:
		r.enter(ReqSent)
		r.ack()
	case AckSent:
		r.enter(ReqSent)
		r.request(Options{{3, []byte{1}}})
	case Opened:
		r.enter(AckRcvd)
		require.Equal(r.t, SignalUp, r.request(Options{{3, []byte{1}}}))
	}
	require.Equal(r.t, s, r.a.State())
	r.sent()
}

// cause makes an event happen from outside, as far as it can.
func (r *rig) cause(e StateEvent) Signal {
	a := r.a
	switch e {
	case EventUp:
		return a.Up(r.now, &r.out)
	case EventDown:
		return a.Down(r.now, &r.out)
	case EventOpen:
		return a.Open(r.now, &r.out)
	case EventClose:
		return a.Close(r.now, &r.out)
	case EventTOPlus, EventTOMinus:
		if e == EventTOMinus {
			a.counter = 0
		}
		if !a.Deadline().IsZero() {
			r.now = a.Deadline()
		}
		return a.Tick(r.now, &r.out)
	case EventRCRPlus:
		return r.request(Options{{3, []byte{2}}})
	case EventRCRMinus:
		r.policy.judge = nakAll
		return r.request(Options{{3, []byte{2}}})
	case EventRCA:
		return r.ack()
	case EventRCN:
		return r.input(Packet{Code: ConfigureNak, ID: a.requestID, Data: Options{{1, []byte{1, 1}}}.Append(nil)})
	case EventRTR:
		return r.input(Packet{Code: TerminateRequest, ID: 200})
	case EventRTA:
		return r.input(Packet{Code: TerminateAck, ID: 200})
	case EventRUC:
		return r.input(Packet{Code: unknownCode, ID: 200, Data: []byte("what")})
	case EventRXJPlus:
		return r.input(Packet{Code: CodeReject, ID: 200, Data: []byte{byte(unknownCode), 1, 0, 4}})
	case EventRXJMinus:
		return r.input(Packet{Code: CodeReject, ID: 200, Data: []byte{byte(ConfigureRequest), 1, 0, 4}})
	default:
		return r.input(Packet{Code: testCode, ID: 200, Data: []byte("echo")})
	}
}

// TestAutomatonTable drives an automaton through every cell of the table from
// outside: states, packets, signals, timer and counter.
func TestAutomatonTable(t *testing.T) {
	for _, c := range rfc1661Cells(t) {
		t.Run(c.name(), func(t *testing.T) {
			want := c.transition
			crossed := c.text[len(c.text)-1] == 'x'
			if crossed {
				// A second answer to one request is discarded by its
				// identifier before it is an event (RFC 1661 §5.2).
				want = Transition{Next: c.state}
			}
			r := newRig(t, AutomatonConfig{})
			r.enter(c.state)
			was, count, dropped := r.a.Deadline(), r.a.counter, r.a.Dropped()
			r.now = r.now.Add(time.Millisecond)
			sig := r.cause(c.event)
			require.Equal(t, want.Next, r.a.State())

			var signals Signal
			var codes []Code
			for _, x := range []struct {
				do   Actions
				sig  Signal
				code Code
			}{
				{do: ThisLayerUp, sig: SignalUp}, {do: ThisLayerDown, sig: SignalDown},
				{do: ThisLayerStarted, sig: SignalStarted}, {do: ThisLayerFinished, sig: SignalFinished},
				{do: SendConfigureRequest, code: ConfigureRequest},
				{do: SendConfigureAck, code: ConfigureAck}, {do: SendConfigureNak, code: ConfigureNak},
				{do: SendTerminateRequest, code: TerminateRequest}, {do: SendTerminateAck, code: TerminateAck},
				{do: SendCodeReject, code: CodeReject}, {do: SendEchoReply, code: EchoReply},
			} {
				if want.Actions&x.do != 0 {
					signals |= x.sig
					if x.code != 0 {
						codes = append(codes, x.code)
					}
				}
			}
			require.Equal(t, signals, sig)
			pkts := r.sent()
			require.Equal(t, codes, codesOf(pkts))
			for _, p := range pkts {
				switch p.Code {
				case ConfigureAck:
					require.Equal(t, Packet{ConfigureAck, r.peerID, Options{{3, []byte{2}}}.Append(nil)}, p)
				case ConfigureNak:
					require.Equal(t, Packet{ConfigureNak, r.peerID, Options{{3, []byte{0xaa}}}.Append(nil)}, p)
				case ConfigureRequest:
					require.Equal(t, r.policy.ask.Append(nil), p.Data)
					require.Equal(t, r.a.requestID, p.ID)
				case TerminateAck:
					if c.event == EventRTR {
						require.Equal(t, uint8(200), p.ID)
					}
				case CodeReject:
					require.Equal(t, append([]byte{byte(unknownCode), 200, 0, 8}, "what"...), p.Data)
				case EchoReply:
					require.Equal(t, "echo", string(p.Data))
				}
			}

			// The Restart timer: only these actions start it, and it runs in
			// the states that have TO events only.
			switch {
			case !want.Next.timed():
				require.True(t, r.a.Deadline().IsZero())
			case want.Actions&(SendConfigureRequest|SendTerminateRequest) != 0:
				require.True(t, r.a.Deadline().After(r.now))
			case want.Actions&ZeroRestartCount != 0:
				require.Equal(t, r.now.Add(lingerTimeout), r.a.Deadline())
			default:
				require.Equal(t, was, r.a.Deadline())
			}

			// The restart counter.
			switch do := want.Actions; {
			case do&ZeroRestartCount != 0:
				require.Zero(t, r.a.counter)
			case do&InitRestartCount != 0 && do&SendTerminateRequest != 0:
				require.Equal(t, DefaultMaxTerminate-1, r.a.counter)
			case do&InitRestartCount != 0 && do&SendConfigureRequest != 0:
				require.Equal(t, DefaultMaxConfigure-1, r.a.counter)
			case do&InitRestartCount != 0:
				require.Equal(t, DefaultMaxConfigure, r.a.counter)
			case c.event == EventTOPlus && c.possible():
				require.Equal(t, count-1, r.a.counter)
			}

			// What cannot be an event is counted as dropped, if a packet.
			packet := c.event >= EventRCRPlus
			answer := c.event == EventRCA || c.event == EventRCN
			ending := c.state == Closing || c.state == Stopping
			require.Equal(t, packet && (crossed || c.state <= Starting || answer && ending), r.a.Dropped() > dropped)
			if c.event == EventRXR && c.state > Starting {
				require.Equal(t, []bool{c.state == Opened}, r.ext.received)
			}
		})
	}
}
