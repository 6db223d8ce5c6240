package xdp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const testCall = 0x1234

// known is the call whose packets go from one host to another.
func known(from, to *host) Key {
	return Key{Peer: netip.MustParseAddr(from.address), Local: netip.MustParseAddr(to.address), CallID: testCall}
}

// appendFrame makes an Ethernet frame of the call.
func appendFrame(b []byte, from, to *host, payload []byte) []byte {
	start := len(b)
	b = append(b, to.mac...)
	b = append(b, from.mac...)
	b = append(b, 0x08, 0x00)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+8+len(payload)))
	b = append(b, 0, 0, 0x40, 0, 64, unix.IPPROTO_GRE, 0, 0)
	b = append(b, netip.MustParseAddr(from.address).AsSlice()...)
	b = append(b, netip.MustParseAddr(to.address).AsSlice()...)
	b = append(b, 0x20, 0x01, 0x88, 0x0B)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = binary.BigEndian.AppendUint16(b, testCall)
	checksum(b[start+14 : start+34])
	return append(b, payload...)
}

func checksum(header []byte) {
	header[10], header[11] = 0, 0
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xFFFF
	}
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum))
}

func TestFilterProgram(t *testing.T) {
	change := func(offset int, octets ...byte) func([]byte) []byte {
		return func(b []byte) []byte { copy(b[offset:], octets); return b }
	}
	resize := func(n int) func([]byte) []byte {
		return func(b []byte) []byte { return append(b, make([]byte, n)...)[:n] }
	}
	tests := []struct {
		name   string
		change func([]byte) []byte
		ours   bool
	}{
		{"known call", resize(100), true},
		{"no payload", resize(42), true},
		{"largest", resize(MaxReceive), true},
		{"too large", resize(MaxReceive + 1), false},
		{"much too large", resize(2900), false},
		{"cut", resize(41), false},
		{"no GRE header", resize(34), false},
		{"only Ethernet", resize(14), false},
		{"do not fragment is not set", change(fragment, 0, 0), true},
		{"other flags of GRE", change(34, 0x30, 0x81), true},
		{"other call", change(callID, 0x12, 0x35), false},
		{"other call, swapped", change(callID, 0x34, 0x12), false},
		{"other peer", change(source, 192, 0, 2, 9), false},
		{"other local address", change(destination, 192, 0, 2, 9), false},
		{"peer and local swapped", change(source, 192, 0, 2, 2, 192, 0, 2, 1), false},
		{"ARP", change(etherType, 0x08, 0x06), false},
		{"IPv6", change(etherType, 0x86, 0xDD), false},
		{"version 6", change(versionIHL, 0x65), false},
		{"options", change(versionIHL, 0x46), false},
		{"first fragment", change(fragment, 0x20, 0), false},
		{"last fragment", change(fragment, 0, 1), false},
		{"large fragment offset", change(fragment, 0x10, 0), false},
		{"UDP", change(ipProtocol, unix.IPPROTO_UDP), false},
		{"GRE version 0", change(greVersion, 0), false},
		{"GRE version 3", change(greVersion, 3), false},
		{"GRE version 5", change(greVersion, 5), false},
		{"Ethernet in GRE", change(greProtocol, 0x65, 0x58), false},
	}
	modes(t, func(t *testing.T, o Options) {
		a, b := newPair(t)
		f := newFilter(t, known(a, b))
		i := b.open(t, f, o)
		require.Equal(t, o.Mode, i.Mode())
		require.False(t, i.ZeroCopy())
		require.Len(t, i.Sockets(), 1)
		s, from, stack := i.Sockets()[0], a.tap(t), b.tap(t)
		buffer := make([]byte, 4096)
		// arrives sends a frame, and says whether it is ours.
		arrives := func(t *testing.T, frame []byte) bool {
			t.Helper()
			_, err := unix.Write(from, frame)
			require.NoError(t, err)
			for readable(s.FD(), stack) {
				var frames [1][]byte
				if s.Receive(frames[:]) == 1 {
					require.Equal(t, frame, frames[0])
					s.Free(frames[0])
					return true
				}
				// The stack sends, too.
				n, err := unix.Read(stack, buffer)
				if err == nil && bytes.Equal(frame, buffer[:n]) {
					return false
				}
			}
			t.Fatal("the frame is lost")
			return false
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				frame := test.change(appendFrame(nil, a, b, []byte("payload")))
				require.Equal(t, test.ours, arrives(t, frame))
			})
		}
		frame := appendFrame(nil, a, b, []byte("payload"))
		require.NoError(t, f.Remove(known(a, b)))
		require.False(t, arrives(t, frame), "after Remove")
		require.NoError(t, f.Remove(known(a, b)))
		require.NoError(t, f.Add(known(a, b)))
		require.NoError(t, f.Add(known(a, b)))
		require.True(t, arrives(t, frame), "after Add")
		require.NoError(t, f.Close())
		require.True(t, arrives(t, frame), "after Close of the filter")
		require.NoError(t, i.Close())
		require.False(t, b.attached(t))
		stats, err := s.Stats()
		require.ErrorIs(t, err, net.ErrClosed)
		require.Zero(t, stats)
	})
}

