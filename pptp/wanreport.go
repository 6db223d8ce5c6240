package pptp

import "time"

// wanErrorInterval is the least time between two WAN-Error-Notifies for a call
// (RFC 2637 section 2.14).
const wanErrorInterval = 60 * time.Second

// wanReport is what a PAC has told the PNS about a line, and is to tell.
type wanReport struct {
	sent, latest WANErrorNotify
	next         time.Time // not before
}

// due returns when the report is to be sent; the zero time means never.
func (w *wanReport) due() time.Time {
	if w == nil || w.latest == w.sent {
		return time.Time{}
	}
	return w.next
}

// ReportWANErrors tells the PNS about errors on the line of an established call,
// which is named by our Call ID. Only a PAC can do so. The counters of report
// are those since the call began; its PeerCallID is set. It may be called
// whenever they have changed: what comes within 60 s of the last message waits,
// and only the latest is sent then. Nothing is sent if nothing has changed.
func (c *Control) ReportWANErrors(callID uint16, report WANErrorNotify, now time.Time, out *Output) error {
	k, err := c.inState(callEstablished, RolePAC, callID)
	if err != nil {
		return err
	}
	report.PeerCallID = k.peer
	if k.wan == nil {
		k.wan = &wanReport{sent: WANErrorNotify{PeerCallID: k.peer}, next: now}
	}
	k.wan.latest = report
	c.tickWANErrors(k, now, out)
	return nil
}

func (c *Control) tickWANErrors(k *call, now time.Time, out *Output) {
	at := k.wan.due()
	if at.IsZero() || now.Before(at) {
		return
	}
	k.wan.sent = k.wan.latest
	k.wan.next = now.Add(wanErrorInterval)
	c.send(&k.wan.sent, out)
}

func (c *Control) onWANErrorNotify(m *WANErrorNotify, out *Output) {
	i := c.byID(m.PeerCallID)
	switch {
	case i < 0:
		c.unexpected(m.Type(), out)
	case !c.calls[i].told:
		out.emit(WANErrors{CallID: c.calls[i].id, Report: *m})
	}
}
