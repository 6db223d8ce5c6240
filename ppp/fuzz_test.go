package ppp

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzPacket(f *testing.F) {
	f.Add((&Packet{Code: ConfigureRequest, ID: 1, Data: []byte{1, 4, 5, 220}}).Append(nil))
	f.Add((&Packet{Code: TerminateAck, ID: 255}).Append(nil))
	f.Add([]byte{1, 2, 0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		n, err := p.Decode(b)
		if err != nil {
			return
		}
		again := p.Append(nil)
		if !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x became %x", b[:n], again)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add(Options{{1, []byte{5, 220}}, {7, nil}, {5, []byte{1, 2, 3, 4}}}.Append(nil))
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var o Options
		n, err := o.Decode(b)
		again := o.Append(nil)
		if !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x became %x", b[:n], again)
		}
		if err == nil && n != len(b) {
			t.Fatalf("%d of %d octets used", n, len(b))
		}
	})
}

func FuzzDecodeFrame(f *testing.F) {
	for _, p := range []Protocol{ProtocolIPv4, ProtocolLCP, ProtocolCompressed} {
		f.Add(append(AppendHeader(nil, p, HeaderCompression{}), "payload"...))
		f.Add(append(AppendHeader(nil, p, HeaderCompression{true, true}), "payload"...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, payload, err := DecodeFrame(b)
		if err != nil {
			return
		}
		for _, c := range []HeaderCompression{{}, {Protocol: true}, {AddressControl: true}, {true, true}} {
			p2, payload2, err := DecodeFrame(append(AppendHeader(nil, p, c), payload...))
			if err != nil || p2 != p || !bytes.Equal(payload, payload2) {
				t.Fatalf("%x with %+v: %v %x %v", b, c, p2, payload2, err)
			}
		}
	})
}

// FuzzAutomaton reads events from its input: an event's number, and for a
// packet its length and octets.
func FuzzAutomaton(f *testing.F) {
	packet := func(ops []byte, p Packet) []byte {
		b := p.Append(nil)
		return append(append(ops, byte(EventRXR), byte(len(b))), b...)
	}
	up := []byte{byte(EventOpen), byte(EventUp)}
	whole := []byte{1, 4, 5, 220, 5, 6, 1, 2, 3, 4, 7, 2}
	f.Add(packet(packet(up, Packet{ConfigureRequest, 1, []byte{1, 3, 1}}), Packet{ConfigureAck, 1, whole}))
	f.Add(packet(up, Packet{ConfigureNak, 1, []byte{1, 4, 5, 0}}))
	f.Add(packet(up, Packet{ConfigureReject, 1, []byte{7, 2}}))
	f.Add(packet(up, Packet{TerminateRequest, 1, nil}))
	f.Add(append(packet(up, Packet{CodeReject, 1, []byte{99}}), byte(EventTOPlus), byte(EventClose), byte(EventDown)))
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newRig(t, AutomatonConfig{})
		r.policy.judge = func(req Options, last bool, dst Options) (Code, Options) {
			if len(req) > 0 && req[0].Type&1 != 0 {
				return nakAll(req, last, dst)
			}
			return ConfigureAck, append(dst, req...)
		}
		a := r.a
		for len(ops) > 0 {
			e := StateEvent(ops[0]) % eventCount
			ops = ops[1:]
			was := a.State()
			var sig Signal
			switch e {
			case EventUp, EventDown, EventOpen, EventClose, EventTOPlus:
				sig = r.cause(e)
			case EventRXJMinus:
				sig = a.Rejected(r.now, &r.out)
			default:
				if len(ops) == 0 {
					return
				}
				n := min(int(ops[0]), len(ops)-1)
				sig = a.Input(ops[1:1+n], r.now, &r.out)
				ops = ops[1+n:]
			}
			checkAutomaton(t, r, was, sig)
		}
		// Left alone, it comes to rest.
		for i := 0; !a.Deadline().IsZero(); i++ {
			if i > 2*maxRounds {
				t.Fatal("no end of timeouts")
			}
			was := a.State()
			checkAutomaton(t, r, was, r.tick())
		}
	})
}

