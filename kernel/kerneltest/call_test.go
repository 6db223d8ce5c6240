package kerneltest_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/kernel/kerneltest"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// What a session hardly comes to is tested here by a call without one, and a peer that
// writes its GRE packets by hand.

// owner is a CallHandler that remembers.
type owner struct {
	mu               sync.Mutex
	frames           [][]byte
	attached, failed []error
	resets           int
}

func (o *owner) note(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
}

func (o *owner) ControlFrame(frame []byte) {
	o.note(func() { o.frames = append(o.frames, append([]byte(nil), frame...)) })
}
func (o *owner) Attached(err error) { o.note(func() { o.attached = append(o.attached, err) }) }
func (o *owner) ResetNeeded()       { o.note(func() { o.resets++ }) }
func (o *owner) Failed(err error)   { o.note(func() { o.failed = append(o.failed, err) }) }

// told is what an owner was told since it was last asked.
type told struct {
	frames           [][]byte
	attached, failed []error
	resets           int
}

// peer is a host without a kernel.
type peer struct {
	host *memory.Host
	call uint16 // the ID of the other end
	sent uint32

	mu     sync.Mutex
	last   uint32 // sequence number that came
	frames [][]byte
}

const peerID = 9

func (p *peer) hear(_ netip.Addr, packet []byte) {
	frame := memory.Packet{Data: packet}.Frame()
	protocol, payload, err := ppp.DecodeFrame(frame)
	var h gre.Header
	if _, herr := h.Decode(packet); err != nil || herr != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = h.Sequence
	p.frames = append(p.frames, append(binary.BigEndian.AppendUint16(nil, uint16(protocol)), payload...))
}

func (p *peer) send(frame []byte) {
	p.sent++
	h := gre.Header{PayloadLength: uint16(len(frame)), CallID: p.call, HasSequence: true, Sequence: p.sent}
	p.host.SendGRE(serverAddr, append(h.Append(nil), frame...))
}

// take returns the frames that came since it was last called, and the last sequence
// number.
func (p *peer) take() (frames [][]byte, last uint32) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	frames, p.frames = p.frames, nil
	return frames, p.last
}

// callWorld is a call of the server's kernel with a peer.
type callWorld struct {
	*testing.T
	host  *kerneltest.Host
	plane *kernel.Plane
	gopptp.Call
	owner *owner
	peer  *peer

	mu  sync.Mutex
	ops []kerneltest.Op
}

// inCall runs f with a call that is connected. In the end, nothing must be left of it.
func inCall(t *testing.T, required bool, f func(*callWorld)) {
	inCallWith(t, kerneltest.Options{}, required, f)
}

func inCallWith(t *testing.T, opts kerneltest.Options, required bool, f func(*callWorld)) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		w := &callWorld{
			T: t, host: kerneltest.NewHost(n, serverAddr, opts), owner: new(owner),
			peer: &peer{host: n.Host(clientAddr)},
		}
		w.peer.host.OnGRE(w.peer.hear)
		var err error
		w.plane, err = w.host.Open(kernel.Options{})
		require.NoError(t, err)
		defer func() {
			require.NoError(t, w.plane.Close())
			require.Zero(t, w.host.Leaks())
		}()
		w.Call, err = w.plane.Open(gopptp.CallConfig{Local: serverAddr, Peer: clientAddr, RequireEncryption: required}, w.owner)
		require.NoError(t, err)
		w.peer.call = w.ID()
		require.NoError(t, w.Connect(gopptp.PeerCall{ID: peerID}))
		require.Equal(t, told{}, w.told())
		f(w)
	})
}

// told waits until the plane has nothing to do.
func (w *callWorld) told() told {
	time.Sleep(10 * time.Millisecond)
	synctest.Wait()
	o := w.owner
	o.mu.Lock()
	defer o.mu.Unlock()
	t := told{o.frames, o.attached, o.failed, o.resets}
	o.frames, o.attached, o.failed, o.resets = nil, nil, nil, 0
	return t
}

// record has operations noted from now on.
func (w *callWorld) record() {
	w.ops = nil
	w.host.OnOp(func(op kerneltest.Op, _ uint16) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.ops = append(w.ops, op)
		return nil
	})
}

