package traffic

// tracker judges by their sequence numbers which packets of a session have come back.
// Its zero value expects the first.
type tracker struct {
	sent uint32 // packets, and so the next sequence number
	next uint32 // above the highest that has come
	seen [window / 64]uint64

	received   uint32 // each once
	duplicates uint32
	reordered  uint32 // after one with a higher number
}

// window is how far back a duplicate is told from what is late.
const window = 1024

// note takes a number that has come. It reports false of one that was never sent.
func (t *tracker) note(seq uint32) bool {
	if seq >= t.sent {
		return false
	}
	if seq >= t.next {
		for n := t.next; n < seq && n < t.next+window; n++ {
			t.set(n, false)
		}
		t.set(seq, true)
		t.next = seq + 1
		t.received++
		return true
	}
	if t.next-seq > window {
		// It may be one of either; what comes so late was waited for in vain.
		t.reordered++
		return true
	}
	if t.has(seq) {
		t.duplicates++
		return true
	}
	t.set(seq, true)
	t.received++
	t.reordered++
	return true
}

func (t *tracker) has(seq uint32) bool { return t.seen[seq%window/64]>>(seq%64)&1 != 0 }

func (t *tracker) set(seq uint32, came bool) {
	if came {
		t.seen[seq%window/64] |= 1 << (seq % 64)
	} else {
		t.seen[seq%window/64] &^= 1 << (seq % 64)
	}
}

// missing is how many have not come, between others that have, and after all of them.
func (t *tracker) missing() (between, after uint32) {
	return t.next - t.received, t.sent - t.next
}
