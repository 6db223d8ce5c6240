package pptp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The IDs of the call under test, by who assigned them.
const (
	tablePNS = 100
	tablePAC = 200
)

// tableStates brings a Control into each state in which a message can find it.
// There has been another call, so that it is not helped by having one only.
var tableStates = []struct {
	name string
	role Role
	call bool // the call under test is there
	set  func(p *pair)
}{
	{"idle", RolePAC, false, nil},
	{"asked", RolePAC, false, nil},
	{"wait_ctl_reply", RolePNS, false, nil},
	{"wait_stop_reply", RolePNS, false, func(p *pair) { p.pns.Stop(StopNone, p.now, &p.pns.out) }},
	{"pac no call", RolePAC, false, func(p *pair) {}},
	{"pac wait_cs_ans", RolePAC, true, func(p *pair) {
		p.must(p.pns.PlaceCall(OutgoingCallRequest{CallID: tablePNS}, p.now, &p.pns.out))
		p.run()
	}},
	{"pac established", RolePAC, true, func(p *pair) { p.call(tablePNS, tablePAC) }},
	{"pac in wait_reply", RolePAC, true, func(p *pair) { p.announce(tablePAC) }},
	{"pac in abandoned", RolePAC, true, func(p *pair) {
		p.announce(tablePAC)
		p.must(p.pac.ClearCall(CallDisconnectNotify{CallID: tablePAC}, p.now, &p.pac.out))
	}},
	{"pac in connecting", RolePAC, true, func(p *pair) { p.wanted(tablePAC, tablePNS) }},
	{"pac in established", RolePAC, true, func(p *pair) { p.incoming(tablePAC, tablePNS) }},
	{"pns no call", RolePNS, false, func(p *pair) {}},
	{"pns wait_reply", RolePNS, true, func(p *pair) {
		p.must(p.pns.PlaceCall(OutgoingCallRequest{CallID: tablePNS}, p.now, &p.pns.out))
	}},
	{"pns established", RolePNS, true, func(p *pair) { p.call(tablePNS, tablePAC) }},
	{"pns wait_disconnect", RolePNS, true, func(p *pair) {
		p.call(tablePNS, tablePAC)
		p.must(p.pns.ClearCall(CallDisconnectNotify{CallID: tablePNS}, p.now, &p.pns.out))
	}},
	{"pns wait_disconnect early", RolePNS, true, func(p *pair) {
		p.must(p.pns.PlaceCall(OutgoingCallRequest{CallID: tablePNS}, p.now, &p.pns.out))
		p.must(p.pns.ClearCall(CallDisconnectNotify{CallID: tablePNS}, p.now, &p.pns.out))
	}},
	{"pns in deciding", RolePNS, true, func(p *pair) { p.announce(tablePAC) }},
	{"pns in wait_connect", RolePNS, true, func(p *pair) { p.wanted(tablePAC, tablePNS) }},
	{"pns in established", RolePNS, true, func(p *pair) { p.incoming(tablePAC, tablePNS) }},
	{"pns in wait_disconnect", RolePNS, true, func(p *pair) {
		p.wanted(tablePAC, tablePNS)
		p.must(p.pns.ClearCall(CallDisconnectNotify{CallID: tablePNS}, p.now, &p.pns.out))
	}},
}

func (p *pair) must(err error) {
	p.t.Helper()
	require.NoError(p.t, err)
}