// Kernels before 5.18 take a program that knows nothing of several buffers.
func TestFilterProgramOneBuffer(t *testing.T) {
	if err := Probe(); err != nil {
		missing(t, "no AF_XDP: %v", err)
	}
	f := newFilter(t)
	sockets, err := createMap(unix.BPF_MAP_TYPE_XSKMAP, 4, 4, 1, 0)
	require.NoError(t, err)
	defer unix.Close(sockets)
	program, err := loadProgram(filterProgram(f.fd, sockets, false), 0)
	require.NoError(t, err)
	unix.Close(program)
}

func TestExplain(t *testing.T) {
	for errno, meaning := range map[error]error{
		unix.ENOSYS:       ErrNotSupported,
		unix.EAFNOSUPPORT: ErrNotSupported,
		unix.EOPNOTSUPP:   ErrNotSupported,
		unix.EPERM:        ErrPermission,
		unix.ENOBUFS:      ErrLockedMemory,
		unix.EBUSY:        ErrBusy,
		unix.ENODEV:       ErrInterface,
		unix.ENOMEM:       unix.ENOMEM,
	} {
		err := explain("operation", errno)
		require.ErrorIs(t, err, meaning)
		require.ErrorIs(t, err, errno)
		require.ErrorContains(t, err, "xdp: operation")
	}
}

func TestFilter(t *testing.T) {
	if err := Probe(); err != nil {
		missing(t, "no AF_XDP: %v", err)
	}
	f, err := NewFilter(2)
	require.NoError(t, err)
	k := Key{Peer: netip.MustParseAddr("192.0.2.1"), Local: netip.MustParseAddr("192.0.2.2")}
	require.NoError(t, f.Add(k))
	k.CallID++
	require.NoError(t, f.Add(k))
	k.CallID++
	require.ErrorIs(t, f.Add(k), ErrFull)
	require.NoError(t, f.Remove(k))
	k.CallID--
	require.NoError(t, f.Remove(k))
	k.CallID++
	require.NoError(t, f.Add(k))
	require.Error(t, f.Add(Key{}))
	require.Error(t, f.Remove(Key{Peer: netip.IPv6Loopback(), Local: netip.IPv6Loopback()}))
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Close(), net.ErrClosed)
	require.ErrorIs(t, f.Add(k), net.ErrClosed)
	require.ErrorIs(t, f.Remove(k), net.ErrClosed)
}

// channel is two hosts with AF_XDP, and the calls of both.
type channel struct {
	a, b   *host
	sa, sb *Socket
}

func newChannel(t testing.TB, o Options) channel {
	t.Helper()
	a, b := newPair(t)
	f := newFilter(t, known(a, b), known(b, a))
	return channel{a, b, a.open(t, f, o).Sockets()[0], b.open(t, f, o).Sockets()[0]}
}

// send puts a frame with a number into the ring, at some offset, if there is room.
func (c *channel) send(number uint32, size int) bool {
	frame := c.sa.Frame()
	if frame == nil {
		return false
	}
	offset := int(number % 300)
	payload := frame[offset+minFrame : offset+size]
	binary.BigEndian.PutUint32(payload, number)
	binary.BigEndian.PutUint32(payload[len(payload)-4:], ^number)
	c.sa.Submit(appendFrame(frame[:offset], c.a, c.b, payload)[offset:])
	return true
}

func number(t testing.TB, frame []byte) uint32 {
	n := binary.BigEndian.Uint32(frame[minFrame:])
	require.Equal(t, ^n, binary.BigEndian.Uint32(frame[len(frame)-4:]))
	return n
}

