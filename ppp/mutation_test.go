package ppp

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/internal/mutate"
)

// mutatePackets are one of each kind, with options where there are such.
func mutatePackets(r *rig) []Packet {
	options := Options{{1, []byte{5, 220}}, {5, []byte{1, 2, 3, 4}}, {7, nil}}.Append(nil)
	return []Packet{
		{ConfigureRequest, 101, options},
		{ConfigureAck, r.a.requestID, slices.Clone(r.a.request)},
		{ConfigureNak, r.a.requestID, options},
		{ConfigureReject, r.a.requestID, slices.Clone(r.a.request)},
		{TerminateRequest, 1, []byte("why")},
		{TerminateAck, 1, nil},
		{CodeReject, 1, (&Packet{Code: unknownCode}).Append(nil)},
		{testCode, 1, []byte("echo")},
		{unknownCode, 1, []byte("what")},
	}
}

// TestMutatedControlPackets gives an automaton in each state what is nearly a
// packet. What is none is dropped and counted, and changes nothing.
func TestMutatedControlPackets(t *testing.T) {
	for state := Initial; state <= Opened; state++ {
		t.Run(state.String(), func(t *testing.T) {
			fresh := func() *rig {
				r := newRig(t, AutomatonConfig{})
				r.enter(state)
				return r
			}
			for i, valid := range mutatePackets(fresh()) {
				mutated := func(name string, b []byte) {
					r := fresh()
					dropped := r.a.Dropped()
					sig := r.a.Input(b, r.now, &r.out)
					if isMutilated(b, state) {
						require.Equal(t, dropped+1, r.a.Dropped(), "%v %s", valid.Code, name)
						require.Equal(t, state, r.a.State())
						require.Zero(t, sig)
						require.Zero(t, r.out.Len())
					}
					checkAutomaton(t, r, state, sig)
				}
				for name, b := range mutate.Of(valid.Append(nil)) {
					mutated(name, b)
				}
				if i < 4 {
					for name, b := range mutate.Options(valid.Data) {
						mutated(name, (&Packet{valid.Code, valid.ID, b}).Append(nil))
					}
				}
			}
		})
	}
}

// isMutilated reports whether b cannot be read, by an automaton in a state that has
// to.
func isMutilated(b []byte, state State) bool {
	if state == Initial || state == Starting || len(b) < 4 {
		return true
	}
	n := int(b[2])<<8 | int(b[3])
	if n < 4 || n > len(b) {
		return true
	}
	switch code := Code(b[0]); {
	case code == ConfigureRequest && state >= ReqSent,
		code >= ConfigureAck && code <= ConfigureReject && state.negotiating():
	default:
		return false
	}
	for b = b[4:n]; len(b) > 0; b = b[b[1]:] {
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return true
		}
	}
	return false
}

// TestMutatedHeaders decodes what is nearly a frame with its whole header.
func TestMutatedHeaders(t *testing.T) {
	for _, c := range []HeaderCompression{{}, {Protocol: true}, {AddressControl: true}, {true, true}} {
		for name, b := range mutate.Of(append(AppendHeader(nil, ProtocolIPv4, c), 0x45, 0)) {
			p, payload, err := DecodeFrame(b)
			if err != nil {
				require.Contains(t, []error{ErrShortFrame, ErrAddress, ErrProtocol}, err, name)
				continue
			}
			require.True(t, bytes.HasSuffix(b, payload), name)
			require.Equal(t, Protocol(1), p&0x0101, "%s: %v", name, p) // RFC 1661 section 2
		}
	}
}

// TestMutatedFrames gives a link in each phase what is nearly a frame.
func TestMutatedFrames(t *testing.T) {
	frame := func(p Protocol, pkt Packet) []byte {
		return pkt.Append(AppendProtocol(nil, p, false))
	}
	way := [][]byte{
		frame(ProtocolLCP, Packet{ConfigureRequest, 1, []byte{1, 4, 5, 220}}),
		frame(ProtocolLCP, Packet{ConfigureAck, 1, nil}),
		frame(ProtocolCHAP, Packet{1, 1, []byte{byte(SignalUp)}}),
		frame(ProtocolCCP, Packet{ConfigureRequest, 1, []byte{18, 6, 1, 0, 0, 64}}),
		frame(ProtocolCCP, Packet{ConfigureAck, 1, nil}),
		frame(ProtocolIPCP, Packet{ConfigureRequest, 1, []byte{3, 6, 10, 0, 0, 1}}),
		frame(ProtocolIPCP, Packet{ConfigureAck, 1, nil}),
		frame(ProtocolLCP, Packet{ProtocolReject, 1, []byte{0x80, 0x57, 1, 1, 0, 4}}),
		append(AppendProtocol(nil, ProtocolIPv4, false), "a datagram"...),
		frame(ProtocolLCP, Packet{TerminateRequest, 1, nil}),
	}
	for stage := range way {
		valid := way[stage]
		for name, b := range mutate.Of(valid) {
			r := newLinkRig(t, func(_ *linkRig, cfg *LinkConfig) { cfg.RequireCompression = true })
			r.lcp.peerAuth, r.lcp.ownAuth = AuthMSCHAPv2, AuthMSCHAPv2
			r.link.Up(r.now, &r.out)
			for _, f := range way[:stage] {
				r.link.Input(f, r.now, &r.out)
			}
			require.Equal(t, stage > 2, r.link.Phase() == PhaseNetwork)
			dropped, rejected := r.link.Dropped(), len(r.lcp.rejected)
			before := bytes.Clone(b)
			r.link.Input(b, r.now, &r.out)
			require.Equal(t, before, b, "%x: %s", valid, name)
			switch _, _, err := DecodeProtocol(b); err {
			case nil:
			case ErrProtocol:
				if r.lcp.Opened() {
					require.Len(t, r.lcp.rejected, rejected+1, "%x: %s", valid, name)
				}
			default:
				require.Equal(t, ErrShortFrame, err)
				require.Equal(t, dropped+1, r.link.Dropped(), "%x: %s", valid, name)
			}
			r.check()
		}
	}
}
