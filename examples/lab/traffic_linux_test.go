package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ping sends n echo requests through dev; every one must be answered.
func (h host) ping(t *testing.T, dev, to string, n int) {
	t.Helper()
	h.run(t, "ping", "-q", "-I", dev, "-c", strconv.Itoa(n), "-i", "0.02", "-W", "2", to)
}

// echo is a ping without a program for it, which would take longer to start
// than to run. It is for checks in great numbers. The first try must succeed: no
// packet of a session that is up may be lost. The answer may take its time, as on a
// machine that is busy.
func (h host) echo(dev, to string) error { return h.tryEcho(dev, to, 10*time.Second) }

// echoOf is echo by a host with the plane.
func (h host) echoOf(p plane, dev, to string) error {
	if p == userspacePlane {
		return h.echo(dev, to)
	}
	return h.echoOfPPPD(dev, to)
}

// echoOfPPPD asks more than once. A pppd drops what comes between IPCP's last
// packet and the end of its work on the device, and so does the kernel plane.
func (h host) echoOfPPPD(dev, to string) (err error) {
	const patience = 500 * time.Millisecond
	for range 6 {
		next := time.After(patience)
		if err = h.tryEcho(dev, to, patience); err == nil {
			return nil
		}
		<-next // there may be no route to it
	}
	return err
}

func (h host) tryEcho(dev, to string, patience time.Duration) error {
	c, err := h.icmp(dev)
	if err != nil {
		return err
	}
	defer c.Close()
	request := make([]byte, 64)
	request[0] = 8 // RFC 792
	if _, err := rand.NewChaCha8([32]byte{}).Read(request[8:]); err != nil {
		return err
	}
	binary.BigEndian.PutUint32(request[4:], rand.Uint32()) // identifier and sequence number
	binary.BigEndian.PutUint16(request[2:], checksum(request))
	if _, err := c.WriteTo(request, &net.IPAddr{IP: net.ParseIP(to)}); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	for reply := make([]byte, 1500); ; {
		n, from, err := c.ReadFrom(reply)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("%s: no echo from %s through %s", h.name, to, dev)
		}
		if err != nil {
			return err
		}
		if from.String() == to && reply[0] == 0 && bytes.Equal(reply[4:n], request[4:]) {
			return nil
		}
	}
}

// checksum of RFC 1071, over an even number of octets.
func checksum(b []byte) uint16 {
	var sum uint32
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// A bulk transfer sends a known pseudo-random stream each way over one TCP
// connection and compares SHA-256 sums. The client says how much it will send
// and wants; the server answers with the sum of what it got and its own stream.

const (
	bulkPort     = 7000
	bulkPatience = 20 * time.Second // without any progress
)

type bulkHeader struct {
	Seed, Up, Down uint64
}

// stream is the pseudo-random data that seed stands for.
func stream(seed uint64) io.Reader {
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// serveBulk is the far end of bulk transfers in the host, until the test ends.
func (h host) serveBulk(t *testing.T) {
	t.Helper()
	l, err := h.listen(net.JoinHostPort("0.0.0.0", strconv.Itoa(bulkPort)))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = serveBulk(patient{c}) // the client sees what is wrong
			}()
		}
	}()
}

func serveBulk(c io.ReadWriter) error {
	var h bulkHeader
	if err := binary.Read(c, binary.BigEndian, &h); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, c, int64(h.Up)); err != nil {
		return err
	}
	if _, err := c.Write(sum.Sum(nil)); err != nil {
		return err
	}
	_, err := io.CopyN(c, stream(h.Seed+1), int64(h.Down))
	return err
}

// bulk transfers size bytes each way through dev, checked, and returns the
// rates as text.
func (h host) bulk(t *testing.T, dev, to string, size int) string {
	t.Helper()
	out, err := h.bulkErr(dev, to, size)
	require.NoError(t, err)
	return out
}

func (h host) bulkErr(dev, to string, size int) (string, error) {
	up, down, err := h.transfer(dev, to, uint64(size))
	if err != nil {
		return "", fmt.Errorf("bulk transfer from %s: %w", h.name, err)
	}
	rate := func(d time.Duration) float64 { return float64(size) * 8 / 1e6 / d.Seconds() }
	return fmt.Sprintf("bulk transfer: %d bytes each way, up %.1f Mbit/s, down %.1f Mbit/s", size, rate(up), rate(down)), nil
}

func (h host) transfer(dev, to string, size uint64) (up, down time.Duration, err error) {
	conn, err := h.dial(dev, net.JoinHostPort(to, strconv.Itoa(bulkPort)))
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	c := patient{conn}
	header := bulkHeader{Seed: rand.Uint64(), Up: size, Down: size}

	began := time.Now()
	if err := binary.Write(c, binary.BigEndian, header); err != nil {
		return 0, 0, err
	}
	sent := sha256.New()
	if _, err := io.CopyN(c, io.TeeReader(stream(header.Seed), sent), int64(size)); err != nil {
		return 0, 0, fmt.Errorf("upload: %w", err)
	}
	var got [sha256.Size]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return 0, 0, fmt.Errorf("upload: %w", err)
	}
	if !bytes.Equal(got[:], sent.Sum(nil)) {
		return 0, 0, errors.New("upload: the data arrived changed")
	}
	up = time.Since(began)

	began = time.Now()
	want, received := sha256.New(), sha256.New()
	if _, err := io.CopyN(want, stream(header.Seed+1), int64(size)); err != nil {
		return 0, 0, err
	}
	n, err := io.Copy(received, c)
	if err != nil {
		return 0, 0, fmt.Errorf("download: %w", err)
	}
	if uint64(n) != size || !bytes.Equal(received.Sum(nil), want.Sum(nil)) {
		return 0, 0, fmt.Errorf("download: the data arrived changed (%d of %d bytes)", n, size)
	}
	return up, time.Since(began), nil
}

// patient gives a connection up when it makes no progress.
type patient struct{ net.Conn }

func (p patient) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(bulkPatience))
	return p.Conn.Read(b)
}

func (p patient) Write(b []byte) (int, error) {
	_ = p.SetWriteDeadline(time.Now().Add(bulkPatience))
	return p.Conn.Write(b)
}