var plain = gopptp.Network{Local: serverInner, Peer: netip.MustParseAddr("10.9.1.1"), MTU: 1400}

// attach attaches, and expects success.
func (w *callWorld) attach(n gopptp.Network) {
	w.Helper()
	require.NoError(w, w.Attach(n))
	require.Equal(w, told{attached: []error{nil}}, w.told())
}

// passes has a user's packet go to the peer, and reports whether it comes there, and in
// clear or not.
func (w *callWorld) passes() (passed, clear bool) {
	w.peer.take()
	w.host.Send(ipPacket(serverInner, plain.Peer, "down"))
	frames, _ := w.peer.take()
	if len(frames) == 0 {
		return false, false
	}
	return true, ppp.Protocol(binary.BigEndian.Uint16(frames[0])) == ppp.ProtocolIPv4
}

// arrives has a frame of the peer's with a user's packet come, and reports whether the
// host gets it.
func (w *callWorld) arrives(frame []byte) bool {
	w.peer.send(frame)
	synctest.Wait()
	select {
	case <-w.host.Packets():
		return true
	default:
		return false
	}
}

func clearFrame() []byte {
	return append([]byte{0x00, 0x21}, ipPacket(plain.Peer, serverInner, "up")...)
}

// sealed is clearFrame, encrypted.
func sealed(e *mppe.Encryptor) []byte {
	b := append(make([]byte, mppe.HeaderLen), clearFrame()...)
	e.Seal(b)
	return append([]byte{0x00, 0xfd}, b...)
}

func ccpFrame(code ppp.Code, data ...byte) []byte {
	return append([]byte{0x80, 0xfd, byte(code), 1, 0, byte(4 + len(data))}, data...)
}

var (
	key      = mppe.Params{KeyLength: mppe.Key128, Key: mppe.Key{1, 2, 3}}
	stateful = mppe.Params{KeyLength: mppe.Key128, Key: mppe.Key{4, 5, 6}, Stateful: true}
)

// Sent is the sequence number that the next frame goes on from, wherever they go through.
func TestSent(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		sent := func() (n, last uint32) {
			n = w.Call.(interface{ Sent() uint32 }).Sent()
			_, last = w.peer.take()
			return n, last
		}
		n, _ := sent()
		require.Zero(w, n)
		for i, frame := range [][]byte{{0xc0, 0x21, 9, 1, 0, 4}, ccpFrame(ppp.ConfigureRequest), ccpFrame(ppp.ResetAck)} {
			require.NoError(w, w.WriteControl(frame))
			n, last := sent()
			require.Equal(w, uint32(i+1), n)
			require.Equal(w, n, last)
		}
		w.attach(plain)
		require.NoError(w, w.WriteControl(ccpFrame(ppp.ResetAck))) // through the unit
		n, last := sent()
		require.Equal(w, []uint32{4, 4}, []uint32{n, last})

		// What waits is sent first.
		require.NoError(w, w.Detach())
		require.NoError(w, w.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}))
		n, last = sent()
		require.Equal(w, []uint32{5, 5}, []uint32{n, last})

		for _, op := range []kerneltest.Op{kerneltest.OpWrite, kerneltest.OpWriteUnit} {
			w.host.Fail(op, net.ErrWriteToConnected)
		}
		require.ErrorIs(w, w.WriteControl(ccpFrame(ppp.ConfigureAck)), net.ErrWriteToConnected)
		require.ErrorIs(w, w.WriteControl(ccpFrame(ppp.ResetAck)), net.ErrWriteToConnected)
		n, last = sent()
		require.Equal(w, []uint32{5, 5}, []uint32{n, last}, "what was not sent took no number")
		require.Error(w, w.WriteControl([]byte{0xc0}))
	})
}

// Frames that are written while the kernel is busy go later, in order; not too many wait.
func TestWriteControlWhileBusy(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		w.host.OnOp(func(op kerneltest.Op, _ uint16) error {
			if op == kerneltest.OpNewUnit {
				time.Sleep(time.Second)
			}
			return nil
		})
		require.NoError(w, w.Attach(plain))
		synctest.Wait()
		queued := 0
		var err error
		for ; err == nil && queued < 1000; queued++ {
			err = w.WriteControl([]byte{0xc0, 0x21, 9, byte(queued)})
		}
		require.Error(w, err)
		require.NotErrorIs(w, err, net.ErrClosed)
		frames, _ := w.peer.take()
		require.Empty(w, frames)
		time.Sleep(2 * time.Second)
		frames, _ = w.peer.take()
		require.Len(w, frames, queued-1)
		for i, frame := range frames {
			require.Equal(w, byte(i), frame[3])
		}
		require.NoError(w, w.WriteControl([]byte{0xc0, 0x21, 9, 0}), "it is idle again")
	})
}

