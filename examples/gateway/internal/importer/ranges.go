package importer

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// parsePptpdAddresses reads addresses as pptpd.conf has them: 10.0.0.2,10.0.0.10-20, where a
// range is in the last octet or in another one. Each result is a range as pools have it.
func parsePptpdAddresses(text string) (ranges []string, first netip.Addr, err error) {
	for part := range strings.SplitSeq(text, ",") {
		octets := strings.Split(strings.TrimSpace(part), ".")
		if len(octets) != 4 {
			return nil, first, fmt.Errorf("%q is not an address or a range like 10.0.0.10-20", part)
		}
		var low, high [4]int
		for i, o := range octets {
			from, to, isRange := strings.Cut(o, "-")
			if !isRange {
				to = from
			}
			var err1, err2 error
			low[i], err1 = strconv.Atoi(from)
			high[i], err2 = strconv.Atoi(to)
			if err1 != nil || err2 != nil || low[i] < 0 || high[i] > 255 || low[i] > high[i] {
				return nil, first, fmt.Errorf("%q is not an address or a range like 10.0.0.10-20", part)
			}
		}
		for a := low[0]; a <= high[0]; a++ {
			for b := low[1]; b <= high[1]; b++ {
				for c := low[2]; c <= high[2]; c++ {
					from := netip.AddrFrom4([4]byte{byte(a), byte(b), byte(c), byte(low[3])})
					if !first.IsValid() {
						first = from
					}
					if len(ranges) == 1<<12 {
						return nil, first, fmt.Errorf("%q has too many ranges", part)
					}
					ranges = append(ranges, fmt.Sprintf("%v-%d", from, high[3]))
				}
			}
		}
	}
	return ranges, first, nil
}
