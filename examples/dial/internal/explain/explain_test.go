package explain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/ipcp"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

func TestError(t *testing.T) {
	ended := func(stage gopptp.State, cause gopptp.Cause, err error) error {
		return &gopptp.SessionError{Stage: stage, Cause: cause, Err: err}
	}
	dialing := func(err error) error {
		return ended(gopptp.StateConnect, gopptp.CauseConnect, &net.OpError{Op: "dial", Net: "tcp4", Err: err})
	}
	for _, c := range []struct {
		name       string
		err        error
		encryption gopptp.EncryptionPolicy
		code       Code
		what       string
		check      string // part of what to check
	}{
		{name: "refused", err: dialing(os.NewSyscallError("connect", syscall.ECONNREFUSED)), code: NoConnect,
			what: "Connection refused: vpn is there, but takes no connections at the PPTP port.", check: "Is the PPTP server running"},
		{name: "unknown name", err: dialing(&net.DNSError{Name: "vpn", IsNotFound: true}), code: NoConnect,
			what: `The name "vpn" cannot be resolved.`, check: "spelled right"},
		{name: "no route", err: dialing(os.NewSyscallError("connect", syscall.ENETUNREACH)), code: NoConnect,
			what: "There is no way to vpn.", check: "online"},
		{name: "no answer, by the system", err: dialing(os.NewSyscallError("connect", syscall.ETIMEDOUT)), code: NoConnect,
			what: "No answer from vpn.", check: "firewall"},
		{name: "no answer, by us", err: dialing(context.DeadlineExceeded), code: NoConnect, what: "No answer from vpn.", check: "firewall"},
		{name: "interrupted while connecting", err: dialing(context.Canceled), code: Interrupted, what: "Interrupted before the tunnel was up."},
		{name: "connecting, otherwise", err: dialing(errors.New("strange")), code: NoConnect, what: "No connection to vpn: dial tcp4: strange."},
		{name: "silent server", err: ended(gopptp.StateControl, gopptp.CauseControl, pptp.ErrHandshakeTimeout), code: Refused,
			what: "vpn accepts TCP connections but does not answer PPTP.", check: "Is it a PPTP server?"},
		{name: "control refused", err: ended(gopptp.StateControl, gopptp.CauseControl, pptp.ErrStartRefused), code: Refused,
			what: "vpn refused the PPTP control connection: pptp: control connection refused.", check: "log"},
		{name: "call refused", err: ended(gopptp.StateCall, gopptp.CauseCall, fmt.Errorf("%w: busy", gopptp.ErrCallRefused)), code: Refused,
			what: "vpn refused the call: gopptp: call refused: busy.", check: "full"},
		{name: "GRE blocked", err: ended(gopptp.StateEstablish, gopptp.CauseGREBlocked, gopptp.ErrGREBlocked), code: GREBlocked,
			what: "No answer to LCP: GRE is blocked on the way. The control connection works, but no GRE packet (IP protocol 47) has come back.", check: "IP protocol 47"},
		{name: "negotiation", err: ended(gopptp.StateEstablish, gopptp.CauseNegotiation, ppp.ErrNoAgreement), code: Negotiation,
			what: "No agreement with vpn during: LCP: ppp: no agreement on options."},
		{name: "bad password", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, &chap.FailureError{Code: 691, Message: "no"}), code: BadLogin,
			what: `Wrong user name or password: vpn refused "alice" (the server says "no").`, check: "case"},
		{name: "disabled", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, &chap.FailureError{Code: 647}), code: BadLogin,
			what: `Login refused: the account "alice" is disabled.`},
		{name: "may not dial in", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, &chap.FailureError{Code: 649, Message: "No address is available"}), code: BadLogin,
			what: `Login refused: "alice" has no permission to dial in (the server says "No address is available").`},
		{name: "impostor", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, chap.ErrAuthenticatorResponse), code: BadLogin,
			what: "vpn let us in but could not prove that it knows the password: it is not the server that it should be.", check: "in between"},
		{name: "no method", err: ended(gopptp.StateEstablish, gopptp.CauseAuthentication, lcp.ErrAuthRefused), code: BadLogin,
			what: "vpn and this client know no authentication in common; this client does MS-CHAPv2.", check: "--auth"},
		{name: "refused by pap", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, &pap.RefusedError{Message: "no"}), code: BadLogin,
			what: `Wrong user name or password: vpn refused "alice" (the server says "no").`, check: "case"},
		{name: "refused by eap", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, eap.ErrRefused), code: BadLogin,
			what: `Wrong user name or password: vpn refused "alice".`, check: "method of EAP"},
		{name: "no answer to pap", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, pap.ErrTimeout), code: BadLogin,
			what: "vpn did not answer the authentication.", check: "RADIUS"},
		{name: "no verdict", err: ended(gopptp.StateAuthenticate, gopptp.CauseAuthentication, chap.ErrTimeout), code: BadLogin,
			what: "vpn did not answer the authentication.", check: "RADIUS"},
		{name: "encryption refused", err: ended(gopptp.StateNetwork, gopptp.CauseEncryption, mppe.ErrRefused), code: Encryption,
			what: "vpn refused the encryption (128-bit stateless MPPE) that --encryption require demands.", check: "--encryption prefer"},
		{name: "no address", err: ended(gopptp.StateNetwork, gopptp.CauseNoAddress, ipcp.ErrNoAddress), code: NoAddress,
			what: `vpn let "alice" in but gave no address for the tunnel.`, check: "pool"},
		{name: "timeout", err: ended(gopptp.StateNetwork, gopptp.CauseTimeout, context.DeadlineExceeded), code: NotInTime,
			what: "The tunnel was not up in time; it got as far as: encryption and addresses.", check: "--timeout"},
		{name: "hung up over the authentication", err: ended(gopptp.StateEstablish, gopptp.CausePeer, ppp.ErrTerminated), code: Negotiation,
			what: "vpn hung up during: LCP.", check: "--auth allows: MS-CHAPv2."},
		{name: "hung up while authenticating", err: ended(gopptp.StateAuthenticate, gopptp.CausePeer, ppp.ErrTerminated), code: BadLogin,
			what: "vpn hung up during: authentication.", check: "user name or password"},
		{name: "hung up over encryption", err: ended(gopptp.StateNetwork, gopptp.CausePeer, ppp.ErrTerminated), encryption: gopptp.EncryptionDeny, code: Encryption,
			what: "vpn hung up during: encryption and addresses.", check: "--encryption prefer"},
		{name: "hung up otherwise", err: ended(gopptp.StateNetwork, gopptp.CausePeer, gopptp.ErrPeerClosed), code: Negotiation,
			what: "vpn hung up during: encryption and addresses.", check: "no address left"},
		{name: "control lost", err: ended(gopptp.StateEstablish, gopptp.CauseLostCarrier, gopptp.ErrLostCarrier), code: Refused,
			what: "vpn closed the control connection during: LCP.", check: "log"},
		{name: "interrupted", err: ended(gopptp.StateEstablish, gopptp.CauseLocal, context.Canceled), code: Interrupted, what: "Interrupted before the tunnel was up."},
		{name: "data plane", err: ended(gopptp.StateNetwork, gopptp.CauseDataplane, errors.New("no route")), code: Local, what: "This machine could not: no route."},

		{name: "ended by the server", err: ended(gopptp.StateUp, gopptp.CausePeer, ppp.ErrTerminated), code: Lost, what: "vpn ended the tunnel."},
		{name: "carrier lost", err: ended(gopptp.StateUp, gopptp.CauseLostCarrier, gopptp.ErrLostCarrier), code: Lost,
			what: "The control connection to vpn was lost: gopptp: control connection lost."},
		{name: "dead", err: ended(gopptp.StateUp, gopptp.CauseDeadPeer, lcp.ErrPeerDead), code: Lost, what: "vpn has not answered for some time.", check: "NAT"},
		{name: "data plane, later", err: ended(gopptp.StateUp, gopptp.CauseDataplane, errors.New("gone")), code: Local, what: "This machine could not: gone."},
		{name: "up, otherwise", err: ended(gopptp.StateUp, gopptp.CauseNegotiation, ppp.ErrNoAgreement), code: Lost,
			what: "The tunnel ended: ppp: no agreement on options."},

		{name: "bad configuration", err: &gopptp.ConfigError{Field: "MTU", Reason: "is odd"}, code: Usage, what: "gopptp: MTU: is odd"},
		{name: "anything else", err: errors.New("strange"), code: Failure, what: "strange"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Tunnel{Host: "vpn", User: "alice", Encryption: c.encryption}.Error(c.err)
			assert.Equal(t, c.code, e.Code)
			assert.Equal(t, c.what, e.What)
			if c.check != "" {
				assert.Contains(t, strings.Join(e.Check, "\n"), c.check)
			}
			for _, line := range append(e.Check, e.What) {
				assert.NotContains(t, line, "\n")
			}
		})
	}
}

