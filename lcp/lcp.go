package lcp

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"

	"github.com/gopptp/gopptp/ppp"
)

// Why an LCP closes by itself, as its Err says.
var (
	// ErrPeerDead: nothing was heard of the peer, echoes included.
	ErrPeerDead = errors.New("lcp: peer does not answer echoes")
	// ErrAuthRefused wraps how the peer refused every method of PeerAuth.
	ErrAuthRefused = errors.New("lcp: peer refuses to authenticate itself")
	// ErrLoopback: what we send comes back to us (RFC 1661 §6.4).
	ErrLoopback = errors.New("lcp: line is looped back")
)

// Limits and defaults.
const (
	// DefaultMRU is what a peer can receive that says nothing of it, in
	// octets (RFC 1661 §6.1).
	DefaultMRU = 1500
	// MinMRU and MaxMRU are the least and the most that a peer may name. A
	// smaller unit carries no useful packet, a larger one fits no tunnel.
	MinMRU = 128
	MaxMRU = 16384
	// DefaultEchoFailures is Config.EchoFailures where that is zero.
	DefaultEchoFailures = 4
)

// maxLoops is how many requests in a row bear our own magic number until the
// line counts as looped back. Two honest ends draw the same number once in
// 2^32 times; it stays below Max-Failure, after which an Automaton would let
// the option go.
const maxLoops = ppp.DefaultMaxFailure - 1

// Config says what an LCP asks for and agrees to. The zero value asks for no
// authentication, gives none and sends no echoes.
type Config struct {
	// MRU is the most that we receive in a frame, in octets: MinMRU to MaxMRU,
	// and kept within these. Zero is DefaultMRU. A peer may bargain it down,
	// or up to DefaultMRU, which everybody must be able to receive.
	MRU int
	// PeerAuth are the methods by which the peer may prove itself, the best
	// first. If there are any, there is no link without one of them.
	PeerAuth []ppp.AuthMethod
	// OwnAuth are the methods by which we can prove ourselves, the best first.
	// Without any, a peer's demand is rejected.
	OwnAuth []ppp.AuthMethod
	// NoHeaderCompression neither asks for PFC and ACFC nor agrees to them.
	NoHeaderCompression bool
	// EchoInterval is how long nothing is heard of the peer until it is sent
	// an Echo-Request, and the time between further ones. Zero sends none.
	EchoInterval time.Duration
	// EchoPatience is waited besides EchoInterval until the first of them, so
	// that a peer with the same interval asks before us: its request is a sign
	// of life, and nobody need ask twice.
	EchoPatience time.Duration
	// EchoFailures is how many of them go unanswered, each for EchoInterval,
	// until the link closes with ErrPeerDead. Default DefaultEchoFailures.
	EchoFailures int
	// Identification is sent to the peer once LCP is open (RFC 1570 §2.1). At
	// most 100 octets, so that it fits every MRU; empty sends none.
	Identification string
	// FirstTimeout is as in ppp.AutomatonConfig.
	FirstTimeout time.Duration
	// Rand fills a magic number. Default crypto/rand.
	Rand func([]byte)
}

// maxIdentification bounds Config.Identification, in octets: with its header it
// must fit MinMRU.
const maxIdentification = 100

// Events of an LCP.
type (
	// Identified is the peer's Identification, in a form of its own choosing.
	// It is cut to 255 octets and comes from the network, so quote it.
	Identified struct{ Message string }
	// TimeRemaining says how long the peer will keep the link up (RFC 1570
	// §2.2). Forever is for a peer that sets no limit; Left is zero then. The
	// Message is as in Identified.
	TimeRemaining struct {
		Left    time.Duration
		Forever bool
		Message string
	}
)

// LCP is one end of the Link Control Protocol. It implements ppp.LinkControl.
type LCP struct {
	ppp.Automaton
	cfg Config

	// What our next request names.
	ask     asked
	auth    ppp.AuthMethod // zero if we ask for none
	mru     int
	refused []ppp.AuthMethod // those that the peer did not want
	magic   uint32           // zero until one is drawn

	sentMagic uint32 // in our last request; zero if there was none

	// What was agreed on.
	ownMagic uint32 // ours, acked by the peer; zero if there is none
	peerAuth ppp.AuthMethod
	peer     terms

	keepalive keepalive

	loops       int32        // requests in a row that bore sentMagic
	rejected    ppp.Protocol // by the peer's last Protocol-Reject
	hasRejected bool
	dropped     uint64
	fatal       error // found by a callback, to be heeded after it
}

