package conversation

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	stock "github.com/google/gopacket/layers"

	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/pptp"
)

// connection is a control connection.
type connection struct {
	a      *Analyzer
	number int
	// orphan: only GRE of it was seen, and who is the client is a guess.
	orphan bool
	ends   [2]netip.AddrPort

	streams   [2]stream
	syns      int
	connected bool // there was a segment of the server
	sawStart  bool // its beginning is in the capture
	reset     [2]bool
	fin       [2]bool

	host, vendor [2]string
	requested    bool
	refused      string // what a Start-Control-Connection-Reply says
	established  bool
	stopped      string // how it was stopped
	echo         [2]echo

	calls   []*call
	lines   []Line
	more    int
	stray   int
	icmp    string
	icmpGRE bool
}

// echo counts the requests that one side sent.
type echo struct{ sent, unanswered int }

// name is what a side is called in texts.
func (c *connection) name(s Side) string {
	switch {
	case c.orphan:
		return c.ends[s].Addr().String()
	case s == Client:
		return "client"
	}
	return "server"
}

// the puts an article in front of a name that needs one.
func (c *connection) the(s Side) string {
	if c.orphan {
		return c.name(s)
	}
	return "the " + c.name(s)
}

// over reports whether another connection may follow between the same ports.
func (c *connection) over() bool {
	return c.reset[Client] || c.reset[Server] || c.fin[Client] || c.fin[Server]
}

func (c *connection) line(l Line) {
	if len(c.lines) >= maxLines {
		c.more++
		return
	}
	c.lines = append(c.lines, l)
}

func (c *connection) say(s Side, k *call, protocol, text string, at time.Time) *Line {
	l := Line{At: seconds(c.a.start, at), From: c.name(s), Protocol: protocol, Text: text}
	if k != nil {
		l.Call = k.number
	}
	n := len(c.lines)
	if c.line(l); len(c.lines) == n {
		return new(Line) // nobody will see it
	}
	return &c.lines[n]
}

// segment takes a TCP segment.
func (c *connection) segment(side Side, t *stock.TCP, at time.Time) {
	switch {
	case t.SYN && side == Client:
		c.syns++
		c.sawStart = true
		if c.syns == 1 {
			c.say(side, nil, "TCP", "opens the connection", at)
		}
	case t.RST:
		if !c.reset[side] {
			c.reset[side] = true
			c.say(side, nil, "TCP", "resets the connection", at)
			c.endCalls(side, "reset the control connection", at, fault)
		}
		return
	}
	if side == Server {
		c.connected = true
	}
	s := &c.streams[side]
	before := s.repeats
	s.push(t.Seq, t.SYN, t.Payload, func(msg []byte) { c.message(side, msg, at) })
	if s.repeats > before && !t.SYN {
		c.say(side, nil, "TCP", "sends a segment again", at).Again = true
	}
	if t.FIN && !c.fin[side] {
		c.fin[side] = true
		c.say(side, nil, "TCP", "closes the connection", at)
		c.endCalls(side, "closed the control connection", at, orderly)
	}
}

// endCalls notes that all calls end with the connection.
func (c *connection) endCalls(side Side, how string, at time.Time, kind endKind) {
	for _, k := range c.calls {
		k.end(side, how, at, kind)
	}
}

// byID finds the last call for which a side has given out a call ID.
func (c *connection) byID(side Side, id uint16) *call {
	for i := len(c.calls) - 1; i >= 0; i-- {
		if k := c.calls[i]; k.known[side] && k.ids[side] == id {
			return k
		}
	}
	return nil
}

// adopt finds or makes a call of which only GRE is seen. Two directions belong
// together if neither has another partner.
func (c *connection) adopt(side Side, id uint16, at time.Time) *call {
	for _, k := range c.calls {
		if !k.known[side] && k.known[side.other()] {
			k.known[side], k.ids[side] = true, id
			return k
		}
	}
	k := c.newCall(at)
	if k != nil {
		k.known[side], k.ids[side] = true, id
		k.established = at
	}
	return k
}

func (c *connection) newCall(at time.Time) *call {
	if len(c.calls) >= maxCalls {
		return nil
	}
	k := newCall(c, len(c.calls)+1, at)
	c.calls = append(c.calls, k)
	return k
}

