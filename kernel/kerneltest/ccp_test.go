package kerneltest

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/kernel/internal/driver"
	"github.com/gopptp/gopptp/memory"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// down and up are keys of the server's and the client's direction.
var (
	down = mppe.Params{KeyLength: mppe.Key128, Key: mppe.Key{1, 2, 3}}
	up   = mppe.Params{KeyLength: mppe.Key128, Key: mppe.Key{4, 5, 6}}
)

// runs is which directions of the two units work.
type runs struct{ serverSends, clientReceives, clientSends, serverReceives bool }

// check has packets go both ways.
func (r *rig) check(want runs) {
	r.t.Helper()
	seen := r.tap()
	for _, way := range []struct {
		from, to        *end
		sends, receives bool
	}{
		{r.server, r.client, want.serverSends, want.clientReceives},
		{r.client, r.server, want.clientSends, want.serverReceives},
	} {
		way.to.take()
		got := r.carries(way.from, way.to, 1)
		if way.sends {
			require.Equal(r.t, onWire{encrypted: 1}, seen(way.from))
		} else {
			require.Equal(r.t, onWire{clear: 1}, seen(way.from))
		}
		if way.sends && !way.receives {
			require.Empty(r.t, got)
			frames := way.to.take()
			require.Len(r.t, frames, 1)
			require.Equal(r.t, uint16(ppp.ProtocolCompressed), protocol(frames[0]), "handed up as it is")
		} else {
			require.Equal(r.t, []int{1}, got)
			require.Empty(r.t, way.to.take())
		}
	}
}

// What of CCP ends the encryption, at both ends, and what does not.
func TestCCP(t *testing.T) {
	all := runs{true, true, true, true}
	for name, c := range map[string]struct {
		writes []byte // by the client, to the server
		unit   bool   // through the client's unit
		want   runs
	}{
		"request":                {ccp(ppp.ConfigureRequest), false, runs{false, true, true, true}},
		"request by unit":        {ccp(ppp.ConfigureRequest), true, runs{false, false, true, true}},
		"terminate":              {ccp(ppp.TerminateRequest), false, runs{false, true, true, false}},
		"terminate by unit":      {ccp(ppp.TerminateRequest), true, runs{false, false, false, false}},
		"terminate ack":          {ccp(ppp.TerminateAck), false, runs{false, true, true, false}},
		"terminate ack by unit":  {ccp(ppp.TerminateAck), true, runs{false, false, false, false}},
		"ack":                    {ackOf(up), false, all},
		"ack by unit":            {ackOf(up), true, all},
		"ack of something":       {ccp(ppp.ConfigureAck, 21, 3, 0x2f), false, all},
		"nak":                    {ccp(ppp.ConfigureNak), false, all},
		"reject":                 {ccp(ppp.ConfigureReject), true, all},
		"reset request":          {ccp(ppp.ResetRequest), true, all},
		"reset ack":              {ccp(ppp.ResetAck), true, all},
		"short":                  {ccp(ppp.ConfigureRequest)[:5], true, all},
		"request of another NCP": {frame(ppp.ProtocolIPCP, ppp.ConfigureRequest), true, all},
	} {
		t.Run(name, func(t *testing.T) {
			inRig(t, func(t *testing.T, r *rig) {
				r.up()
				r.encrypt(&down, &up)
				r.check(all)
				write := r.client.socket.Write
				if c.unit {
					write = r.client.unit.Write
				}
				for range 2 { // repeated, it means the same
					require.NoError(t, write(c.writes))
					require.Equal(t, [][]byte{c.writes}, r.server.take())
					r.check(c.want)
				}
			})
		})
	}
}

// Each direction is encrypted or not, whatever the other is.
func TestDirections(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		r.check(runs{})
		r.encrypt(&down, nil)
		r.check(runs{serverSends: true, clientReceives: true})
		r.encrypt(nil, &up)
		r.check(runs{clientSends: true, serverReceives: true})
		r.encrypt(&down, &up)
		r.check(runs{true, true, true, true})
		require.NoError(t, r.client.unit.SetEncryption(nil, nil))
		r.check(runs{serverSends: true, serverReceives: true})
		r.encrypt(nil, nil)
		r.check(runs{})
	})
}