// Many more frames than the rings have, in order, with as many in the rings as
// they hold now and then, and some frames held by the receiver all the time.
func TestWrap(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		o.RxRing, o.TxRing, o.RxFrames = 64, 32, 100
		c := newChannel(t, o)
		var held [][]byte
		frames := make([][]byte, 24)
		sent, got := uint32(0), uint32(0)
		for got < 20000 {
			for range min(1+got%40, 32) {
				if !c.send(sent, 50+int(sent%1400)) {
					break
				}
				sent++
			}
			require.NoError(t, c.sa.Flush())
			require.Zero(t, c.sa.Pending())
			for got < sent {
				require.True(t, readable(c.sb.FD()), "%d frames of %d", got, sent)
				n := c.sb.Receive(frames)
				for _, f := range frames[:n] {
					require.Equal(t, got, number(t, f))
					require.Equal(t, 50+int(got%1400), len(f))
					if got++; got%1000 == 0 {
						held = append(held, f)
					} else {
						c.sb.Free(f[minFrame:]) // any part
					}
				}
			}
		}
		require.Len(t, held, 20)
		for i := len(held) - 1; i >= 0; i-- {
			require.EqualValues(t, 1000*(i+1)-1, number(t, held[i]))
			c.sb.Free(held[i])
		}
		stats, err := c.sb.Stats()
		require.NoError(t, err)
		require.Zero(t, stats)
		stats, err = c.sa.Stats()
		require.NoError(t, err)
		require.Zero(t, stats)
	})
}

// Without room for receiving, frames are lost and counted, and it goes on after.
func TestReceiverFull(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		o.RxRing, o.TxRing, o.RxFrames = 16, 16, 8
		c := newChannel(t, o)
		frames := make([][]byte, 16)
		for range 3 {
			for n := range uint32(16) {
				require.True(t, c.send(n, 100))
			}
			c.sa.Flush()
			got := 0
			eventually(t, "frames", func() bool {
				got += c.sb.Receive(frames[got:])
				return got == 8
			})
			for i, f := range frames[:got] {
				require.EqualValues(t, i, number(t, f))
				c.sb.Free(f)
			}
			eventually(t, "all are sent", func() bool { c.sa.Flush(); c.sa.reap(); return len(c.sa.free) == 16 })
			require.Zero(t, c.sb.Receive(frames))
		}
		stats, err := c.sb.Stats()
		require.NoError(t, err)
		require.EqualValues(t, 24, stats.RxDropped)
	})
}

func TestTransmitRingFull(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		o.TxRing = 16
		c := newChannel(t, o)
		for range 3 {
			var frames [][]byte
			for f := c.sa.Frame(); f != nil; f = c.sa.Frame() {
				require.Len(t, f, FrameSize)
				require.Equal(t, FrameSize, cap(f))
				frames = append(frames, f)
			}
			require.Len(t, frames, 16)
			c.sa.Discard(frames[0][17:])
			c.sa.Submit(frames[1][:0]) // the same
			for _, f := range frames[2:] {
				c.sa.Submit(appendFrame(f[:0], c.a, c.b, []byte("payload")))
			}
			require.Len(t, c.sa.free, 2)
			require.Equal(t, 14, c.sa.Pending())
			require.NoError(t, c.sa.Flush())
			eventually(t, "all are sent", func() bool { c.sa.reap(); return len(c.sa.free) == 16 })
		}
	})
	c := newChannel(t, Options{})
	require.Panics(t, func() { c.sa.Submit(make([]byte, 100)) })
	require.Panics(t, func() { c.sb.Free(c.sb.Frame()) })
	require.Panics(t, func() { c.sb.Submit(c.sb.memory[:100]) })
}

// What the stack sends and receives is as before.
func TestTCP(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		c := newChannel(t, o)
		const size = 8 << 20
		require.EqualValues(t, size, transfer(t, c.a, c.b, size))
		require.EqualValues(t, size, transfer(t, c.b, c.a, size))
	})
}

// transfer sends by TCP, and returns what has come.
func transfer(t testing.TB, from, to *host, size int) (got int64) {
	t.Helper()
	var listener net.Listener
	var err error
	to.Do(func() { listener, err = net.Listen("tcp4", to.address+":0") })
	require.NoError(t, err)
	defer listener.Close()
	var sender net.Conn
	from.Do(func() { sender, err = net.Dial("tcp4", listener.Addr().String()) })
	require.NoError(t, err)
	receiver, err := listener.Accept()
	require.NoError(t, err)
	defer receiver.Close()
	go func() {
		defer sender.Close()
		chunk := make([]byte, 1<<16)
		for ; size > 0; size -= len(chunk) {
			if _, err := sender.Write(chunk); err != nil {
				return
			}
		}
	}()
	got, err = io.Copy(io.Discard, receiver)
	require.NoError(t, err)
	return got
}

