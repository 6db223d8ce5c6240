package dataplane

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/userspace"
)

// rig is a Plane of fakes.
type rig struct {
	*Plane
	diary   diary
	kernel  fakePlane
	user    fakePlane
	openErr error
	opened  int
	handler fakeHandler
}

func newRig(ids ...uint16) *rig {
	r := new(rig)
	r.kernel = fakePlane{diary: &r.diary, name: "kernel", ids: ids, err: kernel.ErrNoCallID}
	r.user = fakePlane{diary: &r.diary, name: "user", ids: []uint16{50000, 50001}, err: errors.New("none free")}
	r.Plane = Compose(&r.kernel, func() (Adopter, error) {
		r.opened++
		return &r.user, r.openErr
	}, nil)
	return r
}

// open opens a call in the kernel.
func (r *rig) open(t *testing.T) (gopptp.Call, *fakeCall) {
	t.Helper()
	c, err := r.Open(config, &r.handler)
	require.NoError(t, err)
	return c, r.kernel.last()
}

var (
	frame1 = []byte{0xc0, 0x21, 1}
	frame2 = []byte{0xc0, 0x21, 2}

	params56  = mppe.Params{KeyLength: mppe.Key56}
	params128 = mppe.Params{KeyLength: mppe.Key128}
)

// A call that the kernel can carry stays there, and userspace is never opened.
func TestKernelCall(t *testing.T) {
	r := newRig(7)
	c, _ := r.open(t)
	require.EqualValues(t, 7, c.ID())
	require.NoError(t, c.Connect(gopptp.PeerCall{ID: 9}))
	require.NoError(t, c.WriteControl(frame1))
	require.NoError(t, c.PrepareReceive(params128))
	require.NoError(t, c.SetEncryption(gopptp.Encryption{Send: &params128, Receive: &params128}))
	require.NoError(t, c.ResetSend())
	require.NoError(t, c.Attach(gopptp.Network{Peer: peerAddr}))
	require.NoError(t, c.Detach())
	require.Equal(t, "kernel7", DeviceName(c))
	require.EqualValues(t, 7006, c.Counters().SentPackets)
	idle, err := c.(gopptp.IdleCall).Idle()
	require.NoError(t, err)
	require.EqualValues(t, 7, idle)
	h := r.kernel.last().handler
	h.ControlFrame(frame1)
	h.ControlFrame(frame1)
	h.Attached(nil)
	h.ResetNeeded()
	h.Failed(net.ErrClosed)
	h.(gopptp.IPv6Handler).RouterAdvertised(gopptp.RouterAdvertisement{Prefix: netip.MustParsePrefix("2001:db8::/64")})
	require.Equal(t, [][]byte{frame1, frame1}, r.handler.frames)
	require.Equal(t, []string{"attached <nil>", "reset needed", "failed " + net.ErrClosed.Error(), "router 2001:db8::/64"}, r.handler.take())
	require.Equal(t, 1, r.Stats().KernelCalls)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
	require.Equal(t, []string{
		"kernel: open 7", "kernel: 7 connect 9", "kernel: 7 write c02101", "kernel: 7 prepare 128-bit",
		"kernel: 7 encrypt 128-bit, decrypt 128-bit", "kernel: 7 reset", "kernel: 7 attach 198.51.100.1",
		"kernel: 7 detach", "kernel: 7 close", "kernel: 7 close",
	}, r.diary.take())
	require.Equal(t, Stats{}, r.Stats())
	require.Zero(t, r.opened)
	require.Equal(t, Kernel, r.Mode())
	require.NoError(t, r.Close())
	require.Equal(t, []string{"kernel: close"}, r.diary.take())
}

