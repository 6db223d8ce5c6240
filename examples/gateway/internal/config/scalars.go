package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/dataplane"
	"github.com/gopptp/gopptp/examples/gateway/internal/hours"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// scalars says for each type of value how it is read from its text. The errors
// are for operators: they say what the text is not, and what would be right.
var scalars = map[reflect.Type]func(text string) (any, error){
	reflect.TypeFor[string]():                  func(text string) (any, error) { return text, nil },
	reflect.TypeFor[int]():                     func(text string) (any, error) { return parseInt(text) },
	reflect.TypeFor[bool]():                    func(text string) (any, error) { return parseBool(text) },
	reflect.TypeFor[time.Duration]():           func(text string) (any, error) { return parseDuration(text) },
	reflect.TypeFor[netip.Addr]():              func(text string) (any, error) { return parseAddr(text) },
	reflect.TypeFor[netip.AddrPort]():          func(text string) (any, error) { return parseListen(text) },
	reflect.TypeFor[netip.Prefix]():            func(text string) (any, error) { return parseNetwork(text) },
	reflect.TypeFor[IPv6Network]():             func(text string) (any, error) { return parseIPv6Network(text) },
	reflect.TypeFor[IPv6Addr]():                func(text string) (any, error) { return parseIPv6Addr(text) },
	reflect.TypeFor[Range]():                   func(text string) (any, error) { return parseRange(text) },
	reflect.TypeFor[Pool]():                    func(text string) (any, error) { return parsePool(text) },
	reflect.TypeFor[gopptp.EncryptionPolicy](): func(text string) (any, error) { return parseEncryption(text) },
	reflect.TypeFor[ppp.AuthMethod]():          func(text string) (any, error) { return parseMethod(text) },
	reflect.TypeFor[mppe.KeyLength]():          func(text string) (any, error) { return parseKeyLength(text) },
	reflect.TypeFor[MPPEMode]():                func(text string) (any, error) { return parseMode(text) },
	reflect.TypeFor[dataplane.Mode]():          func(text string) (any, error) { return parseDataplaneMode(text) },
	reflect.TypeFor[XDP]():                     func(text string) (any, error) { return parseXDP(text) },
	reflect.TypeFor[Rate]():                    func(text string) (any, error) { return parseRate(text) },
	reflect.TypeFor[Size]():                    func(text string) (any, error) { return parseSize(text) },
	reflect.TypeFor[AdminAddr]():               func(text string) (any, error) { return parseAdminAddr(text) },
	reflect.TypeFor[WebAddr]():                 func(text string) (any, error) { return parseWebAddr(text) },
	reflect.TypeFor[slog.Level]():              func(text string) (any, error) { return parseLevel(text) },
	reflect.TypeFor[LogFormat]():               func(text string) (any, error) { return parseFormat(text) },
	reflect.TypeFor[LogOutput]():               func(text string) (any, error) { return parseOutput(text) },
	reflect.TypeFor[SyslogAddr]():              func(text string) (any, error) { return parseSyslogAddr(text) },
	reflect.TypeFor[Excess]():                  func(text string) (any, error) { return parseExcess(text) },
	reflect.TypeFor[*time.Location]():          func(text string) (any, error) { return parseZone(text) },
	reflect.TypeFor[hours.Window]():            func(text string) (any, error) { return hours.Parse(text) },
	reflect.TypeFor[BitRate]():                 func(text string) (any, error) { return parseBitRate(text) },
	reflect.TypeFor[Octets]():                  func(text string) (any, error) { return parseOctets(text) },
	// These must not repeat what they read.
	reflect.TypeFor[Secret]():      func(text string) (any, error) { return Secret(text), nil },
	reflect.TypeFor[DatabaseURL](): func(text string) (any, error) { return parseDatabaseURL(text) },
	reflect.TypeFor[RedisURL]():    func(text string) (any, error) { return parseRedisURL(text) },
	reflect.TypeFor[chap.NTHash](): func(text string) (any, error) { return parseNTHash(text) },
}

func parseInt(text string) (int, error) {
	n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is too large a number", text)
	}
	if err != nil {
		return 0, fmt.Errorf("%q is not a whole number", text)
	}
	return n, nil
}

// parseBool reads what YAML 1.2 takes for a truth value: no "yes" and "no".
func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", text)
}

func parseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write it with its unit, like 30s or 1m30s", text)
	}
	return d, nil
}

func parseAddr(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is4() {
		return netip.Addr{}, fmt.Errorf("%q is not an IPv4 address", text)
	}
	return addr, nil
}

func parseListen(text string) (netip.AddrPort, error) {
	full := text
	if strings.HasPrefix(text, ":") {
		full = netip.IPv4Unspecified().String() + text
	}
	listen, err := netip.ParseAddrPort(full)
	if err != nil || !listen.Addr().Is4() {
		return netip.AddrPort{}, fmt.Errorf("%q is not an IPv4 address and port, like 0.0.0.0:1723", text)
	}
	return listen, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	network, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !network.Addr().Is4():
		return netip.Prefix{}, fmt.Errorf("%q is not an IPv4 network, like 10.8.0.0/24", text)
	case network != network.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits set behind its prefix: did you mean %v?", text, network.Masked())
	}
	return network, nil
}

func parseEncryption(text string) (p gopptp.EncryptionPolicy, err error) {
	if p.UnmarshalText([]byte(text)) != nil {
		return 0, notOneOf(text, "require", "prefer", "allow", "deny")
	}
	return p, nil
}

func parseMethod(text string) (m ppp.AuthMethod, err error) {
	if m.UnmarshalText([]byte(text)) != nil {
		return m, notOneOf(text, "ms-chapv2", "ms-chapv1", "chap-md5", "pap", "eap")
	}
	return m, nil
}

func parseKeyLength(text string) (mppe.KeyLength, error) {
	switch text {
	case "128":
		return mppe.Key128, nil
	case "56":
		return mppe.Key56, nil
	case "40":
		return mppe.Key40, nil
	}
	return 0, notOneOf(text, "128", "56", "40")
}

func parseMode(text string) (MPPEMode, error) {
	switch m := MPPEMode(text); m {
	case MPPEStateless, MPPEStateful:
		return m, nil
	}
	return "", notOneOf(text, string(MPPEStateless), string(MPPEStateful))
}

func parseLevel(text string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	if level, ok := levels[text]; ok {
		return level, nil
	}
	return 0, notOneOf(text, "debug", "info", "warn", "error")
}

func parseFormat(text string) (LogFormat, error) {
	switch f := LogFormat(text); f {
	case LogText, LogJSON:
		return f, nil
	}
	return "", notOneOf(text, string(LogText), string(LogJSON))
}

func notOneOf(text string, choices ...string) error {
	return fmt.Errorf("%q is not one of %s", text, strings.Join(choices, ", "))
}

func parseNTHash(text string) (chap.NTHash, error) {
	h, err := chap.ParseNTHash(text)
	if err != nil {
		return chap.NTHash{}, errors.New("an NT hash has 32 hexadecimal digits")
	}
	return h, nil
}