// The last words of a call are said, though it is closed behind them.
func TestLastFrames(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		require.NoError(w, w.Attach(plain)) // so that they have to wait
		require.NoError(w, w.WriteControl([]byte{0xc0, 0x21, byte(ppp.TerminateRequest), 1, 0, 4}))
		require.NoError(w, w.Close())
		require.Empty(w, w.told().attached)
		frames, _ := w.peer.take()
		require.Len(w, frames, 1)
	})
}

func TestIdle(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		idle := func() time.Duration {
			d, err := w.Call.(gopptp.IdleCall).Idle()
			require.NoError(w, err)
			return d
		}
		time.Sleep(time.Minute)
		require.Zero(w, idle(), "there is no device to tell")
		w.attach(plain)
		time.Sleep(30 * time.Second)
		require.Equal(w, 30*time.Second, idle())
		require.NoError(w, w.WriteControl([]byte{0xc0, 0x21, 9, 1, 0, 4}))
		require.Equal(w, 30*time.Second, idle(), "the link's own frames do not count")
		passed, _ := w.passes()
		require.True(w, passed)
		require.Zero(w, idle())
		time.Sleep(20*time.Second + time.Millisecond)
		require.Equal(w, 20*time.Second, idle())
		require.True(w, w.arrives(clearFrame()))
		require.Zero(w, idle())

		time.Sleep(20 * time.Second)
		w.host.Fail(kerneltest.OpIdle, errors.ErrUnsupported)
		_, err := w.Call.(gopptp.IdleCall).Idle()
		require.ErrorIs(w, err, errors.ErrUnsupported)
		w.host.Fail(kerneltest.OpIdle, nil)
		require.Equal(w, 20*time.Second, idle())
		require.NoError(w, w.Detach())
		require.Zero(w, idle(), "something is being done")
		require.NoError(w, w.Close())
		require.Zero(w, idle())
	})
}

func TestPlaneStats(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		cfg := gopptp.CallConfig{Local: serverAddr, Peer: clientAddr}
		require.Equal(w, kernel.Stats{Calls: 1}, w.plane.Stats())
		second, err := w.plane.Open(cfg, deaf{})
		require.NoError(w, err)
		require.Equal(w, kernel.Stats{Calls: 2}, w.plane.Stats())
		w.host.Fail(kerneltest.OpBind, net.ErrClosed)
		_, err = w.plane.Open(cfg, deaf{})
		require.ErrorIs(w, err, net.ErrClosed)
		require.Equal(w, kernel.Stats{Calls: 2}, w.plane.Stats())
		require.NoError(w, second.Close())
		require.NoError(w, second.Close(), "once more is nothing")
		require.Equal(w, kernel.Stats{Calls: 1}, w.plane.Stats())
		require.NoError(w, w.plane.Close())
		require.Zero(w, w.plane.Stats())
	})
}

func TestClosed(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		cfg := gopptp.CallConfig{Local: serverAddr, Peer: clientAddr}
		require.NoError(w, w.Close())
		for name, err := range map[string]error{
			"Connect":        w.Connect(gopptp.PeerCall{ID: 1}),
			"WriteControl":   w.WriteControl([]byte{0xc0, 0x21}),
			"PrepareReceive": w.PrepareReceive(key),
			"SetEncryption":  w.SetEncryption(gopptp.Encryption{}),
			"Attach":         w.Attach(plain),
			"Detach":         w.Detach(),
		} {
			require.ErrorIs(w, err, net.ErrClosed, name)
		}
		other := new(owner)
		_, err := w.plane.Open(cfg, other)
		require.NoError(w, err)
		require.NoError(w, w.plane.Close())
		require.NoError(w, w.plane.Close(), "once more is nothing")
		require.Len(w, other.failed, 1)
		require.ErrorIs(w, other.failed[0], net.ErrClosed)
		require.Equal(w, told{}, w.told(), "a call that was closed before is told nothing")
		_, err = w.plane.Open(cfg, deaf{})
		require.ErrorIs(w, err, net.ErrClosed)
	})
}

