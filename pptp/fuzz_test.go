package pptp

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

// FuzzMessage: what decodes comes back the same from its encoding, and is taken
// by no other type.
func FuzzMessage(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.wire)
		f.Add(append(bytes.Clone(v.wire), v.wire...))
		f.Add(v.wire[:len(v.wire)-1])
	}
	f.Add(octets("0200 0001 1a2b3c4d 0007 0000"))
	f.Add(octets("000c 0001 1a2b3c4d 0063 0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, n, err := DecodeMessage(b)
		if err != nil {
			if n != 0 && (m != nil || n > len(b)) {
				t.Fatalf("%v, %d octets, %v", m, n, err)
			}
			return
		}
		if n != int(be16(b)) || n > len(b) || m.Type() != messageType(b) {
			t.Fatalf("%v of %d octets", m.Type(), n)
		}
		wire := m.Append(nil)
		again, n, err := DecodeMessage(wire)
		if err != nil || n != len(wire) || !reflect.DeepEqual(m, again) {
			t.Fatalf("%+v became %+v: %v", m, again, err)
		}
		if !bytes.Equal(wire, again.Append(nil)) || len(wire) > int(be16(b)) {
			t.Fatalf("%x is not the encoding of %+v", wire, again)
		}
		for typ := range MessageType(16) {
			other := newMessage(typ)
			if other == nil || typ == m.Type() {
				continue
			}
			if n, err := other.Decode(b); err == nil || n != 0 || !reflect.DeepEqual(other, newMessage(typ)) {
				t.Fatalf("%v taken for %v", m.Type(), typ)
			}
		}
		if !bytes.Equal(b, before) {
			t.Fatal("the input was changed")
		}
	})
}

