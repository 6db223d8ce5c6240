package radiustest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
)

// exchange asks once, with the library's own client.
func exchange(t *testing.T, p *radius.Packet, to netip.AddrPort) (*radius.Packet, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client := radius.Client{Retry: 200 * time.Millisecond}
	return client.Exchange(ctx, p, to.String())
}

func accounting(t *testing.T, session string) *radius.Packet {
	t.Helper()
	p := radius.New(radius.CodeAccountingRequest, []byte(Secret))
	require.NoError(t, rfc2865.UserName_SetString(p, `DOMAIN\bob`))
	require.NoError(t, rfc2866.AcctStatusType_Set(p, rfc2866.AcctStatusType_Value_Stop))
	require.NoError(t, rfc2866.AcctSessionID_SetString(p, session))
	require.NoError(t, rfc2865.Class_Add(p, []byte{0, 1}))
	require.NoError(t, rfc2865.Class_Add(p, []byte{2}))
	return p
}

func TestServer(t *testing.T) {
	t.Parallel()
	s := Start(t, Config{Users: []User{{Name: "bob", Password: `pa"ss\word`, Reply: []string{`Framed-Pool = "gold"`, "Class = 0x01"}}}})
	answer, err := exchange(t, accounting(t, "one"), s.Acct)
	require.NoError(t, err)
	require.Equal(t, radius.CodeAccountingResponse, answer.Code)

	s.Stop()
	s.Restart()
	_, err = exchange(t, accounting(t, "two"), s.Acct)
	require.NoError(t, err)
	records := s.Await(2)
	require.Len(t, records, 2)
	require.Equal(t, "one", records[0].Get("Acct-Session-Id"))
	require.Equal(t, "two", records[1].Get("Acct-Session-Id"))
	require.Equal(t, "Stop", records[0].Get("Acct-Status-Type"))
	require.Equal(t, `DOMAIN\bob`, records[0].Get("User-Name"))
	require.Equal(t, []string{"0x0001", "0x02"}, records[0]["Class"])
	require.Empty(t, records[0].Get("Framed-Pool"))
	require.Empty(t, s.Requests())
}

func TestRelay(t *testing.T) {
	t.Parallel()
	s := Start(t, Config{})
	r := NewRelay(t, s.Acct)
	_, err := exchange(t, accounting(t, "through"), r.Addr)
	require.NoError(t, err)
	require.NotZero(t, r.Requests.Load())

	forge := func(answer []byte) { answer[4] ^= 1 }
	r.Mangle.Store(&forge)
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = radius.Exchange(ctx, accounting(t, "forged"), r.Addr.String())
	require.Error(t, err)
}