// Outside there is IPv4 alone, however it is written.
func TestOpenIPv6(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		six := netip.MustParseAddr("2001:db8::1")
		for _, cfg := range []gopptp.CallConfig{{Local: serverAddr, Peer: six}, {Local: six, Peer: clientAddr}} {
			_, err := w.plane.Open(cfg, deaf{})
			require.Error(w, err)
		}
		mapped := netip.AddrFrom16(clientAddr.As16())
		c, err := w.plane.Open(gopptp.CallConfig{Local: serverAddr, Peer: mapped}, deaf{})
		require.NoError(w, err)
		require.ErrorIs(w, c.Connect(gopptp.PeerCall{ID: peerID}), kernel.ErrCollision, "it is the same peer")
	})
}

// All call IDs of a range are used, each once.
func TestCallIDRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		h := kerneltest.NewHost(n, serverAddr, kerneltest.Options{})
		const first, last = 60, 330
		p, err := h.Open(kernel.Options{FirstCallID: first, LastCallID: last})
		require.NoError(t, err)
		defer p.Close()
		cfg := gopptp.CallConfig{Local: serverAddr, Peer: clientAddr}
		seen := make(map[uint16]gopptp.Call)
		open := func(p *kernel.Plane) {
			c, err := p.Open(cfg, deaf{})
			require.NoError(t, err)
			require.NotContains(t, seen, c.ID())
			require.GreaterOrEqual(t, c.ID(), uint16(first))
			require.LessOrEqual(t, c.ID(), uint16(last))
			seen[c.ID()] = c
		}
		for range last - first + 1 {
			open(p)
		}
		_, err = p.Open(cfg, deaf{})
		require.ErrorIs(t, err, kernel.ErrNoCallID)
		for i := range 60 { // they are used by another plane of the host, then
			id := uint16(first + 4*i)
			require.NoError(t, seen[id].Close())
			delete(seen, id)
		}
		time.Sleep(time.Second)
		other, err := h.Open(kernel.Options{FirstCallID: first, LastCallID: last})
		require.NoError(t, err)
		defer other.Close()
		for range 10 {
			open(other)
		}
	})
}

func TestOptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := memory.NewNetwork()
		defer n.Close()
		h := kerneltest.NewHost(n, serverAddr, kerneltest.Options{MPPE: kerneltest.Missing})
		for field, opts := range map[string]kernel.Options{
			"DeviceName":  {DeviceName: "pptp"},
			"FirstCallID": {FirstCallID: 7, LastCallID: 6},
		} {
			_, err := h.Open(opts)
			require.ErrorContains(t, err, "Options."+field)
		}
		for _, name := range []string{"pptp-of-many%d-users", "a/%d", "%d %d", "%d%s"} {
			require.Error(t, (&kernel.Options{DeviceName: name}).Validate(), name)
		}
		p, err := h.Open(kernel.Options{DeviceName: "vpn%d"})
		require.NoError(t, err, "it does without MPPE")
		c, err := p.Open(gopptp.CallConfig{Local: serverAddr, Peer: clientAddr}, deaf{})
		require.NoError(t, err)
		require.NoError(t, c.Connect(gopptp.PeerCall{ID: peerID}))
		name := c.(interface{ DeviceName() string }).DeviceName
		require.Empty(t, name(), "it has none yet")
		require.NoError(t, c.Attach(plain))
		time.Sleep(time.Second)
		require.Equal(t, "vpn0", name())
		require.NoError(t, p.Close())
	})
}