// What is said is what was asked for.
func TestFlags(t *testing.T) {
	tunnel := Tunnel{
		Host: "vpn", User: "alice", AuthMethods: []ppp.AuthMethod{ppp.AuthEAP, ppp.AuthPAP},
		KeyLengths: mppe.AllowKey128 | mppe.AllowKey40, Modes: mppe.AllowStateful,
	}
	e := tunnel.Error(&gopptp.SessionError{Stage: gopptp.StateEstablish, Cause: gopptp.CauseAuthentication, Err: lcp.ErrAuthRefused})
	assert.Equal(t, "vpn and this client know no authentication in common; this client does EAP, PAP.", e.What)
	e = tunnel.Error(&gopptp.SessionError{Stage: gopptp.StateNetwork, Cause: gopptp.CauseEncryption, Err: mppe.ErrRefused})
	assert.Equal(t, Encryption, e.Code)
	assert.Equal(t, "vpn refused the encryption (128-bit/40-bit stateful MPPE) that --encryption require demands.", e.What)
	assert.Contains(t, strings.Join(e.Check, "\n"), "pap or chap-md5")
	tunnel.Modes |= mppe.AllowStateless
	e = tunnel.Error(&gopptp.SessionError{Stage: gopptp.StateNetwork, Cause: gopptp.CausePeer, Err: gopptp.ErrPeerClosed})
	assert.Contains(t, strings.Join(e.Check, "\n"), "128-bit/40-bit stateless/stateful MPPE")
}