// What the kernel was told is done again in userspace, before the kernel's call is closed.
func TestMove(t *testing.T) {
	for name, c := range map[string]struct {
		fails func(k *fakeCall)
		want  []string
		moved Moved
	}{
		"collision": {
			func(k *fakeCall) { k.connectErr = kernel.ErrCollision },
			[]string{
				"kernel: 7 connect 9", "user: adopt 7 from 1 on", "user: 7 connect 9", "kernel: 7 close",
				"user: 7 write c02101", "user: 7 write c02102", "user: 7 prepare 128-bit", "user: 7 prepare 56-bit",
				"user: 7 encrypt 56-bit, decrypt 56-bit", "user: 7 attach 198.51.100.1", "user: 7 detach", "user: 7 close",
			},
			Moved{Collision: 1},
		},
		"key length, when receiving is prepared": {
			func(k *fakeCall) { k.prepareErr = mppe.ErrNotSupported },
			[]string{
				"kernel: 7 connect 9", "kernel: 7 write c02101", "kernel: 7 write c02102", "kernel: 7 prepare 128-bit",
				"user: adopt 7 from 3 on", "user: 7 connect 9", "user: 7 prepare 128-bit", "kernel: 7 close",
				"user: 7 prepare 56-bit", "user: 7 encrypt 56-bit, decrypt 56-bit",
				"user: 7 attach 198.51.100.1", "user: 7 detach", "user: 7 close",
			},
			Moved{KeyLength: 1},
		},
		"key length, when CCP is open": {
			func(k *fakeCall) { k.encryptErr = mppe.ErrNotSupported },
			[]string{
				"kernel: 7 connect 9", "kernel: 7 write c02101", "kernel: 7 write c02102", "kernel: 7 prepare 128-bit",
				"kernel: 7 prepare 56-bit", "kernel: 7 encrypt 56-bit, decrypt 56-bit",
				"user: adopt 7 from 3 on", "user: 7 connect 9", "user: 7 prepare 56-bit",
				"user: 7 encrypt 56-bit, decrypt 56-bit", "kernel: 7 close",
				"user: 7 attach 198.51.100.1", "user: 7 detach", "user: 7 close",
			},
			Moved{KeyLength: 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(7)
			call, k := r.open(t)
			c.fails(k)
			r.diary.take()
			require.NoError(t, call.Connect(gopptp.PeerCall{ID: 9}))
			require.NoError(t, call.WriteControl(frame1))
			require.NoError(t, call.WriteControl(frame2))
			require.NoError(t, call.PrepareReceive(params128))
			require.NoError(t, call.PrepareReceive(params56))
			require.NoError(t, call.SetEncryption(gopptp.Encryption{Send: &params56, Receive: &params56}))
			require.EqualValues(t, 7, call.ID())
			require.Equal(t, config, r.user.last().cfg)
			require.NoError(t, call.Attach(gopptp.Network{Peer: peerAddr}))
			require.NoError(t, call.Detach())
			require.EqualValues(t, 7004, call.Counters().SentPackets)
			require.Equal(t, "user7", DeviceName(call))
			require.Equal(t, "user0", r.DeviceName())
			require.Equal(t, Stats{UserspaceCalls: 1, Moved: c.moved}, r.Stats())

			// What the kernel says of it is over, and what userspace says counts.
			k.handler.Failed(net.ErrClosed)
			k.handler.Attached(nil)
			k.handler.ResetNeeded()
			k.handler.(gopptp.IPv6Handler).RouterAdvertised(gopptp.RouterAdvertisement{})
			require.Empty(t, r.handler.take())
			h := r.user.last().handler
			h.Attached(nil)
			h.ResetNeeded()
			h.Failed(net.ErrClosed)
			h.(gopptp.IPv6Handler).RouterAdvertised(gopptp.RouterAdvertisement{})
			require.Len(t, r.handler.take(), 4)

			require.NoError(t, call.Close())
			require.Equal(t, c.want, r.diary.take())
			require.Equal(t, Stats{Moved: c.moved}, r.Stats())
			require.Empty(t, r.moved)
			require.Equal(t, 1, r.opened)
			require.NoError(t, r.Close())
			require.Equal(t, []string{"kernel: close", "user: close"}, r.diary.take())
		})
	}
}

// Where the kernel has no call ID left, calls begin in userspace.
func TestNoCallID(t *testing.T) {
	r := newRig()
	for id := uint16(50000); id <= 50001; id++ {
		c, err := r.Open(config, &r.handler)
		require.NoError(t, err)
		require.Equal(t, id, c.ID())
		require.Equal(t, gopptp.CallHandler(&r.handler), r.user.last().handler)
		require.NoError(t, c.Connect(gopptp.PeerCall{ID: 9}))
	}
	require.Equal(t, Stats{UserspaceCalls: 2, Moved: Moved{NoCallID: 2}}, r.Stats())
	_, err := r.Open(config, &r.handler)
	require.ErrorIs(t, err, kernel.ErrNoCallID)
	require.ErrorContains(t, err, "none free")
	require.Equal(t, 1, r.opened)

	r.kernel.err = errors.New("broken")
	_, err = r.Open(config, &r.handler)
	require.Equal(t, r.kernel.err, err)
}