// A report says what is there, what is not and why, and what to do about it.
func TestReport(t *testing.T) {
	r := kernel.Report{
		PPTP: kernel.Ability{Name: "PPTP driver", Answer: kernel.Supported},
		PPP:  kernel.Ability{Name: "PPP", Answer: kernel.NotSupported, Err: net.ErrClosed, Advice: "modprobe it"},
		MPPE: kernel.Ability{Name: "MPPE"},
	}
	r.Rates = r.PPTP
	r.Rates.Name = "rate limits"
	r.Privileges = r.PPTP
	r.Privileges.Name = "privileges"
	ppp := "PPP: not supported: " + net.ErrClosed.Error() + " (modprobe it)"
	require.Equal(t, "privileges: supported\n"+ppp+"\nPPTP driver: supported\nMPPE: could not tell\nrate limits: supported", r.String())
	require.EqualError(t, r.Err(false), "kernel: "+ppp+": "+errors.ErrUnsupported.Error())
	require.ErrorContains(t, r.Err(true), "MPPE: could not tell")
	require.Equal(t, "answer 9", kernel.Answer(9).String())
}

// Users' packets pass in clear where that is allowed and nothing is agreed on, encrypted
// in the directions that are, and else not at all.
func TestWhatPasses(t *testing.T) {
	for _, c := range []struct {
		name           string
		required       bool
		e              gopptp.Encryption
		sends, inClear bool
		takesClear     bool
		takesEncrypted bool
	}{
		{"nothing", false, gopptp.Encryption{}, true, true, true, false},
		{"sending", false, gopptp.Encryption{Send: &key}, true, false, true, false},
		{"receiving", false, gopptp.Encryption{Receive: &stateful}, true, true, false, true},
		{"both", false, gopptp.Encryption{Send: &key, Receive: &stateful}, true, false, false, true},
		{"required: nothing", true, gopptp.Encryption{}, false, false, false, false},
		{"required: sending", true, gopptp.Encryption{Send: &key}, true, false, false, false},
		{"required: receiving", true, gopptp.Encryption{Receive: &stateful}, false, false, false, false},
		{"required: both", true, gopptp.Encryption{Send: &key, Receive: &stateful}, true, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			inCall(t, c.required, func(w *callWorld) {
				check := func(sends, inClear, takesClear, takesEncrypted bool) {
					passed, clear := w.passes()
					require.Equal(w, []bool{sends, inClear}, []bool{passed, clear})
					require.Equal(w, takesClear, w.arrives(clearFrame()))
					enc, err := mppe.NewEncryptor(stateful)
					require.NoError(w, err)
					require.Equal(w, takesEncrypted, w.arrives(sealed(enc)))
					require.Empty(w, w.told().failed)
				}
				w.attach(plain)
				for range 2 {
					check(!c.required, !c.required, !c.required, false)
					require.NoError(w, w.PrepareReceive(stateful))
					require.NoError(w, w.SetEncryption(c.e))
					require.Empty(w, w.told())
					check(c.sends, c.inClear, c.takesClear, c.takesEncrypted)
					require.NoError(w, w.SetEncryption(gopptp.Encryption{}))
					require.Empty(w, w.told())
				}
				require.NoError(w, w.Detach())
				require.Empty(w, w.told())
				check(false, false, false, false)
			})
		})
	}
}

// A request of the peer's to begin CCP anew is handed up, and ends no encryption before
// the session does.
func TestRequestEndsNothing(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		w.attach(plain)
		require.NoError(w, w.SetEncryption(gopptp.Encryption{Send: &key}))
		require.Empty(w, w.told())
		for _, code := range []ppp.Code{ppp.ConfigureRequest, ppp.TerminateRequest, ppp.TerminateAck} {
			w.peer.send(ccpFrame(code))
			require.Equal(w, told{frames: [][]byte{ccpFrame(code)}}, w.told())
			passed, clear := w.passes()
			require.True(w, passed)
			require.False(w, clear)
		}
	})
}

// What cannot be encrypted is refused at once; what the kernel refuses ends the call.
func TestSetEncryptionFails(t *testing.T) {
	inCall(t, true, func(w *callWorld) {
		w.attach(plain)
		bad := mppe.Params{KeyLength: mppe.Key56}
		require.ErrorIs(w, w.PrepareReceive(bad), mppe.ErrNotSupported)
		require.ErrorIs(w, w.SetEncryption(gopptp.Encryption{Send: &bad}), mppe.ErrNotSupported)
		require.ErrorIs(w, w.SetEncryption(gopptp.Encryption{Receive: &bad}), mppe.ErrNotSupported)
		require.Empty(w, w.told())

		w.host.Fail(kerneltest.OpSetEncryption, net.ErrWriteToConnected)
		for range 2 {
			require.NoError(w, w.SetEncryption(gopptp.Encryption{Send: &key, Receive: &key}))
		}
		failed := w.told().failed
		require.Len(w, failed, 1, "once is enough")
		require.ErrorIs(w, failed[0], net.ErrWriteToConnected)
		passed, _ := w.passes()
		require.False(w, passed)
		require.False(w, w.arrives(clearFrame()))
	})
}