func TestSetup(t *testing.T) {
	for _, c := range []struct {
		err         error
		what, check string
	}{
		{fmt.Errorf("raw GRE socket: %w", syscall.EPERM), "This machine does not allow it: raw GRE socket: operation not permitted.", "root"},
		{fmt.Errorf("open: %w", syscall.ENOENT), "This machine lacks something: open: no such file or directory.", "modprobe tun"},
		{fmt.Errorf("userspace: not on plan9: %w", gopptp.ErrNotSupported), "This system cannot do it: userspace: not on plan9: unsupported operation.", ""},
		{errors.New("busy"), "This machine could not: busy.", ""},
	} {
		e := Tunnel{}.Setup(c.err)
		assert.Equal(t, Local, e.Code)
		assert.Equal(t, c.what, e.What)
		assert.Contains(t, strings.Join(e.Check, "\n"), c.check)
	}
}

// Every cause at every stage has an explanation, and every code a meaning.
func TestComplete(t *testing.T) {
	for stage := gopptp.StateConnect; stage <= gopptp.StateClosed; stage++ {
		assert.NotEmpty(t, stages[stage])
		for cause := gopptp.CauseNone; cause <= gopptp.CauseDataplane; cause++ {
			e := Tunnel{Host: "vpn"}.Error(&gopptp.SessionError{Stage: stage, Cause: cause, Err: errors.New("x")})
			assert.NotEmpty(t, e.What)
			assert.NotEqual(t, OK, e.Code)
		}
	}
	table := Table()
	for c := OK; c <= Interrupted; c++ {
		assert.Contains(t, table, fmt.Sprintf("%2d  %s\n", c, meanings[c]))
		assert.NotEmpty(t, meanings[c])
	}
}