// A plane that does not know how long a call has been idle leaves that to the counters.
func TestIdleUnknown(t *testing.T) {
	c := new(call)
	c.become(struct{ gopptp.Call }{})
	_, err := c.Idle()
	require.ErrorIs(t, err, gopptp.ErrNotSupported)
}

// An error that has nothing to do with the kernel's limits moves nothing, nor does one
// that comes when users' packets have flowed, nor one where there is nowhere to go.
func TestNoMove(t *testing.T) {
	other := errors.New("other")
	r := newRig(7, 8, 9)
	c, k := r.open(t)
	k.connectErr, k.prepareErr, k.encryptErr = other, other, other
	require.Equal(t, other, c.Connect(gopptp.PeerCall{ID: 9}))
	require.Equal(t, other, c.PrepareReceive(params56))
	require.Equal(t, other, c.SetEncryption(gopptp.Encryption{}))

	k.connectErr, k.prepareErr = nil, mppe.ErrNotSupported
	require.NoError(t, c.Connect(gopptp.PeerCall{ID: 9}))
	require.NoError(t, c.Attach(gopptp.Network{Peer: peerAddr}))
	require.Equal(t, mppe.ErrNotSupported, c.PrepareReceive(params56))
	require.Zero(t, r.opened)

	// Userspace cannot be opened: it is not tried by each call.
	c, k = r.open(t)
	k.connectErr = kernel.ErrCollision
	r.openErr = errors.New("no TUN device")
	for range 3 {
		err := c.Connect(gopptp.PeerCall{ID: 9})
		require.ErrorIs(t, err, kernel.ErrCollision)
		require.ErrorContains(t, err, "no TUN device")
	}
	require.Equal(t, 1, r.opened)
	require.Equal(t, Stats{KernelCalls: 2}, r.Stats())

	// Or cannot have the call.
	r.openErr, r.other.err = nil, nil
	r.user.adoptEr = errors.New("taken")
	require.ErrorContains(t, c.Connect(gopptp.PeerCall{ID: 9}), "taken")
	require.Equal(t, "kernel8", DeviceName(c))

	r.other = nil // as with NoSpill
	require.Equal(t, kernel.ErrCollision, c.Connect(gopptp.PeerCall{ID: 9}))
	r.kernel.ids = nil
	_, err := r.Open(config, &r.handler)
	require.Equal(t, kernel.ErrNoCallID, err)
	require.Empty(t, r.DeviceName())
	require.NoError(t, r.Close())
}

// Where userspace fails at what the kernel has done, the kernel keeps the call.
func TestMoveFails(t *testing.T) {
	r := newRig(7)
	c, k := r.open(t)
	require.NoError(t, c.Connect(gopptp.PeerCall{ID: 9}))
	k.prepareErr = mppe.ErrNotSupported
	tooShort := mppe.Params{KeyLength: 1}
	userspaceFails := &failing{fakePlane: &r.user}
	r.other.open = func() (Adopter, error) { return userspaceFails, nil }
	r.diary.take()
	err := c.PrepareReceive(tooShort)
	require.ErrorIs(t, err, mppe.ErrNotSupported)
	require.Equal(t, []string{
		"kernel: 7 prepare 1-bit", "user: adopt 7 from 1 on", "user: 7 connect 9", "user: 7 prepare 1-bit", "user: 7 close",
	}, r.diary.take())
	require.Equal(t, "kernel7", DeviceName(c))
	require.Equal(t, Stats{KernelCalls: 1}, r.Stats())
	k.handler.Failed(net.ErrClosed)
	require.Len(t, r.handler.take(), 1, "the kernel is heard yet")
}

// failing has calls that know no keys at all.
type failing struct{ *fakePlane }

func (p *failing) Adopt(cfg gopptp.CallConfig, a userspace.Adopted, h gopptp.CallHandler) (gopptp.Call, error) {
	c, err := p.fakePlane.Adopt(cfg, a, h)
	c.(*fakeCall).prepareErr = mppe.ErrNotSupported
	return c, err
}