func TestInterfaceDown(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		c := newChannel(t, o)
		require.NoError(t, c.a.NL.LinkSetDown(c.a.link(t)))
		require.True(t, c.send(0, 100))
		require.ErrorIs(t, c.sa.Flush(), ErrInterface)
		require.Zero(t, c.sa.Receive(make([][]byte, 1)))
		var err error
		c.a.Do(func() { _, err = OpenInterface(newFilter(t), c.a.index, o) })
		require.ErrorIs(t, err, ErrInterface)

		require.NoError(t, c.a.NL.LinkSetUp(c.a.link(t)))
		frames := make([][]byte, 1)
		eventually(t, "the frame", func() bool { c.sa.Flush(); return c.sb.Receive(frames) == 1 })
		require.Zero(t, number(t, frames[0]))
	})
}

func TestInterfaceRemoved(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		c := newChannel(t, o)
		held := c.sa.Frame()
		require.NoError(t, c.a.NL.LinkDel(c.a.link(t)))
		require.True(t, c.send(0, 100))
		require.ErrorIs(t, c.sa.Flush(), ErrInterface)
		require.Zero(t, c.sa.Receive(make([][]byte, 1)))
		c.sa.Submit(held)
		require.ErrorIs(t, c.sa.Flush(), ErrInterface)
	})
}

func TestClosed(t *testing.T) {
	a, b := newPair(t)
	i := b.open(t, newFilter(t, known(a, b)), Options{})
	s := i.Sockets()[0]
	frame := s.Frame()
	require.NoError(t, i.Close())
	require.ErrorIs(t, i.Close(), net.ErrClosed)
	require.Nil(t, s.Frame())
	require.Zero(t, s.Receive(make([][]byte, 1)))
	s.Free(frame)
	s.Submit(frame)
	s.Discard(frame)
	require.Zero(t, s.Pending())
	require.ErrorIs(t, s.Flush(), net.ErrClosed)
	require.Equal(t, -1, s.FD())
}

func TestErrors(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		a, _ := newPair(t)
		f := newFilter(t)
		open := func(f *Filter, index int, o Options) (err error) {
			a.Do(func() { _, err = OpenInterface(f, index, o) })
			return err
		}
		before := descriptors(t)
		require.ErrorIs(t, open(f, 12345, o), ErrInterface)
		require.ErrorIs(t, open(f, 1, o), ErrInterface) // lo
		require.Error(t, open(f, a.index, Options{RxRing: 3}))
		require.Error(t, open(f, a.index, Options{TxRing: -1}))
		require.Error(t, open(f, a.index, Options{RxFrames: 1 << 30}))
		require.Equal(t, before, descriptors(t))

		a.open(t, f, o)
		before = descriptors(t)
		for _, mode := range []Mode{Auto, Native, Generic} {
			err := open(f, a.index, Options{Mode: mode})
			require.ErrorIs(t, err, ErrBusy)
			require.ErrorContains(t, err, "eth0")
		}
		require.Equal(t, before, descriptors(t))

		closed := newFilter(t)
		closed.Close()
		require.ErrorIs(t, open(closed, a.index, o), net.ErrClosed)
	})
}

// Without a way to choose, it is the stack for veth.
func TestAuto(t *testing.T) {
	a, _ := newPair(t)
	i := a.open(t, newFilter(t), Options{})
	require.Equal(t, Generic, i.Mode())
	require.Equal(t, "generic, copy, 1 queues", i.String())
}

// A bridge cannot run programs.
func TestNoNativeMode(t *testing.T) {
	a, _ := newPair(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	if err := a.NL.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		missing(t, "no bridge: %v", err)
	}
	bridge, err := a.NL.LinkByName("br0")
	require.NoError(t, err)
	require.NoError(t, a.NL.LinkSetUp(bridge))
	a.index = bridge.Attrs().Index
	a.Do(func() { _, err = OpenInterface(newFilter(t), a.index, Options{Mode: Native}) })
	require.ErrorIs(t, err, ErrNotSupported)
	require.ErrorContains(t, err, "br0: xdp: attach XDP program, native mode")
	require.Equal(t, Generic, a.open(t, newFilter(t), Options{}).Mode())
}

