package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
)

// DynAuthConfig describes a DynAuth.
type DynAuthConfig struct {
	Clients  []DynAuthClient
	Sessions *sessions.Registry
	Identity Identity
	// AllowUndated takes requests without Event-Timestamp, which can be repeated by
	// whoever has seen them once they are forgotten here.
	AllowUndated bool
	// Log is where the orders and what is wrong with them are reported. Nil is silent.
	Log *slog.Logger
}

// DynAuthClient is who may give orders.
type DynAuthClient struct {
	Source netip.Prefix
	Secret string
}

// DynAuth takes orders of RADIUS servers about sessions that are up: Disconnect-Request
// and CoA-Request (RFC 5176).
//
// An order is taken from the addresses of its clients only, signed with their secret, of
// the last five minutes, and once: if it comes again, from whichever address, it gets the
// same answer, and nothing happens. What came before is not known after a restart; so
// what is older than the DynAuth is not taken either.
type DynAuth struct {
	cfg  DynAuthConfig // but for what may change
	from atomic.Pointer[givers]
	log  *slog.Logger
	now  func() time.Time

	mu     sync.Mutex // held while an order is followed
	seen   answered
	began  time.Time // of orders from before, nobody knows whether they came already
	warned time.Time

	disconnects, changes, refused, repeated, strangers, forged, stale, malformed atomic.Uint64
}

// givers are who may give orders, and how.
type givers struct {
	clients      []DynAuthClient
	allowUndated bool
}

// DynAuthStats are the figures of a DynAuth. The counters only grow.
type DynAuthStats struct {
	Disconnects uint64 // requests that ended sessions
	Changes     uint64 // requests that changed sessions
	Refused     uint64 // requests that could not be followed
	Repeated    uint64 // requests that were answered before
	// What follows got no answer.
	Strangers uint64 // from an address that is none of a client
	Forged    uint64 // signed wrongly, or with another secret
	Stale     uint64 // too old, from the future, or without a time
	Malformed uint64
}

// window is how far the time of a request may be from ours, and how long its answer is
// remembered (RFC 5176 §6.3).
const window = 300 * time.Second

// NewDynAuth returns a DynAuth.
func NewDynAuth(cfg DynAuthConfig) *DynAuth {
	// An Event-Timestamp has whole seconds.
	d := &DynAuth{cfg: cfg, log: cfg.Log, now: time.Now, began: time.Now().Truncate(time.Second)}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	d.Reload(cfg.Clients, cfg.AllowUndated)
	return d
}

// Reload replaces who may give orders, and whether these need a time, for orders to come.
func (d *DynAuth) Reload(clients []DynAuthClient, allowUndated bool) {
	d.from.Store(&givers{clients, allowUndated})
}

// Stats returns the figures.
func (d *DynAuth) Stats() DynAuthStats {
	return DynAuthStats{
		d.disconnects.Load(), d.changes.Load(), d.refused.Load(), d.repeated.Load(),
		d.strangers.Load(), d.forged.Load(), d.stale.Load(), d.malformed.Load(),
	}
}

// Serve answers what comes to a socket of UDP until that is closed, which is no error. It
// may be called for several. Nothing that an order asks for takes time, so they are followed
// one by one.
func (d *DynAuth) Serve(socket net.PacketConn) error {
	// Whoever has asked one of the host's addresses hears no other.
	c := ipv4.NewPacketConn(socket)
	if err := c.SetControlMessage(ipv4.FlagDst, true); err != nil {
		d.log.Warn("RADIUS orders: answers come from whichever address routes say", "listen", socket.LocalAddr(), "err", err)
	}
	b := make([]byte, radius.MaxPacketLength+1)
	for {
		n, asked, from, err := c.ReadFrom(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			time.Sleep(10 * time.Millisecond) // whatever it is, it shall not take a processor
			continue
		}
		source, err := netip.ParseAddrPort(from.String())
		if err != nil {
			continue
		}
		if answer := d.handle(b[:n], source); answer != nil {
			var by *ipv4.ControlMessage
			if asked != nil {
				by = &ipv4.ControlMessage{Src: asked.Dst}
			}
			c.WriteTo(answer, by, from)
		}
	}
}

// secret is that of the client at an address.
func (d *DynAuth) secret(source netip.Addr) ([]byte, bool) {
	best, clients := -1, d.from.Load().clients
	for i, c := range clients {
		if c.Source.Contains(source) && (best < 0 || c.Source.Bits() > clients[best].Source.Bits()) {
			best = i
		}
	}
	if best < 0 {
		return nil, false
	}
	return []byte(clients[best].Secret), true
}