// FuzzFramer: how a stream is cut makes no difference to what is in it.
func FuzzFramer(f *testing.F) {
	var all []byte
	for _, m := range []Message{&EchoReply{Identifier: 7}, &SetLinkInfo{PeerCallID: 1}, &CallClearRequest{CallID: 2}} {
		all = m.Append(all)
	}
	f.Add(all, []byte{1, 2, 3, 0, 200})
	f.Add(all[:len(all)-1], []byte{255})
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte{1})
	f.Add(append(bytes.Clone(all), all[1:]...), []byte{12, 1})
	f.Add(octets("000c 0001 1a2b3c4d ffff 0000 0200 0001 1a2b3c4d"), []byte{7})
	f.Fuzz(func(t *testing.T, in, cuts []byte) {
		var whole Framer
		want, wantErr := feed(t, &whole, in)
		var chunks [][]byte
		rest := in
		for i := 0; len(rest) > 0; i++ {
			n := 1
			if len(cuts) > 0 {
				n = min(int(cuts[i%len(cuts)]), len(rest))
				if i > 2*len(in)+len(cuts) {
					n = len(rest) // cuts are all zero
				}
			}
			chunks = append(chunks, bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		var cut Framer
		got, gotErr := feed(t, &cut, chunks...)
		if !reflect.DeepEqual(want, got) || !reflect.DeepEqual(wantErr, gotErr) {
			t.Fatalf("%d messages and %v, cut %d and %v", len(want), wantErr, len(got), gotErr)
		}
		size := 0
		for _, msg := range got {
			if len(msg) != int(be16(msg)) || len(msg) < MinMessageLen || len(msg) > MaxMessageLen || checkHeader(msg) != nil {
				t.Fatalf("%x", msg)
			}
			size += len(msg)
		}
		if !bytes.HasPrefix(in, bytes.Join(got, nil)) {
			t.Fatal("octets were lost or changed")
		}
		if gotErr == nil && size+cut.Buffered() != len(in) {
			t.Fatalf("%d octets in messages, %d held, of %d", size, cut.Buffered(), len(in))
		}
	})
}

// ledger follows the events of a Control and checks that they tell the life of
// each call in the order that Event promises.
type ledger struct {
	t         testing.TB
	role      Role
	started   bool
	stopped   bool
	placed    map[uint16]bool   // by our ID: PlaceCall or PlaceIncomingCall was called
	wanted    map[uint16]uint16 // of those, our ID to the peer's: IncomingCallAccepted came
	requested map[uint16]bool   // by the peer's ID: CallRequested or IncomingCallRequested came
	accepted  map[uint16]uint16 // our ID to the peer's: AcceptIncomingCall was called
	up        map[uint16]uint16 // our ID to the peer's
	lenient   bool              // placed, requested and accepted are not kept by the test
}

func newLedger(t testing.TB, role Role) *ledger {
	return &ledger{
		t: t, role: role, placed: map[uint16]bool{}, wanted: map[uint16]uint16{}, requested: map[uint16]bool{},
		accepted: map[uint16]uint16{}, up: map[uint16]uint16{},
	}
}

func (l *ledger) note(events []Event) {
	for _, ev := range events {
		if l.stopped {
			l.t.Fatalf("%T after Stopped", ev)
		}
		switch ev := ev.(type) {
		case Started:
			if l.started {
				l.t.Fatal("started twice")
			}
			l.started = true
		case CallRequested:
			if l.requested[ev.Request.CallID] {
				l.t.Fatal("requested twice")
			}
			l.requested[ev.Request.CallID] = true
		case IncomingCallRequested:
			if l.requested[ev.Request.CallID] {
				l.t.Fatal("requested twice")
			}
			l.requested[ev.Request.CallID] = true
		case IncomingCallAccepted:
			if _, again := l.wanted[ev.CallID]; again || !l.placed[ev.CallID] && !l.lenient {
				l.t.Fatalf("%+v", ev)
			}
			l.wanted[ev.CallID] = ev.PeerCallID
		case CallEstablished:
			_, up := l.up[ev.CallID]
			accepted, ours := l.accepted[ev.CallID]
			switch {
			case up || ev.CallSerialNumber == 0 && l.placed[ev.CallID]:
				l.t.Fatalf("%+v", ev)
			case l.lenient:
			case ours && accepted == ev.PeerCallID && ev.Incoming:
			case !l.placed[ev.CallID] && (!l.requested[ev.PeerCallID] || ev.Incoming):
				l.t.Fatalf("%+v", ev)
			}
			delete(l.placed, ev.CallID)
			delete(l.wanted, ev.CallID)
			delete(l.requested, ev.PeerCallID)
			delete(l.accepted, ev.CallID)
			l.up[ev.CallID] = ev.PeerCallID
		case CallRefused:
			if !l.placed[ev.CallID] && !l.lenient {
				l.t.Fatalf("%+v", ev)
			}
			delete(l.placed, ev.CallID)
		case IncomingCallRefused:
			if _, wanted := l.wanted[ev.CallID]; wanted || !l.placed[ev.CallID] && !l.lenient {
				l.t.Fatalf("%+v", ev)
			}
			delete(l.placed, ev.CallID)
		case CallCleared:
			peer, up := l.up[ev.CallID]
			accepted, ours := l.accepted[ev.CallID]
			byPeer := ev.Incoming == (l.role == RolePNS)
			switch {
			case up && peer == ev.PeerCallID:
				delete(l.up, ev.CallID)
			case byPeer && ours && accepted == ev.PeerCallID:
				delete(l.accepted, ev.CallID)
			case byPeer && l.requested[ev.PeerCallID] && ev.CallID == 0:
				delete(l.requested, ev.PeerCallID)
			case !byPeer && l.placed[ev.CallID]:
				delete(l.placed, ev.CallID)
				delete(l.wanted, ev.CallID)
			case !l.lenient:
				l.t.Fatalf("%+v", ev)
			}
			if l.lenient {
				delete(l.wanted, ev.CallID)
				delete(l.requested, ev.PeerCallID)
			}
		case LinkInfo:
			l.known(ev.CallID, ev)
		case WANErrors:
			l.known(ev.CallID, ev)
		case Stopped:
			l.stopped = true
			if len(l.placed)+len(l.wanted)+len(l.requested)+len(l.accepted)+len(l.up) > 0 {
				l.t.Fatalf("calls left: %+v", l)
			}
		}
	}
}

// known checks that ev is about a call that the owner knows by our ID.
func (l *ledger) known(id uint16, ev Event) {
	_, up := l.up[id]
	_, accepted := l.accepted[id]
	if !up && !accepted && !l.placed[id] && !l.lenient {
		l.t.Fatalf("%+v", ev)
	}
}

// FuzzControl drives one Control, of either role, by octets from its peer, by
// its owner and by time, as its input says.
func FuzzControl(f *testing.F) {
	message := func(ops []byte, m Message) []byte {
		b := m.Append(nil)
		return append(append(ops, 0, byte(len(b))), b...)
	}
	start := &StartControlConnectionRequest{ProtocolVersion: ProtocolVersion}
	reply := &StartControlConnectionReply{ProtocolVersion: ProtocolVersion, ResultCode: StartSuccessful}
	pac, pns := message(nil, start), message(nil, reply)
	call := append(message(pac, &OutgoingCallRequest{CallID: 1}), 3, 2, 1)
	f.Add(uint8(0), call)
	f.Add(uint8(0), message(call, &CallClearRequest{CallID: 1}))
	f.Add(uint8(0), append(bytes.Clone(call), 5, 2, 7, 8))
	f.Add(uint8(0), append(message(pac, &IncomingCallRequest{CallID: 4}), 4, 1, 0, 8, 8, 8))
	placed := append(bytes.Clone(pns), 2, 1)
	up := message(placed, &OutgoingCallReply{CallID: 2, PeerCallID: 1, ResultCode: OutgoingConnected})
	f.Add(uint8(3), append(bytes.Clone(up), 6, 1, 5, 1, 8))
	f.Add(uint8(3), message(up, &CallDisconnectNotify{CallID: 2}))
	f.Add(uint8(3), message(append(bytes.Clone(placed), 5, 1), &CallDisconnectNotify{CallID: 9}))
	f.Add(uint8(3), append(bytes.Clone(placed), 8, 8, 8))
	f.Add(uint8(3), message(message(up, &StopControlConnectionRequest{Reason: StopNone}), reply))
	f.Add(uint8(1), message(nil, &StartControlConnectionReply{}))
	f.Add(uint8(2), append(bytes.Clone(pac), 1, 15, 1, 12, 1, 99, 10))
	// Incoming calls: of a PAC, then of a PNS.
	ring := append(bytes.Clone(pac), 11, 1)
	line := append(message(ring, &IncomingCallReply{CallID: 2, PeerCallID: 1, ResultCode: IncomingConnect}), 14, 1)
	f.Add(uint8(0), append(bytes.Clone(line), 15, 1, 3, 15, 1, 4, 8, 8, 5, 1))
	f.Add(uint8(0), message(append(bytes.Clone(ring), 5, 1), &IncomingCallReply{CallID: 2, PeerCallID: 1, ResultCode: IncomingConnect}))
	f.Add(uint8(0), message(append(bytes.Clone(ring), 8, 8), &IncomingCallReply{PeerCallID: 1, ResultCode: IncomingDoNotAccept}))
	f.Add(uint8(0), message(line, &CallClearRequest{CallID: 2}))
	rings := message(pns, &IncomingCallRequest{CallID: 5})
	taken := append(bytes.Clone(rings), 12, 3, 5)
	through := message(taken, &IncomingCallConnected{PeerCallID: 3})
	f.Add(uint8(7), message(message(through, &WANErrorNotify{PeerCallID: 3, CRCErrors: 1}), &CallDisconnectNotify{CallID: 5}))
	f.Add(uint8(7), append(bytes.Clone(taken), 8, 8, 8))
	f.Add(uint8(7), message(append(bytes.Clone(taken), 5, 3), &IncomingCallConnected{PeerCallID: 3}))
	f.Add(uint8(7), append(bytes.Clone(rings), 13, 5, 8, 8))
	// A start that waits for its owner.
	f.Add(uint8(8), append(bytes.Clone(pac), 16, 0, 1, 5))
	f.Add(uint8(8), append(bytes.Clone(pac), 16, 1, 1, 5))
	f.Add(uint8(8), append(bytes.Clone(pac), 16, 2, 1, 5, 8))
	f.Fuzz(func(t *testing.T, form uint8, ops []byte) {
		c := NewControl(Config{
			Role: Role(form & 1), Originator: form&2 != 0, IncomingCalls: form&4 != 0, ConfirmStart: form&8 != 0,
			MaxCalls: 4,
		})
		l := newLedger(t, c.Role())
		now := epoch
		var out Output
		settle := func(in int) {
			sent := out.Bytes()
			// Each message is answered by one at the most; the owner and the
			// time add one a call.
			if limit := (in/MinMessageLen + 1 + 4) * incomingCallRequestLen; len(sent) > limit {
				t.Fatalf("%d octets sent for %d", len(sent), in)
			}
			if limit := in/MinMessageLen + 1 + 4 + 2; len(out.Events()) > limit {
				t.Fatalf("%d events for %d octets", len(out.Events()), in)
			}
			for len(sent) > 0 {
				_, n, err := DecodeMessage(sent)
				if err != nil {
					t.Fatal(err)
				}
				sent = sent[n:]
			}
			l.note(out.Events())
			out.Reset()
			if l.stopped != (c.State() == Closed) || c.Calls() > 4 || c.framer.Buffered() > MaxMessageLen {
				t.Fatalf("%v with %d calls, %d octets held, stopped %t", c.State(), c.Calls(), c.framer.Buffered(), l.stopped)
			}
			if c.Deadline().IsZero() != (c.State() == Closed) {
				t.Fatalf("%v with deadline %v", c.State(), c.Deadline())
			}
		}
		take := func() (v byte) {
			if len(ops) > 0 {
				v, ops = ops[0], ops[1:]
			}
			return v
		}
		c.Start(now, &out)
		settle(0)
		for len(ops) > 0 {
			in := 0
			switch take() % 17 {
			case 0: // octets as they are
				b := ops[:min(int(take()), len(ops))]
				ops = ops[len(b):]
				in = len(b) + c.framer.Buffered()
				c.Input(b, now, &out)
			case 1: // a message with the type and the Call IDs of the input
				m := newMessage(MessageType(take() % 16))
				b := octets("000c 0001 1a2b3c4d 0063 0000")
				if m != nil {
					b = m.Append(nil)
					b[13] = take() % 8
					if len(b) > 15 {
						b[15] = take() % 8
					}
					if len(b) > 16 {
						b[16] = take() % 8
					}
				}
				in = len(b) + c.framer.Buffered()
				c.Input(b, now, &out)
			case 2:
				id := uint16(take() % 8)
				if c.PlaceCall(OutgoingCallRequest{CallID: id}, now, &out) == nil {
					l.placed[id] = true
				}
			case 3:
				c.AcceptCall(OutgoingCallReply{CallID: uint16(take() % 8), PeerCallID: uint16(take() % 8)}, &out)
			case 4:
				id := uint16(take() % 8)
				if c.RejectCall(id, OutgoingBusy, ErrorNone, &out) == nil {
					delete(l.requested, id)
				}
			case 5:
				c.ClearCall(CallDisconnectNotify{CallID: uint16(take() % 8)}, now, &out)
			case 6:
				c.SetLinkInfo(uint16(take()%8), 1, 2, &out)
			case 7:
				c.Stop(StopReason(take()%4), now, &out)
			case 8:
				if at := c.Deadline(); at.After(now) {
					now = at
				}
				c.Tick(now, &out)
			case 9:
				now = now.Add(time.Duration(take()) * time.Second / 2)
			case 10:
				c.Abort(ErrLost, &out)
			case 11:
				id := uint16(take() % 8)
				if c.PlaceIncomingCall(IncomingCallRequest{CallID: id}, now, &out) == nil {
					l.placed[id] = true
				}
			case 12:
				id, peer := uint16(take()%8), uint16(take()%8)
				if c.AcceptIncomingCall(IncomingCallReply{CallID: id, PeerCallID: peer}, now, &out) == nil {
					l.accepted[id] = peer
					delete(l.requested, peer)
				}
			case 13:
				id := uint16(take() % 8)
				if c.RejectIncomingCall(id, IncomingDoNotAccept, ErrorNone, &out) == nil {
					delete(l.requested, id)
				}
			case 14:
				c.ConnectIncomingCall(uint16(take()%8), IncomingCallConnected{}, &out)
			case 15:
				c.ReportWANErrors(uint16(take()%8), WANErrorNotify{CRCErrors: uint32(take() % 4)}, now, &out)
			case 16:
				switch take() % 3 {
				case 0:
					c.AcceptStart(now, &out)
				case 1:
					c.RefuseStart(StartNotAuthorized, ErrorNone, &out)
				case 2:
					c.IgnoreStart()
				}
			}
			settle(in)
		}
		// Left alone, it ends: whatever it waits for has a deadline.
		for i := 0; c.State() != Closed; i++ {
			if i > 20 {
				t.Fatalf("no end: %v until %v", c.State(), c.Deadline())
			}
			if at := c.Deadline(); at.After(now) {
				now = at
			}
			c.Tick(now, &out)
			settle(0)
		}
		if c.Input([]byte{0}, now, &out) == nil || c.Calls() != 0 {
			t.Fatal("not closed")
		}
	})
}
