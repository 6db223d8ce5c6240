package gre

import (
	"bytes"
	"testing"
	"time"
)

func FuzzHeader(f *testing.F) {
	for _, v := range vectors {
		f.Add(append(octets(v.wire), octets(v.payload)...))
	}
	f.Add(octets("3000 880b 0000 1234 00000000"))
	f.Add(octets("b1ff 880b ffff 1234 00000000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Header
		n, err := h.Decode(b)
		if err != nil {
			if n != 0 {
				t.Fatalf("%d octets used with %v", n, err)
			}
			return
		}
		if n != h.Len() || n+int(h.PayloadLength) > len(b) {
			t.Fatalf("%+v of %d octets, header %d", h, len(b), n)
		}
		again := h.Append(nil)
		if !bytes.Equal(again, b[:n]) {
			t.Fatalf("%x became %x", b[:n], again)
		}
		packet := append(make([]byte, MaxHeaderLen), b[n:]...)
		start := h.Prepend(packet, MaxHeaderLen)
		if !bytes.Equal(packet[start:], b) {
			t.Fatalf("%x became %x", b, packet[start:])
		}
		var second Header
		if m, err := second.Decode(packet[start:]); err != nil || m != n || second != h {
			t.Fatalf("%+v became %+v: %v", h, second, err)
		}
	})
}

// FuzzReceiver reads events from its input: packets whose numbers step a
// little, far, or anywhere; time that passes; acknowledgements.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{16, 0, 1, 1, 1})                                         // in order
	f.Add([]byte{4, 0, 1, 4, 2, 2, 7, 200, 1})                            // reordered
	f.Add([]byte{0, 0, 1, 1, 255, 255, 6, 8})                             // doubled
	f.Add([]byte{16, 8, 250, 0, 0, 0, 7, 255, 7, 255, 7, 255, 7, 255})    // far ahead
	f.Add([]byte{255, 0, 8, 0, 0, 0, 1, 7, 250, 1, 7, 250, 1, 7, 250})    // begins anew
	f.Add([]byte{2, 8, 255, 255, 255, 255, 0, 1, 3, 1, 5, 0, 9, 1, 0x7f}) // across the wrap
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 {
			return
		}
		m := newModel(t, ReceiverConfig{Reorder: int(int8(ops[0]))})
		ops = ops[1:]
		take := func() (v byte) {
			if len(ops) > 0 {
				v, ops = ops[0], ops[1:]
			}
			return v
		}
		now := epoch
		seq := uint32(0)
		for len(ops) > 0 {
			switch op := take(); op % 10 {
			case 5: // back, or forth by much
				seq += uint32(int32(int8(take()))) * 100
			case 6:
				m.ack()
				continue
			case 7:
				now = now.Add(time.Duration(take()) * 2 * time.Millisecond)
				m.tick(now)
				continue
			case 8:
				seq = uint32(take())<<24 | uint32(take())<<16 | uint32(take())<<8 | uint32(take())
			case 9:
				seq += uint32(take()) << (take() % 24)
			default:
				seq += uint32(int32(int8(op)))
			}
			m.push(seq, now)
		}
		m.settle(now)
	})
}

// FuzzSender: a peer cannot acknowledge what was not sent, nor twice.
func FuzzSender(f *testing.F) {
	f.Add(uint32(0), uint8(3), uint32(0), uint32(2))
	f.Add(uint32(1<<32-2), uint8(9), uint32(1<<32-1), uint32(5))
	f.Fuzz(func(t *testing.T, first uint32, n uint8, a, b uint32) {
		s := NewSender(first)
		for range n {
			s.Next()
		}
		acked := uint32(0) // numbers, counted from first
		for _, ack := range []uint32{a, b, a, b} {
			ahead := ack - first + 1 // so many would then be acknowledged
			want := ahead > acked && ahead <= uint32(n) && ahead != 0
			if got := s.Ack(ack); got != want {
				t.Fatalf("Ack(%d) is %t with %d of %d from %d acknowledged", ack, got, acked, n, first)
			}
			if want {
				acked = ahead
			}
			if s.Unacked() != uint32(n)-acked {
				t.Fatalf("%d unacknowledged", s.Unacked())
			}
		}
	})
}

// FuzzFlow: whatever is acknowledged, and however the time goes, an owner is
// never left to wait for ever.
func FuzzFlow(f *testing.F) {
	f.Add(uint16(64), uint32(0), []byte{0, 248, 18, 3, 0, 248, 6, 6, 6})
	f.Add(uint16(1), uint32(1<<32-2), []byte{0, 6, 0, 6, 3, 4, 12, 20, 5, 13})
	f.Add(uint16(8), uint32(1<<31-4), []byte{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 250, 7})
	f.Add(uint16(65535), uint32(7), []byte{0, 0, 2, 10, 18, 26, 3})
	f.Add(uint16(0), uint32(7), []byte{1, 3, 6})
	f.Fuzz(func(t *testing.T, window uint16, first uint32, ops []byte) {
		drive(t, FlowConfig{Window: int(window)}, first, func() (int, bool) {
			if len(ops) == 0 {
				return 0, false
			}
			op := int(ops[0])
			ops = ops[1:]
			return op, true
		})
	})
}
