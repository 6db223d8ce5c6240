package lcp

import (
	"encoding/binary"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// keepalive finds out whether the peer is still there, once LCP is open.
type keepalive struct {
	heard   time.Time // the last sign of life
	probed  time.Time // the last Echo-Request since then
	pending int32     // how many there are
	first   uint8     // identifier of the first of them
	last    uint8     // and of the last
}

// Heard says that something came from the peer at the given time: users'
// packets as well as frames of other protocols, which LCP does not see. While
// any comes, no Echo-Request is needed. What was heard before the last
// Echo-Request does not answer it, and is ignored.
func (l *LCP) Heard(at time.Time) {
	if k := &l.keepalive; !at.Before(k.heard) && !at.Before(k.probed) {
		*k = keepalive{heard: at}
	}
}

// probeAt is when the next Echo-Request, or giving up, is due; zero if never.
func (l *LCP) probeAt() time.Time {
	k := &l.keepalive
	switch {
	case l.cfg.EchoInterval <= 0 || !l.Opened():
		return time.Time{}
	case k.pending > 0:
		return k.probed.Add(l.cfg.EchoInterval)
	}
	return k.heard.Add(l.cfg.EchoInterval + l.cfg.EchoPatience)
}

// probe sends the Echo-Request that is due, or gives the peer up.
func (l *LCP) probe(now time.Time, out *ppp.Output) ppp.Signal {
	if at := l.probeAt(); at.IsZero() || now.Before(at) {
		return 0
	}
	k := &l.keepalive
	if int(k.pending) >= l.cfg.EchoFailures {
		return l.Fail(ErrPeerDead, now, out)
	}
	k.last = l.NextID()
	if k.pending == 0 {
		k.first = k.last
	}
	k.pending++
	k.probed = now
	out.Send(ppp.ProtocolLCP, ppp.Packet{
		Code: ppp.EchoRequest,
		ID:   k.last,
		Data: binary.BigEndian.AppendUint32(nil, l.ownMagic),
	})
	return 0
}

// awaits reports whether an Echo-Request with this identifier is unanswered.
func (k *keepalive) awaits(id uint8) bool {
	return k.pending > 0 && id-k.first <= k.last-k.first
}
