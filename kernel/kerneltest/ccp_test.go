package kerneltest

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// What ends and begins the encryption of one direction, at both ends.
func TestCCP(t *testing.T) {
	p := someParams[0]
	ack := ccp(ppp.ConfigureAck, option(p)...)
	for name, c := range map[string]struct {
		server, client driver.CCP // before
		writes         []byte     // by the client, to the server
		unit           bool       // past the client's unit
		encrypted      bool       // what the server sends, then
		decrypted      bool       // by the client, if it is
	}{
		"nothing":                {driver.CCPUp, driver.CCPUp, nil, false, true, true},
		"request":                {driver.CCPUp, driver.CCPUp, ccp(ppp.ConfigureRequest), false, false, true},
		"request in CCPOpen":     {driver.CCPOpen, driver.CCPUp, ccp(ppp.ConfigureRequest), false, false, true},
		"request past unit":      {driver.CCPUp, driver.CCPUp, ccp(ppp.ConfigureRequest), true, false, false},
		"terminate":              {driver.CCPUp, driver.CCPUp, ccp(ppp.TerminateRequest), false, false, true},
		"terminate past unit":    {driver.CCPUp, driver.CCPUp, ccp(ppp.TerminateRequest), true, false, false},
		"terminate ack":          {driver.CCPUp, driver.CCPUp, ccp(ppp.TerminateAck), false, false, true},
		"ack":                    {driver.CCPUp, driver.CCPUp, ack, false, true, true},
		"nak":                    {driver.CCPUp, driver.CCPUp, ccp(ppp.ConfigureNak), false, true, true},
		"reset request":          {driver.CCPUp, driver.CCPUp, ccp(ppp.ResetRequest), false, true, true},
		"short":                  {driver.CCPUp, driver.CCPUp, ccp(ppp.ConfigureRequest)[:5], false, true, true},
		"client closed":          {driver.CCPUp, driver.CCPClosed, nil, false, true, false},
		"client back to CCPOpen": {driver.CCPUp, driver.CCPOpen, nil, false, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.up()
				r.encrypt(r.server, r.client, p)
				begun, err := r.client.unit.ReceiveBegun()
				require.NoError(t, err)
				require.True(t, begun)
				count := r.tap()
				require.Equal(t, []int{1}, r.sends(1))
				r.client.take()

				require.NoError(t, r.server.unit.SetCCP(c.server))
				require.NoError(t, r.client.unit.SetCCP(c.client))
				if c.writes != nil {
					write := r.client.socket.Write
					if c.unit {
						write = r.client.unit.Write
					}
					require.NoError(t, write(c.writes))
					require.Equal(t, [][]byte{c.writes}, r.server.take())
				}
				count()
				got := r.sends(2)
				encrypted, clear := count()
				require.Equal(t, []int{1, 0}, map[bool][]int{true: {encrypted, clear}, false: {clear, encrypted}}[c.encrypted])
				if !c.encrypted || c.decrypted {
					require.Equal(t, []int{2}, got)
					require.Empty(t, r.client.take())
				} else {
					require.Empty(t, got)
					require.Equal(t, uint16(ppp.ProtocolCompressed), protocol(r.client.take()[0]))
				}
				begun, err = r.client.unit.ReceiveBegun()
				require.NoError(t, err)
				require.Equal(t, c.decrypted, begun)
			})
		})
	}
}

// Encryption that has begun while CCP is not up yet has packets dropped.
func TestNothingIsSentBeforeCCPIsUp(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		count := r.tap()
		require.NoError(t, r.server.unit.SetCCP(driver.CCPOpen))
		require.NoError(t, r.server.unit.BeginSend(someParams[0]))
		require.Empty(t, r.sends(1))
		require.NoError(t, r.server.unit.SetCCP(driver.CCPUp))
		require.Empty(t, r.sends(2))
		encrypted, clear := count()
		require.Equal(t, []int{1, 0}, []int{encrypted, clear})
	})
}

// Where the peer's Ack comes too late or BeginSend too late, nothing begins: packets go
// in clear.
func TestBeginsInCCPOpenOnly(t *testing.T) {
	p := someParams[0]
	for _, state := range []driver.CCP{driver.CCPClosed, driver.CCPUp} {
		inRig(t, func(t *testing.T, r *rig) {
			r.up()
			require.NoError(t, r.server.unit.SetCCP(state))
			require.NoError(t, r.client.unit.SetCCP(state))
			require.NoError(t, r.client.unit.PrepareReceive(p))
			require.NoError(t, r.server.socket.Write(ccp(ppp.ConfigureAck, option(p)...)))
			require.Len(t, r.client.take(), 1)
			begun, err := r.client.unit.ReceiveBegun()
			require.NoError(t, err)
			require.False(t, begun)
			count := r.tap()
			require.NoError(t, r.server.unit.BeginSend(p))
			require.Equal(t, []int{1}, r.sends(1))
			_, clear := count()
			require.Equal(t, 1, clear)
		})
	}
}

