package conversation

import (
	"slices"
	"time"

	"github.com/gopptp/gopptp/layers"
	"github.com/gopptp/gopptp/ppp"
)

// negotiation is that of one control protocol, as it is heard.
type negotiation struct {
	protocol   ppp.Protocol
	last       [2]request // the last of either side
	side       [2]terms
	open       bool
	opened     time.Time // first
	justOpened bool      // by the packet that was taken last
	rounds     int       // requests that were answered otherwise than by an Ack
	terminated [2]bool
}

type request struct {
	sent, answered bool
	id             uint8
	options        ppp.Options
}

// terms are those of one side's requests.
type terms struct {
	requests, repeats                int
	acks, naks, rejects              int // that the other side answered with
	acked                            bool
	agreed                           ppp.Options
	asked, naked, rejected, inEffect []string
}

// begun reports whether there was any request.
func (n *negotiation) begun() bool { return n.side[Client].requests+n.side[Server].requests > 0 }

// down is what becomes of a protocol when the one below it is negotiated anew.
func (n *negotiation) down() {
	n.open = false
	n.side[Client].acked, n.side[Server].acked = false, false
}

// input takes a packet, and reports whether it repeats the request before it.
func (n *negotiation) input(side Side, p ppp.Packet, at time.Time) (again bool) {
	n.justOpened = false
	var options ppp.Options
	if p.Code >= ppp.ConfigureRequest && p.Code <= ppp.ConfigureReject {
		if _, err := options.Decode(p.Data); err != nil {
			return false
		}
		options = options.Clone()
	}
	switch p.Code {
	case ppp.ConfigureRequest:
		return n.request(side, p.ID, options)
	case ppp.ConfigureAck, ppp.ConfigureNak, ppp.ConfigureReject:
		n.answer(side.other(), p, options, at)
	case ppp.TerminateRequest, ppp.TerminateAck:
		if n.open || p.Code == ppp.TerminateRequest {
			n.terminated[side] = true
		}
		n.down()
	}
	return false
}

func (n *negotiation) request(side Side, id uint8, options ppp.Options) (again bool) {
	t, last := &n.side[side], &n.last[side]
	t.requests++
	same := last.sent && slices.EqualFunc(last.options, options, ppp.Option.Equal)
	if again = same && (!last.answered || last.id == id); again {
		t.repeats++
		last.id = id
		return true
	}
	if n.open {
		n.down() // negotiated anew
	}
	t.acked = false
	*last = request{sent: true, id: id, options: options}
	t.asked = n.add(t.asked, options)
	return false
}

// answer takes what the other side says to a request of side.
func (n *negotiation) answer(side Side, p ppp.Packet, options ppp.Options, at time.Time) {
	t, last := &n.side[side], &n.last[side]
	if last.sent && last.id != p.ID {
		return // to another request
	}
	repeated := last.answered
	last.answered = true
	switch p.Code {
	case ppp.ConfigureAck:
		t.acks++
		t.acked, t.agreed = true, options
		t.inEffect = n.add(nil, options)
		if n.side[Client].acked && n.side[Server].acked && !n.open {
			n.open, n.justOpened = true, true
			if n.opened.IsZero() {
				n.opened = at
			}
		}
	case ppp.ConfigureNak:
		t.naks++
		t.naked = n.add(t.naked, options)
	case ppp.ConfigureReject:
		t.rejects++
		t.rejected = n.add(t.rejected, options)
	}
	if p.Code != ppp.ConfigureAck && !repeated {
		n.rounds++
	}
}

// maxWords bounds what a list of options grows to where a peer asks for another
// each time.
const maxWords = 20

// add appends what options say, each once.
func (n *negotiation) add(words []string, options ppp.Options) []string {
	for _, o := range options {
		if w := layers.DescribeOption(n.protocol, o); !slices.Contains(words, w) && len(words) < maxWords {
			words = append(words, w)
		}
	}
	return words
}

func (n *negotiation) report() Negotiation {
	side := func(s Side) Terms {
		t := &n.side[s]
		return Terms{
			Requests: t.requests, Repeats: t.repeats, Asked: t.asked, Naked: t.naked, Rejected: t.rejected,
			Agreed: t.inEffect, Acked: t.acks > 0,
		}
	}
	return Negotiation{Protocol: n.protocol.String(), Opened: !n.opened.IsZero(), Client: side(Client), Server: side(Server)}
}
