package lab

import (
	"fmt"
	"io/fs"
	"math"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// capture of what PPTP sends over a device of a host.
type capture struct {
	*process
	file string
}

// tcpdumpPatience is how long tcpdump may leave packets in the kernel's buffer.
// Taking each one at once would disturb what it looks at.
const tcpdumpPatience = 1100 * time.Millisecond

// capture starts one, which lasts until the test ends.
func (h host) capture(t *testing.T, dev string) *capture {
	t.Helper()
	name := "tcpdump-" + h.name
	file := filepath.Join(logDir(t), name+".pcap")
	p := h.start(t, name, "tcpdump", "-i", dev, "-U", "-B", "8192", "-Z", "root", "-w", file, "tcp port 1723 or proto gre")
	p.await(t, "listening on", 10*time.Second)
	t.Cleanup(func() {
		if !p.ends(0) {
			time.Sleep(tcpdumpPatience)
		}
	})
	return &capture{p, file}
}

// packet is one of a capture, in tcpdump's words.
type packet struct {
	at   time.Duration // since 1970
	text string
}

// packets ends the capture and returns what it has seen.
func (c *capture) packets(t *testing.T) []packet {
	t.Helper()
	time.Sleep(tcpdumpPatience)
	c.stop()
	out, err := exec.Command("tcpdump", "-n", "-tt", "-r", c.file).Output()
	require.NoError(t, err, "tcpdump -r")
	var packets []packet
	for line := range strings.Lines(string(out)) {
		at, text, ok := strings.Cut(strings.TrimSpace(line), " ")
		if seconds, err := strconv.ParseFloat(at, 64); ok && err == nil {
			packets = append(packets, packet{time.Duration(math.Round(seconds*1e6)) * time.Microsecond, text})
		}
	}
	require.NotEmpty(t, packets, "captured")
	return packets
}

// checkPrivacy requires that user packets were encrypted, or that they were
// not, as they should be.
func checkPrivacy(t *testing.T, packets []packet, mppe string) {
	t.Helper()
	encrypted, clear := 0, 0
	for _, p := range packets {
		switch {
		case strings.Contains(p.text, ": compressed PPP data"):
			encrypted++
		case strings.Contains(p.text, ": IP "+tunnelServer), strings.Contains(p.text, ": IP 10.9.1."):
			clear++
		}
	}
	if mppe == mppe128 {
		require.NotZero(t, encrypted, "encrypted packets captured")
		require.Zero(t, clear, "packets in clear captured")
		return
	}
	require.NotZero(t, clear, "packets in clear captured")
	require.Zero(t, encrypted, "encrypted packets captured")
}

// setup is how a session came up, from a capture.
type setup struct {
	control time.Duration // from the TCP connection's first packet to the Start-Control-Connection-Reply
	idle    time.Duration // from there to the Outgoing-Call-Request, in which pptp-linux sleeps
	call    time.Duration // from there to the last IPCP Configure-Ack that was needed
	repeats int           // LCP Configure-Requests that were sent again
}

// took is the time of the set-up without that in which the client slept.
func (s setup) took() time.Duration { return s.control + s.call }

func (s setup) String() string {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000) }
	return fmt.Sprintf("%s (control connection %s, call %s; idle between them %s; LCP requests repeated: %d)",
		ms(s.took()), ms(s.control), ms(s.call), ms(s.idle), s.repeats)
}

// setups finds the sessions in a capture in which they follow each other.
func setups(t *testing.T, packets []packet) []setup {
	t.Helper()
	var found []setup
	var syn, reply, request time.Duration
	var acked, asked map[string]bool // by the packet's direction; by that and its identifier
	for _, p := range packets {
		direction, what, _ := strings.Cut(p.text, ": ")
		switch {
		case strings.HasSuffix(direction, ".1723") && strings.HasPrefix(what, "Flags [S],"):
			syn, reply, request = p.at, 0, 0
			acked, asked = make(map[string]bool), make(map[string]bool)
			found = append(found, setup{})
		case len(found) == 0:
		case strings.Contains(what, "CTRL_MSGTYPE=SCCRP"):
			reply = p.at
		case strings.Contains(what, "CTRL_MSGTYPE=OCRQ"):
			request = p.at
		case strings.Contains(what, " LCP, Conf-Request"):
			_, id, _ := strings.Cut(what, ", id ")
			id, _, _ = strings.Cut(id, ",")
			if key := direction + " " + id; asked[key] {
				found[len(found)-1].repeats++
			} else {
				asked[key] = true
			}
		case strings.Contains(what, " IPCP, Conf-Ack") && !acked[direction]:
			acked[direction] = true
			if s := &found[len(found)-1]; len(acked) == 2 {
				s.control, s.idle, s.call = reply-syn, request-reply, p.at-request
			}
		}
	}
	for i, s := range found {
		require.NotZero(t, s.call, "session %d of the capture did not come up", i)
	}
	return found
}

// checkCaptures decodes all captures below dir. It runs outside of the
// environment, where that is faster.
func checkCaptures(t *testing.T, dir string) {
	captures, packets := 0, 0
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".pcap") {
			return err
		}
		d, err := examine(path)
		if err != nil {
			t.Error(err)
		}
		captures, packets = captures+1, packets+d.packets
		return nil
	})
	require.NoError(t, err)
	if captures > 0 {
		t.Logf("%d packets decoded by tshark and by ours", packets)
	}
}
