package kerneltest_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// forger writes frames to the server in the client's name.
type forger struct {
	net *memory.Network

	mu    sync.Mutex
	last  gre.Header       // of the client's
	clear int              // users' packets, of both
	ccp   map[ppp.Code]int // of the server
}

// forge begins to look at what is sent.
func (w *world) forge() *forger {
	f := &forger{net: w.net, ccp: make(map[ppp.Code]int)}
	w.net.Tap(func(p memory.Packet) {
		protocol, payload, err := ppp.DecodeFrame(p.Frame())
		f.mu.Lock()
		defer f.mu.Unlock()
		switch {
		case err != nil:
		case protocol == ppp.ProtocolIPv4:
			f.clear++
		case protocol == ppp.ProtocolCCP && len(payload) > 0 && p.From == serverAddr:
			f.ccp[ppp.Code(payload[0])]++
		}
		var h gre.Header
		if _, err := h.Decode(p.Data); err == nil && h.HasSequence && p.From == clientAddr {
			f.last = h
		}
	})
	return f
}

// write takes the next sequence number, so that the client's next packet is lost.
func (f *forger) write(frame []byte) {
	f.mu.Lock()
	h := gre.Header{
		PayloadLength: uint16(len(frame)), CallID: f.last.CallID, HasSequence: true, Sequence: f.last.Sequence + 1,
	}
	f.mu.Unlock()
	f.net.Inject(memory.Packet{From: clientAddr, To: serverAddr, Data: append(h.Append(nil), frame...)})
}

// seen is how many packets of CCP the server has sent.
func (f *forger) seen(code ppp.Code) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ccp[code]
}

func (f *forger) inClear() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.clear
}

// chatter has packets go both ways, one each 100 microseconds, until the function it
// returns is called. None is left under way then.
func (w *world) chatter(s *gopptp.Session) (stop func()) {
	drain := func() {
		for {
			select {
			case <-w.client.Packets():
			case <-w.server.Packets():
			default:
				return
			}
		}
	}
	var done sync.WaitGroup
	quit := make(chan struct{})
	up, down := ipPacket(s.Local(), serverInner, "up"), ipPacket(serverInner, s.Local(), "down")
	done.Go(func() {
		for tick := time.NewTicker(100 * time.Microsecond); ; drain() {
			select {
			case <-quit:
				tick.Stop()
				return
			case <-tick.C:
				w.client.Send(up)
				w.server.Send(down)
			}
		}
	})
	return func() {
		close(quit)
		done.Wait()
		time.Sleep(time.Second)
		drain()
	}
}

// A peer may begin CCP anew on a session that is up. At no time does a packet go in
// clear, and then there are packets again.
func TestPeerRestartsCCP(t *testing.T) {
	request := ccpFrame(ppp.ConfigureRequest, 18, 6, 1, 0, 0, 0x40)
	for pair, who := range pairs {
		for _, policy := range []gopptp.EncryptionPolicy{gopptp.EncryptionRequire, gopptp.EncryptionPrefer} {
			t.Run(pair+", "+policy.String(), func(t *testing.T) {
				change := func(cfg *gopptp.ServerConfig) { cfg.Encryption = policy }
				inWorld(t, who.server, who.client, change, func(w *world) {
					f := w.forge()
					for seed := range uint64(2) {
						w.net.Impair(memory.Impairment{Delay: time.Millisecond, Jitter: time.Millisecond, Seed: seed})
						s := w.dial(nil)
						stop := w.chatter(s)
						for range 5 {
							acks := f.seen(ppp.ConfigureAck)
							f.write(request)
							time.Sleep(20 * time.Millisecond)
							require.Greater(w, f.seen(ppp.ConfigureAck), acks)
						}
						stop()
						require.NoError(w, s.Err())
						w.net.Impair(memory.Impairment{})
						time.Sleep(10 * time.Second)
						w.exchange(s, 5)
						hangUp(s)
						time.Sleep(time.Second)
					}
					require.Zero(w, f.inClear())
				})
			})
		}
	}
}

