package radius

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"layeh.com/radius"
	"layeh.com/radius/vendors/mikrotik"
	"layeh.com/radius/vendors/wispr"

	"github.com/gopptp/gopptp"
)

// rates returns the limits that a packet has, those of Mikrotik before those of WISPr.
// Nil is one of which it says nothing.
func rates(p *radius.Packet) (fromPeer, toPeer *gopptp.BitRate, err error) {
	if text := mikrotik.MikrotikRateLimit_GetString(p); text != "" {
		r, err := parseRateLimit(text)
		if err != nil {
			return nil, nil, err
		}
		return &r.FromPeer, &r.ToPeer, nil
	}
	if up, err := wispr.WISPrBandwidthMaxUp_Lookup(p); err == nil {
		fromPeer = &gopptp.BitRate{BitsPerSecond: uint64(up)}
	} else if !errors.Is(err, radius.ErrNoAttribute) {
		return nil, nil, fmt.Errorf("WISPr-Bandwidth-Max-Up: %w", err)
	}
	if down, err := wispr.WISPrBandwidthMaxDown_Lookup(p); err == nil {
		toPeer = &gopptp.BitRate{BitsPerSecond: uint64(down)}
	} else if !errors.Is(err, radius.ErrNoAttribute) {
		return nil, nil, fmt.Errorf("WISPr-Bandwidth-Max-Down: %w", err)
	}
	return fromPeer, toPeer, nil
}

// parseRateLimit reads a Mikrotik-Rate-Limit:
//
//	rx[/tx] [rx-burst[/tx-burst] [rx-threshold[/tx-threshold] [rx-time[/tx-time] [priority [rx-min[/tx-min]]]]]]
//
// rx is what the router receives, from the client; where there is no tx, it is that too.
// Rates are in bits a second, with the suffixes k, M and G; zero is no limit.
//
// There a burst goes on at its rate until the average over the time is above the
// threshold: so what a pause saves up for is threshold times time, which makes our burst.
// The priority and the rates that are to be had in any case mean nothing here.
func parseRateLimit(text string) (r gopptp.Rates, err error) {
	fields := strings.Fields(text)
	if len(fields) == 0 || len(fields) > 6 {
		return r, fmt.Errorf("Mikrotik-Rate-Limit %q: one to six words are possible", short(text))
	}
	fail := func(err error) (gopptp.Rates, error) {
		return gopptp.Rates{}, fmt.Errorf("Mikrotik-Rate-Limit %q: %w", short(text), err)
	}
	var rx, tx [4]uint64 // rate, burst rate, threshold, seconds
	for i, field := range fields[:min(len(fields), len(rx))] {
		if rx[i], tx[i], err = parsePair(field); err != nil {
			return fail(err)
		}
	}
	if len(fields) < 3 { // defaults: the rate, and a second
		rx[2], tx[2] = rx[0], tx[0]
	}
	if len(fields) < 4 {
		rx[3], tx[3] = 1, 1
	}
	r.FromPeer, r.ToPeer = limitOf(rx), limitOf(tx)
	return r, nil
}

func limitOf(v [4]uint64) gopptp.BitRate {
	rate, burst, threshold, seconds := v[0], v[1], v[2], v[3]
	limit := gopptp.BitRate{BitsPerSecond: rate}
	if rate == 0 || burst <= rate || seconds == 0 {
		return limit // without bursts of its own
	}
	if threshold == 0 {
		threshold = rate
	}
	high, octets := bits.Mul64(threshold/8, seconds)
	if high != 0 || octets > math.MaxInt32 {
		octets = math.MaxInt32
	}
	limit.Burst = int(octets)
	return limit
}

func parsePair(text string) (rx, tx uint64, err error) {
	first, second, both := strings.Cut(text, "/")
	if rx, err = parseBits(first); err != nil || !both {
		return rx, rx, err
	}
	tx, err = parseBits(second)
	return rx, tx, err
}

var errBits = errors.New("a number is wanted, with k, M or G behind it or nothing")

func parseBits(text string) (uint64, error) {
	unit := uint64(1)
	if text != "" {
		switch text[len(text)-1] {
		case 'k', 'K':
			unit = 1e3
		case 'm', 'M':
			unit = 1e6
		case 'g', 'G':
			unit = 1e9
		}
	}
	if unit > 1 {
		text = text[:len(text)-1]
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, errBits
	}
	high, n := bits.Mul64(n, unit)
	if high != 0 {
		return 0, errBits
	}
	return n, nil
}

// short makes text of a server fit for a log.
func short(text string) string {
	const most = 120
	text = strings.ToValidUTF8(text, "?")
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "..."
	}
	return text
}