// An ID that has moved is the peer's call in userspace, though the kernel takes it to be
// free.
func TestMovedIDs(t *testing.T) {
	r := newRig(7, 7, 8, 7, 7)
	c, k := r.open(t)
	k.connectErr = kernel.ErrCollision
	require.NoError(t, c.Connect(gopptp.PeerCall{ID: 9}))
	r.diary.take()

	second, _ := r.open(t)
	require.EqualValues(t, 8, second.ID())
	require.Equal(t, []string{"kernel: open 7", "kernel: open 8", "kernel: 7 close"}, r.diary.take())
	other := config
	other.Peer = netip.MustParseAddr("::ffff:198.51.100.2")
	third, err := r.Open(other, &r.handler)
	require.NoError(t, err)
	require.EqualValues(t, 7, third.ID(), "of another peer")

	require.NoError(t, c.Close())
	again, _ := r.open(t)
	require.EqualValues(t, 7, again.ID())

	// If nothing but such IDs can be had, there is none.
	r = newRig(append(make([]uint16, maxRefused), 8)...)
	r.Plane.moved[callKey{peerAddr, 0}] = struct{}{}
	spilled, err := r.Open(config, &r.handler)
	require.NoError(t, err)
	require.EqualValues(t, 50000, spilled.ID())
}

// Userspace is opened once, is tried again after a while, and not after Close.
func TestLazy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.openErr = errors.New("not yet")
		for range 3 {
			_, err := r.Open(config, &r.handler)
			require.ErrorIs(t, err, r.openErr)
		}
		require.Equal(t, 1, r.opened)
		time.Sleep(retryInterval)
		r.openErr = nil
		_, err := r.Open(config, &r.handler)
		require.NoError(t, err)
		require.Equal(t, 2, r.opened)
		require.NoError(t, r.Close())
		_, err = r.Open(config, &r.handler)
		require.ErrorIs(t, err, net.ErrClosed)
	})
}

// Prefixes are userspace's, and of IPv4 only where there is no kernel. They reach it also
// if it is opened later.
func TestSetPrefixes(t *testing.T) {
	prefixes := []netip.Prefix{netip.MustParsePrefix("10.8.0.0/24"), netip.MustParsePrefix("2001:db8::/48")}
	r := newRig()
	require.NoError(t, r.SetPrefixes(prefixes))
	require.Empty(t, r.diary.take())
	r.user.prefixErr = errors.New("the host has such a route already")
	_, err := r.Open(config, &r.handler)
	require.ErrorIs(t, err, r.user.prefixErr)
	require.Equal(t, []string{"kernel: open fails", "user: prefixes [2001:db8::/48]", "user: close"}, r.diary.take())

	r = newRig()
	require.NoError(t, r.SetPrefixes(prefixes))
	_, err = r.Open(config, &r.handler)
	require.NoError(t, err)
	require.Equal(t, []string{"kernel: open fails", "user: prefixes [2001:db8::/48]", "user: open 50000"}, r.diary.take())
	require.NoError(t, r.SetPrefixes(prefixes[:1]))
	require.Equal(t, []string{"user: prefixes []"}, r.diary.take())
	require.NoError(t, r.Close())
	require.ErrorIs(t, r.SetPrefixes(nil), net.ErrClosed)

	alone := Plane{other: &lazy{plane: &r.user}}
	require.NoError(t, alone.SetPrefixes(prefixes))
	require.Contains(t, r.diary.take(), "user: prefixes [10.8.0.0/24 2001:db8::/48]")
	require.NoError(t, (&Plane{kernel: &r.kernel}).SetPrefixes(prefixes))
}

// While a call moves, frames come by both planes: each is handed up once, those that came
// several times as often as that, and nothing that comes again later is held back.
func TestOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(7)
		c, k := r.open(t)
		k.handler.ControlFrame(frame1)
		k.prepareErr = mppe.ErrNotSupported
		require.NoError(t, c.Connect(gopptp.PeerCall{ID: 9}))
		require.NoError(t, c.PrepareReceive(params56))
		user := r.user.last().handler
		r.handler.frames = nil

		user.ControlFrame(frame1)
		user.ControlFrame(frame1)
		k.handler.ControlFrame(frame1)
		k.handler.ControlFrame(frame2)
		k.handler.ControlFrame(frame1)
		user.ControlFrame(frame2)
		require.Equal(t, [][]byte{frame1, frame1, frame2}, r.handler.frames)
		k.handler.ControlFrame(frame2) // before userspace saw any
		time.Sleep(overlapTime)
		user.ControlFrame(frame2)
		user.ControlFrame(frame2)
		require.Equal(t, [][]byte{frame1, frame1, frame2, frame2, frame2, frame2}, r.handler.frames)
	})
	// What is remembered is bounded.
	o := &overlap{until: time.Now().Add(time.Hour)}
	for i := range 2 * maxOverlap {
		require.True(t, o.first(ofKernel, []byte{byte(i)}))
	}
	require.Len(t, o.seen, maxOverlap)
	require.False(t, o.first(ofUserspace, []byte{0}))
	require.True(t, o.first(ofUserspace, []byte{2*maxOverlap - 1}))
}

