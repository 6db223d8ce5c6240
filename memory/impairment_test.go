package memory_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/memory"
)

var (
	tunnelClient = netip.MustParseAddr("10.0.0.9")
	tunnelServer = netip.MustParseAddr("10.0.0.1")
)

// handler is told and says nothing.
type handler struct{ attached, failed []error }

func (h *handler) ControlFrame([]byte) {}
func (h *handler) Attached(err error)  { h.attached = append(h.attached, err) }
func (h *handler) ResetNeeded()        {}
func (h *handler) Failed(err error)    { h.failed = append(h.failed, err) }

// tunnel is a call between two hosts, without a session.
type tunnel struct {
	network                *memory.Network
	client, server         *memory.Host
	clientCall, serverCall gopptp.Call
	atClient, atServer     handler
	sent                   uint32
}

// withTunnel runs f in virtual time.
func withTunnel(t *testing.T, f func(t *testing.T, u *tunnel)) {
	synctest.Test(t, func(t *testing.T) {
		u := &tunnel{network: memory.NewNetwork()}
		defer u.network.Close()
		u.client, u.server = u.network.Host(clientIP), u.network.Host(serverIP)
		var err error
		u.clientCall, err = u.client.Dataplane().Open(gopptp.CallConfig{Local: clientIP, Peer: serverIP}, &u.atClient)
		require.NoError(t, err)
		u.serverCall, err = u.server.Dataplane().Open(gopptp.CallConfig{Local: serverIP, Peer: clientIP}, &u.atServer)
		require.NoError(t, err)
		require.NoError(t, u.clientCall.Connect(gopptp.PeerCall{ID: u.serverCall.ID()}))
		require.NoError(t, u.serverCall.Connect(gopptp.PeerCall{ID: u.clientCall.ID()}))
		require.NoError(t, u.clientCall.Attach(gopptp.Network{Local: tunnelClient, Peer: tunnelServer, MTU: 1400}))
		require.NoError(t, u.serverCall.Attach(gopptp.Network{Local: tunnelServer, Peer: tunnelClient, MTU: 1400}))
		synctest.Wait()
		f(t, u)
	})
}

// send sends n packets from the client, one a millisecond.
func (u *tunnel) send(n int) {
	for range n {
		u.client.Send(ipPacket(tunnelClient, tunnelServer, string(binary.BigEndian.AppendUint32(nil, u.sent))))
		u.sent++
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Second)
	synctest.Wait()
}

// got returns the numbers of the packets that have come.
func (u *tunnel) got() (numbers []uint32) {
	for {
		select {
		case p := <-u.server.Packets():
			numbers = append(numbers, binary.BigEndian.Uint32(p[20:]))
		default:
			return numbers
		}
	}
}

func TestPerfectNetwork(t *testing.T) {
	withTunnel(t, func(t *testing.T, u *tunnel) {
		began := time.Now()
		u.client.Send(ipPacket(tunnelClient, tunnelServer, "now"))
		packet := <-u.server.Packets()
		require.Equal(t, "now", string(packet[20:]))
		require.Zero(t, time.Since(began))
		u.send(1000)
		got := u.got()
		require.Len(t, got, 1000)
		require.IsIncreasing(t, got)
		s := u.network.Stats()
		require.Equal(t, s.Sent, s.Delivered)
		require.Zero(t, s.Lost+s.Duplicated+s.Filtered+s.Overflow+s.NoHost)
	})
}

func TestImpair(t *testing.T) {
	withTunnel(t, func(t *testing.T, u *tunnel) {
		u.network.Impair(memory.Impairment{Loss: 0.1, Duplicate: 0.2, Seed: 1})
		u.send(1000)
		c := u.serverCall.Counters()
		require.InDelta(t, 100, c.Lost, 30)
		require.InDelta(t, 180, c.Duplicates, 50)
		require.Zero(t, c.Reordered)
		got := u.got()
		require.EqualValues(t, len(got), c.ReceivedPackets)
		require.IsIncreasing(t, got)
		require.NotZero(t, u.network.Stats().Lost)
		require.NotZero(t, u.network.Stats().Duplicated)

		u.network.Impair(memory.Impairment{Delay: 50 * time.Millisecond, Jitter: 5 * time.Millisecond})
		began := time.Now()
		u.client.Send(ipPacket(tunnelClient, tunnelServer, "later"))
		<-u.server.Packets()
		require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)
		require.Less(t, time.Since(began), 60*time.Millisecond)
		u.send(1000)
		require.NotZero(t, u.serverCall.Counters().Reordered)
		require.Len(t, u.got(), 1000, "put right")

		u.network.Impair(memory.Impairment{})
		u.send(10)
		require.Len(t, u.got(), 10)
	})
}

