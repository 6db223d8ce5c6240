package ppp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// RFC 1661 §3.4: a Configure-Request of LCP leads back to the Establish phase
// from the Authenticate phase too, and the peer has to begin with itself anew.
func TestConfigureRequestDuringAuthentication(t *testing.T) {
	r := newLinkRig(t, func(r *linkRig, _ *LinkConfig) { r.lcp.peerAuth = AuthMSCHAPv2 })
	r.up()
	require.Equal(t, PhaseAuthenticate, r.link.Phase())
	r.takeEvents()
	r.request(ProtocolLCP)
	require.Equal(t, []Event{phase(PhaseEstablish)}, r.takeEvents())
	r.link.Verdict(AuthVerdict{Accepted: true}, r.now, &r.out)
	require.Equal(t, PhaseEstablish, r.link.Phase(), "a verdict on what was before is void")
	r.ack(ProtocolLCP)
	require.Equal(t, []Event{phase(PhaseAuthenticate)}, r.takeEvents())
	require.Equal(t, 2, r.verify.starts)
}

// RFC 1661 §4.4, Initialize-Restart-Count: the timeout period begins anew as the
// counter does.
func TestRestartPeriodBeginsAnew(t *testing.T) {
	for name, event := range map[string]func(r *rig){
		"Nak":   func(r *rig) { r.input(Packet{Code: ConfigureNak, ID: r.a.requestID}) },
		"Close": (*rig).close,
		"Down and Up": func(r *rig) {
			r.a.Down(r.now, &r.out)
			r.up()
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, AutomatonConfig{})
			r.enter(ReqSent)
			for range 4 {
				r.tick()
			}
			require.Equal(t, DefaultMaxTimeout, r.a.Deadline().Sub(r.now))
			event(r)
			require.Equal(t, DefaultFirstTimeout, r.a.Deadline().Sub(r.now))
		})
	}
}

// RFC 1661 §4.6: the timer and the counters can be configured.
func TestConfigurable(t *testing.T) {
	t.Run("Restart timer", func(t *testing.T) {
		r := newRig(t, AutomatonConfig{FirstTimeout: 5 * time.Second, MaxTimeout: 7 * time.Second})
		r.enter(ReqSent)
		for _, want := range []time.Duration{5, 7, 7} {
			require.Equal(t, want*time.Second, r.a.Deadline().Sub(r.now))
			r.tick()
		}
	})
	t.Run("constant Restart timer", func(t *testing.T) {
		r := newRig(t, AutomatonConfig{FirstTimeout: 3 * time.Second})
		r.enter(ReqSent)
		for range 5 {
			require.Equal(t, 3*time.Second, r.a.Deadline().Sub(r.now))
			r.tick()
		}
	})
	t.Run("Max-Terminate", func(t *testing.T) {
		for _, n := range []int{1, 5} {
			r := newRig(t, AutomatonConfig{MaxTerminate: n})
			r.enter(Opened)
			r.close()
			for r.a.State() == Closing {
				r.tick()
			}
			require.Len(t, r.sent(), n)
			require.Equal(t, Closed, r.a.State())
		}
	})
	t.Run("Max-Failure", func(t *testing.T) {
		for n, cfg := range map[int]AutomatonConfig{DefaultMaxFailure: {}, 1: {MaxFailure: 1}, 8: {MaxFailure: 8}} {
			r := newRig(t, cfg)
			r.policy.judge = nakAll
			r.enter(ReqSent)
			naks := 0
			for r.request(Options{{1, []byte{1}}}); codesOf(r.sent())[0] == ConfigureNak; r.request(Options{{1, []byte{1}}}) {
				naks++
			}
			require.Equal(t, n, naks)
		}
	})
}