// Counters are asked for by others while a call moves.
func TestCountersWhileMoving(t *testing.T) {
	r := newRig(7)
	c, k := r.open(t)
	k.connectErr = kernel.ErrCollision
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stop.Load() {
			if n := c.Counters().SentPackets; n != 7006 && n != 7004 {
				t.Error(n)
			}
			r.Stats()
			r.DeviceName()
		}
	}()
	require.NoError(t, c.Connect(gopptp.PeerCall{ID: 9}))
	stop.Store(true)
	<-done
}

// Stateful encryption is for userspace, whichever direction has it, unless the kernel is
// insisted on, or nobody else is there.
func TestStateful(t *testing.T) {
	stateful := mppe.Params{KeyLength: mppe.Key128, Stateful: true}
	for name, c := range map[string]struct {
		prepare mppe.Params
		set     gopptp.Encryption
		change  func(r *rig)
		want    string // what has the call in the end
		moved   Moved
	}{
		"stateless":         {prepare: params128, set: gopptp.Encryption{Send: &params128, Receive: &params128}, want: "kernel"},
		"asked for":         {prepare: stateful, set: gopptp.Encryption{Send: &params128, Receive: &params128}, want: "user", moved: Moved{Stateful: 1}},
		"to the peer":       {prepare: params128, set: gopptp.Encryption{Send: &stateful, Receive: &params128}, want: "user", moved: Moved{Stateful: 1}},
		"from the peer":     {prepare: params128, set: gopptp.Encryption{Receive: &stateful}, want: "user", moved: Moved{Stateful: 1}},
		"both":              {prepare: stateful, set: gopptp.Encryption{Send: &stateful, Receive: &stateful}, want: "user", moved: Moved{Stateful: 1}},
		"in mode kernel":    {prepare: stateful, set: gopptp.Encryption{Send: &stateful}, change: func(r *rig) { r.insist = true }, want: "kernel"},
		"without the other": {prepare: stateful, set: gopptp.Encryption{Send: &stateful}, change: func(r *rig) { r.other = nil }, want: "kernel"},
		"the other does not open": {
			prepare: stateful, set: gopptp.Encryption{Send: &stateful},
			change: func(r *rig) { r.openErr = net.ErrClosed }, want: "kernel",
		},
		"the other does not take it": {
			prepare: stateful, set: gopptp.Encryption{Send: &stateful},
			change: func(r *rig) { r.user.adoptEr = net.ErrClosed }, want: "kernel",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(7)
			if c.change != nil {
				c.change(r)
			}
			call, _ := r.open(t)
			require.NoError(t, call.Connect(gopptp.PeerCall{ID: 9}))
			require.NoError(t, call.PrepareReceive(c.prepare))
			require.NoError(t, call.SetEncryption(c.set))
			require.Equal(t, c.want+"7", DeviceName(call))
			require.Equal(t, c.moved, r.Stats().Moved)
			require.NoError(t, call.Attach(gopptp.Network{Peer: peerAddr}))

			// Once users' packets have passed, a call stays where it is.
			require.NoError(t, call.SetEncryption(gopptp.Encryption{Send: &stateful, Receive: &stateful}))
			require.Equal(t, c.want+"7", DeviceName(call))
			require.NoError(t, call.Close())
		})
	}
}

// Keys are kept for a move, as they were given, and no longer.
func TestKeysAreWiped(t *testing.T) {
	r := newRig(7)
	opened, _ := r.open(t)
	c := opened.(*call)
	key := mppe.Key{1, 2, 3}
	given := mppe.Params{KeyLength: mppe.Key128, Key: key}
	require.NoError(t, c.PrepareReceive(given))
	require.NoError(t, c.SetEncryption(gopptp.Encryption{Send: &given}))
	first := c.encryption.Send
	given.Key = mppe.Key{}
	require.Equal(t, key, first.Key)
	require.NoError(t, c.SetEncryption(gopptp.Encryption{Receive: &mppe.Params{KeyLength: mppe.Key128, Key: key}}))
	require.Zero(t, first.Key)
	prepared, second := c.prepared, c.encryption.Receive
	require.Equal(t, key, prepared.Key)
	require.Equal(t, key, second.Key)
	require.NoError(t, c.Close())
	require.Zero(t, prepared.Key)
	require.Zero(t, second.Key)
}