// Acks of the peer begin nothing, before and after.
func TestAcksBeginNothing(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		require.NoError(t, r.server.socket.Write(ackOf(down)))
		require.NoError(t, r.client.unit.Write(ackOf(up)))
		r.check(runs{})
		r.encrypt(&down, nil)
		require.NoError(t, r.client.socket.Write(ackOf(up)))
		require.NoError(t, r.server.unit.Write(ackOf(down)))
		r.check(runs{serverSends: true, clientReceives: true})
	})
}

// Each SetEncryption begins from the start key, with the same keys too.
func TestRekey(t *testing.T) {
	eachParams(t, func(t *testing.T, p mppe.Params) {
		inRig(t, func(t *testing.T, r *rig) {
			r.up()
			for range 3 {
				r.encrypt(&p, &p)
				for range 3 {
					r.check(runs{true, true, true, true})
				}
			}
		})
	})
}

// A loss that was not mended is forgotten, and so is what has failed for good.
func TestRekeyAfterLoss(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		stateful := down
		stateful.Stateful = true
		r.encrypt(&stateful, nil)
		u := r.client.unit.(*unit)
		u.host.mu.Lock()
		u.lost, u.failed = true, true
		u.host.mu.Unlock()
		r.check(runs{serverSends: true})
		require.Equal(t, driver.DecryptionFailed, r.decryption())
		r.encrypt(&stateful, nil)
		require.Equal(t, driver.DecryptionWorks, r.decryption())
		r.check(runs{serverSends: true, clientReceives: true})
	})
}

// The parameters stay the caller's.
func TestParamsAreCopied(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		own := down
		r.encrypt(&own, &own)
		own = mppe.Params{}
		for range 300 {
			r.check(runs{true, true, true, true})
		}
	})
}

// After any error nothing is encrypted, whatever was before.
func TestNoEncryptionAfterError(t *testing.T) {
	broken := errors.New("broken")
	bad := mppe.Params{KeyLength: mppe.Key56}
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		for _, c := range []struct {
			send, receive *mppe.Params
			fail, want    error
		}{
			{&bad, nil, nil, mppe.ErrNotSupported},
			{nil, &bad, nil, mppe.ErrNotSupported},
			{&down, &bad, nil, mppe.ErrNotSupported},
			{&down, &up, broken, broken},
			{nil, nil, broken, broken},
		} {
			r.encrypt(&down, &up)
			r.server.host.Fail(OpSetEncryption, c.fail)
			require.ErrorIs(t, r.server.unit.SetEncryption(c.send, c.receive), c.want)
			r.server.host.Fail(OpSetEncryption, nil)
			r.check(runs{clientReceives: true, clientSends: true})
		}
	})
}

func TestMPPEMissing(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		r.server.host.opts.MPPE = Missing
		require.ErrorIs(t, r.server.unit.SetEncryption(&down, nil), mppe.ErrNotSupported)
		require.NoError(t, r.server.unit.SetEncryption(nil, nil))
		r.check(runs{})
	})
}

// While a unit's encryption is set it is apart from its channel: the peer's packets are
// frames, which CCP of the kernel's does not see, and the host's are lost.
func TestSetEncryptionDisjoins(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		seen := r.tap()
		done := make(chan error)
		go func() { done <- r.client.unit.SetEncryption(&up, &down) }()
		synctest.Wait()
		require.Empty(t, r.sends(1))
		require.NoError(t, r.server.socket.Write(ccp(ppp.ConfigureRequest)))
		require.Empty(t, r.carries(r.client, r.server, 1))
		require.Equal(t, onWire{}, seen(r.client))
		require.Equal(t, [][]byte{
			append([]byte{0, 0x21}, ipPacket(serverInner, clientInner, 1)...), ccp(ppp.ConfigureRequest),
		}, r.client.take())
		require.NoError(t, <-done)
		require.NoError(t, r.server.unit.SetEncryption(&down, &up))
		r.check(runs{true, true, true, true})
	})
}

// A device that is removed meanwhile stays apart.
func TestRemoveDeviceDuringSetEncryption(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		done := make(chan error)
		go func() { done <- r.client.unit.SetEncryption(&up, &down) }()
		synctest.Wait()
		require.True(t, r.client.host.RemoveDevice("ppp0"))
		<-done
		r.client.take()
		require.Empty(t, r.sends(1))
		require.Len(t, r.client.take(), 1)
		require.Equal(t, []error{errGone}, r.client.gone)
	})
}