// Each queue has its socket.
func TestQueues(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		a, b := newPairOf(t, 4, 3)
		f := newFilter(t, known(a, b))
		ia, ib := a.open(t, f, o), b.open(t, f, o)
		require.Len(t, ia.Sockets(), 4)
		require.Len(t, ib.Sockets(), 4)
		frames := make([][]byte, 1)
		for queue, s := range ia.Sockets() {
			require.Equal(t, queue < 3, s.Sends())
			if !s.Sends() {
				require.Nil(t, s.Frame())
				continue
			}
			c := channel{a: a, b: b, sa: s}
			require.True(t, c.send(uint32(queue), 100))
			require.NoError(t, s.Flush())
			eventually(t, "the frame", func() bool {
				for q, s := range ib.Sockets() {
					if s.Receive(frames) == 1 {
						if o.Mode == Native { // the stack counts in another way
							require.Equal(t, queue, q)
						}
						require.EqualValues(t, queue, number(t, frames[0]))
						s.Free(frames[0])
						return true
					}
				}
				return false
			})
		}
	})
}

// What the errors say is needed is enough, and less is not.
func TestPrivileges(t *testing.T) {
	tests := []struct {
		name string
		caps []int
		o    Options
		err  error
	}{
		{"enough", []int{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}, Options{}, nil},
		{"too much memory", []int{unix.CAP_BPF, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}, Options{RxRing: 1 << 16}, ErrLockedMemory},
		{"no CAP_BPF", []int{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}, Options{}, ErrPermission},
		{"no CAP_NET_ADMIN", []int{unix.CAP_BPF, unix.CAP_NET_RAW}, Options{}, ErrPermission},
		{"no CAP_NET_RAW", []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}, Options{}, ErrPermission},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, _ := newPair(t)
			o := test.o
			if o.RxRing == 0 {
				o = Options{RxRing: 64, TxRing: 64}
			}
			var err error
			a.Do(func() { // on a thread that ends with the test
				var data [2]unix.CapUserData
				for _, c := range test.caps {
					data[c/32].Effective |= 1 << (c % 32)
				}
				data[0].Permitted, data[1].Permitted = data[0].Effective, data[1].Effective
				if err = unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
					return
				}
				var f *Filter
				if f, err = NewFilter(1); err != nil {
					return
				}
				defer f.Close()
				var i *Interface
				if i, err = OpenInterface(f, a.index, o); err == nil {
					i.Close()
				}
			})
			require.ErrorIs(t, err, test.err)
		})
	}
}

func TestLeaks(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		a, _ := newPair(t)
		before := descriptors(t)
		o.RxRing, o.TxRing = 16, 16
		for range 15 { // the kernel takes its time to let go
			f := newFilter(t)
			require.NoError(t, a.open(t, f, o).Close())
			require.NoError(t, f.Close())
		}
		require.Equal(t, before, descriptors(t))
		require.False(t, a.attached(t))
	})
}

// victim is an environment variable with the interface that the process is to
// open, and to be killed.
const victim = "GOPPTP_TEST_XDP_VICTIM"

func TestMain(m *testing.M) {
	if index, err := strconv.Atoi(os.Getenv(victim)); err == nil {
		f, err := NewFilter(1)
		if err == nil {
			_, err = OpenInterface(f, index, Options{})
		}
		if err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString("open")
		select {}
	}
	os.Exit(m.Run())
}

// The kernel detaches the program of a process that is killed.
func TestKilled(t *testing.T) {
	a, _ := newPair(t)
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), victim+"="+strconv.Itoa(a.index))
	out, err := command.StdoutPipe()
	require.NoError(t, err)
	a.Do(func() { err = command.Start() })
	require.NoError(t, err)
	answer := make([]byte, 200)
	n, err := out.Read(answer)
	require.NoError(t, err)
	require.Equal(t, "open", string(answer[:n]))
	require.True(t, a.attached(t))
	require.NoError(t, command.Process.Kill())
	command.Wait()
	eventually(t, "the program is gone", func() bool { return !a.attached(t) })
	a.open(t, newFilter(t), Options{})
}

func TestAllocations(t *testing.T) {
	c := newChannel(t, Options{})
	frames := make([][]byte, 64)
	var sent uint32
	require.Zero(t, testing.AllocsPerRun(200, func() {
		for range 32 {
			c.send(sent, 1000)
			sent++
		}
		c.sa.Flush()
		for range 4 {
			for _, f := range frames[:c.sb.Receive(frames)] {
				c.sb.Free(f)
			}
		}
	}))
}
