package radiussink

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"layeh.com/radius"

	"github.com/gopptp/gopptp/examples/gateway/internal/accounting"
	gatewayradius "github.com/gopptp/gopptp/examples/gateway/internal/radius"
	"github.com/gopptp/gopptp/examples/internal/radiustest"
)

var began = time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)

func sample(kind accounting.Kind, session string) accounting.Record {
	return accounting.Record{
		Kind: kind, Session: session, Time: began.Add(time.Hour), NAS: "gw1", User: "alice", Backend: "radius", Began: began,
		Local: netip.MustParseAddrPort("192.0.2.1:1723"), Remote: netip.MustParseAddrPort("198.51.100.7:40000"), Serial: 9,
		Address: netip.MustParseAddr("10.8.0.7"), IPv6Prefix: netip.MustParsePrefix("2001:db8:1:2::/64"),
		InterfaceID: netip.MustParseAddr("fe80::1:2:3:4"), NASPort: 77, Class: [][]byte{{0, 1, 255}, []byte("gold")},
		Usage: accounting.Usage{Duration: time.Hour, ReceivedOctets: 5<<32 + 7, ReceivedPackets: 6, SentOctets: 1<<64 - 1, SentPackets: 8},
		Cause: accounting.LostCarrier, Reason: "dead-peer",
	}
}