// A peer that ends CCP ends the session, or its encryption, where that is allowed; not
// without the session's knowing.
func TestPeerEndsCCP(t *testing.T) {
	for pair, who := range pairs {
		for _, code := range []ppp.Code{ppp.TerminateRequest, ppp.TerminateAck} {
			t.Run(pair+", "+code.String(), func(t *testing.T) {
				inWorld(t, who.server, who.client, nil, func(w *world) {
					f := w.forge()
					s := w.dial(nil)
					stop := w.chatter(s)
					time.Sleep(time.Millisecond)
					f.write(ccpFrame(code))
					time.Sleep(20 * time.Millisecond)
					stop()
					require.Zero(w, f.inClear())
					hangUp(s)
					time.Sleep(time.Second)
					require.Empty(w, w.front.Sessions())
				})
			})
		}
	}
}

var allOps = []kerneltest.Op{
	kerneltest.OpBind, kerneltest.OpConnect, kerneltest.OpAttachChannel, kerneltest.OpWrite,
	kerneltest.OpSetHeader, kerneltest.OpSetFilter, kerneltest.OpCloseSocket, kerneltest.OpNewUnit,
	kerneltest.OpWriteUnit, kerneltest.OpSetEncryption, kerneltest.OpPass, kerneltest.OpDecryption,
	kerneltest.OpIdle, kerneltest.OpStats, kerneltest.OpSetMTU, kerneltest.OpSetUp, kerneltest.OpAddAddress,
	kerneltest.OpRemoveAddress, kerneltest.OpAddRoute, kerneltest.OpRemoveRoute, kerneltest.OpCloseUnit,
}

// Whatever begins to fail once a session is up, no packet goes in clear, and nothing is
// left of it.
func TestOperationFailsLater(t *testing.T) {
	for _, op := range allOps {
		t.Run(string(op), func(t *testing.T) {
			inWorld(t, true, true, nil, func(w *world) {
				f := w.forge()
				s := w.dial(func(cfg *gopptp.ClientConfig) { cfg.EncryptionModes = mppe.AllowStateful })
				hosts := []*kerneltest.Host{w.server.kernel, w.client.kernel}
				for _, h := range hosts {
					h.Fail(op, syscall.EIO)
				}
				stop := w.chatter(s)
				time.Sleep(time.Millisecond)
				f.write(ccpFrame(ppp.ConfigureRequest, 18, 6, 1, 0, 0, 0x40))
				time.Sleep(20 * time.Millisecond)
				stop()
				time.Sleep(time.Minute)
				s.Counters()
				hangUp(s)
				time.Sleep(5 * time.Minute)
				require.Empty(w, w.front.Sessions())
				for _, h := range hosts {
					require.Zero(w, h.Leaks())
					h.Fail(op, nil)
				}
				s = w.dial(nil)
				w.exchange(s, 3)
				hangUp(s)
				require.Zero(w, f.inClear())
			})
		})
	}
}

// A session that has an idle limit asks the kernel how long it has been idle, and if that
// fails looks at what was counted.
func TestIdleTimeout(t *testing.T) {
	for _, err := range []error{nil, syscall.EIO} {
		limit := func(cfg *gopptp.ServerConfig) {
			user := &gopptp.LocalUser{
				NTHash: chap.NTPasswordHash("secret"), Result: gopptp.AuthResult{IdleTimeout: time.Minute},
			}
			cfg.Authenticator = gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
				return user, nil
			})
		}
		inWorld(t, true, true, limit, func(w *world) {
			w.server.kernel.Fail(kerneltest.OpIdle, err)
			s := w.dial(nil)
			for range 10 {
				w.exchange(s, 1)
				time.Sleep(45 * time.Second)
			}
			served := w.front.Sessions()
			require.Len(w, served, 1)
			<-served[0].Done()
			require.ErrorIs(w, served[0].Err(), gopptp.ErrIdleTimeout)
			<-s.Done()
		})
	}
}