// handle returns the answer to a packet; nil if it gets none.
func (d *DynAuth) handle(wire []byte, from netip.AddrPort) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	source := from.Addr().Unmap()
	secret, known := d.secret(source)
	if !known {
		d.strangers.Add(1)
		d.warn("from an address that is none of radius.dynauth.clients", source)
		return nil
	}
	p, err := radius.Parse(wire, secret)
	if err != nil || p.Code != radius.CodeDisconnectRequest && p.Code != radius.CodeCoARequest {
		d.malformed.Add(1)
		return nil
	}
	wire = wire[:int(wire[2])<<8|int(wire[3])]
	if signed, present := checkSignature(wire, [16]byte{}, secret); !authentic(wire, [16]byte{}, secret) || present && !signed {
		d.forged.Add(1)
		d.warn("with a wrong authenticator: another secret, or forged", source)
		return nil
	}
	now := d.now()
	if ok, why := d.fresh(p, now); !ok {
		d.stale.Add(1)
		d.warn(why, source)
		return nil
	}
	if answer, again := d.seen.get(p.Authenticator, now); again {
		d.repeated.Add(1)
		return answer
	}
	answer, err := d.follow(p, source)
	if err != nil {
		d.log.Error("RADIUS order: answer", "source", source, "err", err)
		return nil
	}
	d.seen.put(p.Authenticator, answer, now)
	return answer
}

// fresh reports whether a request is of now, and if not, why.
func (d *DynAuth) fresh(p *radius.Packet, now time.Time) (ok bool, why string) {
	at, err := rfc2869.EventTimestamp_Lookup(p)
	switch {
	case errors.Is(err, radius.ErrNoAttribute):
		return d.from.Load().allowUndated, "without Event-Timestamp, which require_event_timestamp asks for"
	case err != nil:
		return false, "with an Event-Timestamp that is none"
	}
	if now.Before(d.began) { // the clock has been set back
		d.began = now.Truncate(time.Second)
	}
	if at.Before(d.began) {
		return false, "with an Event-Timestamp from before the gateway's start: repeated, or the clocks differ"
	}
	age := now.Sub(at)
	return age <= window && -age <= window, "with an Event-Timestamp that is more than five minutes off: repeated, or the clocks differ"
}

// follow does what a request says, and returns the answer to it.
func (d *DynAuth) follow(p *radius.Packet, source netip.Addr) ([]byte, error) {
	disconnect := p.Code == radius.CodeDisconnectRequest
	list, cause := d.find(p)
	var change change
	if cause == 0 {
		change, cause = parseChange(p)
	}
	switch {
	case cause != 0:
	case disconnect && change.any():
		cause = rfc3576.ErrorCause_Value_UnsupportedAttribute
	case !disconnect && !change.any():
		cause = rfc3576.ErrorCause_Value_MissingAttribute
	}
	if cause == 0 && !disconnect {
		list, cause = change.apply(list)
	}
	for i := 0; i < len(list) && cause == 0; i++ {
		s := list[i]
		if disconnect {
			s.End(gopptp.CauseAdmin, errDisconnected)
		}
		d.log.Info("RADIUS order", "order", p.Code.String(), "source", source, "session", s.ID(), "user", s.User(), "change", change.String())
	}
	if cause != 0 {
		d.refused.Add(1)
		d.log.Info("RADIUS order refused", "order", p.Code.String(), "source", source, "cause", cause.String())
	}
	switch {
	case cause == 0 && disconnect:
		d.disconnects.Add(1)
		return reply(p, radius.CodeDisconnectACK, 0)
	case disconnect:
		return reply(p, radius.CodeDisconnectNAK, cause)
	case cause == 0:
		d.changes.Add(1)
		return reply(p, radius.CodeCoAACK, 0)
	}
	return reply(p, radius.CodeCoANAK, cause)
}

var errDisconnected = errors.New("disconnected by a RADIUS server")

// reply makes an answer, with a Message-Authenticator, and the Proxy-States and the State
// that came (RFC 5176 §3.1 and §3.3).
func reply(p *radius.Packet, code radius.Code, cause rfc3576.ErrorCause) ([]byte, error) {
	r := p.Response(code)
	r.Add(rfc2869.MessageAuthenticator_Type, make([]byte, signatureSize))
	if cause != 0 {
		if err := rfc3576.ErrorCause_Add(r, cause); err != nil {
			return nil, err
		}
	}
	for _, avp := range p.Attributes {
		if avp.Type == rfc2865.ProxyState_Type || avp.Type == rfc2865.State_Type {
			r.Attributes = append(r.Attributes, avp)
		}
	}
	wire, err := r.MarshalBinary() // with the request's authenticator in it
	if err != nil {
		return nil, err
	}
	mac := hmac.New(md5.New, p.Secret)
	mac.Write(wire)
	mac.Sum(r.Attributes[0].Attribute[:0])
	return r.Encode()
}

// warn reports packets that get no answer, now and then.
func (d *DynAuth) warn(what string, source netip.Addr) {
	if now := d.now(); now.Sub(d.warned) >= time.Minute {
		d.warned = now
		d.log.Warn("RADIUS order ignored: "+what, "source", source)
	}
}