// tableMessages are those that a peer of role would send about the call; where
// the other role sends them, they name it as far as they can.
func tableMessages(peer Role) map[string]Message {
	own, other := uint16(tablePAC), uint16(tablePNS)
	if peer == RolePNS {
		own, other = other, own
	}
	return map[string]Message{
		"SCCRQ":  &StartControlConnectionRequest{ProtocolVersion: ProtocolVersion},
		"SCCRP":  &StartControlConnectionReply{ProtocolVersion: ProtocolVersion, ResultCode: StartSuccessful},
		"StopRQ": &StopControlConnectionRequest{Reason: StopNone},
		"StopRP": &StopControlConnectionReply{ResultCode: StopOK},
		"EchoRQ": &EchoRequest{},
		"EchoRP": &EchoReply{Identifier: 99},
		"OCRQ":   &OutgoingCallRequest{CallID: own},
		"OCRP+":  &OutgoingCallReply{CallID: own, PeerCallID: other, ResultCode: OutgoingConnected},
		"OCRP-":  &OutgoingCallReply{PeerCallID: other, ResultCode: OutgoingBusy},
		"ICRQ":   &IncomingCallRequest{CallID: own},
		"ICRP+":  &IncomingCallReply{CallID: own, PeerCallID: other, ResultCode: IncomingConnect},
		"ICRP-":  &IncomingCallReply{PeerCallID: other, ResultCode: IncomingDoNotAccept},
		"ICCN":   &IncomingCallConnected{PeerCallID: other},
		"CCRQ":   &CallClearRequest{CallID: own},
		"CDN":    &CallDisconnectNotify{CallID: own, ResultCode: DisconnectRequest},
		"WEN":    &WANErrorNotify{PeerCallID: other},
		"SLI":    &SetLinkInfo{PeerCallID: other},
	}
}

// short tells an event in a word.
func short(ev Event) string {
	switch ev := ev.(type) {
	case Unexpected:
		return "?"
	case StartRequested:
		return "start?"
	case Started:
		return "started"
	case Stopped:
		if ev.Err != nil {
			return "failed"
		}
		return "stopped"
	case CallRequested, IncomingCallRequested:
		return "call?"
	case IncomingCallAccepted:
		return "wanted"
	case CallEstablished:
		return "up"
	case CallRefused, IncomingCallRefused:
		return "refused"
	case CallCleared:
		if ev.Remote {
			return "cleared"
		}
		return "confirmed"
	case LinkInfo:
		return "link"
	case WANErrors:
		return "wan"
	}
	return fmt.Sprintf("%T", ev)
}

var shortSent = map[MessageType]string{
	TypeStartControlConnectionReply: "SCCRP", TypeStopControlConnectionReply: "StopRP", TypeEchoReply: "EchoRP",
	TypeOutgoingCallReply: "OCRP", TypeIncomingCallReply: "ICRP", TypeCallClearRequest: "CCRQ", TypeCallDisconnectNotify: "CDN",
}

// table says what becomes of each message in each state: the events, and after
// a slash what is sent. "-" is nothing at all, "?" the event Unexpected.
const table = `
state                     | SCCRQ         | SCCRP   | StopRQ         | StopRP  | EchoRQ   | EchoRP | OCRQ       | OCRP+  | OCRP-     | ICRQ       | ICRP+  | ICRP-   | ICCN   | CCRQ        | CDN       | WEN | SLI
idle                      | started/SCCRP | ?       | stopped/StopRP | ?       | ?/EchoRP | ?      | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | ?           | ?         | ?   | ?
asked                     | ?             | ?       | stopped/StopRP | ?       | ?/EchoRP | ?      | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | ?           | ?         | ?   | ?
wait_ctl_reply            | ?             | started | stopped/StopRP | ?       | ?/EchoRP | ?      | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | ?           | ?         | ?   | ?
wait_stop_reply           | ?             | ?       | stopped/StopRP | stopped | -/EchoRP | ?      | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | ?           | ?         | ?   | ?
pac no call               | ?/SCCRP       | ?       | stopped/StopRP | ?       | -/EchoRP | ?      | call?      | ?      | ?         | ?/ICRP     | ?/CDN  | ?       | ?      | ?           | ?         | ?   | ?
pac wait_cs_ans           | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?/CDN  | ?       | ?      | cleared/CDN | cleared   | ?   | ?
pac established           | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | cleared/CDN | cleared   | wan | link
pac in wait_reply         | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | call?      | ?      | ?         | ?/ICRP     | wanted | refused | ?      | ?           | ?         | wan | link
pac in abandoned          | ?/SCCRP       | ?       | stopped/StopRP | ?       | -/EchoRP | ?      | call?      | ?      | ?         | ?/ICRP     | -      | -       | ?      | ?           | ?         | -   | -
pac in connecting         | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | cleared/CDN | cleared   | wan | link
pac in established        | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | cleared/CDN | cleared   | wan | link
pns no call               | ?/SCCRP       | ?       | stopped/StopRP | ?       | -/EchoRP | ?      | ?/OCRP     | ?/CCRQ | ?         | call?      | ?      | ?       | ?/CCRQ | ?           | ?         | ?   | ?
pns wait_reply            | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | up     | refused   | call?      | ?      | ?       | ?      | ?           | ?         | wan | link
pns established           | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | cleared/CDN | cleared   | wan | link
pns wait_disconnect       | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | confirmed/CDN | confirmed | wan | link
pns wait_disconnect early | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | -      | confirmed | call?      | ?      | ?       | ?      | ?           | confirmed | wan | link
pns in deciding           | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?/CCRQ | ?         | ?/ICRP     | ?      | ?       | ?/CCRQ | cleared/CDN | cleared   | ?   | ?
pns in wait_connect       | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | up     | cleared/CDN | cleared   | wan | link
pns in established        | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | ?      | cleared/CDN | cleared   | wan | link
pns in wait_disconnect    | ?/SCCRP       | ?       | cleared,stopped/StopRP | ? | -/EchoRP | ?    | ?/OCRP     | ?      | ?         | ?/ICRP     | ?      | ?       | -      | confirmed/CDN | confirmed | wan | link
`

