package accounting

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"time"
	"unicode/utf8"
)

// Kind is what a record tells of: the Acct-Status-Type of RFC 2866 §5.1, with its
// numbers.
type Kind uint8

// The kinds. On and Off are of the gateway itself, the others of a session.
const (
	Start   Kind = 1
	Stop    Kind = 2
	Interim Kind = 3
	On      Kind = 7
	Off     Kind = 8
)

// String is the kind in one word.
func (k Kind) String() string {
	switch k {
	case Start:
		return "start"
	case Stop:
		return "stop"
	case Interim:
		return "interim"
	case On:
		return "on"
	case Off:
		return "off"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// OfSession reports whether the record is of a session, not of the gateway.
func (k Kind) OfSession() bool { return k == Start || k == Stop || k == Interim }

// Record is one record of accounting: all that a sink can want to know. It is a plain
// value, which is the same when it has been on disk.
type Record struct {
	Kind Kind `json:"kind"`
	// Session is the gopptp.SessionID, and the Acct-Session-Id. No other session has it,
	// also after a restart. With On and Off it names the run of the gateway.
	Session string `json:"session"`
	// Time is when it happened, which may be long before the record is delivered.
	Time time.Time `json:"time"`
	// NAS is the name of the gateway.
	NAS string `json:"nas"`

	// The rest is of sessions, and zero with On and Off.

	User    string    `json:"user,omitzero"`
	Group   string    `json:"group,omitzero"`
	Backend string    `json:"backend,omitzero"` // who let the user in, as grant.Grant has it
	Began   time.Time `json:"began,omitzero"`   // when users' packets began to flow
	// Local and Remote are the ends of the control connection; Serial is the call serial
	// number (RFC 2637 §2.7).
	Local  netip.AddrPort `json:"local,omitzero"`
	Remote netip.AddrPort `json:"remote,omitzero"`
	Serial uint16         `json:"serial,omitzero"`
	// Address is the peer's in the tunnel. IPv6Prefix and InterfaceID are what it has of
	// IPv6, if it has any; with Start this may not be known yet.
	Address     netip.Addr   `json:"address,omitzero"`
	IPv6Prefix  netip.Prefix `json:"ipv6_prefix,omitzero"`
	InterfaceID netip.Addr   `json:"interface_id,omitzero"` // link-local; the last 64 bits count
	Encryption  string       `json:"encryption,omitzero"`
	// NASPort is the number that the session's port had when RADIUS let it in; zero: none.
	NASPort uint32 `json:"nas_port,omitzero"`
	// Class is what the RADIUS server wants to have back, as it came.
	Class [][]byte `json:"class,omitzero"`

	Usage
	// Cause is why the session has ended, with Stop, and Reason the gateway's own word for
	// it, which tells more apart.
	Cause  TerminateCause `json:"cause,omitzero"`
	Reason string         `json:"reason,omitzero"`
}

// Usage is how much a session has had. Octets are those of the users' IP packets;
// received is from the user, sent to the user.
type Usage struct {
	Duration        time.Duration `json:"duration,omitzero"` // which a stepped clock does not change
	ReceivedOctets  uint64        `json:"received_octets,omitzero"`
	ReceivedPackets uint64        `json:"received_packets,omitzero"`
	SentOctets      uint64        `json:"sent_octets,omitzero"`
	SentPackets     uint64        `json:"sent_packets,omitzero"`
}

// Delay is how long ago the record's event was. With a clock that has been set back
// since, it is zero.
func (r *Record) Delay(now time.Time) time.Duration { return max(0, now.Sub(r.Time)) }

// onDisk is a record as it is on disk.
type onDisk struct {
	Record
	// Octets is the name of a user that is not UTF-8, which text in JSON has to be.
	Octets []byte `json:"user_octets,omitempty"`
}

// encode appends a record as it is on disk: its kind, by which the queue sorts, and JSON,
// which later versions can add to.
func (r *Record) encode(dst []byte) []byte {
	d := onDisk{Record: *r}
	if !utf8.ValidString(r.User) {
		d.User, d.Octets = "", []byte(r.User)
	}
	body, err := json.Marshal(&d)
	if err != nil { // there is nothing in it that could not be
		panic(fmt.Sprintf("accounting: %v", err))
	}
	return append(append(dst, byte(r.Kind)), body...)
}

// decode reads what encode wrote. Nothing in r aliases b.
func (r *Record) decode(b []byte) error {
	if len(b) == 0 {
		return errTorn
	}
	var d onDisk
	if err := json.Unmarshal(b[1:], &d); err != nil {
		return fmt.Errorf("%w: %w", errTorn, err)
	}
	if *r = d.Record; d.Octets != nil {
		r.User = string(d.Octets)
	}
	if byte(r.Kind) != b[0] || r.Session == "" {
		return errTorn
	}
	return nil
}
