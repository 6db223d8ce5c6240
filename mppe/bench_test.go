package mppe

import (
	stdrc4 "crypto/rc4"
	"crypto/sha1"
	"fmt"
	"testing"
)

// Each packet has a key of its own, as in a session: RC4 with the same key again
// and again looks much faster than it is, as the processor gets to know it.

// benchPackets is how many packets there are to a batch.
const benchPackets = 64

func benchSizes(b *testing.B, f func(b *testing.B, packets [][]byte)) {
	for _, size := range []int{64, 576, 1400} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			packets := make([][]byte, benchPackets)
			for i := range packets {
				packets[i] = make([]byte, HeaderLen+size)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			f(b, packets)
		})
	}
}

// BenchmarkReference is stateless MPPE by the standard library's ciphers, without
// anything around them.
func BenchmarkReference(b *testing.B) {
	benchSizes(b, func(b *testing.B, packets [][]byte) {
		var buf [112]byte
		copy(buf[72:], pad2[:])
		key := buf[56:72]
		for i := range b.N {
			sum := sha1.Sum(buf[:])
			c, _ := stdrc4.NewCipher(sum[:16])
			c.XORKeyStream(key, sum[:16])
			c, _ = stdrc4.NewCipher(key)
			p := packets[i%len(packets)][HeaderLen:]
			c.XORKeyStream(p, p)
		}
	})
}

// BenchmarkSeal is one packet after the other.
func BenchmarkSeal(b *testing.B) {
	benchSizes(b, func(b *testing.B, packets [][]byte) {
		e, _ := newPair(b)
		for i := range b.N {
			e.Seal(packets[i%len(packets)])
		}
	})
}

// BenchmarkSealBatch is batches of one session. An operation is one packet.
func BenchmarkSealBatch(b *testing.B) { benchSizes(b, benchSealBatch) }

// BenchmarkSealBatchGeneric is BenchmarkSealBatch without the assembly.
func BenchmarkSealBatchGeneric(b *testing.B) {
	defer func(was bool) { assembly = was }(assembly)
	assembly = false
	benchSizes(b, benchSealBatch)
}

func benchSealBatch(b *testing.B, packets [][]byte) {
	e, _ := newPair(b)
	for n := b.N; n > 0; n -= len(packets) {
		e.SealBatch(packets[:min(n, len(packets))])
	}
}

// BenchmarkSealBatchSessions is batches in which each packet is of a session of
// its own.
func BenchmarkSealBatchSessions(b *testing.B) {
	benchSizes(b, func(b *testing.B, packets [][]byte) {
		var sessions [benchPackets]*Encryptor
		for i := range sessions {
			p := testParams
			p.Key[0] ^= byte(i)
			sessions[i], _ = NewEncryptor(p)
		}
		var batch Batch
		for n := b.N; n > 0; n -= len(packets) {
			for i, p := range packets[:min(n, len(packets))] {
				batch.Seal(sessions[i], p)
			}
			batch.Flush()
		}
	})
}

// BenchmarkOpenBatch decrypts what it has decrypted before, as if it came from the
// peer: to RC4 it is all the same.
func BenchmarkOpenBatch(b *testing.B) {
	benchSizes(b, func(b *testing.B, packets [][]byte) {
		_, d := newPair(b)
		var batch Batch
		for n := b.N; n > 0; n -= len(packets) {
			for _, p := range packets[:min(n, len(packets))] {
				h := bitFlushed | bitEncrypted | d.count
				p[0], p[1] = byte(h>>8), byte(h)
				if _, err := batch.Open(d, p, 0); err != nil {
					b.Fatal(err)
				}
			}
			batch.Flush()
		}
	})
}

// BenchmarkSealBatchOf shows what small batches cost, at 1,400 octets.
func BenchmarkSealBatchOf(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 16} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			packets := make([][]byte, n)
			for i := range packets {
				packets[i] = make([]byte, HeaderLen+1400)
			}
			b.SetBytes(1400)
			benchSealBatch(b, packets)
		})
	}
}