// Every message in every state, those that are lost, late, doubled and from the
// wrong side among them. None but a Stop ends the control connection.
func TestStateTable(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(table), "\n")
	split := func(row string) (cells []string) {
		for _, cell := range strings.Split(row, "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		return cells
	}
	columns := split(rows[0])
	require.Len(t, rows, len(tableStates)+1)
	for i, row := range rows[1:] {
		s, want := tableStates[i], split(row)
		require.Equal(t, s.name, want[0])
		require.Len(t, want, len(columns))
		for j, name := range columns[1:] {
			t.Run(s.name+"/"+name, func(t *testing.T) {
				e, before := tableEnd(t, i)
				m := tableMessages(1 - s.role)[name]
				require.NotNil(t, m)
				now := epoch
				e.receiveAll(now, m)
				require.NoError(t, e.err)
				var events, sent []string
				for _, ev := range e.take() {
					events = append(events, short(ev))
				}
				for _, m := range e.messages(t) {
					sent = append(sent, shortSent[m.Type()])
				}
				got := strings.Join(events, ",")
				if got == "" {
					got = "-"
				}
				if len(sent) > 0 {
					got += "/" + strings.Join(sent, ",")
				}
				require.Equal(t, want[j+1], got)

				if strings.Contains(got, "stopped") {
					require.Equal(t, Closed, e.State())
					return
				}
				if !strings.Contains(got, "started") {
					require.Equal(t, before, e.State())
				}
				// Nothing is left that time does not settle.
				for range 10 {
					at := e.Deadline()
					if e.State() == Established && e.Calls() == 0 || e.State() == Closed || at.Sub(now) > DefaultCallTimeout {
						break
					}
					now = at
					e.tick(now)
				}
				for _, k := range e.calls {
					require.Equal(t, callEstablished, k.state)
				}
			})
		}
	}
}

// tableEnd returns a Control in a state of the table.
func tableEnd(t *testing.T, i int) (*end, State) {
	s := tableStates[i]
	var e *end
	switch s.name {
	case "idle", "asked", "wait_ctl_reply":
		e = &end{Control: NewControl(Config{Role: s.role, Originator: s.role == RolePNS, ConfirmStart: s.name == "asked"})}
		e.Start(epoch, &e.out)
		if s.name == "asked" {
			e.receiveAll(epoch, &StartControlConnectionRequest{ProtocolVersion: ProtocolVersion})
		}
	default:
		p := incomingPair(t, nil)
		p.call(1, 2) // and gone again
		p.must(p.pns.ClearCall(CallDisconnectNotify{CallID: 1}, p.now, &p.pns.out))
		p.run()
		p.pns.take()
		p.pac.take()
		s.set(p)
		e = p.pac
		if s.role == RolePNS {
			e = p.pns
		}
	}
	e.collect()
	e.messages(t)
	e.take()
	require.Equal(t, s.call, e.Calls() > 0)
	return e, e.State()
}

