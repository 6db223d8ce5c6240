package dataplane

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/kernel"
)

// A session with limits that the kernel cannot keep is carried by userspace, and never
// without them.
func TestMoveForRates(t *testing.T) {
	limited := gopptp.Network{Peer: peerAddr, Rates: gopptp.Rates{ToPeer: gopptp.BitRate{BitsPerSecond: 1e6}}}
	r := newRig(7)
	call, k := r.open(t)
	require.NoError(t, call.Connect(gopptp.PeerCall{ID: 9}))
	require.NoError(t, call.WriteControl(frame1))
	require.NoError(t, call.SetEncryption(gopptp.Encryption{Send: &params128, Receive: &params128}))
	r.diary.take()
	k.attachErr = kernel.ErrNoRates
	require.NoError(t, call.Attach(limited))
	require.Equal(t, []string{
		"kernel: 7 attach 198.51.100.1", "user: adopt 7 from 2 on", "user: 7 connect 9",
		"user: 7 encrypt 128-bit, decrypt 128-bit", "user: 7 attach 198.51.100.1", "kernel: 7 close",
	}, r.diary.take())
	require.Equal(t, Stats{UserspaceCalls: 1, Moved: Moved{Rates: 1}}, r.Stats())

	// Users' packets have passed another, which cannot move any more.
	r = newRig(7)
	call, k = r.open(t)
	require.NoError(t, call.Connect(gopptp.PeerCall{ID: 9}))
	require.NoError(t, call.Attach(gopptp.Network{Peer: peerAddr}))
	k.attachErr = kernel.ErrNoRates
	require.ErrorIs(t, call.Attach(limited), kernel.ErrNoRates)
	require.Equal(t, Stats{KernelCalls: 1}, r.Stats())
}