// The same seed does the same to the packets of a direction.
func TestImpairIsRepeatable(t *testing.T) {
	run := func(seed uint64) (got []uint32) {
		withTunnel(t, func(t *testing.T, u *tunnel) {
			u.network.Impair(memory.Impairment{Loss: 0.3, Duplicate: 0.1, Jitter: 3 * time.Millisecond, Seed: seed})
			u.send(200)
			got = u.got()
		})
		return got
	}
	first := run(7)
	require.Equal(t, first, run(7))
	require.NotEqual(t, first, run(8))
}

func TestFilterAndTap(t *testing.T) {
	withTunnel(t, func(t *testing.T, u *tunnel) {
		frames, acks := 0, 0
		u.network.Tap(func(p memory.Packet) {
			if f := p.Frame(); f == nil {
				acks++
			} else {
				require.Equal(t, clientIP, p.From)
				require.Equal(t, serverIP, p.To)
				require.Equal(t, []byte{0xff, 0x03, 0x00, 0x21}, f[:4])
				frames++
			}
		})
		i := 0
		u.network.Filter(func(p memory.Packet) bool {
			if p.Frame() != nil {
				i++
			}
			return i%2 == 0
		})
		u.send(10)
		require.Len(t, u.got(), 5)
		require.Equal(t, 10, frames, "the tap sees all")
		require.NotZero(t, acks)
		require.GreaterOrEqual(t, u.network.Stats().Filtered, uint64(5))
		u.network.Filter(nil)
		u.network.Tap(nil)
		u.send(10)
		require.Len(t, u.got(), 10)
		require.Equal(t, 10, frames)
		require.Nil(t, memory.Packet{Data: []byte{1}}.Frame())
	})
}

func TestCut(t *testing.T) {
	withTunnel(t, func(t *testing.T, u *tunnel) {
		u.network.Impair(memory.Impairment{Delay: time.Second})
		u.client.Send(ipPacket(tunnelClient, tunnelServer, "gone"))
		u.network.Cut(true)
		u.network.Impair(memory.Impairment{})
		u.send(10)
		require.Empty(t, u.got(), "what was under way is lost too")
		u.network.Cut(false)
		u.network.Cut(false)
		u.send(10)
		require.Len(t, u.got(), 10)
	})
}

func TestOverflow(t *testing.T) {
	withTunnel(t, func(t *testing.T, u *tunnel) {
		u.network.Impair(memory.Impairment{Delay: time.Hour})
		packet := ipPacket(tunnelClient, tunnelServer, "many")
		for range 1<<16 + 10 {
			u.client.Send(packet)
		}
		require.EqualValues(t, 10, u.network.Stats().Overflow)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		require.NotZero(t, u.server.Dropped(), "nobody received them")
	})
}

func TestNoHost(t *testing.T) {
	withTunnel(t, func(t *testing.T, u *tunnel) {
		c, err := u.client.Dataplane().Open(gopptp.CallConfig{Local: clientIP, Peer: netip.MustParseAddr("203.0.113.1")}, new(handler))
		require.NoError(t, err)
		require.NoError(t, c.Connect(gopptp.PeerCall{}))
		require.NoError(t, c.WriteControl([]byte{0xc0, 0x21, 1, 1, 0, 4}))
		require.EqualValues(t, 1, u.network.Stats().NoHost)
	})
}

func TestHost(t *testing.T) {
	withTunnel(t, func(t *testing.T, u *tunnel) {
		require.Equal(t, clientIP, u.client.Addr())
		require.Same(t, u.client, u.network.Host(netip.MustParseAddr("::ffff:198.51.100.1")))
		require.Panics(t, func() { u.network.Host(netip.MustParseAddr("2001:db8::1")) })
		require.Equal(t, []error{nil}, u.atClient.attached)
		require.Equal(t, tunnelServer, u.client.Attached()[0].Peer)
		require.Equal(t, tunnelClient, u.server.Attached()[0].Peer)
		require.NoError(t, u.clientCall.Close())
		synctest.Wait()
		require.Empty(t, u.client.Attached())

		// The host may refuse, and take its time.
		refusal := errors.New("no more devices")
		u.server.OnAttach(func(n gopptp.Network) error {
			time.Sleep(time.Minute)
			if n.MTU < 1000 {
				return refusal
			}
			return nil
		})
		require.NoError(t, u.serverCall.Attach(gopptp.Network{Local: tunnelServer, Peer: tunnelClient, MTU: 999}))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, []error{nil, refusal}, u.atServer.attached)
		require.Empty(t, u.server.Attached())
		require.NoError(t, u.serverCall.Attach(gopptp.Network{Local: tunnelServer, Peer: tunnelClient, MTU: 1000}))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		require.Equal(t, []error{nil, refusal, nil}, u.atServer.attached)
		u.server.OnAttach(nil)

		u.network.Close()
		require.Len(t, u.atServer.failed, 1, "who had a call is told")
		_, open := <-u.server.Packets()
		require.False(t, open)
		require.Empty(t, u.server.Attached())
		u.client.Send(ipPacket(tunnelClient, tunnelServer, "nobody"))
	})
}
