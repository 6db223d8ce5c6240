package lcp

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/ppp"
)

func TestEchoReply(t *testing.T) {
	p := newPeer(t, client())
	require.NotEmpty(t, p.Said())
	require.Empty(t, p.Say(ppp.EchoRequest, 1, []byte{0, 0, 0, 5}), "not before it is open")
	require.EqualValues(t, 1, p.Dropped())

	p = newPeer(t, client())
	p.establish(encodeMagic(5), encodeMRU(200))
	reply := p.One(ppp.EchoReply, p.Say(ppp.EchoRequest, 0, []byte("\x00\x00\x00\x05data")))
	require.Zero(t, reply.ID)
	require.Equal(t, []byte("\x01\x02\x03\x04data"), reply.Data)
	require.Empty(t, p.Say(ppp.EchoRequest, 1, []byte{1, 2, 3}), "too short")
	require.EqualValues(t, 1, p.Dropped())

	long := append([]byte{0, 0, 0, 5}, bytes.Repeat([]byte{7}, 1000)...)
	reply = p.One(ppp.EchoReply, p.Say(ppp.EchoRequest, 2, long))
	require.Len(t, reply.Data, 200-ppp.PacketHeader, "what the peer can receive")
	require.Equal(t, long[4:196], reply.Data[4:])
}

func TestDiscardRequest(t *testing.T) {
	p := newPeer(t, client())
	p.establish()
	require.Empty(t, p.Say(ppp.DiscardRequest, 1, []byte("\x00\x00\x00\x05anything")))
	require.Zero(t, p.Dropped())
	require.Empty(t, p.Say(ppp.DiscardRequest, 1, nil))
	require.EqualValues(t, 1, p.Dropped())
}

func TestRejectProtocol(t *testing.T) {
	p := newPeer(t, client())
	p.Said()
	p.RejectProtocol(ppp.ProtocolIPV6CP, []byte{1, 2}, &p.Out)
	require.Empty(t, p.Said(), "RFC 1661 §5.7: only while LCP is open")

	p = newPeer(t, client())
	p.establish()
	p.RejectProtocol(ppp.ProtocolIPV6CP, []byte{1, 0, 0, 4}, &p.Out)
	first := p.One(ppp.ProtocolReject, p.Said())
	require.Equal(t, []byte{0x80, 0x57, 1, 0, 0, 4}, first.Data)
	p.RejectProtocol(ppp.ProtocolIPV6CP, nil, &p.Out)
	second := p.One(ppp.ProtocolReject, p.Said())
	require.NotEqual(t, first.ID, second.ID)
	p.RejectProtocol(0x1234, make([]byte, 70000), &p.Out)
	require.Len(t, p.One(ppp.ProtocolReject, p.Said()).Data, maxReject-ppp.PacketHeader)

	p = newPeer(t, client())
	p.establish(encodeMRU(MinMRU))
	p.RejectProtocol(0x1234, make([]byte, 1400), &p.Out)
	require.Len(t, p.One(ppp.ProtocolReject, p.Said()).Data, MinMRU-ppp.PacketHeader)
}

func TestTakeRejected(t *testing.T) {
	p := newPeer(t, client())
	p.Said()
	p.Say(ppp.ProtocolReject, 1, []byte{0x80, 0x57})
	_, ok := p.TakeRejected()
	require.False(t, ok, "RFC 1661 §5.7: only while LCP is open")

	p = newPeer(t, client())
	p.establish()
	require.Empty(t, p.Say(ppp.ProtocolReject, 1, []byte{0x80, 0x57, 1, 0, 0, 4}))
	got, ok := p.TakeRejected()
	require.True(t, ok)
	require.Equal(t, ppp.ProtocolIPV6CP, got)
	_, ok = p.TakeRejected()
	require.False(t, ok, "once")
	require.True(t, p.Opened(), "RXJ+")

	for _, short := range [][]byte{nil, {0x80}} {
		before := p.Dropped()
		p.Say(ppp.ProtocolReject, 1, short)
		_, ok = p.TakeRejected()
		require.False(t, ok)
		require.Equal(t, before+1, p.Dropped())
	}
}

func TestLCPRejected(t *testing.T) {
	p := newPeer(t, client())
	p.establish()
	p.Said()
	p.Sig = 0
	got := p.Say(ppp.ProtocolReject, 1, []byte{0xc0, 0x21, 1, 1, 0, 4})
	p.One(ppp.TerminateRequest, got)
	_, ok := p.TakeRejected()
	require.False(t, ok)
	require.Equal(t, ppp.SignalDown, p.Sig)
	require.ErrorIs(t, p.Err(), ppp.ErrRejected)
	p.Advance(10 * time.Second)
	require.NotZero(t, p.Sig&ppp.SignalFinished)
	require.ErrorIs(t, p.Err(), ppp.ErrRejected)
}