// What was lost in stateful mode is asked for again, until the peer's Reset-Ack.
func TestResetNeeded(t *testing.T) {
	inCall(t, true, func(w *callWorld) {
		w.attach(plain)
		require.NoError(w, w.SetEncryption(gopptp.Encryption{Send: &key, Receive: &stateful}))
		require.Empty(w, w.told())
		enc, err := mppe.NewEncryptor(stateful)
		require.NoError(w, err)
		require.True(w, w.arrives(sealed(enc)))
		sealed(enc)
		for range 3 {
			require.False(w, w.arrives(sealed(enc)))
			require.Equal(w, 1, w.told().resets)
		}
		require.Equal(w, uint64(3), w.Counters().DroppedEncrypted)
		w.peer.send(ccpFrame(ppp.ResetAck))
		require.Len(w, w.told().frames, 1)
		enc.Flush()
		require.True(w, w.arrives(sealed(enc)))
		require.Empty(w, w.told())
		require.NoError(w, w.ResetSend())

		w.host.Fail(kerneltest.OpDecryption, net.ErrWriteToConnected)
		sealed(enc)
		require.False(w, w.arrives(sealed(enc)))
		failed := w.told().failed
		require.Len(w, failed, 1)
		require.ErrorIs(w, failed[0], net.ErrWriteToConnected)
	})
}

// The kernel's decryption gives up on a peer that sends nonsense, and then so does the
// call.
func TestDecryptionFails(t *testing.T) {
	inCall(t, true, func(w *callWorld) {
		w.peer.send([]byte{0x00, 0xfd, 0x80, 1, 0, 0})
		require.Empty(w, w.told(), "nothing was agreed on")
		require.NoError(w, w.SetEncryption(gopptp.Encryption{Send: &key, Receive: &key}))
		require.Empty(w, w.told())
		var failed []error
		n := 0
		for ; len(failed) == 0 && n < 100; n++ {
			w.peer.send([]byte{0x00, 0xfd, 0x80, 1, 0, 0, 0}) // not encrypted, it says
			failed = w.told().failed
			w.peer.send(ccpFrame(ppp.ResetAck))
			w.told()
		}
		require.Len(w, failed, 1)
		require.Equal(w, 16, n)
		require.Equal(w, uint64(17), w.Counters().DroppedEncrypted)
	})
}

// What the counters count, and that they stay when the call is closed.
func TestCounters(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		require.False(w, w.arrives(clearFrame()))
		require.Equal(w, gopptp.Counters{DroppedNetwork: 1}, w.Counters(), "it had no device")
		w.attach(plain)
		require.True(w, w.arrives(clearFrame()))
		_, clear := w.passes()
		require.True(w, clear)
		want := gopptp.Counters{
			SentPackets: 1, SentOctets: 24, ReceivedPackets: 1, ReceivedOctets: 22, DroppedNetwork: 1,
		}
		require.Equal(w, want, w.Counters())
		w.host.Fail(kerneltest.OpStats, errors.ErrUnsupported)
		require.Equal(w, want, w.Counters(), "what it has told once")
		w.host.Fail(kerneltest.OpStats, nil)
		require.NoError(w, w.Close())
		require.Equal(w, want, w.Counters())
		w.told()
		require.Equal(w, want, w.Counters())
	})
}

func TestGone(t *testing.T) {
	inCall(t, false, func(w *callWorld) {
		w.attach(plain)
		require.True(w, w.arrives(clearFrame()))
		counted := w.Counters()
		require.NotZero(w, counted.ReceivedOctets)
		require.True(w, w.host.RemoveDevice("ppp0"))
		require.Len(w, w.told().failed, 1)
		require.Equal(w, counted, w.Counters())
		require.NoError(w, w.Attach(plain))
		attached := w.told().attached
		require.Len(w, attached, 1)
		require.Error(w, attached[0])
	})
}
