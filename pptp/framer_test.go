package pptp

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

// feed gives f the chunks and returns copies of the messages.
func feed(t testing.TB, f *Framer, chunks ...[]byte) (msgs [][]byte, err error) {
	t.Helper()
	for _, in := range chunks {
		for {
			msg, rest, err := f.Next(in)
			require.LessOrEqual(t, f.Buffered(), MaxMessageLen)
			if err != nil || msg == nil {
				if err != nil {
					return msgs, err
				}
				break
			}
			msgs = append(msgs, bytes.Clone(msg))
			in = rest
		}
	}
	return msgs, nil
}

// stream is all vectors in a row.
func stream() (all []byte, each [][]byte) {
	for _, v := range vectors {
		all = append(all, v.wire...)
		each = append(each, v.wire)
	}
	return all, each
}

func TestFramerCoalesced(t *testing.T) {
	all, each := stream()
	var f Framer
	msgs, err := feed(t, &f, all)
	require.NoError(t, err)
	require.Equal(t, each, msgs)
	require.Zero(t, f.Buffered())
}

func TestFramerEverySplitPoint(t *testing.T) {
	all, each := stream()
	for i := range len(all) + 1 {
		var f Framer
		msgs, err := feed(t, &f, all[:i], all[i:])
		require.NoError(t, err)
		require.Equal(t, each, msgs, "split at %d", i)
		require.Nil(t, f.partial, "no memory is held between messages")
	}
}

// A short message, split into three at every pair of points.
func TestFramerEveryTwoSplitPoints(t *testing.T) {
	var all []byte
	all = (&EchoReply{Identifier: 7}).Append(all)
	all = (&EchoRequest{Identifier: 8}).Append(all)
	for i := range len(all) + 1 {
		for j := i; j <= len(all); j++ {
			var f Framer
			msgs, err := feed(t, &f, all[:i], all[i:j], all[j:])
			require.NoError(t, err)
			require.Equal(t, [][]byte{all[:20], all[20:]}, msgs, "split at %d and %d", i, j)
		}
	}
}

func TestFramerOctetByOctet(t *testing.T) {
	all, each := stream()
	for size := 1; size < 300; size += 7 {
		var f Framer
		var chunks [][]byte
		for b := all; len(b) > 0; b = b[min(size, len(b)):] {
			chunks = append(chunks, b[:min(size, len(b))])
		}
		msgs, err := feed(t, &f, chunks...)
		require.NoError(t, err)
		require.Equal(t, each, msgs, "in chunks of %d", size)
	}
}

func TestFramerUnknownTypeAndSizes(t *testing.T) {
	shortest := octets("000c 0001 1a2b3c4d ffff 0000")
	longest := append(octets("0200 0001 1a2b3c4d 0063 0000"), make([]byte, MaxMessageLen-12)...)
	all := bytes.Join([][]byte{shortest, longest, shortest}, nil)
	for i := range len(all) + 1 {
		var f Framer
		msgs, err := feed(t, &f, all[:i], all[i:])
		require.NoError(t, err)
		require.Equal(t, [][]byte{shortest, longest, shortest}, msgs)
	}
}

// What is wrong is seen with the octet that makes it wrong, however the stream
// is cut and whatever came before.
func TestFramerErrors(t *testing.T) {
	good := (&EchoRequest{Identifier: 1}).Append(nil)
	for name, c := range map[string]struct {
		wire []byte
		at   int // octets needed to see it
		err  error
	}{
		"too short":   {octets("000b 0001 1a2b3c4d 0005 0000"), 2, ErrLength},
		"zero":        {make([]byte, 64), 2, ErrLength},
		"too long":    {octets("0201 0001 1a2b3c4d 0005 0000"), 2, ErrLength},
		"management":  {octets("0010 0002 1a2b3c4d 0005 0000"), 4, ErrPPTPMessageType},
		"cookie":      {octets("0010 0001 1a2b3c4c 0005 0000"), 8, ErrCookie},
		"HTTP":        {[]byte("GET / HTTP/1.1\r\n\r\n"), 2, ErrLength},
		"TLS":         {octets("1603 0100 c8010000 c40303"), 2, ErrLength},
		"out of step": {good[1:], 2, ErrLength},
	} {
		t.Run(name, func(t *testing.T) {
			for _, before := range [][]byte{nil, good} {
				b := append(bytes.Clone(before), c.wire...)
				for i := range len(b) + 1 {
					var f Framer
					msgs, err := feed(t, &f, b[:i], b[i:])
					require.ErrorIs(t, err, c.err)
					var fe *FramingError
					require.ErrorAs(t, err, &fe)
					require.Len(t, msgs, len(before)/len(good))
				}
				var f Framer
				_, err := feed(t, &f, before, c.wire[:c.at-1])
				require.NoError(t, err)
				_, err = feed(t, &f, c.wire[c.at-1:c.at])
				require.ErrorIs(t, err, c.err)
				require.Zero(t, f.Buffered())
			}
		})
	}
}

func TestFramerWholeMessagesDoNotAllocate(t *testing.T) {
	all, _ := stream()
	var f Framer
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for in := all; len(in) > 0; {
			msg, rest, err := f.Next(in)
			if msg == nil || err != nil {
				t.Fatal(err)
			}
			in = rest
		}
	}))
}