// An Ack is for the option that it names.
func TestForeignAckBeginsNothing(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		require.NoError(t, r.client.unit.SetCCP(driver.CCPOpen))
		require.NoError(t, r.client.unit.PrepareReceive(someParams[0]))
		for _, data := range [][]byte{nil, {18, 6, 1, 0, 0, 0x80}, {21, 3, 0x2f}} {
			require.NoError(t, r.server.socket.Write(ccp(ppp.ConfigureAck, data...)))
		}
		long := ccp(ppp.ConfigureAck, option(someParams[0])...)
		long[5]++ // says that it is longer than it is
		require.NoError(t, r.server.socket.Write(long))
		require.Len(t, r.client.take(), 4)
		begun, err := r.client.unit.ReceiveBegun()
		require.NoError(t, err)
		require.False(t, begun)
	})
}

// Each PrepareReceive and BeginSend starts anew, from the start key.
func TestRekey(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		for range 3 {
			r.encrypt(r.server, r.client, someParams[0])
			require.Equal(t, []int{1}, r.sends(1))
			require.Equal(t, []int{2}, r.sends(2))
		}
		require.NoError(t, r.client.unit.PrepareReceive(someParams[0]))
		r.client.take()
		require.Empty(t, r.sends(3))
		require.Len(t, r.client.take(), 1, "there is no decryption until the Ack")
	})
}

func TestKeyLengths(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		p := mppe.Params{KeyLength: mppe.Key56}
		require.ErrorIs(t, r.client.unit.PrepareReceive(p), mppe.ErrNotSupported)
		require.ErrorIs(t, r.client.unit.BeginSend(p), mppe.ErrNotSupported)
	})
}

// In stateful mode a loss is reported by what cannot be decrypted, until a Reset-Ack has
// passed both units.
func TestReset(t *testing.T) {
	eachParams(t, func(t *testing.T, p mppe.Params) {
		inRig(t, func(t *testing.T, r *rig) {
			r.up()
			r.encrypt(r.server, r.client, p)
			decryption := func() driver.Decryption {
				d, err := r.client.unit.Decryption()
				require.NoError(t, err)
				return d
			}
			require.Equal(t, []int{1}, r.sends(1))
			r.net.Filter(func(memory.Packet) bool { return false })
			require.Empty(t, r.sends(2))
			r.net.Filter(nil)
			if !p.Stateful {
				require.Equal(t, []int{3}, r.sends(3))
				require.Equal(t, driver.DecryptionWorks, decryption())
				return
			}
			r.client.take()
			for range 2 {
				require.Empty(t, r.sends(3))
				require.Equal(t, uint16(ppp.ProtocolCompressed), protocol(r.client.take()[0]))
				require.Equal(t, driver.DecryptionLost, decryption())
			}
			// Written through the channel, the sender's unit knows nothing of it.
			require.NoError(t, r.server.socket.Write(ccp(ppp.ResetAck)))
			require.Len(t, r.client.take(), 1)
			require.Equal(t, driver.DecryptionWorks, decryption())
			require.Empty(t, r.sends(4))
			require.Equal(t, driver.DecryptionLost, decryption())
			// In CCPOpen the receiver's does not heed it.
			require.NoError(t, r.client.unit.SetCCP(driver.CCPOpen))
			require.NoError(t, r.server.socket.Write(ccp(ppp.ResetAck)))
			synctest.Wait()
			require.Equal(t, driver.DecryptionLost, decryption())
			require.NoError(t, r.client.unit.SetCCP(driver.CCPUp))
			require.NoError(t, r.server.unit.Write(ccp(ppp.ResetAck)))
			require.Equal(t, []int{5}, r.sends(5))
			require.Equal(t, []int{6}, r.sends(6))
			require.Equal(t, driver.DecryptionWorks, decryption())
		})
	})
}

func TestFilter(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		r.encrypt(r.server, r.client, someParams[0])
		r.encrypt(r.client, r.server, someParams[0])
		r.server.take()
		r.client.take()
		require.NoError(t, r.client.socket.SetFilter(driver.Filter{NoClear: true, NoRestart: true}))

		// What is diverted changes nothing, and is handed up.
		for _, code := range []ppp.Code{ppp.ConfigureRequest, ppp.TerminateRequest, ppp.TerminateAck} {
			require.NoError(t, r.server.socket.Write(ccp(code)))
			require.Equal(t, [][]byte{ccp(code)}, r.client.take())
		}
		require.Equal(t, []int{1}, r.sends(1), "decrypted")
		r.client.host.Send(ipPacket(clientInner, serverInner, 2))
		synctest.Wait()
		require.Len(t, r.server.host.Packets(), 1, "encrypted")
		require.NoError(t, r.server.socket.Write(ccp(ppp.ConfigureNak)))
		require.Len(t, r.client.take(), 1)

		for _, f := range [][]byte{userFrame(3), userFrame(3)[1:], {0x00, 0x57, 0x60}} {
			require.NoError(t, r.server.socket.Write(f))
		}
		require.Empty(t, r.arrived())
		require.Empty(t, r.client.take())
		require.NoError(t, r.client.socket.SetFilter(driver.Filter{}))
		require.NoError(t, r.server.socket.Write(userFrame(4)))
		require.Equal(t, []int{4}, r.arrived())
	})
}
