package capture

import (
	"bytes"
	"io"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
)

func newCapture() *Capture {
	return New(netip.MustParseAddrPort("192.0.2.1:1723"), netip.MustParseAddrPort("192.0.2.2:5000"))
}

// record is a packet of a file.
type record struct {
	info gopacket.CaptureInfo
	data []byte
}

// read returns what a capture has taken so far.
func read(t *testing.T, c *Capture) (list []record, r *pcapgo.NgReader) {
	t.Helper()
	var file bytes.Buffer
	stop := make(chan struct{})
	close(stop)
	require.NoError(t, c.WriteTo(&file, func() error { return nil }, stop))
	r, err := pcapgo.NewNgReader(&file, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	require.NoError(t, err)
	for {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			return list, r
		}
		require.NoError(t, err)
		list = append(list, record{info, data})
	}
}

func TestFrames(t *testing.T) {
	c := newCapture()
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	lcp := []byte{0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4}
	c.Trace(gopptp.TraceEvent{Time: at, Kind: gopptp.TracePPP, Sent: true, Data: lcp})
	clear(lcp) // it is the caller's
	c.Trace(gopptp.TraceEvent{Time: at, Kind: gopptp.TracePPP, Data: []byte{0xc0}})
	c.Packet(at, false, 1500, []byte{0x45, 1})
	c.Packet(at, true, 2, []byte{0x60, 1})
	c.Packet(at, true, 0, nil)
	list, _ := read(t, c)
	require.Len(t, list, 4)
	assert.Equal(t, []byte{1, 0xc0, 0x21, 9, 1, 0, 8, 1, 2, 3, 4}, list[0].data)
	assert.True(t, at.Equal(list[0].info.Timestamp))
	assert.Equal(t, []byte{0, 0xc0}, list[1].data)
	assert.Equal(t, []byte{0, 0, 0x21, 0x45, 1}, list[2].data)
	assert.Equal(t, 1503, list[2].info.Length)
	assert.Equal(t, []byte{1, 0, 0x57, 0x60, 1}, list[3].data)
}

// What passwords could be found from is not in it, but that it passed, and how long it was.
func TestSecretsAreCut(t *testing.T) {
	const (
		pap    = "\xc0\x23"
		reject = "\xc0\x21\x08\x07\x00\x1c"
		header = "\x02\x01\x00\x14"
		secret = "secret secret.."
	)
	for frame, want := range map[string]string{
		pap + header + secret:                      pap + header,
		"\xc2\x23" + header + secret:               "\xc2\x23" + header,
		"\xc2\x27" + header + secret:               "\xc2\x27" + header,
		"\xc0\x27" + header + secret:               "\xc0\x27" + header, // SPAP
		reject + pap + header + secret:             reject + pap + header,
		reject + reject + pap + header + secret:    reject + reject + pap + header,
		reject + "\x82\x35" + header + "something": reject + "\x82\x35" + header + "something",
		reject + pap + "\x01":                      reject + pap + "\x01",
		"\xc0\x21\x09\x01\x00\x08\x00\x00\x00\x00": "\xc0\x21\x09\x01\x00\x08\x00\x00\x00\x00",
		"\x80\x21" + header + secret:               "\x80\x21" + header + secret, // IPCP
	} {
		c := newCapture()
		c.Trace(gopptp.TraceEvent{Time: time.Now(), Kind: gopptp.TracePPP, Data: []byte(frame)})
		list, _ := read(t, c)
		require.Len(t, list, 1)
		assert.Equal(t, "\x00"+want, string(list[0].data))
		assert.Equal(t, 1+len(frame), list[0].info.Length)
	}
}

func TestMessages(t *testing.T) {
	c := newCapture()
	for _, sent := range []bool{false, true, false} {
		c.Trace(gopptp.TraceEvent{Time: time.Now(), Kind: gopptp.TraceControl, Sent: sent, Data: []byte("message")})
	}
	list, _ := read(t, c)
	require.Len(t, list, 3)
	var seq, ack []uint32
	for i, one := range list {
		assert.Equal(t, onControl, one.info.InterfaceIndex)
		p := gopacket.NewPacket(one.data, layers.LayerTypeIPv4, gopacket.Default)
		tcp := p.Layer(layers.LayerTypeTCP).(*layers.TCP)
		if i == 1 {
			assert.EqualValues(t, 1723, tcp.SrcPort)
		} else {
			assert.EqualValues(t, 1723, tcp.DstPort)
		}
		assert.Equal(t, []byte("message"), tcp.Payload)
		seq, ack = append(seq, tcp.Seq), append(ack, tcp.Ack)
	}
	assert.Equal(t, []uint32{1, 1, 8}, seq)
	assert.Equal(t, []uint32{1, 8, 8}, ack)
}

// Nobody waits for the file: what does not fit is counted.
func TestDrops(t *testing.T) {
	c := newCapture()
	for range packetQueue + 5 {
		c.Packet(time.Now(), true, 1, []byte{0x45})
	}
	list, r := read(t, c)
	assert.Len(t, list, packetQueue)
	stats, err := r.Interface(onLink)
	require.NoError(t, err)
	assert.EqualValues(t, packetQueue+5, stats.Statistics.PacketsReceived)
	assert.EqualValues(t, 5, stats.Statistics.PacketsDropped)
}

// Large packets that wait for a slow reader have no more memory than small ones.
func TestDropsOfLargePackets(t *testing.T) {
	c := newCapture()
	large := make([]byte, 60_000)
	large[0] = 0x45
	for range packetQueue {
		c.Packet(time.Now(), true, len(large), large)
	}
	assert.LessOrEqual(t, c.waiting.Load(), int64(queueOctets))
	list, r := read(t, c)
	assert.Len(t, list, queueOctets/(3+len(large)))
	stats, err := r.Interface(onLink)
	require.NoError(t, err)
	assert.EqualValues(t, packetQueue-len(list), stats.Statistics.PacketsDropped)
	assert.Zero(t, c.waiting.Load())
	c.Packet(time.Now(), true, len(large), large)
	assert.Len(t, c.queue, 1, "there is room again")
}

// A reader that is gone ends it.
func TestWriteError(t *testing.T) {
	assert.ErrorIs(t, newCapture().WriteTo(io.Discard, func() error { return io.ErrClosedPipe }, nil), io.ErrClosedPipe)
}