// asked are the options that we ask for and the peer has not rejected.
type asked struct{ mru, magic, pfc, acfc bool }

// terms are what the peer asked for and we acked.
type terms struct {
	mru    uint16
	auth   ppp.AuthMethod
	header ppp.HeaderCompression
}

var (
	_ ppp.LinkControl = (*LCP)(nil)
	_ ppp.Policy      = (*policy)(nil)
	_ ppp.Extension   = (*extension)(nil)
)

// New returns an LCP in the Initial state.
func New(cfg Config) *LCP {
	if cfg.MRU == 0 {
		cfg.MRU = DefaultMRU
	}
	cfg.MRU = max(MinMRU, min(cfg.MRU, MaxMRU))
	if cfg.EchoFailures <= 0 {
		cfg.EchoFailures = DefaultEchoFailures
	}
	cfg.Identification = cfg.Identification[:min(len(cfg.Identification), maxIdentification)]
	if cfg.Rand == nil {
		cfg.Rand = func(b []byte) { rand.Read(b) } // never fails
	}
	l := &LCP{cfg: cfg}
	l.Init(ppp.AutomatonConfig{
		Protocol:     ppp.ProtocolLCP,
		FirstTimeout: cfg.FirstTimeout,
		Extension:    (*extension)(l),
	}, (*policy)(l))
	l.reset()
	return l
}

// PeerMRU is the most that the peer receives in a frame, in octets: MinMRU to
// MaxMRU.
func (l *LCP) PeerMRU() int { return int(l.peer.mru) }

// HeaderCompression is what we may leave out of the headers that we send.
func (l *LCP) HeaderCompression() ppp.HeaderCompression { return l.peer.header }

// PeerAuth implements ppp.LinkControl.
func (l *LCP) PeerAuth() ppp.AuthMethod { return l.peerAuth }

// OwnAuth implements ppp.LinkControl.
func (l *LCP) OwnAuth() ppp.AuthMethod { return l.peer.auth }

// Dropped is the number of packets that were discarded, those of the Automaton
// included.
func (l *LCP) Dropped() uint64 { return l.Automaton.Dropped() + l.dropped }

// Input implements ppp.Layer.
func (l *LCP) Input(b []byte, now time.Time, out *ppp.Output) ppp.Signal {
	before := l.Dropped()
	sig := l.Automaton.Input(b, now, out)
	if l.Dropped() == before {
		l.Heard(now) // whatever it was; this starts the echoes, too
	}
	if sig&ppp.SignalUp != 0 {
		l.identify(out)
	}
	return l.heed(sig, now, out)
}

// Tick implements ppp.Layer.
func (l *LCP) Tick(now time.Time, out *ppp.Output) ppp.Signal {
	sig := l.Automaton.Tick(now, out)
	return sig | l.probe(now, out)
}

// Deadline implements ppp.Layer.
func (l *LCP) Deadline() time.Time {
	at, probe := l.Automaton.Deadline(), l.probeAt()
	if at.IsZero() || !probe.IsZero() && probe.Before(at) {
		return probe
	}
	return at
}

// heed closes the layer when a callback has found that it is of no use.
func (l *LCP) heed(sig ppp.Signal, now time.Time, out *ppp.Output) ppp.Signal {
	err := l.fatal
	if err == nil {
		return sig
	}
	l.fatal = nil
	if err == ppp.ErrRejected {
		return sig | l.Automaton.Rejected(now, out)
	}
	return sig | l.Fail(err, now, out)
}

// reset voids what was agreed on and asks for everything again.
func (l *LCP) reset() {
	pfc := !l.cfg.NoHeaderCompression
	l.ask = asked{mru: true, magic: true, pfc: pfc, acfc: pfc}
	l.mru = l.cfg.MRU
	l.auth, l.refused = ppp.AuthMethod{}, l.refused[:0]
	if len(l.cfg.PeerAuth) > 0 {
		l.auth = l.cfg.PeerAuth[0]
	}
	l.magic, l.loops = 0, 0
	l.ownMagic, l.peerAuth = 0, ppp.AuthMethod{}
	l.peer = terms{mru: DefaultMRU}
	l.fatal = nil
}

// draw returns a magic number. Zero means none (RFC 1661 §6.4).
func (l *LCP) draw() uint32 {
	var b [4]byte
	l.cfg.Rand(b[:])
	if magic := binary.BigEndian.Uint32(b[:]); magic != 0 {
		return magic
	}
	return 1
}
