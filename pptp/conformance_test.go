package pptp

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// RFC 2637 §1.4 and §2: what is the same in every message.
func TestConstants(t *testing.T) {
	require.EqualValues(t, 1723, Port)
	require.EqualValues(t, 0x0100, ProtocolVersion)
	for _, v := range vectors {
		require.Equal(t, octets("0001 1a2b3c4d"), v.wire[2:8], v.section)
		require.Equal(t, len(v.wire), int(be16(v.wire)), v.section)
	}
}

// RFC 2637 §2.1 and §2.2: the number of channels that a PNS names means nothing
// to a PAC, and that of a PAC does not keep a PNS from asking.
func TestMaximumChannelsIsNotHeeded(t *testing.T) {
	for _, channels := range []uint16{0, 1, 65535} {
		p := established(t, func(pns, pac *Config) { pns.MaximumChannels, pac.MaximumChannels = channels, channels })
		for id := range uint16(3) {
			p.call(id, id)
		}
		require.Equal(t, 3, p.pns.Calls())
		require.Equal(t, 3, p.pac.Calls())
	}
	p := newPair(t, nil)
	p.pns.collect()
	require.Zero(t, p.pns.messages(t)[0].(*StartControlConnectionRequest).MaximumChannels, "of a PNS, unless told otherwise")
}

// RFC 2637 §3.1.2: a request of the version that we have, or of a later one, is
// answered with ours.
func TestVersionOfTheReply(t *testing.T) {
	for _, version := range []uint16{0x0100, 0x0101, 0x0200, 0xffff} {
		e := &end{Control: NewControl(Config{})}
		e.Start(epoch, &e.out)
		e.receiveAll(epoch, &StartControlConnectionRequest{ProtocolVersion: version})
		reply := e.messages(t)[0].(*StartControlConnectionReply)
		require.Equal(t, StartSuccessful, reply.ResultCode)
		require.Equal(t, ErrorNone, reply.ErrorCode)
		require.EqualValues(t, ProtocolVersion, reply.ProtocolVersion)
		require.Equal(t, Established, e.State())
	}
}

// RFC 2637 §3.2.2: Call IDs need to be unique between two peers only, and all of
// them are free once the control connection has ended.
func TestCallIDsBelongToTheConnection(t *testing.T) {
	a, b := called(t), called(t) // both with 100 and 200
	a.pac.Abort(ErrLost, &a.pac.out)
	a.pns.Abort(ErrLost, &a.pns.out)
	require.Zero(t, a.pac.Calls()+a.pns.Calls())
	require.Equal(t, 1, b.pac.Calls())
}