func TestUnknownCode(t *testing.T) {
	p := newPeer(t, client())
	p.establish()
	got := p.One(ppp.CodeReject, p.Say(ppp.ResetRequest, 7, nil))
	require.Equal(t, []byte{byte(ppp.ResetRequest), 7, 0, 4}, got.Data)
	require.True(t, p.Opened())
}

func TestIdentified(t *testing.T) {
	p := newPeer(t, client())
	p.Said()
	// Windows sends it at any time, with a magic number of its own or none.
	require.Empty(t, p.Say(ppp.Identification, 0, []byte("\x00\x00\x00\x00MSRASV5.20")))
	require.Equal(t, []ppp.Event{Identified{Message: "MSRASV5.20"}}, p.Events)
	p.Events = nil
	p.establishFrom(t)
	require.Empty(t, p.Say(ppp.Identification, 1, []byte("\x00\x00\x00\x05MSRAS-0-HOST")))
	require.Empty(t, p.Say(ppp.Identification, 2, []byte("\x00\x00\x00\x05")))
	require.Empty(t, p.Say(ppp.Identification, 3, append([]byte{0, 0, 0, 5}, bytes.Repeat([]byte{'x'}, 1400)...)))
	require.Equal(t, []ppp.Event{
		Identified{Message: "MSRAS-0-HOST"}, Identified{}, Identified{Message: strings.Repeat("x", maxMessage)},
	}, p.Events)
	require.Zero(t, p.Dropped())
	require.Empty(t, p.Say(ppp.Identification, 4, []byte{0, 0}))
	require.Empty(t, p.Say(ppp.Identification, 5, []byte("\x01\x02\x03\x04mine")), "our own comes back")
	require.EqualValues(t, 2, p.Dropped())
	require.Len(t, p.Events, 3)
	require.True(t, p.Opened())
}

// establishFrom opens an LCP whose first request was seen.
func (p *peer) establishFrom(t *testing.T) {
	t.Helper()
	p.Now = p.Deadline()
	p.Tick(p.Now, &p.Out)
	p.establish(encodeMagic(5))
}

func TestIdentification(t *testing.T) {
	p := newPeer(t, Config{Identification: "gopptp"})
	req := p.One(ppp.ConfigureRequest, p.Said())
	p.Say(ppp.ConfigureAck, req.ID, req.Data)
	got := p.Request()
	require.Len(t, got, 2)
	require.Equal(t, ppp.ConfigureAck, got[0].Code)
	require.Equal(t, ppp.Identification, got[1].Code)
	require.Equal(t, []byte("\x01\x02\x03\x04gopptp"), got[1].Data)
	require.NotEqual(t, req.ID, got[1].ID)
	// A peer that does not know the code says so, which is permitted.
	require.Empty(t, p.Say(ppp.CodeReject, 1, got[1].Append(nil)))
	require.True(t, p.Opened())
}

func TestTimeRemaining(t *testing.T) {
	p := newPeer(t, client())
	p.Said()
	require.Empty(t, p.Say(ppp.TimeRemaining, 1, []byte{0, 0, 0, 0, 0, 0, 0, 9}), "only while LCP is open")
	require.Empty(t, p.Events)

	p = newPeer(t, client())
	p.establish(encodeMagic(5))
	require.Empty(t, p.Say(ppp.TimeRemaining, 1, []byte("\x00\x00\x00\x05\x00\x00\x0e\x10soon over")))
	require.Empty(t, p.Say(ppp.TimeRemaining, 2, []byte("\x00\x00\x00\x05\xff\xff\xff\xff")))
	require.Empty(t, p.Say(ppp.TimeRemaining, 3, []byte("\x00\x00\x00\x05\xff\xff\xff\xfe")))
	require.Equal(t, []ppp.Event{
		TimeRemaining{Left: time.Hour, Message: "soon over"},
		TimeRemaining{Forever: true},
		TimeRemaining{Left: 4294967294 * time.Second},
	}, p.Events)
	require.Zero(t, p.Dropped())
	require.Empty(t, p.Say(ppp.TimeRemaining, 4, []byte{0, 0, 0, 5, 0, 0, 0}))
	require.EqualValues(t, 1, p.Dropped())
}