func newClient(t *testing.T, address netip.AddrPort) *gatewayradius.Client {
	t.Helper()
	c, err := gatewayradius.NewClient(gatewayradius.ClientConfig{
		Servers:  []gatewayradius.ServerConfig{{Address: address.String(), Secret: radiustest.Secret, Timeout: time.Second}},
		Patience: 2 * time.Second,
	})
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// FreeRADIUS understands all that is sent.
func TestFreeRADIUS(t *testing.T) {
	t.Parallel()
	server := radiustest.Start(t, radiustest.Config{})
	sink := New(newClient(t, server.Acct), netip.Addr{})
	for _, r := range []accounting.Record{
		{Kind: accounting.On, Session: "run", Time: began, NAS: "gw1"},
		sample(accounting.Start, "0123456789abcdef"), sample(accounting.Interim, "0123456789abcdef"), sample(accounting.Stop, "0123456789abcdef"),
	} {
		delivered := false
		require.NoError(t, sink.Send(t.Context(), []accounting.Record{r}, func(_ int, err error) { delivered = err == nil }))
		require.True(t, delivered)
	}
	got := server.Await(4)
	assert.Equal(t, "Accounting-On", got[0].Get("Acct-Status-Type"))
	assert.Equal(t, "run", got[0].Get("Acct-Session-Id"))
	assert.Equal(t, "gw1", got[0].Get("NAS-Identifier"))
	assert.Empty(t, got[0].Get("User-Name"))
	assert.Equal(t, "Start", got[1].Get("Acct-Status-Type"))
	assert.Empty(t, got[1].Get("Acct-Session-Time"))
	assert.Equal(t, "Interim-Update", got[2].Get("Acct-Status-Type"))
	assert.Empty(t, got[2].Get("Acct-Terminate-Cause"))
	assert.Equal(t, []string{"0x0001ff", "0x676f6c64"}, got[3]["Class"])
	for name, want := range map[string]string{
		"Acct-Status-Type": "Stop", "Acct-Session-Id": "0123456789abcdef", "User-Name": "alice", "NAS-Identifier": "gw1",
		"NAS-IP-Address": "192.0.2.1", "Service-Type": "Framed-User", "Framed-Protocol": "PPP", "NAS-Port": "77", "NAS-Port-Type": "Virtual",
		"Framed-IP-Address": "10.8.0.7", "Framed-IPv6-Prefix": "2001:db8:1:2::/64", "Framed-Interface-Id": "1:2:3:4",
		"Acct-Authentic": "RADIUS", "Calling-Station-Id": "198.51.100.7", "Called-Station-Id": "192.0.2.1",
		"Tunnel-Type:0": "PPTP", "Tunnel-Medium-Type:0": "IPv4", "Tunnel-Client-Endpoint:0": "198.51.100.7",
		"Tunnel-Server-Endpoint:0": "192.0.2.1", "Acct-Tunnel-Connection": "9",
		"Acct-Session-Time": "3600", "Acct-Input-Octets": "7", "Acct-Input-Gigawords": "5", "Acct-Input-Packets": "6",
		"Acct-Output-Octets": "4294967295", "Acct-Output-Gigawords": "4294967295", "Acct-Output-Packets": "8",
		"Acct-Terminate-Cause": "Lost-Carrier",
	} {
		assert.Equal(t, want, got[3].Get(name), "%s in %v", name, got[3])
	}
	assert.NotEmpty(t, got[3].Get("Acct-Delay-Time"))
	assert.Contains(t, got[3].Get("Event-Timestamp"), "2026")
}

// What no packet could hold is cut, or left out: the Stop goes.
func TestTooMuch(t *testing.T) {
	r := sample(accounting.Stop, "s")
	r.User = strings.Repeat("x", 300)
	r.Class = nil
	for range 40 {
		r.Class = append(r.Class, make([]byte, 200))
	}
	p := radius.Packet{Code: radius.CodeAccountingRequest, Attributes: attributes(&r, netip.Addr{}, time.Now()), Secret: []byte("x")}
	wire, err := p.Encode()
	require.NoError(t, err)
	assert.Greater(t, len(wire), 3800)
}

// waiting is how many records the queue has.
func waiting(q *accounting.Queue) int { return q.Stats().Lines[0].Waiting }

// A server that is down, then slow, gets everything in the end, each session's Stop once.
func TestOutage(t *testing.T) {
	t.Parallel()
	server := radiustest.Start(t, radiustest.Config{})
	relay := radiustest.NewRelay(t, server.Acct)
	relay.Dead.Store(true)
	q, err := accounting.OpenQueue(accounting.QueueOptions{
		File: filepath.Join(t.TempDir(), "queue"), MaxRecords: 10_000, Log: slog.New(slog.DiscardHandler),
		Sinks: []accounting.Sink{New(newClient(t, relay.Addr), netip.MustParseAddr("192.0.2.9"))},
	})
	require.NoError(t, err)
	const n = 500
	for i := range n {
		q.Put(sample(accounting.Start, fmt.Sprint(i)), sample(accounting.Interim, fmt.Sprint(i)))
	}
	require.Eventually(t, func() bool { return q.Stats().Lines[0].Down }, time.Minute, 10*time.Millisecond)
	assert.LessOrEqual(t, relay.Requests.Load(), int64(8*maxInFlight), "a server that is down is not asked for all of them")
	for i := range n {
		q.Put(sample(accounting.Stop, fmt.Sprint(i)))
	}
	assert.Equal(t, 2*n, waiting(q))
	relay.Delay.Store(int64(20 * time.Millisecond))
	relay.Dead.Store(false)
	require.Eventually(t, func() bool { return waiting(q) == 0 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, q.Close(t.Context()))

	starts, stops := make(map[string]int), make(map[string]int)
	for _, r := range server.Records() {
		session := r.Get("Acct-Session-Id")
		switch r.Get("Acct-Status-Type") {
		case "Start":
			starts[session]++
			assert.Zero(t, stops[session])
		case "Stop":
			stops[session]++
		}
		assert.Equal(t, "192.0.2.9", r.Get("NAS-IP-Address"))
	}
	assert.Len(t, starts, n)
	assert.Len(t, stops, n)
	for session, times := range stops {
		assert.Equal(t, 1, times, session)
	}
}

// A caller that gives up is not kept.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sink := New(newClient(t, netip.MustParseAddrPort("127.0.0.1:9")), netip.Addr{})
	err := sink.Send(ctx, []accounting.Record{sample(accounting.Stop, "s")}, func(int, error) { t.Error("delivered") })
	assert.Error(t, err)
}

// An answer that is forged is none: the record is sent until there is a true one.
func TestForgedAnswer(t *testing.T) {
	t.Parallel()
	server := radiustest.Start(t, radiustest.Config{})
	relay := radiustest.NewRelay(t, server.Acct)
	forge := func(answer []byte) { answer[len(answer)-1] ^= 1 }
	relay.Mangle.Store(&forge)
	q, err := accounting.OpenQueue(accounting.QueueOptions{
		File: filepath.Join(t.TempDir(), "queue"), MaxRecords: 1000, Log: slog.New(slog.DiscardHandler),
		Sinks: []accounting.Sink{New(newClient(t, relay.Addr), netip.Addr{})},
	})
	require.NoError(t, err)
	q.Put(sample(accounting.Stop, "s"))
	require.Eventually(t, func() bool { return q.Stats().Lines[0].Down }, time.Minute, 10*time.Millisecond)
	assert.Equal(t, 1, waiting(q))
	assert.NotEmpty(t, server.Records(), "it has come, but we cannot know")
	relay.Mangle.Store(nil)
	require.Eventually(t, func() bool { return waiting(q) == 0 }, time.Minute, 10*time.Millisecond)
	require.NoError(t, q.Close(t.Context()))
	for _, r := range server.Records() {
		assert.Equal(t, "s", r.Get("Acct-Session-Id"))
		assert.Equal(t, server.Records()[0].Get("Event-Timestamp"), r.Get("Event-Timestamp"))
	}
}
