package explain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/lcp"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/pap"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// Explanation is an error in plain words.
type Explanation struct {
	Code  Code
	What  string   // what happened, in a sentence
	Check []string // what to look at
}

// Tunnel is what an explanation may want to know of what was tried.
type Tunnel struct {
	Host       string
	User       string
	Encryption gopptp.EncryptionPolicy

	// As in gopptp.ClientConfig, where zero is a default.
	AuthMethods []ppp.AuthMethod
	KeyLengths  mppe.KeyLengths
	Modes       mppe.Modes
}

// methods are the ways to authenticate.
func (t Tunnel) methods() string {
	if len(t.AuthMethods) == 0 {
		return ppp.AuthMSCHAPv2.String()
	}
	names := make([]string, len(t.AuthMethods))
	for i, m := range t.AuthMethods {
		names[i] = m.String()
	}
	return strings.Join(names, ", ")
}

// mppe is the encryption that was asked for.
func (t Tunnel) mppe() string {
	lengths, mode := "128-bit", "stateless"
	if t.KeyLengths != 0 {
		lengths = strings.ReplaceAll(t.KeyLengths.String(), ", ", "/")
	}
	switch t.Modes {
	case mppe.AllowStateful:
		mode = "stateful"
	case mppe.AllowStateful | mppe.AllowStateless:
		mode = "stateless/stateful"
	}
	return lengths + " " + mode + " MPPE"
}

// keyless reports whether an authentication may have given no keys for MPPE.
func (t Tunnel) keyless() bool {
	return slices.Contains(t.AuthMethods, ppp.AuthPAP) || slices.Contains(t.AuthMethods, ppp.AuthCHAPMD5)
}

// Error explains the error of gopptp.Dial or of a session's end.
func (t Tunnel) Error(err error) Explanation {
	var end *gopptp.SessionError
	if !errors.As(err, &end) {
		return t.other(err)
	}
	if end.Stage >= gopptp.StateUp {
		return t.lost(end)
	}
	switch end.Cause {
	case gopptp.CauseConnect:
		return t.connect(end.Err)
	case gopptp.CauseControl:
		return t.control(end.Err)
	case gopptp.CauseCall:
		return Explanation{Refused, fmt.Sprintf("%s refused the call: %v.", t.Host, end.Err), []string{
			"The server may be full, or shutting down.",
			"It may allow one call an address, and another client behind your NAT has it.",
		}}
	case gopptp.CauseGREBlocked:
		return t.blocked()
	case gopptp.CauseAuthentication:
		return t.authentication(end.Err)
	case gopptp.CauseEncryption:
		return t.encryption(end.Err)
	case gopptp.CauseNoAddress:
		return Explanation{NoAddress, fmt.Sprintf("%s let %q in but gave no address for the tunnel.", t.Host, t.User), []string{
			"The server's address pool may be used up.",
		}}
	case gopptp.CausePeer:
		return t.hungUp(end)
	case gopptp.CauseTimeout:
		return Explanation{NotInTime, fmt.Sprintf("The tunnel was not up in time; it got as far as: %s.", stages[end.Stage]), []string{
			"Give it longer with --timeout, if the way is slow.",
		}}
	case gopptp.CauseLostCarrier:
		return Explanation{Refused, fmt.Sprintf("%s closed the control connection during: %s.", t.Host, stages[end.Stage]), []string{
			"The server's log should say why.",
		}}
	case gopptp.CauseDataplane:
		return t.local(end.Err)
	case gopptp.CauseLocal:
		return t.other(end.Err)
	}
	return Explanation{Negotiation, fmt.Sprintf("No agreement with %s during: %s: %v.", t.Host, stages[end.Stage], end.Err), nil}
}

// Setup explains an error of this machine, before anything was sent.
func (t Tunnel) Setup(err error) Explanation { return t.local(err) }

// stages are the states of a session by what goes on in them.
var stages = map[gopptp.State]string{
	gopptp.StateConnect:      "TCP connection",
	gopptp.StateControl:      "PPTP control connection",
	gopptp.StateCall:         "PPTP call",
	gopptp.StateEstablish:    "LCP",
	gopptp.StateAuthenticate: "authentication",
	gopptp.StateNetwork:      "encryption and addresses",
	gopptp.StateUp:           "up",
	gopptp.StateTerminate:    "the end",
	gopptp.StateClosed:       "the end",
}

