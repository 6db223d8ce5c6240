package gopptp_test

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/ppp"
	"github.com/gopptp/gopptp/pptp"
)

// callKeeper is a data plane that keeps the last call, by which a client can send what
// its session would not, and counts what it is answered.
type callKeeper struct {
	gopptp.Dataplane
	mu      sync.Mutex
	call    gopptp.Call
	answers atomic.Int64
}

func (k *callKeeper) Open(cfg gopptp.CallConfig, h gopptp.CallHandler) (gopptp.Call, error) {
	call, err := k.Dataplane.Open(cfg, &countingHandler{h, &k.answers})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.call = call
	return call, err
}

func (k *callKeeper) last() gopptp.Call {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.call
}

type countingHandler struct {
	gopptp.CallHandler
	n *atomic.Int64
}

func (h *countingHandler) ControlFrame(frame []byte) {
	h.n.Add(1)
	h.CallHandler.ControlFrame(frame)
}

// storm is a frame that is sent again and again: the server has to answer each.
type storm struct {
	name     string
	protocol ppp.Protocol
	packet   ppp.Packet
}

var storms = []storm{
	{"LCP echo", ppp.ProtocolLCP, ppp.Packet{Code: 9, Data: []byte{0, 0, 0, 0}}},
	{"LCP codes that nobody knows", ppp.ProtocolLCP, ppp.Packet{Code: 77}},
	{"protocols that nobody knows", 0x8071, ppp.Packet{Code: ppp.ConfigureRequest}},
	{"CCP reset", ppp.ProtocolCCP, ppp.Packet{Code: 14}},
	{"IPCP terminate", ppp.ProtocolIPCP, ppp.Packet{Code: ppp.TerminateRequest}},
}

// Frames that a peer sends without end take a bounded part of the time of a worker, and
// end its session, but nobody else's.
func TestFrameFlood(t *testing.T) {
	for _, storm := range storms {
		t.Run(storm.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				server := w.serve(func(cfg *gopptp.ServerConfig) { cfg.Loops = 1 })
				neighbour, err := w.tryDialFrom(netip.MustParseAddr("192.0.2.99"), nil)
				require.NoError(t, err)
				keeper := new(callKeeper)
				flooder := w.dial(func(cfg *gopptp.ClientConfig) {
					keeper.Dataplane, cfg.Dataplane = cfg.Dataplane, keeper
				})
				require.Equal(t, 2, server.Stats().Up)

				const perSecond = 2000
				frame := ppp.AppendHeader(nil, storm.protocol, ppp.HeaderCompression{})
				frame = storm.packet.Append(frame)
				call, began := keeper.last(), time.Now()
				keeper.answers.Store(0)
				for n := 0; n < 60*perSecond && flooder.State() != gopptp.StateClosed; n++ {
					frame[3] = byte(n) // its identifier
					if call.WriteControl(frame) != nil {
						break
					}
					time.Sleep(time.Second / perSecond)
				}
				synctest.Wait()
				took := time.Since(began)
				require.Less(t, took, 30*time.Second)
				require.LessOrEqual(t, keeper.answers.Load(), int64(300+110*took.Seconds()), "in %v", took)
				require.EqualValues(t, 1, server.Stats().FailedFlood)
				require.Equal(t, 1, server.Stats().Up)
				require.Equal(t, gopptp.StateUp, neighbour.State())
			})
		})
	}
}

// A control connection that floods loses its sessions, and nobody else does.
func TestControlFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		server := w.serve(nil)
		neighbour, err := w.tryDialFrom(netip.MustParseAddr("192.0.2.99"), nil)
		require.NoError(t, err)
		var nc net.Conn
		flooder := w.dial(func(cfg *gopptp.ClientConfig) {
			dial := cfg.DialContext
			cfg.DialContext = func(ctx context.Context, network, address string) (_ net.Conn, err error) {
				nc, err = dial(ctx, network, address)
				return nc, err
			}
		})
		began := time.Now()
		message := (&pptp.SetLinkInfo{PeerCallID: 1}).Append(nil)
		for {
			if _, err := nc.Write(message); err != nil {
				break
			}
			require.Less(t, time.Since(began), time.Minute)
		}
		<-flooder.Done()
		synctest.Wait()
		require.GreaterOrEqual(t, time.Since(began), pptp.FloodTime)
		require.EqualValues(t, 1, server.Stats().FailedFlood)
		require.Equal(t, gopptp.StateUp, neighbour.State())
		require.Equal(t, 1, server.Stats().Up)
	})
}
