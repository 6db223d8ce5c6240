package userspace

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/gre"
)

// A plane that shares the host takes over a call with its ID and sequence numbers, sees
// nothing of calls that are not its own, and gives out IDs of its range only.
func TestAdopt(t *testing.T) {
	a, b := newPair(t)
	peer := a.open(t, Options{TUNName: "peer"})
	p := b.open(t, Options{TUNName: "adopts", Workers: 2, FirstCallID: 49152})

	cfg := gopptp.CallConfig{Local: outerB, Peer: outerA}
	var ids []uint16
	for range 20 {
		c, err := p.Open(cfg, newOwner())
		require.NoError(t, err)
		require.GreaterOrEqual(t, c.ID(), uint16(49152))
		ids = append(ids, c.ID())
	}
	_, err := p.Adopt(cfg, Adopted{ID: ids[0]}, newOwner())
	require.ErrorIs(t, err, gre.ErrInUse)

	// What comes for 6 and 7 before, and for 8 and 9 at any time, is of others.
	frame := []byte{0xc0, 0x21, 9, 1, 0, 4}
	atPeer := newOwner()
	towards := func(id uint16) gopptp.Call {
		c, err := peer.Open(gopptp.CallConfig{Local: outerA, Peer: outerB}, atPeer)
		require.NoError(t, err)
		require.NoError(t, c.Connect(gopptp.PeerCall{ID: id}))
		require.NoError(t, c.WriteControl(frame))
		return c
	}
	calls := map[uint16]gopptp.Call{}
	for id := uint16(6); id <= 9; id++ {
		calls[id] = towards(id)
	}
	owners := map[uint16]*owner{6: newOwner(), 7: newOwner()}
	adopted := map[uint16]gopptp.Call{}
	for id := uint16(6); id <= 7; id++ {
		c, err := p.Adopt(cfg, Adopted{ID: id, Sequence: 40 + uint32(id)}, owners[id])
		require.NoError(t, err)
		require.Equal(t, id, c.ID())
		require.NoError(t, c.Connect(gopptp.PeerCall{ID: calls[id].ID()}))
		adopted[id] = c
	}
	second := []byte{0xc0, 0x21, 9, 2, 0, 4}
	for id := uint16(6); id <= 9; id++ {
		require.NoError(t, calls[id].WriteControl(second))
	}
	for id, o := range owners {
		eventually(t, "the frame comes", func() bool { return o.got(second) })
		require.False(t, o.got(frame))
		back := []byte{0xc0, 0x21, 10, byte(id), 0, 4}
		require.NoError(t, adopted[id].WriteControl(back))
		eventually(t, "the frame comes back", func() bool { return atPeer.got(back) })
	}
	s := p.Stats()
	require.EqualValues(t, 2, s.GRE.Received)
	require.Zero(t, s.GRE.UnknownCall)

	// It can be had again, and until then its packets are another's.
	require.NoError(t, adopted[7].Close())
	require.NoError(t, adopted[7].Close())
	require.NoError(t, calls[7].WriteControl(frame))
	require.NoError(t, calls[6].WriteControl(frame))
	eventually(t, "the other still goes", func() bool { return owners[6].got(frame) })
	require.Zero(t, p.Stats().GRE.UnknownCall)
	_, err = p.Adopt(cfg, Adopted{ID: 7}, newOwner())
	require.NoError(t, err)

	// More than fit a list.
	goroutines := runtime.NumGoroutine()
	var many []gopptp.Call
	for id := uint16(1000); id < 1000+4*maxListed; id++ {
		c, err := p.Adopt(cfg, Adopted{ID: id}, newOwner())
		require.NoError(t, err)
		many = append(many, c)
	}
	unknown := p.Stats().GRE.UnknownCall
	require.NoError(t, calls[8].WriteControl(frame))
	eventually(t, "all comes", func() bool { return p.Stats().GRE.UnknownCall == unknown+1 })
	for _, c := range many {
		require.NoError(t, c.Close())
	}
	require.NoError(t, calls[8].WriteControl(frame))
	require.NoError(t, calls[6].WriteControl(second))
	eventually(t, "it is a list again", func() bool { return p.Stats().GRE.Received == s.GRE.Received+3 })
	require.Equal(t, unknown+1, p.Stats().GRE.UnknownCall)
	require.LessOrEqual(t, runtime.NumGoroutine(), goroutines)

	require.NoError(t, p.Close())
	_, err = p.Adopt(cfg, Adopted{ID: 11}, newOwner())
	require.Error(t, err)
	require.NoError(t, adopted[6].Close())
}