func (t Tunnel) connect(err error) Explanation {
	var dns *net.DNSError
	var network net.Error
	switch {
	case errors.As(err, &dns):
		return Explanation{NoConnect, fmt.Sprintf("The name %q cannot be resolved.", dns.Name), []string{
			"Is it spelled right, and has it an IPv4 address? PPTP knows no other.",
		}}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Explanation{NoConnect, fmt.Sprintf("Connection refused: %s is there, but takes no connections at the PPTP port.", t.Host), []string{
			"Is the PPTP server running, and at TCP port 1723?",
		}}
	case errors.Is(err, context.Canceled):
		return t.other(err)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return Explanation{NoConnect, fmt.Sprintf("There is no way to %s.", t.Host), []string{
			"Is this machine online? ip route get shows what it would do.",
		}}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return Explanation{NoConnect, fmt.Sprintf("No answer from %s.", t.Host), []string{
			"The host may be down, or a firewall swallows TCP port 1723.",
		}}
	}
	return Explanation{NoConnect, fmt.Sprintf("No connection to %s: %v.", t.Host, err), nil}
}

func (t Tunnel) control(err error) Explanation {
	if errors.Is(err, pptp.ErrHandshakeTimeout) {
		return Explanation{Refused, fmt.Sprintf("%s accepts TCP connections but does not answer PPTP.", t.Host), []string{
			"Is it a PPTP server? A proxy or firewall may have answered in its place.",
		}}
	}
	return Explanation{Refused, fmt.Sprintf("%s refused the PPTP control connection: %v.", t.Host, err), []string{
		"The server may limit the connections of one address, or be shutting down; its log should say.",
	}}
}

func (t Tunnel) blocked() Explanation {
	return Explanation{GREBlocked, "No answer to LCP: GRE is blocked on the way. The control connection works, but no GRE packet (IP protocol 47) has come back.", []string{
		"Firewalls at both ends and between must pass IP protocol 47, both ways; TCP port 1723 is not enough.",
		"A NAT must know PPTP. On Linux: load nf_conntrack_pptp and nf_nat_pptp, and assign the helper \"pptp\" to TCP port 1723, which is not automatic since Linux 4.7.",
		"Many mobile and guest networks pass no GRE at all: try from another.",
		"\"tcpdump -n ip proto 47\" on either end shows which packets get through.",
	}}
}

func (t Tunnel) authentication(err error) Explanation {
	var failure *chap.FailureError
	var refused *pap.RefusedError
	switch {
	case errors.As(err, &failure):
		return t.refusedLogin(failure)
	case errors.Is(err, chap.ErrAuthenticatorResponse):
		return Explanation{BadLogin, fmt.Sprintf("%s let us in but could not prove that it knows the password: it is not the server that it should be.", t.Host), []string{
			"Somebody may be in between. Do not use this password again until that is clear.",
		}}
	case errors.Is(err, lcp.ErrAuthRefused):
		return Explanation{BadLogin, fmt.Sprintf("%s and this client know no authentication in common; this client does %s.", t.Host, t.methods()), []string{
			"--auth says what it does. All but ms-chapv2 is worse, and needed for old servers only.",
		}}
	case errors.As(err, &refused):
		return t.refusedLogin(&chap.FailureError{Message: refused.Message})
	case errors.Is(err, eap.ErrRefused):
		e := t.refusedLogin(new(chap.FailureError))
		e.Check = append(e.Check, "The server may want a method of EAP that this client has not.")
		return e
	case errors.Is(err, chap.ErrTimeout), errors.Is(err, pap.ErrTimeout):
		return Explanation{BadLogin, fmt.Sprintf("%s did not answer the authentication.", t.Host), []string{
			"The server may wait for a RADIUS server or a database; its log should say.",
		}}
	}
	return Explanation{BadLogin, fmt.Sprintf("Authentication failed: %v.", err), nil}
}

// The error codes of RFC 2759 §6 that say more than a wrong password.
var refusals = map[chap.ErrorCode]string{
	646: "%q may not log on at this time of day",
	647: "the account %q is disabled",
	648: "the password of %q has expired",
	649: "%q has no permission to dial in",
}

