package radius

import (
	"errors"
	"fmt"
	"net/netip"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2868"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/vendors/microsoft"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
)

// errImpossible: a name or a password is longer than RADIUS can say, so nobody has it.
var errImpossible = errors.New("radius: name or password too long, or none")

const (
	maxText     = 253 // octets of an attribute
	maxPassword = 128 // RFC 2865 §5.2
)

// accessRequest is the question whether a peer may come in.
func (a *Authenticator) accessRequest(req *gopptp.AuthRequest) (*Request, error) {
	if req.Name == "" || len(req.Name) > maxText || len(req.Password) > maxPassword {
		return nil, errImpossible
	}
	p := &radius.Packet{Code: radius.CodeAccessRequest, Attributes: a.cfg.Identity.attributes(req.Local.Addr())}
	err := errors.Join(
		rfc2865.UserName_AddString(p, req.Name),
		rfc2865.ServiceType_Add(p, rfc2865.ServiceType_Value_FramedUser),
		rfc2865.FramedProtocol_Add(p, rfc2865.FramedProtocol_Value_PPP),
		rfc2865.NASPort_Add(p, rfc2865.NASPort(req.CallID)),
		rfc2865.NASPortType_Add(p, rfc2865.NASPortType_Value_Virtual),
		rfc2866.AcctSessionID_AddString(p, string(req.Session)),
		rfc2865.CallingStationID_AddString(p, req.Remote.Addr().Unmap().String()),
		rfc2865.CalledStationID_AddString(p, req.Local.Addr().Unmap().String()),
		addTunnel(p, req.Local.Addr(), req.Remote.Addr()),
		addProof(p, req),
	)
	if err != nil {
		return nil, err
	}
	r := &Request{Code: p.Code, Attributes: p.Attributes}
	if c, ok := req.State.(*challenge); ok && req.Method == ppp.AuthEAP {
		r.Attributes.Add(rfc2865.State_Type, c.state)
		r.Server = c.server
	}
	if req.Method == ppp.AuthPAP {
		r.Password = append([]byte{}, req.Password...)
	}
	return r, nil
}

// addTunnel says by which tunnel a user comes (RFC 2868).
func addTunnel(p *radius.Packet, local, remote netip.Addr) error {
	return errors.Join(
		rfc2868.TunnelType_Add(p, 0, rfc2868.TunnelType_Value_PPTP),
		rfc2868.TunnelMediumType_Add(p, 0, rfc2868.TunnelMediumType_Value_IPv4),
		rfc2868.TunnelClientEndpoint_AddString(p, 0, remote.Unmap().String()),
		rfc2868.TunnelServerEndpoint_AddString(p, 0, local.Unmap().String()),
	)
}

// addProof adds what the peer has proved itself by.
func addProof(p *radius.Packet, req *gopptp.AuthRequest) error {
	if req.PasswordChange != nil {
		return addPasswordChange(p, req)
	}
	switch req.Method {
	case ppp.AuthPAP:
		return nil // it depends on the server
	case ppp.AuthCHAPMD5:
		return errors.Join(
			rfc2865.CHAPPassword_Add(p, append([]byte{req.ID}, req.Response...)),
			rfc2865.CHAPChallenge_Add(p, req.Challenge),
		)
	case ppp.AuthMSCHAPv1:
		flags := byte(0)
		if req.Response != nil {
			flags = 1 // the NT-Response counts (RFC 2548 §2.1.3)
		}
		value := append(make([]byte, 0, 50), req.ID, flags)
		value = append(value, padded(req.LMResponse, 24)...)
		value = append(value, padded(req.Response, 24)...)
		return errors.Join(
			microsoft.MSCHAPChallenge_Add(p, req.Challenge),
			microsoft.MSCHAPResponse_Add(p, value),
		)
	case ppp.AuthMSCHAPv2:
		value := append(make([]byte, 0, 50), req.ID, 0) // RFC 2548 §2.3.2
		value = append(value, padded(req.PeerChallenge, 16)...)
		value = append(value, make([]byte, 8)...)
		value = append(value, padded(req.Response, 24)...)
		return errors.Join(
			microsoft.MSCHAPChallenge_Add(p, req.Challenge),
			microsoft.MSCHAP2Response_Add(p, value),
		)
	case ppp.AuthEAP:
		return errors.Join(
			rfc2865.FramedMTU_Add(p, eapMTU),
			rfc2869.EAPMessage_Set(p, req.EAP),
		)
	}
	return fmt.Errorf("radius: %v cannot be asked for", req.Method)
}

// eapMTU is how large a packet of EAP a server may send: it has to fit the least MRU.
const eapMTU = 1400

// addPasswordChange says which password an MS-CHAPv2 peer wants to have (RFC 2548 §2.3.4
// and §2.1.6).
func addPasswordChange(p *radius.Packet, req *gopptp.AuthRequest) error {
	if req.Method != ppp.AuthMSCHAPv2 {
		return fmt.Errorf("radius: a password cannot be changed by %v", req.Method)
	}
	const code = 7 // Change-Password, version 3
	value := append(make([]byte, 0, 68), code, req.ID)
	value = append(value, req.PasswordChange.EncryptedHash[:]...)
	value = append(value, padded(req.PeerChallenge, 16)...)
	value = append(value, make([]byte, 8)...)
	value = append(value, padded(req.Response, 24)...)
	value = append(value, 0, 0) // flags
	err := errors.Join(
		microsoft.MSCHAPChallenge_Add(p, req.Challenge),
		microsoft.MSCHAP2CPW_Add(p, value),
	)
	const piece = 243 // RFC 2548 §2.1.6
	rest := req.PasswordChange.EncryptedPassword[:]
	for i := uint16(1); len(rest) > 0; i++ {
		part := rest[:min(piece, len(rest))]
		rest = rest[len(part):]
		const codeNT = 6
		err = errors.Join(err, microsoft.MSCHAPNTEncPW_Add(p, append([]byte{codeNT, req.ID, byte(i >> 8), byte(i)}, part...)))
	}
	return err
}

// padded is b in n octets.
func padded(b []byte, n int) []byte {
	p := make([]byte, n)
	copy(p, b)
	return p
}
