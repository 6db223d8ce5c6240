package kernel

import (
	"encoding/binary"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/internal/nstest"
	"github.com/gopptp/gopptp/ppp"
)

// tap counts the users' packets that arrive at a machine by GRE.
type tap struct{ clear, encrypted atomic.Uint64 }

func (m *machine) tap(t testing.TB) *tap {
	t.Helper()
	var fd int
	var err error
	m.Do(func() {
		var order [2]byte
		binary.BigEndian.PutUint16(order[:], unix.ETH_P_IP)
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(binary.NativeEndian.Uint16(order[:])))
	})
	require.NoError(t, err)
	timeout := unix.Timeval{Usec: 50_000}
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout))
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20))
	p := new(tap)
	stop := make(chan struct{})
	var done sync.WaitGroup
	done.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := unix.Read(fd, buf)
			if err == nil {
				p.count(buf[:n])
				continue
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	t.Cleanup(func() {
		close(stop)
		done.Wait()
		unix.Close(fd)
	})
	return p
}

func (p *tap) count(packet []byte) {
	if packet[9] != unix.IPPROTO_GRE {
		return
	}
	b := packet[int(packet[0]&0x0f)*4:]
	var h gre.Header
	n, err := h.Decode(b)
	if err != nil || !h.HasSequence {
		return
	}
	protocol, _, err := ppp.DecodeFrame(b[n : n+int(h.PayloadLength)])
	switch {
	case err != nil:
	case protocol == ppp.ProtocolCompressed:
		p.encrypted.Add(1)
	case protocol.IsData():
		p.clear.Add(1)
	}
}

// Where encryption is required, no user's packet leaves in clear: while the session
// comes up, while it is up, and while the peer begins anew, again and again, which has
// the kernel by itself go on in clear.
func TestNothingInClear(t *testing.T) {
	client, server := machines(t)
	atServer, atClient := server.tap(t), client.tap(t)
	clientPlane, serverPlane := client.open(t, Options{}), server.open(t, Options{})
	s := serve(t, client, server, clientPlane, serverPlane, nil)

	// Both hosts have packets for each other all the time.
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for _, m := range []*machine{client, server} {
		var fd int
		var err error
		m.Do(func() { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0) })
		require.NoError(t, err)
		flood.Go(func() {
			defer unix.Close(fd)
			for i := 0; ; i++ {
				to := innerServer.As4()
				if m == server {
					to = firstClient.As4()
					to[3] += byte(i % 8)
				}
				_ = unix.Sendto(fd, []byte("psst"), 0, &unix.SockaddrInet4{Addr: to, Port: 9})
				select {
				case <-stop:
					return
				case <-time.After(200 * time.Microsecond):
				}
			}
		})
	}
	for range 5 {
		session := s.dial(t)
		before := atServer.encrypted.Load()
		nstest.Eventually(t, "packets of the client", func() bool { return atServer.encrypted.Load() > before+10 })

		// As a peer would, or somebody on the way.
		for _, p := range []*Plane{clientPlane, serverPlane} {
			for range 3 {
				before := atServer.encrypted.Load() + atClient.encrypted.Load()
				for _, code := range []ppp.Code{ppp.ConfigureRequest, ppp.ConfigureAck} {
					p.forge(t, code)
				}
				nstest.Eventually(t, "packets again", func() bool {
					return atServer.encrypted.Load()+atClient.encrypted.Load() > before+20
				})
			}
		}
		clientPlane.forge(t, ppp.TerminateRequest)
		time.Sleep(20 * time.Millisecond)
		session.Close()
		<-session.Done()
	}
	close(stop)
	flood.Wait()
	require.Zero(t, atServer.clear.Load()+atClient.clear.Load())
	require.NotZero(t, atClient.encrypted.Load())
	require.NotZero(t, atServer.encrypted.Load())
}

// forge sends a packet of CCP to the peer of the one call, which names MPPE.
func (p *Plane) forge(t testing.TB, code ppp.Code) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		frame := []byte{0x80, 0xfd, byte(code), 77, 0, 10, 18, 6, 1, 0, 0, 0x40}
		_ = c.WriteControl(frame) // the call may just have ended
	}
}

// Many calls take no threads while they are idle, and each few descriptors.
func TestManyCalls(t *testing.T) {
	const total, atOnce = 150, 30
	client, server := machines(t)
	s := serve(t, client, server, client.open(t, Options{}), server.open(t, Options{}), nil)
	descriptors := nstest.Descriptors(t)
	var up []*gopptp.Session
	for range total / atOnce {
		var wg sync.WaitGroup
		batch := make([]*gopptp.Session, atOnce)
		for i := range batch {
			wg.Go(func() { batch[i] = s.dial(t) })
		}
		wg.Wait()
		up = append(up, batch...)
	}
	nstest.Eventually(t, "all devices", func() bool { return client.devices(t)+server.devices(t) == 2*total })
	for _, session := range up {
		require.True(t, s.echo(t, session), "%v", session.Local())
	}
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(status), "Threads:")
	threads, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(t, err)
	require.Less(t, threads, 64)
	// The PPTP socket, the channel, the unit, and the control connection's at both ends;
	// and one of the loop that Dial makes for each of its sessions.
	require.LessOrEqual(t, nstest.Descriptors(t)-descriptors, total*(2*4+1)+16)
	for _, session := range up {
		session.Close()
	}
	for _, session := range up {
		<-session.Done()
	}
}