func (t Tunnel) refusedLogin(f *chap.FailureError) Explanation {
	said := ""
	if f.Message != "" {
		said = fmt.Sprintf(" (the server says %q)", f.Message)
	}
	if text, ok := refusals[f.Code]; ok {
		return Explanation{BadLogin, fmt.Sprintf("Login refused: "+text+"%s.", t.User, said), nil}
	}
	return Explanation{BadLogin, fmt.Sprintf("Wrong user name or password: %s refused %q%s.", t.Host, t.User, said), []string{
		"Upper and lower case count in the password.",
		`A Windows domain is part of the name: --user 'DOMAIN\name'.`,
	}}
}

func (t Tunnel) encryption(err error) Explanation {
	e := Explanation{Encryption, fmt.Sprintf("%s refused the encryption (%s) that --encryption %v demands.", t.Host, t.mppe(), t.Encryption), []string{
		"Allow it at the server, or go without by --encryption prefer. MPPE is broken in any case.",
	}}
	if t.keyless() {
		e.Check = append(e.Check, "The server may have chosen pap or chap-md5, which give no keys for it: leave them out of --auth.")
	}
	if t.Encryption != gopptp.EncryptionRequire {
		e.What = fmt.Sprintf("No agreement with %s on encryption (MPPE): %v.", t.Host, err)
		e.Check = nil
	}
	return e
}

// hungUp is a server that ended the call before it was up. It does not have to
// say why; the stage is a good hint.
func (t Tunnel) hungUp(end *gopptp.SessionError) Explanation {
	e := Explanation{Negotiation, fmt.Sprintf("%s hung up during: %s.", t.Host, stages[end.Stage]), []string{
		"The server's log should say why.",
	}}
	switch end.Stage {
	case gopptp.StateEstablish:
		e.Check = append(e.Check, "It may demand another authentication than --auth allows: "+t.methods()+".")
	case gopptp.StateAuthenticate:
		e.Code = BadLogin
		e.Check = append(e.Check, "Most likely it did not like the user name or password.")
	case gopptp.StateNetwork:
		if t.Encryption == gopptp.EncryptionDeny || t.Encryption == gopptp.EncryptionAllow {
			e.Code = Encryption
			e.Check = append(e.Check, "It may demand encryption: try --encryption prefer.")
			break
		}
		e.Check = append(e.Check, "It may have no address left, or not do "+t.mppe()+".")
	}
	return e
}

// lost is the end of a tunnel that was up.
func (t Tunnel) lost(end *gopptp.SessionError) Explanation {
	switch end.Cause {
	case gopptp.CausePeer:
		return Explanation{Lost, fmt.Sprintf("%s ended the tunnel.", t.Host), nil}
	case gopptp.CauseLostCarrier:
		return Explanation{Lost, fmt.Sprintf("The control connection to %s was lost: %v.", t.Host, end.Err), nil}
	case gopptp.CauseDeadPeer:
		return Explanation{Lost, fmt.Sprintf("%s has not answered for some time.", t.Host), []string{
			"Is this machine still online? A NAT on the way may have forgotten the tunnel.",
		}}
	case gopptp.CauseDataplane:
		return t.local(end.Err)
	}
	return Explanation{Lost, fmt.Sprintf("The tunnel ended: %v.", end.Err), nil}
}

func (t Tunnel) local(err error) Explanation {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Explanation{Local, fmt.Sprintf("This machine does not allow it: %v.", err), []string{
			"GRE needs CAP_NET_RAW, and the tunnel's network device CAP_NET_ADMIN: run it as root.",
		}}
	case errors.Is(err, errors.ErrUnsupported):
		return Explanation{Local, fmt.Sprintf("This system cannot do it: %v.", err), nil}
	case errors.Is(err, fs.ErrNotExist):
		return Explanation{Local, fmt.Sprintf("This machine lacks something: %v.", err), []string{
			"Is /dev/net/tun there? \"modprobe tun\" loads its driver.",
		}}
	}
	return Explanation{Local, fmt.Sprintf("This machine could not: %v.", err), nil}
}

func (t Tunnel) other(err error) Explanation {
	var bad *gopptp.ConfigError
	switch {
	case errors.Is(err, context.Canceled):
		return Explanation{Interrupted, "Interrupted before the tunnel was up.", nil}
	case errors.As(err, &bad):
		return Explanation{Usage, err.Error(), nil}
	}
	return Explanation{Failure, err.Error(), nil}
}
