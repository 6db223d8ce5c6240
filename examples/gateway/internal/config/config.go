// Package config is the gateway's configuration file: what may be in it, the
// defaults, how it is read and what is checked.
//
// A key is added in three places: the struct here, defaults.go, and
// gateway.example.yaml, which a test compares with both. What a key's text must
// look like is in scalars.go, what its value must be in check.go.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// Config is the configuration of a gateway. gateway.example.yaml says what each
// key means.
type Config struct {
	Listen       []netip.AddrPort `yaml:"listen"`
	Name         string           `yaml:"name"`
	LocalAddress netip.Addr       `yaml:"local_address"`
	Pools        []Pool           `yaml:"pools"`
	// AddressesFile is of package addresses.
	AddressesFile string       `yaml:"addresses_file"`
	DNS           []netip.Addr `yaml:"dns"`
	WINS          []netip.Addr `yaml:"wins"`
	IPv6          IPv6         `yaml:"ipv6"`

	AuthMethods    []ppp.AuthMethod        `yaml:"auth_methods"`
	Reauthenticate time.Duration           `yaml:"reauthenticate"`
	Encryption     gopptp.EncryptionPolicy `yaml:"encryption"`
	MPPEKeyLengths []mppe.KeyLength        `yaml:"mppe_key_lengths"`
	MPPEModes      []MPPEMode              `yaml:"mppe_modes"`

	MTU         int           `yaml:"mtu"`
	SecretsFile string        `yaml:"secrets_file"`
	Users       []User        `yaml:"users"`
	Groups      []Group       `yaml:"groups"`
	Policy      Policy        `yaml:"policy"`
	Database    Database      `yaml:"database"`
	RADIUS      RADIUS        `yaml:"radius"`
	DynAuth     DynAuth       `yaml:"dynauth"`
	Accounting  Accounting    `yaml:"accounting"`
	Bans        Bans          `yaml:"bans"`
	Firewall    Firewall      `yaml:"firewall"`
	Echo        Echo          `yaml:"echo"`
	Limits      Limits        `yaml:"limits"`
	TUN         string        `yaml:"tun"`
	FlowControl bool          `yaml:"gre_flow_control"`
	Dataplane   Dataplane     `yaml:"dataplane"`
	Loops       int           `yaml:"loops"`
	StopTimeout time.Duration `yaml:"stop_timeout"`
	Admin       Admin         `yaml:"admin"`
	Metrics     Metrics       `yaml:"metrics"`
	Log         Log           `yaml:"log"`

	// source knows where in the file each key is.
	source source
}

// User is an account in the configuration file itself.
type User struct {
	Name     string         `yaml:"name"`
	Password *Secret        `yaml:"password"`
	NTHash   *chap.NTHash   `yaml:"nt_hash"`
	Address  netip.Addr     `yaml:"address"`
	Routes   []netip.Prefix `yaml:"routes"`
	Group    string         `yaml:"group"`
	Pool     string         `yaml:"pool"`
	Rules
}

// MPPEMode is how MPPE changes its keys.
type MPPEMode string

// The modes.
const (
	MPPEStateless MPPEMode = "stateless"
	MPPEStateful  MPPEMode = "stateful"
)

// Echo says when a peer that is silent is taken for dead.
type Echo struct {
	Interval time.Duration `yaml:"interval"`
	Failures int           `yaml:"failures"`
}

// Secret is a password. It prints as "[redacted]".
type Secret string

const redacted = "[redacted]"

// String implements fmt.Stringer.
func (Secret) String() string { return redacted }

// GoString implements fmt.GoStringer.
func (Secret) GoString() string { return redacted }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps secrets out of what is encoded.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
