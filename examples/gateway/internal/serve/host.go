package serve

import (
	"bytes"
	"log/slog"
	"os"
)

// WarnOfHost looks at settings of the host that are not the gateway's to change,
// but without which its users will not get far.
func WarnOfHost(log *slog.Logger, ipv6 bool) {
	if isOff("/proc/sys/net/ipv4/ip_forward") {
		log.Warn("net.ipv4.ip_forward is 0: clients reach the gateway and nothing behind it; sysctl -w net.ipv4.ip_forward=1 changes that")
	}
	if !ipv6 {
		return
	}
	const forward = "/proc/sys/net/ipv6/conf/all/forwarding"
	if _, err := os.Stat(forward); err != nil {
		log.Warn("this kernel has no IPv6: ipv6.prefix cannot be routed")
	} else if isOff(forward) {
		log.Warn("net.ipv6.conf.all.forwarding is 0: by IPv6, clients reach the gateway and nothing behind it; sysctl -w net.ipv6.conf.all.forwarding=1 changes that")
	}
}

func isOff(sysctl string) bool {
	value, err := os.ReadFile(sysctl)
	return err == nil && string(bytes.TrimSpace(value)) == "0"
}