// The life of two calls, of either kind, at the end of which none is left. step
// is called for each message on its way.
func lifeOfCalls(p *pair, step func(p *pair)) {
	for _, f := range []func(){
		func() { _ = p.pns.PlaceCall(OutgoingCallRequest{CallID: 1}, p.now, &p.pns.out) },
		func() { _ = p.pac.AcceptCall(OutgoingCallReply{CallID: 2, PeerCallID: 1}, &p.pac.out) },
		func() { _ = p.pns.SetLinkInfo(1, 1, 2, &p.pns.out) },
		func() { _ = p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: 3}, p.now, &p.pac.out) },
		func() {
			_ = p.pns.AcceptIncomingCall(IncomingCallReply{CallID: 4, PeerCallID: 3}, p.now, &p.pns.out)
		},
		func() { _ = p.pac.ConnectIncomingCall(3, IncomingCallConnected{}, &p.pac.out) },
		func() { _ = p.pac.ReportWANErrors(3, WANErrorNotify{CRCErrors: 1}, p.now, &p.pac.out) },
		func() { _ = p.pns.ClearCall(CallDisconnectNotify{CallID: 1}, p.now, &p.pns.out) },
		func() { _ = p.pac.ClearCall(CallDisconnectNotify{CallID: 3}, p.now, &p.pac.out) },
	} {
		f()
		step(p)
	}
}

// A message that a peer loses, delays beyond all timers, or says twice ends no
// control connection, and after some time no call is left that its owner wanted
// to be over.
func TestMessageLostLateAndDoubled(t *testing.T) {
	for _, kind := range []string{"lost", "late", "doubled"} {
		for victim := 0; ; victim++ {
			p := incomingPair(t, nil)
			pns, pac := newLedger(t, RolePNS), newLedger(t, RolePAC)
			pns.lenient, pac.lenient = true, true
			sent := 0
			var late []byte
			var to *end
			deliver := func(from, into *end) {
				for len(from.sent) > 0 {
					n := int(be16(from.sent))
					msg := from.sent[:n:n]
					from.sent = from.sent[n:]
					if sent == victim {
						switch kind {
						case "lost":
							msg = nil
						case "late":
							late, to, msg = msg, into, nil
						case "doubled":
							msg = append(msg, msg...)
						}
					}
					sent++
					into.input(msg, p.now)
				}
			}
			settle := func(p *pair) {
				for {
					p.pns.collect()
					p.pac.collect()
					if len(p.pns.sent)+len(p.pac.sent) == 0 {
						break
					}
					deliver(p.pns, p.pac)
					deliver(p.pac, p.pns)
				}
				pns.note(p.pns.take())
				pac.note(p.pac.take())
			}
			lifeOfCalls(p, settle)
			what := fmt.Sprintf("%s %d", kind, victim)
			require.LessOrEqual(t, victim, 40)
			for round := range 2 {
				for range 200 { // echoes go on for ever, the calls do not
					next := p.pns.Deadline()
					if at := p.pac.Deadline(); at.Before(next) {
						next = at
					}
					if next.Sub(epoch) > DefaultEchoInterval-1 {
						break
					}
					p.now = next
					p.pns.tick(p.now)
					p.pac.tick(p.now)
					settle(p)
				}
				if round == 0 && late != nil {
					to.input(late, p.now)
					settle(p)
				}
			}
			require.Equal(t, Established, p.pns.State(), what)
			require.Equal(t, Established, p.pac.State(), what)
			// A call stays at one side only if the other's last word was lost:
			// it is then for the owners, who see no data, to clear it.
			left := p.pns.Calls() + p.pac.Calls()
			if kind == "doubled" {
				require.Zero(t, left, what)
			}
			require.LessOrEqual(t, left, 1, what)
			for _, e := range []*end{p.pns, p.pac} {
				for _, k := range e.calls {
					require.Equal(t, callEstablished, k.state, what)
					require.NoError(t, e.ClearCall(CallDisconnectNotify{CallID: k.id}, p.now, &e.out))
				}
			}
			settle(p)
			for _, e := range []*end{p.pns, p.pac} {
				e.tick(p.now.Add(DefaultStopTimeout))
				require.Zero(t, e.Calls(), what)
				require.NoError(t, e.err)
			}
			if victim >= sent {
				break // there is no such message
			}
		}
	}
}