// decryption is how the client's fares.
func (r *rig) decryption() driver.Decryption {
	d, err := r.client.unit.Decryption()
	require.NoError(r.t, err)
	return d
}

// In stateful mode a loss is reported by what cannot be decrypted, until a Reset-Ack has
// passed both units.
func TestReset(t *testing.T) {
	eachParams(t, func(t *testing.T, p mppe.Params) {
		inRig(t, func(t *testing.T, r *rig) {
			r.up()
			r.encrypt(&p, nil)
			require.Equal(t, []int{1}, r.sends(1))
			r.net.Filter(func(memory.Packet) bool { return false })
			require.Empty(t, r.sends(2))
			r.net.Filter(nil)
			if !p.Stateful {
				require.Equal(t, []int{3}, r.sends(3))
				require.Equal(t, driver.DecryptionWorks, r.decryption())
				return
			}
			r.client.take()
			for range 2 {
				require.Empty(t, r.sends(3))
				require.Equal(t, uint16(ppp.ProtocolCompressed), protocol(r.client.take()[0]))
				require.Equal(t, driver.DecryptionLost, r.decryption())
			}
			// Written through the channel, the sender's unit knows nothing of it.
			require.NoError(t, r.server.socket.Write(ccp(ppp.ResetAck)))
			require.Len(t, r.client.take(), 1)
			require.Equal(t, driver.DecryptionWorks, r.decryption())
			require.Empty(t, r.sends(4))
			require.Equal(t, driver.DecryptionLost, r.decryption())
			// It is one of the other direction to a unit that sends it.
			require.NoError(t, r.client.unit.Write(ccp(ppp.ResetAck)))
			require.Equal(t, driver.DecryptionLost, r.decryption())
			require.NoError(t, r.server.unit.Write(ccp(ppp.ResetAck)))
			require.Equal(t, []int{5}, r.sends(5))
			require.Equal(t, []int{6}, r.sends(6))
			require.Equal(t, driver.DecryptionWorks, r.decryption())
		})
	})
}

// Where nothing is encrypted a Reset-Ack means nothing.
func TestResetWithoutEncryption(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		r.up()
		ack := func() {
			require.NoError(t, r.server.unit.Write(ccp(ppp.ResetAck)))
			require.Equal(t, [][]byte{ccp(ppp.ResetAck)}, r.client.take())
		}
		ack()
		r.check(runs{})
		stateful := down
		stateful.Stateful = true
		r.encrypt(&stateful, nil)
		require.NoError(t, r.client.unit.SetEncryption(nil, nil))
		ack()
		r.check(runs{serverSends: true})

		// What the peer has ended, no Ack begins anew.
		r.encrypt(&stateful, nil)
		require.NoError(t, r.client.socket.Write(ccp(ppp.ConfigureRequest)))
		r.server.take()
		ack()
		r.check(runs{clientReceives: true})
	})
}

// What a filter diverts changes nothing, and is handed up.
func TestFilter(t *testing.T) {
	inRig(t, func(t *testing.T, r *rig) {
		all := runs{true, true, true, true}
		r.up()
		r.encrypt(&down, &up)
		require.NoError(t, r.client.socket.SetFilter(driver.Filter{NoClear: true, NoRestart: true}))
		for _, code := range []ppp.Code{ppp.ConfigureRequest, ppp.TerminateRequest, ppp.TerminateAck, ppp.ConfigureNak} {
			require.NoError(t, r.server.socket.Write(ccp(code)))
			require.Equal(t, [][]byte{ccp(code)}, r.client.take())
			r.check(all)
		}

		for _, f := range [][]byte{userFrame(3), userFrame(3)[1:], {0x00, 0x57, 0x60}} {
			require.NoError(t, r.server.socket.Write(f))
		}
		require.Empty(t, r.client.arrived())
		require.Empty(t, r.client.take())
		require.NoError(t, r.client.socket.SetFilter(driver.Filter{}))
		require.NoError(t, r.server.socket.Write(userFrame(4)))
		require.Equal(t, []int{4}, r.client.arrived())
		require.NoError(t, r.server.socket.Write(ccp(ppp.ConfigureRequest)))
		require.Len(t, r.client.take(), 1)
		r.check(runs{serverSends: true, clientReceives: true, serverReceives: true})
	})
}