// message takes a control message.
func (c *connection) message(side Side, b []byte, at time.Time) {
	m, _, err := pptp.DecodeMessage(b)
	if err != nil {
		if errors.Is(err, pptp.ErrMessageType) {
			c.say(side, nil, "PPTP", "unknown control message", at)
			return
		}
		c.streams[side].broken = true
		c.say(side, nil, "PPTP", "malformed control message: "+err.Error(), at)
		return
	}
	c.echo[side.other()].unanswered = 0 // any message is a sign of life
	switch m := m.(type) {
	case *pptp.EchoRequest:
		c.echo[side].sent++
		c.echo[side].unanswered++
		return // too many to be listed
	case *pptp.EchoReply:
		return
	case *pptp.StartControlConnectionRequest:
		c.requested, c.sawStart = true, true
		c.host[side], c.vendor[side] = m.HostName, m.VendorString
	case *pptp.StartControlConnectionReply:
		c.host[side], c.vendor[side] = m.HostName, m.VendorString
		// Some servers answer with a zero where they mean success.
		if c.established = m.ResultCode <= pptp.StartSuccessful; !c.established {
			c.refused = codes(m.ResultCode, m.ErrorCode)
		}
	case *pptp.StopControlConnectionRequest:
		c.say(side, nil, "PPTP", layers.DescribeMessage(m), at)
		c.stopped = fmt.Sprintf("%s stopped the control connection, reason %v", c.the(side), m.Reason)
		c.endCalls(side, fmt.Sprintf("stopped the control connection, reason %v", m.Reason), at, orderly)
		return
	}
	k := c.callMessage(side, m, at)
	c.say(side, k, "PPTP", layers.DescribeMessage(m), at)
	// The end of a call is told after the message that is it.
	switch m := m.(type) {
	case *pptp.CallClearRequest:
		if k != nil {
			k.end(side, "asked for the call to be cleared", at, orderly)
		}
	case *pptp.CallDisconnectNotify:
		if k != nil {
			kind := orderly
			if m.ResultCode == pptp.DisconnectLostCarrier || m.ResultCode == pptp.DisconnectGeneralError {
				kind = fault
			}
			k.end(side, "disconnected the call, result "+codes(m.ResultCode, m.ErrorCode), at, kind)
		}
	}
}

// codes has the error code where it means something.
func codes(result fmt.Stringer, e pptp.ErrorCode) string {
	if e != pptp.ErrorNone {
		return fmt.Sprintf("%v (%d), error %v (%d)", result, result, e, e)
	}
	return fmt.Sprintf("%v (%d)", result, result)
}

// callMessage finds the call of a message, and notes what the message says of it.
func (c *connection) callMessage(side Side, m pptp.Message, at time.Time) *call {
	asked := func(id uint16) *call {
		k := c.newCall(at)
		if k != nil {
			k.asker, k.known[side], k.ids[side] = side, true, id
		}
		return k
	}
	answered := func(id, peer uint16, connected bool, result string) *call {
		k := c.byID(side.other(), peer)
		if k == nil || !k.replied.IsZero() {
			return k
		}
		k.replied = at
		if !connected {
			k.refused = result
			return k
		}
		k.known[side], k.ids[side] = true, id
		k.established = at
		return k
	}
	switch m := m.(type) {
	case *pptp.OutgoingCallRequest:
		if k := c.byID(side, m.CallID); k != nil && k.replied.IsZero() {
			return k
		}
		return asked(m.CallID)
	case *pptp.OutgoingCallReply:
		return answered(m.CallID, m.PeerCallID, m.ResultCode == pptp.OutgoingConnected, codes(m.ResultCode, m.ErrorCode))
	case *pptp.IncomingCallRequest:
		return asked(m.CallID)
	case *pptp.IncomingCallReply:
		return answered(m.CallID, m.PeerCallID, m.ResultCode == pptp.IncomingConnect, codes(m.ResultCode, m.ErrorCode))
	case *pptp.IncomingCallConnected:
		return c.byID(side.other(), m.PeerCallID)
	case *pptp.CallClearRequest:
		return c.mine(side, m.CallID)
	case *pptp.CallDisconnectNotify:
		return c.mine(side, m.CallID)
	case *pptp.SetLinkInfo:
		return c.byID(side.other(), m.PeerCallID)
	case *pptp.WANErrorNotify:
		return c.byID(side.other(), m.PeerCallID)
	}
	return nil
}

// mine finds the call that a side names by its own call ID. Some name it by the
// other's, and where there is but one call it is clear what is meant.
func (c *connection) mine(side Side, id uint16) *call {
	if k := c.byID(side, id); k != nil {
		return k
	}
	if k := c.byID(side.other(), id); k != nil {
		return k
	}
	if len(c.calls) == 1 {
		return c.calls[0]
	}
	return nil
}

func (c *connection) report() *Connection {
	peer := func(s Side) Peer {
		p := Peer{Address: c.ends[s].String(), Host: c.host[s], Vendor: c.vendor[s], TCPRepeats: c.streams[s].repeats}
		if c.orphan {
			p.Address = c.ends[s].Addr().String()
		}
		return p
	}
	r := &Connection{
		Number: c.number, GREOnly: c.orphan,
		Client: peer(Client), Server: peer(Server),
		Timeline: c.lines, Unlisted: c.more,
	}
	for _, k := range c.calls {
		r.Calls = append(r.Calls, k.report())
	}
	if len(c.calls) == 0 {
		r.Verdict = c.verdict()
	}
	// Call data for the timeline may have been added while calls were reported.
	r.Timeline, r.Unlisted = c.lines, c.more
	if c.icmp != "" {
		r.Notes = append(r.Notes, c.icmp)
	}
	if n := c.streams[Client].holes + c.streams[Server].holes; n > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d parts of the TCP stream are not in the capture", n))
	}
	if len(c.calls) > 0 && (c.streams[Client].broken || c.streams[Server].broken) {
		r.Notes = append(r.Notes, "there is something on the control connection that is not PPTP")
	}
	if c.stray > 0 {
		r.Notes = append(r.Notes, fmt.Sprintf("%d packets of GRE between the two bear a call ID that neither has given out; "+
			"a NAT on the way may have changed it", c.stray))
	}
	return r
}
