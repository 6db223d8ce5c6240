package pptp

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// epoch is when all tests of Control begin.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// end is a Control under test with what it has put out.
type end struct {
	*Control
	out    Output
	events []Event // not yet taken
	sent   []byte  // not yet delivered
	err    error   // of Input or Tick, the last
}

// collect empties the Output.
func (e *end) collect() {
	e.sent = append(e.sent, e.out.Bytes()...)
	e.events = append(e.events, e.out.Events()...)
	e.out.Reset()
}

// take returns the events since the last take.
func (e *end) take() []Event {
	events := e.events
	e.events = nil
	return events
}

// messages decodes and forgets what was sent and not delivered.
func (e *end) messages(t testing.TB) (msgs []Message) {
	t.Helper()
	for len(e.sent) > 0 {
		m, n, err := DecodeMessage(e.sent)
		require.NoError(t, err)
		msgs = append(msgs, m)
		e.sent = e.sent[n:]
	}
	return msgs
}

// receiveAll gives the Control messages as if they came from its peer.
func (e *end) receiveAll(now time.Time, msgs ...Message) {
	var b []byte
	for _, m := range msgs {
		b = m.Append(b)
	}
	e.input(b, now)
}

func (e *end) input(b []byte, now time.Time) {
	if err := e.Input(b, now, &e.out); err != nil {
		e.err = err
	}
	e.collect()
}

// pair is a PNS and a PAC, joined by two lossless streams that deliver at once.
type pair struct {
	t        *testing.T
	now      time.Time
	pns, pac *end
	chunk    int // octets of a delivery; 0 for all
}

// newPair starts both; change, if not nil, changes their configurations.
func newPair(t *testing.T, change func(pns, pac *Config)) *pair {
	pns := Config{Role: RolePNS, Originator: true, HostName: "client", VendorString: "v1", FirmwareRevision: 7}
	pac := Config{Role: RolePAC, HostName: "server", VendorString: "v2", FirmwareRevision: 8, MaximumChannels: 9}
	if change != nil {
		change(&pns, &pac)
	}
	require.NoError(t, pns.Validate())
	require.NoError(t, pac.Validate())
	p := &pair{t: t, now: epoch, pns: &end{Control: NewControl(pns)}, pac: &end{Control: NewControl(pac)}}
	p.pac.Start(p.now, &p.pac.out)
	p.pns.Start(p.now, &p.pns.out)
	return p
}

// established returns a pair whose control connection is up.
func established(t *testing.T, change func(pns, pac *Config)) *pair {
	p := newPair(t, change)
	p.run()
	require.Equal(t, Established, p.pns.State())
	require.Equal(t, Established, p.pac.State())
	p.pns.take()
	p.pac.take()
	return p
}

// called returns a pair with a call that has the IDs 100 at the PNS and 200 at
// the PAC.
func called(t *testing.T) *pair {
	p := established(t, nil)
	p.call(100, 200)
	return p
}

func (p *pair) call(pnsID, pacID uint16) {
	p.t.Helper()
	require.NoError(p.t, p.pns.PlaceCall(OutgoingCallRequest{CallID: pnsID}, p.now, &p.pns.out))
	p.run()
	require.IsType(p.t, CallRequested{}, p.pac.take()[0])
	require.NoError(p.t, p.pac.AcceptCall(OutgoingCallReply{CallID: pacID, PeerCallID: pnsID}, &p.pac.out))
	p.run()
	require.IsType(p.t, CallEstablished{}, p.pac.take()[0])
	require.IsType(p.t, CallEstablished{}, p.pns.take()[0])
}

// run delivers until both are silent.
func (p *pair) run() {
	for {
		p.pns.collect()
		p.pac.collect()
		if len(p.pns.sent) == 0 && len(p.pac.sent) == 0 {
			return
		}
		p.deliver(p.pns, p.pac)
		p.deliver(p.pac, p.pns)
	}
}

func (p *pair) deliver(from, to *end) {
	b := from.sent
	from.sent = nil
	for len(b) > 0 && to.State() != Closed {
		n := len(b)
		if p.chunk > 0 {
			n = min(n, p.chunk)
		}
		to.input(bytes.Clone(b[:n]), p.now)
		b = b[n:]
	}
}

// wait lets time pass, ticking both at exactly their deadlines.
func (p *pair) wait(d time.Duration) {
	until := p.now.Add(d)
	for {
		next := until
		for _, e := range []*end{p.pns, p.pac} {
			if at := e.Deadline(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		p.now = next
		ticked := false
		for _, e := range []*end{p.pns, p.pac} {
			if at := e.Deadline(); !at.IsZero() && !p.now.Before(at) {
				e.tick(p.now)
				ticked = true
			}
		}
		p.run()
		if !ticked {
			return
		}
	}
}

// tick ticks one end alone.
func (e *end) tick(now time.Time) {
	if err := e.Tick(now, &e.out); err != nil {
		e.err = err
	}
	e.collect()
}
