package serve

import (
	"bytes"
	"log/slog"
	"os"
)

// WarnOfHost looks at settings of the host that are not the gateway's to change,
// but without which its users will not get far.
func WarnOfHost(log *slog.Logger) {
	const forward = "/proc/sys/net/ipv4/ip_forward"
	if value, err := os.ReadFile(forward); err == nil && string(bytes.TrimSpace(value)) == "0" {
		log.Warn("net.ipv4.ip_forward is 0: clients reach the gateway and nothing behind it; sysctl -w net.ipv4.ip_forward=1 changes that")
	}
}
