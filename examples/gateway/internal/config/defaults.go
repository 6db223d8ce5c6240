package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// Default returns the configuration of an empty file.
func Default() *Config {
	return &Config{
		Listen:       []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), 1723)},
		Name:         "gopptp",
		LocalAddress: netip.MustParseAddr("10.8.0.1"),
		Pools:        []Pool{plainPool(rangeOf(netip.MustParsePrefix("10.8.0.0/24")))},
		DNS:          []netip.Addr{},
		WINS:         []netip.Addr{},
		IPv6:         IPv6{DNS: []IPv6Addr{}},

		AuthMethods:    []ppp.AuthMethod{ppp.AuthMSCHAPv2},
		Reauthenticate: 0,
		Encryption:     gopptp.EncryptionRequire,
		MPPEKeyLengths: []mppe.KeyLength{mppe.Key128},
		MPPEModes:      []MPPEMode{MPPEStateless},

		MTU:         0,
		SecretsFile: "",
		Users:       []User{},
		Groups:      []Group{},
		Policy:      defaultPolicy(),
		Database:    defaultDatabase(),
		RADIUS:      defaultRADIUS(),
		DynAuth:     defaultDynAuth(),
		Accounting:  defaultAccounting(),
		Bans:        defaultBans(),
		Firewall:    defaultFirewall(),
		Echo:        Echo{Interval: 30 * time.Second, Failures: 4},
		Limits:      defaultLimits(),
		TUN:         "pptp0",
		Dataplane: Dataplane{
			Mode:          dataplane.Auto,
			Device:        "ppp%d",
			Workers:       0,
			XDP:           XDPAuto,
			Offload:       true,
			MSSClamp:      true,
			Batch:         64,
			Ring:          2048,
			ReceiveBuffer: 4 << 20,
			SendBuffer:    2 << 20,
		},
		Loops:       0,
		StopTimeout: 10 * time.Second,
		Admin:       Admin{},
		Metrics:     Metrics{Listen: []netip.AddrPort{}},
		Log:         Log{Level: slog.LevelInfo, Format: LogText, Output: LogStderr},
	}
}
