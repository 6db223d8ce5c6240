package accounting

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

// sample is a record that has everything.
func sample(kind Kind, session string) Record {
	began := time.Date(2026, 2, 3, 4, 5, 6, 7000, time.UTC)
	return Record{
		Kind: kind, Session: session, Time: began.Add(time.Hour), NAS: "gw1", User: "alice", Group: "staff", Backend: "radius", Began: began,
		Local: netip.MustParseAddrPort("192.0.2.1:1723"), Remote: netip.MustParseAddrPort("198.51.100.7:40000"), Serial: 9,
		Address: netip.MustParseAddr("10.8.0.7"), IPv6Prefix: netip.MustParsePrefix("2001:db8:1:2::/64"),
		InterfaceID: netip.MustParseAddr("fe80::1:2:3:4"), Encryption: "MPPE 128-bit stateless",
		Class: [][]byte{{0, 1, 255}, []byte("gold")},
		Usage: Usage{time.Hour, 5 << 32, 6, 1<<64 - 1, 8},
		Cause: LostCarrier, Reason: "dead peer",
	}
}

func TestRecordOnDisk(t *testing.T) {
	for _, r := range []Record{
		sample(Stop, "0123456789abcdef"),
		{Kind: On, Session: "run", Time: time.Unix(1, 0).UTC(), NAS: "gw"},
		{Kind: Start, Session: "s", Time: time.Unix(1, 0).UTC(), User: "\x00\"ü"},
		{Kind: Start, Session: "s", Time: time.Unix(1, 0).UTC(), User: "M\xfcller"},
	} {
		b := r.encode(nil)
		assert.Equal(t, byte(r.Kind), b[0])
		var got Record
		require.NoError(t, got.decode(b))
		assert.Equal(t, r, got)
	}
	var r Record
	for _, b := range []string{"", "\x01", "\x01{", "\x01{}", "\x02" + string(sampleStart())[1:], "\x01[]"} {
		assert.ErrorIs(t, r.decode([]byte(b)), errTorn, "%q", b)
	}
}

func sampleStart() []byte {
	r := sample(Start, "s")
	return r.encode(nil)
}

func FuzzRecord(f *testing.F) {
	f.Add(sampleStart())
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Record
		if r.decode(b) != nil {
			return
		}
		if err := again.decode(r.encode(nil)); err != nil {
			t.Fatal(err)
		}
	})
}

func TestDelay(t *testing.T) {
	r := sample(Stop, "s")
	assert.Equal(t, time.Minute, r.Delay(r.Time.Add(time.Minute)))
	assert.Zero(t, r.Delay(r.Time.Add(-time.Hour)), "the clock was set back")
}

// Every cause of the library has a cause of RADIUS.
func TestCauses(t *testing.T) {
	names := make(map[string]bool)
	for c := gopptp.CauseNone + 1; ; c++ {
		name := c.String()
		if _, known := terminateCauses[c]; !known {
			assert.Equal(t, fmt.Sprintf("cause %d", c), name, "is not sorted")
			break
		}
		assert.False(t, names[name])
		names[name] = true
		assert.Contains(t, causeOf(c).String(), "-", name)
	}
	assert.Equal(t, NASError, causeOf(255))
	assert.Equal(t, "99", TerminateCause(99).String())
}
