package traffic

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Kind is what a session is used for.
type Kind uint8

// The kinds.
const (
	Idle  Kind = iota // nothing
	Ping              // a small packet a second
	Small             // of 100 octets, such as of a call
	Large             // as large as they fit
	Bulk              // as large as they fit, as many as make a rate
	Kinds
)

var kindNames = [Kinds]string{"idle", "ping", "small", "large", "bulk"}

func (k Kind) String() string { return kindNames[k] }

// Mix says what sessions are used for.
type Mix struct {
	// Share is the part of each kind, of Total.
	Share [Kinds]int
	// SmallRate and LargeRate are packets a second, BulkRate is bits a second, of a
	// session.
	SmallRate, LargeRate, BulkRate float64
	Via                            Via
	Port                           uint16     // of UDP
	To                             netip.Addr // behind the server; not valid: the server's own in the tunnel
}

// ParseShares reads shares such as "idle=70,ping=20,bulk=10".
func ParseShares(text string) (shares [Kinds]int, err error) {
	for _, word := range strings.Split(text, ",") {
		name, number, _ := strings.Cut(strings.TrimSpace(word), "=")
		share, bad := strconv.Atoi(number)
		known := false
		for k, n := range kindNames {
			if n != name {
				continue
			}
			if known = true; shares[k] != 0 {
				return shares, fmt.Errorf("%s is there twice", name)
			}
			shares[k] = share
		}
		switch {
		case !known:
			return shares, fmt.Errorf("%q is not one of idle, ping, small, large, bulk", name)
		case bad != nil || share < 1 || share > 1e6:
			return shares, fmt.Errorf("%q is not a share, like %s=20", word, name)
		}
	}
	return shares, nil
}

// Total is what the shares are parts of.
func (m *Mix) Total() (total int) {
	for _, s := range m.Share {
		total += s
	}
	return total
}

// KindOf returns the kind of session i: each number of sessions that follow each
// other has about its share of each.
func (m *Mix) KindOf(i int) Kind {
	total := m.Total()
	if total == 0 {
		return Idle
	}
	// The golden section spreads a kind evenly, whatever the shares are.
	const golden = 0.6180339887498949
	at := float64(i+1) * golden
	place := int((at - float64(int(at))) * float64(total))
	for k, s := range m.Share {
		if place -= s; place < 0 {
			return Kind(k)
		}
	}
	return Idle
}

// pace returns the size of a session's packets and the time between them.
func (m *Mix) pace(k Kind, mtu int) (size int, every time.Duration) {
	const small = 100
	rate := 1.0
	switch size = mtu; k {
	case Ping:
		size = 84 // as ping does
	case Small:
		size, rate = small, m.SmallRate
	case Large:
		rate = m.LargeRate
	case Bulk:
		rate = m.BulkRate / 8 / float64(mtu)
	}
	return size, time.Duration(float64(time.Second) / rate)
}