// RFC 1661 §5.1 and §5.5: after a valid answer a request has another identifier,
// even if it says the same.
func TestIdentifierAfterAnAnswer(t *testing.T) {
	for name, answer := range map[string]func(r *rig){
		"Ack": func(r *rig) { r.ack() },
		"Nak": func(r *rig) { r.input(Packet{Code: ConfigureNak, ID: r.a.requestID, Data: []byte{200, 2}}) },
		// §4.1: RTA in Opened begins anew.
		"Terminate-Ack": func(r *rig) {
			r.ack()
			r.request(nil)
			r.sent()
			r.input(Packet{Code: TerminateAck})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, AutomatonConfig{})
			r.enter(ReqSent)
			before, asked := r.a.requestID, r.a.request
			answer(r)
			pkts := r.sent()
			if len(pkts) == 0 {
				r.tick()
				pkts = r.sent()
			}
			require.Equal(t, []Code{ConfigureRequest}, codesOf(pkts))
			require.Equal(t, asked, pkts[0].Data)
			require.NotEqual(t, before, pkts[0].ID)
		})
	}
}

// RFC 1661 §5.6: each Code-Reject has an identifier of its own, also if the same
// packet is rejected again.
func TestCodeRejectIdentifiers(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	seen := make(map[uint8]bool)
	for range 256 {
		r.input(Packet{Code: unknownCode, ID: 1})
		p := r.sent()[0]
		require.Equal(t, CodeReject, p.Code)
		require.False(t, seen[p.ID])
		seen[p.ID] = true
	}
}

// RFC 1661 §4.3, RTR: one that the peer has terminated opens again at its
// request, without anybody's doing here.
func TestPeerComesBack(t *testing.T) {
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	r.input(Packet{Code: TerminateRequest, ID: 1})
	r.tick()
	require.Equal(t, Stopped, r.a.State())
	r.sent()
	r.request(Options{{3, []byte{1}}})
	require.Equal(t, []Code{ConfigureRequest, ConfigureAck}, codesOf(r.sent()))
	require.Equal(t, SignalUp, r.ack())
	require.NoError(t, r.a.Err())
}

// RFC 1661 §4.4, Illegal-Event: what cannot be leaves the automaton as it is, and
// able to go on.
func TestIllegalEvents(t *testing.T) {
	for _, c := range rfc1661Cells(t) {
		if c.possible() || c.event >= EventRCRPlus {
			continue
		}
		r := newRig(t, AutomatonConfig{})
		r.enter(c.state)
		require.Zero(t, r.cause(c.event), c.name())
		require.Equal(t, c.state, r.a.State(), c.name())
		require.Empty(t, r.sent(), c.name())
	}
	r := newRig(t, AutomatonConfig{})
	r.enter(Opened)
	r.up()
	r.a.Tick(r.now.Add(time.Hour), &r.out)
	r.request(Options{{7, nil}})
	require.Equal(t, SignalUp, r.ack())
}

// RFC 1661 §2 and §5, with those of the documents that add to them: the numbers
// on the wire.
func TestNumbers(t *testing.T) {
	for want, code := range []Code{
		1: ConfigureRequest, 2: ConfigureAck, 3: ConfigureNak, 4: ConfigureReject,
		5: TerminateRequest, 6: TerminateAck, 7: CodeReject, 8: ProtocolReject,
		9: EchoRequest, 10: EchoReply, 11: DiscardRequest, 12: Identification, 13: TimeRemaining,
		14: ResetRequest, 15: ResetAck,
	} {
		require.EqualValues(t, want, code)
	}
	for want, p := range map[uint16]Protocol{
		0x0021: ProtocolIPv4, 0x0057: ProtocolIPv6, 0x00fd: ProtocolCompressed,
		0x8021: ProtocolIPCP, 0x8057: ProtocolIPV6CP, 0x80fd: ProtocolCCP,
		0xc021: ProtocolLCP, 0xc023: ProtocolPAP, 0xc025: ProtocolLQR, 0xc223: ProtocolCHAP,
	} {
		require.EqualValues(t, want, p)
	}
}
