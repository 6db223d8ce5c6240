package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"syscall"
	"time"
)

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

// bulkServer serves until it is stopped: bulk-server ADDRESS
func bulkServer(args []string) error {
	l, err := net.Listen("tcp4", args[0])
	if err != nil {
		return err
	}
	fmt.Println("listening on", l.Addr())
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := serveBulk(patient{c}); err != nil {
				fmt.Fprintln(os.Stderr, "bulk:", c.RemoteAddr(), err)
			}
		}()
	}
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

// bulkClient does one transfer: bulk-client [-dev DEV] [-bytes N] ADDRESS
func bulkClient(args []string) error {
	flags := flag.NewFlagSet("bulk-client", flag.ContinueOnError)
	dev := flags.String("dev", "", "send through this device")
	size := flags.Uint64("bytes", 1<<20, "bytes each way")
	if err := flags.Parse(args); err != nil {
		return err
	}
	d := net.Dialer{Timeout: bulkPatience}
	if *dev != "" {
		d.Control = func(_, _ string, c syscall.RawConn) (err error) {
			if cerr := c.Control(func(fd uintptr) { err = syscall.BindToDevice(int(fd), *dev) }); cerr != nil {
				return cerr
			}
			return err
		}
	}
	conn, err := d.Dial("tcp4", flags.Arg(0))
	if err != nil {
		return err
	}
	defer conn.Close()
	c := patient{conn}
	h := bulkHeader{Seed: rand.Uint64(), Up: *size, Down: *size}

	began := time.Now()
	if err := binary.Write(c, binary.BigEndian, h); err != nil {
		return err
	}
	sent := sha256.New()
	if _, err := io.CopyN(c, io.TeeReader(stream(h.Seed), sent), int64(h.Up)); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	var got [sha256.Size]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return fmt.Errorf("upload: %w", err)
	}
	if !bytes.Equal(got[:], sent.Sum(nil)) {
		return errors.New("upload: the data arrived changed")
	}
	up := time.Since(began)

	began = time.Now()
	want, received := sha256.New(), sha256.New()
	if _, err := io.CopyN(want, stream(h.Seed+1), int64(h.Down)); err != nil {
		return err
	}
	n, err := io.Copy(received, c)
	if err != nil {
		return fmt.Errorf("download: %w", err)
	}
	if uint64(n) != h.Down || !bytes.Equal(received.Sum(nil), want.Sum(nil)) {
		return fmt.Errorf("download: the data arrived changed (%d of %d bytes)", n, h.Down)
	}
	down := time.Since(began)
	rate := func(d time.Duration) float64 { return float64(*size) * 8 / 1e6 / d.Seconds() }
	fmt.Printf("bulk ok: %d bytes each way, up %.1f Mbit/s, down %.1f Mbit/s\n", *size, rate(up), rate(down))
	return nil
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
