package gopptp_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/ppp"
)

// slowConn is a control connection on a slow path, as its client has it.
type slowConn struct {
	net.Conn
	latency time.Duration
}

func (c slowConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	time.Sleep(c.latency)
	return n, err
}

func (c slowConn) Write(b []byte) (int, error) {
	time.Sleep(c.latency)
	return c.Conn.Write(b)
}

// A Configure-Request of CCP or IPCP must not be repeated before its answer can
// come: pppd that requires MPPE hangs up at a CCP request that it has acked, and
// at one of IPCP it begins IPCP anew, for ever.
func TestSlowPathRepeatsNothing(t *testing.T) {
	for _, latency := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond} {
		t.Run(fmt.Sprint(latency), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.net.Impair(memory.Impairment{Delay: latency})
				var repeated []string
				sent := make(map[string]bool)
				w.net.Tap(func(p memory.Packet) {
					protocol, payload, err := ppp.DecodeFrame(p.Frame())
					if err != nil || protocol != ppp.ProtocolCCP && protocol != ppp.ProtocolIPCP || ppp.Code(payload[0]) != ppp.ConfigureRequest {
						return
					}
					request := fmt.Sprintf("%v: %v % x", p.From, protocol, payload)
					if sent[request] {
						repeated = append(repeated, request)
					}
					sent[request] = true
				})
				server := w.serve(nil)
				w.dial(func(c *gopptp.ClientConfig) {
					dial := c.DialContext
					c.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
						conn, err := dial(ctx, network, address)
						return slowConn{conn, latency}, err
					}
				})
				w.session(server)
				synctest.Wait()
				require.NotEmpty(t, sent)
				require.Empty(t, repeated)
			})
		})
	}
}
