package pptp

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The two ends of a control connection, with streams that take their time and
// owners that do anything at any moment, come to agree on which calls there are
// whenever all has been said.
func TestPairRandomWalk(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		p := established(t, func(pns, pac *Config) {
			pns.MaxCalls, pac.MaxCalls = 6, 1+int(seed%8)
			pns.IncomingCalls = seed%3 != 0
		})
		// In some walks an answer may come too late for those who wait for it.
		step := time.Millisecond
		if seed%4 == 0 {
			step = 500 * time.Millisecond
		}
		pns, pac := newLedger(t, RolePNS), newLedger(t, RolePAC)
		// In an order that can be repeated.
		requested := func(l *ledger) (ids []uint16) {
			for id := range uint16(10) {
				if l.requested[id] {
					ids = append(ids, id)
				}
			}
			return ids
		}
		wanted := func() (ids []uint16) {
			for id := range uint16(10) {
				if _, ok := pac.wanted[id]; ok {
					ids = append(ids, id)
				}
			}
			return ids
		}
		note := func() {
			for _, e := range []struct {
				end    *end
				ledger *ledger
			}{{p.pns, pns}, {p.pac, pac}} {
				e.end.collect()
				for _, ev := range e.end.events {
					if u, ok := ev.(Unexpected); ok {
						switch u.Type {
						case TypeCallClearRequest, TypeSetLinkInfo: // crossed a Call-Disconnect-Notify
						case TypeOutgoingCallRequest, TypeIncomingCallRequest: // no room, or an ID that is taken
						case TypeCallDisconnectNotify: // too late, or crossed our Incoming-Call-Reply
							if step == time.Millisecond && seed%3 == 0 {
								t.Fatalf("seed %d: unexpected %v", seed, u.Type)
							}
						case TypeOutgoingCallReply, TypeIncomingCallReply, TypeIncomingCallConnected, TypeWANErrorNotify: // too late
							if step == time.Millisecond {
								t.Fatalf("seed %d: unexpected %v", seed, u.Type)
							}
						default:
							t.Fatalf("seed %d: unexpected %v", seed, u.Type)
						}
					}
				}
				e.ledger.note(e.end.take())
				require.NoError(t, e.end.err)
			}
		}
		deliver := func(from, to *end, n int) {
			n = min(n, len(from.sent))
			to.input(append([]byte(nil), from.sent[:n]...), p.now)
			from.sent = from.sent[n:]
			note()
		}
		quiet := func() {
			for len(p.pns.sent)+len(p.pac.sent)+len(pac.requested)+len(pns.requested)+len(pac.wanted) > 0 {
				deliver(p.pns, p.pac, len(p.pns.sent))
				deliver(p.pac, p.pns, len(p.pac.sent))
				for _, id := range requested(pac) {
					require.NoError(t, p.pac.RejectCall(id, OutgoingBusy, ErrorNone, &p.pac.out))
					delete(pac.requested, id)
				}
				for _, id := range requested(pns) {
					require.NoError(t, p.pns.RejectIncomingCall(id, IncomingDoNotAccept, ErrorNone, &p.pns.out))
					delete(pns.requested, id)
				}
				for _, id := range wanted() {
					require.NoError(t, p.pac.ConnectIncomingCall(id, IncomingCallConnected{}, &p.pac.out))
				}
				note()
			}
			require.Empty(t, pns.placed, "seed %d", seed)
			require.Empty(t, pac.placed, "seed %d", seed)
			require.Empty(t, pns.accepted, "seed %d", seed)
			mirror := make(map[uint16]uint16)
			for id, peer := range pac.up {
				mirror[peer] = id
			}
			require.Len(t, mirror, len(pac.up))
			require.Equal(t, mirror, pns.up, "seed %d", seed)
			require.Equal(t, len(pns.up), p.pns.Calls(), "seed %d", seed)
			abandoned := 0
			for _, k := range p.pac.calls {
				if k.state == callAbandoned {
					abandoned++
				}
			}
			require.Equal(t, len(pac.up), p.pac.Calls()-abandoned, "seed %d", seed)
		}
		note()
		for range 600 {
			id := uint16(rnd.IntN(10))
			switch rnd.IntN(17) {
			case 0, 1:
				if p.pns.PlaceCall(OutgoingCallRequest{CallID: id}, p.now, &p.pns.out) == nil {
					pns.placed[id] = true
				}
			case 2:
				_ = p.pns.ClearCall(CallDisconnectNotify{CallID: id}, p.now, &p.pns.out)
			case 3:
				_ = p.pns.SetLinkInfo(id, 1, 2, &p.pns.out)
			case 4, 5:
				if ids := requested(pac); len(ids) > 0 {
					_ = p.pac.AcceptCall(OutgoingCallReply{CallID: id, PeerCallID: ids[rnd.IntN(len(ids))]}, &p.pac.out)
				}
			case 6:
				if ids := requested(pac); len(ids) > 0 {
					peer := ids[rnd.IntN(len(ids))]
					require.NoError(t, p.pac.RejectCall(peer, OutgoingBusy, ErrorNone, &p.pac.out))
					delete(pac.requested, peer)
				}
			case 7:
				_ = p.pac.ClearCall(CallDisconnectNotify{CallID: id}, p.now, &p.pac.out)
			case 12:
				if seed%3 != 0 && p.pac.PlaceIncomingCall(IncomingCallRequest{CallID: id}, p.now, &p.pac.out) == nil {
					pac.placed[id] = true
				}
			case 13, 14:
				if ids := requested(pns); len(ids) > 0 {
					peer := ids[rnd.IntN(len(ids))]
					if p.pns.AcceptIncomingCall(IncomingCallReply{CallID: id, PeerCallID: peer}, p.now, &p.pns.out) == nil {
						pns.accepted[id] = peer
						delete(pns.requested, peer)
					}
				}
			case 15:
				if ids := requested(pns); len(ids) > 0 {
					peer := ids[rnd.IntN(len(ids))]
					require.NoError(t, p.pns.RejectIncomingCall(peer, IncomingDoNotAccept, ErrorNone, &p.pns.out))
					delete(pns.requested, peer)
				}
			case 16:
				if ids := wanted(); len(ids) > 0 {
					require.NoError(t, p.pac.ConnectIncomingCall(ids[rnd.IntN(len(ids))], IncomingCallConnected{}, &p.pac.out))
				}
				_ = p.pac.ReportWANErrors(id, WANErrorNotify{CRCErrors: 1}, p.now, &p.pac.out)
			case 8, 9:
				deliver(p.pns, p.pac, rnd.IntN(300))
			case 10, 11:
				deliver(p.pac, p.pns, rnd.IntN(300))
			}
			note()
			p.now = p.now.Add(time.Duration(rnd.Int64N(int64(step))))
			p.pns.tick(p.now)
			p.pac.tick(p.now)
			note()
			if rnd.IntN(100) == 0 {
				quiet()
			}
		}
		quiet()
		p.pns.Stop(StopNone, p.now, &p.pns.out)
		note()
		deliver(p.pns, p.pac, len(p.pns.sent))
		deliver(p.pac, p.pns, len(p.pac.sent))
		require.True(t, pns.stopped && pac.stopped)
	}
}
