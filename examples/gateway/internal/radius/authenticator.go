package radius

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/vendors/microsoft"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/eap"
	"github.com/gopptp/gopptp/ppp"
)

// AuthenticatorConfig describes an Authenticator.
type AuthenticatorConfig struct {
	Client   *Client
	Identity Identity
	// Encryption is the policy of the gateway, which that of a user must not contradict.
	Encryption gopptp.EncryptionPolicy
	// Own is the gateway's address in the tunnels, which no route may have in it.
	Own netip.Addr
	// Prefixes is the network that sessions get their IPv6 prefixes from, in which no server
	// may give one: another session may have it. Not valid: there is none.
	Prefixes netip.Prefix
	// Log is told of what a server grants and cannot be had. Nil is silent.
	Log *slog.Logger
}

// Authenticator has RADIUS servers decide who may come in. It implements
// gopptp.Authenticator.
type Authenticator struct{ cfg AuthenticatorConfig }

// NewAuthenticator returns an Authenticator.
func NewAuthenticator(cfg AuthenticatorConfig) *Authenticator {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Authenticator{cfg}
}

// challenge is what has to come back to a server in the middle of EAP. No other server
// could go on.
type challenge struct {
	state  []byte
	server *Server
}

// Authenticate implements gopptp.Authenticator.
func (a *Authenticator) Authenticate(ctx context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
	r, err := a.accessRequest(req)
	if errors.Is(err, errImpossible) {
		return nil, gopptp.ErrBadCredentials
	}
	if err != nil {
		return nil, err
	}
	reply, err := a.cfg.Client.Exchange(ctx, r)
	clear(r.Password)
	if err != nil {
		return nil, err
	}
	a.cfg.Log.Debug("RADIUS", "session", req.Session, "remote", req.Remote, "user", req.Name, "server", reply.Server.Name(), "answer", reply.Code.String())
	switch reply.Code {
	case radius.CodeAccessAccept:
		return a.accepted(req, reply)
	case radius.CodeAccessChallenge:
		return challenged(req, reply)
	}
	return nil, rejected(req, reply)
}

// accepted is what an Access-Accept means.
func (a *Authenticator) accepted(req *gopptp.AuthRequest, reply *Reply) (*gopptp.AuthResult, error) {
	if err := service(reply.Packet); err != nil {
		return nil, err
	}
	result, problems, err := a.grants(req, reply.Packet)
	if err != nil {
		return nil, err
	}
	for _, problem := range problems {
		a.cfg.Log.Warn("RADIUS: left out of what the user is granted", "session", req.Session, "user", req.Name,
			"server", reply.Server.Name(), "err", problem)
	}
	k, err := keys(req, reply)
	if err != nil {
		return nil, err
	}
	switch req.Method {
	case ppp.AuthMSCHAPv2:
		result.AuthenticatorResponse, err = success(reply.Packet)
	case ppp.AuthEAP:
		result.EAP, _ = rfc2869.EAPMessage_Lookup(reply.Packet)
	}
	if err == nil {
		result.Keys, err = encrypt(a.cfg.Encryption, req.Method, reply.Packet, k)
	}
	if err != nil {
		if k != nil {
			k.Wipe()
		}
		return nil, err
	}
	return result, nil
}

// service refuses who is granted another service than that of this gateway (RFC 2865 §5.6
// and §5.7), such as one who may administer the server.
func service(p *radius.Packet) error {
	granted := ""
	if v, err := rfc2865.ServiceType_Lookup(p); err == nil && v != rfc2865.ServiceType_Value_FramedUser {
		granted = fmt.Sprintf("Service-Type %v", v)
	} else if v, err := rfc2865.FramedProtocol_Lookup(p); err == nil && v != rfc2865.FramedProtocol_Value_PPP {
		granted = fmt.Sprintf("Framed-Protocol %v", v)
	} else {
		return nil
	}
	const noDialInPermission = 649
	return &gopptp.AuthError{Code: noDialInPermission, Message: "You are granted " + granted + ", and not PPP"}
}

// success is the text by which the server proves that it knows the password: an identifier
// and "S=" with 40 digits (RFC 2548 §2.3.3).
func success(p *radius.Packet) (string, error) {
	value := microsoft.MSCHAP2Success_Get(p)
	const digits = 40
	i := bytes.Index(value, []byte("S="))
	if i < 0 || i > 1 || len(value) < i+2+digits {
		return "", errors.New("radius: an Access-Accept for MS-CHAPv2 without MS-CHAP2-Success: the peer would not believe it")
	}
	return string(value[i:][:2+digits]), nil
}

// challenged is what an Access-Challenge means: the next round of EAP. Other methods have
// no way to put a question to the user, so it is a refusal (RFC 2865 §4.4).
func challenged(req *gopptp.AuthRequest, reply *Reply) (*gopptp.AuthResult, error) {
	if req.Method != ppp.AuthEAP {
		return nil, &gopptp.AuthError{Message: fmt.Sprintf("The server has a question, which %v cannot ask", req.Method)}
	}
	message, err := rfc2869.EAPMessage_Lookup(reply.Packet)
	if err != nil {
		return nil, fmt.Errorf("radius: an Access-Challenge without EAP-Message: %w", err)
	}
	return &gopptp.AuthResult{
		Continue: true,
		EAP:      message,
		State:    &challenge{rfc2865.State_Get(reply.Packet), reply.Server},
	}, nil
}

// rejected is what an Access-Reject means.
func rejected(req *gopptp.AuthRequest, reply *Reply) error {
	refusal := &gopptp.AuthError{
		Code:    int(chap.AuthenticationFailure),
		Message: short(rfc2865.ReplyMessage_GetString(reply.Packet)),
	}
	switch req.Method {
	case ppp.AuthEAP:
		// What the packet is called counts, and not what is in it (RFC 3579 §2.6.3).
		if m, err := rfc2869.EAPMessage_Lookup(reply.Packet); err == nil && len(m) > 0 && ppp.Code(m[0]) == eap.CodeFailure {
			refusal.EAP = m
		}
	case ppp.AuthMSCHAPv1, ppp.AuthMSCHAPv2:
		value := microsoft.MSCHAPError_Get(reply.Packet)
		if len(value) > 1 && value[1] != '=' { // the identifier, which some leave out
			value = value[1:]
		}
		failure := chap.ParseFailure(value)
		if failure.Code != 0 {
			refusal.Code, refusal.Retry = int(failure.Code), failure.Retry
			refusal.ChangePassword = failure.Code == chap.PasswordExpired && req.Method == ppp.AuthMSCHAPv2
		}
		if failure.Message != "" && refusal.Message == "" {
			refusal.Message = short(failure.Message)
		}
	}
	if refusal.Message == "" {
		refusal.Message = "Authentication failure"
	}
	return refusal
}
