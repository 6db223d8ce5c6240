package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// RADIUS says which servers decide about users who are in no local store.
type RADIUS struct {
	Servers       []RADIUSServer `yaml:"servers"`
	NASIdentifier string         `yaml:"nas_identifier"`
	NASAddress    netip.Addr     `yaml:"nas_address"`
	Source        netip.Addr     `yaml:"source"`
	Patience      time.Duration  `yaml:"patience"`
	InFlight      int            `yaml:"in_flight"`
	RequireMAC    bool           `yaml:"require_message_authenticator"`
	DeadAfter     int            `yaml:"dead_after"`
	HoldDown      time.Duration  `yaml:"hold_down"`
	StatusServer  bool           `yaml:"status_server"`
}

func defaultRADIUS() RADIUS {
	return RADIUS{
		Servers:      []RADIUSServer{},
		NASAddress:   netip.IPv4Unspecified(),
		Source:       netip.IPv4Unspecified(),
		Patience:     10 * time.Second,
		InFlight:     256,
		RequireMAC:   true,
		DeadAfter:    3,
		HoldDown:     30 * time.Second,
		StatusServer: true,
	}
}

// Enabled reports whether there are servers.
func (r *RADIUS) Enabled() bool { return len(r.Servers) > 0 }

// Address is the gateway's address there; not valid: the one that the client has
// connected to.
func (r *RADIUS) Address() netip.Addr { return specified(r.NASAddress) }

// From is the address from which servers are asked; not valid: as routes say.
func (r *RADIUS) From() netip.Addr { return specified(r.Source) }

func specified(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// NAS is the name by which RADIUS knows the gateway.
func (c *Config) NAS() string {
	if c.RADIUS.NASIdentifier != "" {
		return c.RADIUS.NASIdentifier
	}
	return c.Name
}

// DynAuth says who may end and change sessions by RADIUS (RFC 5176).
type DynAuth struct {
	Listen           []netip.AddrPort `yaml:"listen"`
	Clients          []DynAuthClient  `yaml:"clients"`
	RequireTimestamp bool             `yaml:"require_event_timestamp"`
}

// DynAuthClient is where orders come from.
type DynAuthClient struct {
	Source     netip.Prefix `yaml:"source"`
	Secret     Secret       `yaml:"secret"`
	SecretFile string       `yaml:"secret_file"`
}

func defaultDynAuth() DynAuth {
	return DynAuth{Listen: []netip.AddrPort{}, Clients: []DynAuthClient{}, RequireTimestamp: true}
}

// radius looks at what RADIUS has to do with log-ins and orders.
func (k *checker) radius() {
	r := &k.cfg.RADIUS
	k.radiusServers("radius.servers", r.Servers, "1812")
	if len(r.NASIdentifier) > 253 {
		k.bad("radius.nas_identifier", "has more than 253 octets")
	}
	for key, a := range map[string]netip.Addr{"radius.nas_address": r.NASAddress, "radius.source": r.Source} {
		if a.IsValid() && !a.IsUnspecified() && !unicast(a) {
			k.bad(key, "%v cannot be the address of a host", a)
		}
	}
	k.durationFrom("radius.patience", r.Patience, time.Second, 5*time.Minute)
	k.numberFrom("radius.in_flight", r.InFlight, 1, 65536)
	k.numberFrom("radius.dead_after", r.DeadAfter, 1, 1000)
	k.durationFrom("radius.hold_down", r.HoldDown, time.Second, time.Hour)
	if a := k.cfg.Limits.Authentications; r.Enabled() && a > r.InFlight {
		k.warn("radius.in_flight", "is less than limits.authentications, %d: the rest waits here, and patience is over meanwhile", a)
	}

	d := &k.cfg.DynAuth
	for i, a := range d.Listen {
		if !k.cfg.Wrong(index("dynauth.listen", i)) && a.Port() == 0 {
			k.bad(index("dynauth.listen", i), "%v needs a port, like 3799", a)
		}
	}
	if len(d.Listen) > 0 && len(d.Clients) == 0 {
		k.bad("dynauth.clients", "there are none: nobody could give orders")
	}
	for i, c := range d.Clients {
		path := index("dynauth.clients", i)
		if !c.Source.IsValid() && !k.cfg.wrongWithin(path) {
			k.bad(path, "needs a source, like 192.0.2.10/32")
		}
	}
}

func (k *checker) numberFrom(path string, value, least, most int) {
	if !k.cfg.Wrong(path) && (value < least || value > most) {
		k.bad(path, "%d is not from %d to %d", value, least, most)
	}
}

func (k *checker) durationFrom(path string, value, least, most time.Duration) {
	if !k.cfg.Wrong(path) && (value < least || value > most) {
		k.bad(path, "%v is not from %v to %v", value, least, most)
	}
}

// readRADIUS reads what the sections for RADIUS have in files of their own, relative to dir.
func (c *Config) readRADIUS(dir string) (problems diag.Problems) {
	problems.Add(c.readServers("radius.servers", c.RADIUS.Servers, dir)...)
	problems.Add(c.readServers("accounting.servers", c.Accounting.Servers, dir)...)
	for i := range c.DynAuth.Clients {
		client := &c.DynAuth.Clients[i]
		problems.Add(c.readRADIUSSecret(index("dynauth.clients", i), &client.Secret, &client.SecretFile, true, dir)...)
	}
	return problems
}

// radiusSecrets reports whether there are secrets of RADIUS in the file itself.
func (c *Config) radiusSecrets() bool {
	inFile := func(s RADIUSServer) bool { return s.Secret != "" && s.SecretFile == "" }
	return slices.ContainsFunc(c.RADIUS.Servers, inFile) || slices.ContainsFunc(c.Accounting.Servers, inFile) ||
		slices.ContainsFunc(c.DynAuth.Clients, func(d DynAuthClient) bool { return d.SecretFile == "" })
}
