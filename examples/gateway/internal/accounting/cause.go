package accounting

import (
	"strconv"

	"github.com/gopptp/gopptp"
)

// TerminateCause is why a session has ended, by RFC 2866 §5.10.
type TerminateCause uint32

// The causes that the gateway has a use for.
const (
	UserRequest        TerminateCause = 1
	LostCarrier        TerminateCause = 2
	IdleTimeout        TerminateCause = 4
	SessionTimeout     TerminateCause = 5
	AdminReset         TerminateCause = 6
	AdminReboot        TerminateCause = 7
	PortError          TerminateCause = 8
	NASError           TerminateCause = 9
	NASRequest         TerminateCause = 10
	NASReboot          TerminateCause = 11
	PortPreempted      TerminateCause = 13
	ServiceUnavailable TerminateCause = 15
	UserError          TerminateCause = 17
)

var causeNames = map[TerminateCause]string{
	UserRequest: "User-Request", LostCarrier: "Lost-Carrier", IdleTimeout: "Idle-Timeout", SessionTimeout: "Session-Timeout",
	AdminReset: "Admin-Reset", AdminReboot: "Admin-Reboot", PortError: "Port-Error", NASError: "NAS-Error",
	NASRequest: "NAS-Request", NASReboot: "NAS-Reboot", PortPreempted: "Port-Preempted",
	ServiceUnavailable: "Service-Unavailable", UserError: "User-Error",
}

// String is the name of the cause in RADIUS dictionaries.
func (c TerminateCause) String() string {
	if name := causeNames[c]; name != "" {
		return name
	}
	return strconv.FormatUint(uint64(c), 10)
}

// terminateCauses sorts the causes of the library. What goes wrong before a session is up
// comes here again when a session that is up negotiates or proves itself anew.
var terminateCauses = map[gopptp.Cause]TerminateCause{
	gopptp.CauseLocal:          AdminReset,
	gopptp.CausePeer:           UserRequest,
	gopptp.CauseConnect:        PortError,
	gopptp.CauseControl:        UserError,
	gopptp.CauseCall:           PortError,
	gopptp.CauseGREBlocked:     PortError,
	gopptp.CauseNegotiation:    UserError,
	gopptp.CauseAuthentication: UserError,
	gopptp.CauseAuthBackend:    NASError,
	gopptp.CauseEncryption:     UserError,
	gopptp.CauseNoAddress:      ServiceUnavailable,
	gopptp.CauseTimeout:        LostCarrier,
	gopptp.CauseLostCarrier:    LostCarrier,
	gopptp.CauseDeadPeer:       LostCarrier,
	gopptp.CauseSessionTimeout: SessionTimeout,
	gopptp.CauseIdleTimeout:    IdleTimeout,
	gopptp.CauseLimit:          NASRequest,
	gopptp.CauseShutdown:       AdminReboot,
	gopptp.CauseDataplane:      PortError,
	gopptp.CauseFlood:          UserError,
	gopptp.CauseAdmin:          AdminReset,
	gopptp.CauseReplaced:       PortPreempted,
	gopptp.CauseQuota:          NASRequest,
}

// causeOf is how RADIUS calls the end of a session.
func causeOf(c gopptp.Cause) TerminateCause {
	if t, ok := terminateCauses[c]; ok {
		return t
	}
	return NASError
}
