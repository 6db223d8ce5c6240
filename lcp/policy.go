package lcp

import (
	"fmt"
	"slices"

	"github.com/gopptp/gopptp/ppp"
)

// policy is the ppp.Policy of an LCP.
type policy LCP

func (l *policy) Begin() { (*LCP)(l).reset() }

func (l *policy) Request(dst ppp.Options, _ *ppp.Output) ppp.Options {
	if l.ask.mru && l.mru != DefaultMRU { // RFC 1661 §5.1: defaults are not named
		dst = append(dst, encodeMRU(l.mru))
	}
	if l.auth != (ppp.AuthMethod{}) {
		dst = append(dst, encodeAuth(l.auth))
	}
	l.sentMagic = 0
	if l.ask.magic {
		if l.magic == 0 {
			l.magic = (*LCP)(l).draw()
		}
		l.sentMagic = l.magic
		dst = append(dst, encodeMagic(l.magic))
	}
	if l.ask.pfc {
		dst = append(dst, ppp.Option{Type: optionPFC})
	}
	if l.ask.acfc {
		dst = append(dst, ppp.Option{Type: optionACFC})
	}
	return dst
}

// Judge answers the peer's request. An option that is known but malformed is
// naked with what it should be (RFC 1661 §6, Length).
func (l *policy) Judge(req ppp.Options, _ bool, dst ppp.Options) (ppp.Code, ppp.Options) {
	if nak, looped := l.loop(req); looped {
		// Alone: our own demands would be judged with it, and a rejected
		// authentication hide what is really wrong.
		return ppp.ConfigureNak, append(dst, nak)
	}
	agreed := terms{mru: DefaultMRU}
	var naks ppp.Options
	var seen [256]bool
	for _, o := range req {
		if seen[o.Type] || !l.known(o.Type) {
			dst = append(dst, o)
			continue
		}
		seen[o.Type] = true
		if nak, ok := l.judge(o, &agreed); !ok {
			naks = append(naks, nak)
		}
	}
	if len(dst) > 0 {
		return ppp.ConfigureReject, dst
	}
	if len(naks) > 0 {
		return ppp.ConfigureNak, append(dst, naks...)
	}
	l.peer = agreed
	return ppp.ConfigureAck, dst
}

// known reports whether an option of the peer is one that can be agreed on.
func (l *policy) known(typ uint8) bool {
	switch typ {
	case optionMRU, optionACCM, optionMagic:
		return true
	case optionAuth:
		return len(l.cfg.OwnAuth) > 0
	case optionPFC, optionACFC:
		return !l.cfg.NoHeaderCompression
	}
	return false
}

// judge notes in agreed what one option asks for; if it will not do, nak is
// what would.
func (l *policy) judge(o ppp.Option, agreed *terms) (nak ppp.Option, ok bool) {
	switch o.Type {
	case optionMRU:
		mru, ok := decodeMRU(o)
		switch {
		case !ok:
			return encodeMRU(DefaultMRU), false
		case mru < MinMRU:
			return encodeMRU(MinMRU), false
		case mru > MaxMRU:
			return encodeMRU(MaxMRU), false
		}
		agreed.mru = uint16(mru)
	case optionACCM:
		if len(o.Data) != 4 {
			return ppp.Option{Type: optionACCM, Data: make([]byte, 4)}, false
		}
		// There are no control characters to map in GRE.
	case optionAuth:
		m, ok := decodeAuth(o)
		if !ok || !slices.Contains(l.cfg.OwnAuth, m) {
			return encodeAuth(l.cfg.OwnAuth[0]), false
		}
		agreed.auth = m
	case optionMagic:
		if magic, ok := decodeMagic(o); !ok || magic == 0 {
			return encodeMagic((*LCP)(l).draw()), false // RFC 1661 §6.4: zero is always naked
		}
	case optionPFC, optionACFC:
		if len(o.Data) != 0 {
			return ppp.Option{Type: o.Type}, false
		}
		if o.Type == optionPFC {
			agreed.header.Protocol = true
		} else {
			agreed.header.AddressControl = true
		}
	}
	return ppp.Option{}, true
}

// loop looks for our own magic number in a request (RFC 1661 §6.4). A request
// that bears it is naked with another one; after maxLoops of them the line is
// looped back.
func (l *policy) loop(req ppp.Options) (nak ppp.Option, looped bool) {
	o, ok := req.Get(optionMagic)
	if !ok {
		return ppp.Option{}, false // it says nothing either way
	}
	if magic, ok := decodeMagic(o); !ok || magic == 0 || magic != l.sentMagic {
		l.loops = 0
		return ppp.Option{}, false
	}
	if l.loops++; l.loops >= maxLoops {
		l.fatal = ErrLoopback
	}
	return encodeMagic((*LCP)(l).draw()), true
}

func (l *policy) Acked(sent ppp.Options) {
	l.ownMagic, l.peerAuth = l.sentMagic, ppp.AuthMethod{}
	if o, ok := sent.Get(optionAuth); ok {
		l.peerAuth, _ = decodeAuth(o) // our own encoding
	}
}

// Naked takes up what the peer suggests for options that we asked for. Options
// that it would like to see beside them serve it, not us, and are passed over.
func (l *policy) Naked(nak ppp.Options) {
	for _, o := range nak {
		switch o.Type {
		case optionMRU:
			if mru, ok := decodeMRU(o); ok && mru >= MinMRU && mru <= max(l.cfg.MRU, DefaultMRU) {
				l.mru = mru
			}
		case optionMagic:
			l.magic = 0 // RFC 1661 §6.4: another is drawn in any case
		case optionPFC:
			l.ask.pfc = false // there is nothing to bargain about
		case optionACFC:
			l.ask.acfc = false
		}
	}
	if o, ok := nak.Get(optionAuth); ok && l.auth != (ppp.AuthMethod{}) {
		l.nextAuth(o)
	}
}

// nextAuth goes to the method that a Nak suggests if it is one of ours, or to
// the next of ours that the peer has not refused.
func (l *policy) nextAuth(nak ppp.Option) {
	offered, ok := decodeAuth(nak)
	if ok && offered == l.auth {
		return // what it naks is something else
	}
	l.refused = append(l.refused, l.auth)
	open := func(m ppp.AuthMethod) bool { return !slices.Contains(l.refused, m) }
	if ok && open(offered) && slices.Contains(l.cfg.PeerAuth, offered) {
		l.auth = offered
		return
	}
	if i := slices.IndexFunc(l.cfg.PeerAuth, open); i >= 0 {
		l.auth = l.cfg.PeerAuth[i]
		return
	}
	why := "it offers nothing that is known"
	if ok {
		why = fmt.Sprintf("it offers %v", offered)
	}
	l.fatal = fmt.Errorf("%w: %s", ErrAuthRefused, why)
}

func (l *policy) Refused(rejected ppp.Options) {
	for _, o := range rejected {
		switch o.Type {
		case optionMRU:
			l.ask.mru = false
		case optionAuth:
			// RFC 1661 §6.2 leaves nothing to try: the peer knows no
			// authentication at all.
			l.fatal = fmt.Errorf("%w: it rejects the option", ErrAuthRefused)
		case optionMagic:
			l.ask.magic = false
		case optionPFC:
			l.ask.pfc = false
		case optionACFC:
			l.ask.acfc = false
		}
	}
}
