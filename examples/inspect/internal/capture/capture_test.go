package capture_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/gopacket"
	stock "github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/inspect/internal/capture"
	"github.com/gopptp/gopptp/examples/inspect/internal/scene"
	"github.com/gopptp/gopptp/gre"
	"github.com/gopptp/gopptp/layers"
)

// ack is an IP packet of enhanced GRE.
var ack = scene.IP(scene.Client, stock.IPProtocolGRE, gopacket.Payload((&gre.Header{CallID: 7, HasAck: true, Ack: 5}).Append(nil)))

func at(n int) gopacket.CaptureInfo { return gopacket.CaptureInfo{CaptureLength: n, Length: n} }

// pcap is a file of one packet. The number of its link type has more bits than
// gopacket's type.
func pcap(t testing.TB, linkType uint32, packet []byte) []byte {
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	require.NoError(t, w.WriteFileHeader(65536, 0))
	ci := at(len(packet))
	ci.Timestamp = time.Unix(1, 0)
	require.NoError(t, w.WritePacket(ci, packet))
	binary.LittleEndian.PutUint32(b.Bytes()[20:], linkType)
	return b.Bytes()
}

// read returns the call IDs of a file's GRE packets.
func read(t testing.TB, file []byte) (ids []uint16, err error) {
	r, err := capture.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return ids, err
		}
		if g, ok := p.Layer(layers.LayerTypeEnhancedGRE).(*layers.EnhancedGRE); ok {
			ids = append(ids, g.CallID)
		}
	}
}

func TestLinkTypes(t *testing.T) {
	ethernet := append(append(make([]byte, 12), 8, 0), ack...)
	sll := append([]byte{0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0}, ack...)
	sll2 := append(append([]byte{8, 0}, make([]byte, 18)...), ack...)
	for name, f := range map[string]struct {
		linkType uint32
		packet   []byte
	}{
		"Ethernet": {1, ethernet},
		"VLAN":     {1, append(append(make([]byte, 12), 0x81, 0, 0, 5, 8, 0), ack...)},
		"raw":      {101, ack},
		"raw, BSD": {12, ack},
		"IPv4":     {228, ack},
		"cooked":   {113, sll},
		"cooked 2": {276, sll2},
		"null":     {0, append([]byte{2, 0, 0, 0}, ack...)},
	} {
		t.Run(name, func(t *testing.T) {
			file := pcap(t, f.linkType, f.packet)
			ids, err := read(t, file)
			require.NoError(t, err)
			require.Equal(t, []uint16{7}, ids)

			var z bytes.Buffer
			w := gzip.NewWriter(&z)
			_, _ = w.Write(file)
			require.NoError(t, w.Close())
			ids, err = read(t, z.Bytes())
			require.NoError(t, err)
			require.Equal(t, []uint16{7}, ids)
		})
	}
	t.Run("unknown", func(t *testing.T) {
		_, err := read(t, pcap(t, 105, ack))
		var unknown *capture.LinkTypeError
		require.ErrorAs(t, err, &unknown)
		require.ErrorContains(t, err, "105")
	})
	t.Run("cooked 2, cut", func(t *testing.T) {
		ids, err := read(t, pcap(t, 276, sll2[:10]))
		require.NoError(t, err)
		require.Empty(t, ids)
	})
}

// Each interface of a pcapng file may be of another kind.
func TestPcapng(t *testing.T) {
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, stock.LinkTypeEthernet)
	require.NoError(t, err)
	raw, err := w.AddInterface(pcapgo.NgInterface{Name: "tun", LinkType: stock.LinkTypeRaw})
	require.NoError(t, err)
	ethernet := append(append(make([]byte, 12), 8, 0), ack...)
	require.NoError(t, w.WritePacket(at(len(ethernet)), ethernet))
	ci := at(len(ack))
	ci.InterfaceIndex = raw
	require.NoError(t, w.WritePacket(ci, ack))
	require.NoError(t, w.Flush())
	ids, err := read(t, b.Bytes())
	require.NoError(t, err)
	require.Equal(t, []uint16{7, 7}, ids)
}

func TestNotACapture(t *testing.T) {
	for _, file := range []string{"", "abc", "GIF89a, and so on, and so on"} {
		_, err := read(t, []byte(file))
		require.ErrorIs(t, err, capture.ErrFormat)
	}
}

// A file that ends within a packet is as good as what comes before that.
func TestCut(t *testing.T) {
	file := pcap(t, 101, ack)
	whole := append(append([]byte(nil), file...), file[24:len(file)-3]...)
	r, err := capture.NewReader(bytes.NewReader(whole))
	require.NoError(t, err)
	_, err = r.Next()
	require.NoError(t, err)
	require.False(t, r.Cut())
	_, err = r.Next()
	require.ErrorIs(t, err, io.EOF)
	require.True(t, r.Cut())
}