func checkAutomaton(t *testing.T, r *rig, was State, sig Signal) {
	a := r.a
	if a.State() > Opened || a.Deadline().IsZero() == a.State().timed() {
		t.Fatalf("%v with deadline %v", a.State(), a.Deadline())
	}
	if (sig&SignalUp != 0) != (was != Opened && a.State() == Opened) ||
		(sig&SignalDown != 0) != (was == Opened && a.State() != Opened) {
		t.Fatalf("from %v to %v gave %04b", was, a.State(), sig)
	}
	if a.State() == Opened && a.Err() != nil {
		t.Fatal(a.Err())
	}
	pkts := r.sent()
	if len(pkts) > 2 {
		t.Fatalf("%d packets at once", len(pkts))
	}
	for _, p := range pkts {
		if p.Code == ConfigureReject && len(p.Data) == 0 {
			t.Fatal("empty Configure-Reject")
		}
	}
}

// FuzzLink reads calls and frames from its input. Whatever comes, the Network
// phase is entered only after the peer has proved itself.
func FuzzLink(f *testing.F) {
	frame := func(ops []byte, p Protocol, pkt Packet) []byte {
		b := pkt.Append(AppendProtocol(nil, p, false))
		return append(append(ops, 5, byte(len(b))), b...)
	}
	lcp := frame(frame([]byte{0}, ProtocolLCP, Packet{ConfigureRequest, 1, []byte{2, 2}}), ProtocolLCP, Packet{ConfigureAck, 1, nil})
	auth := frame(lcp, ProtocolCHAP, Packet{1, 1, []byte{byte(SignalUp)}})
	f.Add(auth)
	f.Add(frame(frame(auth, ProtocolCCP, Packet{ConfigureRequest, 1, nil}), ProtocolCCP, Packet{ConfigureAck, 1, nil}))
	f.Add(frame(frame(auth, ProtocolIPCP, Packet{ConfigureRequest, 1, nil}), ProtocolIPCP, Packet{ConfigureAck, 1, nil}))
	f.Add(append(frame(auth, ProtocolLCP, Packet{TerminateRequest, 1, nil}), 4, 4, 2))
	f.Add(append(frame(lcp, 0x8035, Packet{ConfigureRequest, 1, nil}), 3, 4, 1))
	f.Fuzz(func(t *testing.T, ops []byte) {
		r := newLinkRig(t, func(r *linkRig, cfg *LinkConfig) { cfg.RequireCompression = true })
		r.lcp.peerAuth, r.lcp.ownAuth = AuthMSCHAPv2, AuthMSCHAPv2
		for len(ops) > 0 {
			op := ops[0] % 8
			ops = ops[1:]
			switch op {
			case 0:
				r.link.Up(r.now, &r.out)
			case 1:
				r.link.Down(r.now, &r.out)
			case 2:
				r.link.Close(nil, r.now, &r.out)
			case 3:
				r.link.Verdict(AuthVerdict{Accepted: len(ops)&1 == 0}, r.now, &r.out)
			case 4:
				if at := r.link.Deadline(); !at.IsZero() {
					r.now = at
				}
				r.link.Tick(r.now, &r.out)
			default:
				if len(ops) == 0 {
					return
				}
				n := min(int(ops[0]), len(ops)-1)
				if op == 6 && n >= 2 {
					r.lcp.take = Protocol(ops[1])<<8 | Protocol(ops[2])
				}
				r.link.Input(ops[1:1+n], r.now, &r.out)
				ops = ops[1+n:]
			}
			r.check()
		}
		// Left alone, it comes to rest: dead, or with nothing pending.
		for i := 0; !r.link.Deadline().IsZero(); i++ {
			if i > 1000 {
				t.Fatal("no end of timeouts")
			}
			r.now = r.link.Deadline()
			r.link.Tick(r.now, &r.out)
			r.check()
		}
	})
}

func (r *linkRig) check() {
	t, l := r.t, r.link
	if l.Phase() == PhaseNetwork && !(r.verify.passed && r.prove.passed) {
		t.Fatal("in without authentication")
	}
	if len(l.held) > maxHeld {
		t.Fatal("holds too much")
	}
	if l.Phase() == PhaseDead && !l.Deadline().IsZero() {
		t.Fatal("dead with a deadline")
	}
	if l.Phase() != PhaseNetwork && (r.ipcp.Opened() || r.ccp.Opened()) {
		t.Fatalf("a layer is open in phase %v", l.Phase())
	}
	if r.out.Len() > 100 {
		t.Fatal("too much at once")
	}
	require.NotPanics(t, r.flush)
	r.events, r.packets = nil, nil
}
