package firewall

import (
	"fmt"
	"os"
)

// Forward has the host forward packets between its interfaces, of IPv4 and, if wanted, of
// IPv6. It stays so: what else of the host needs it, nobody knows.
func Forward(ipv6 bool) error {
	names := []string{"/proc/sys/net/ipv4/ip_forward"}
	if ipv6 {
		names = append(names, "/proc/sys/net/ipv6/conf/all/forwarding")
	}
	for _, name := range names {
		if now, err := os.ReadFile(name); err == nil && len(now) > 0 && now[0] == '1' {
			continue // which needs no privilege
		}
		if err := os.WriteFile(name, []byte("1"), 0); err != nil {
			return fmt.Errorf("firewall: forwarding cannot be switched on: %w", err)
		}
	}
	return nil
}
