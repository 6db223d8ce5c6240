package ppp

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rfc1661Table is the table of RFC 1661 §4.1, its two halves side by side. The
// letters behind a state are the RFC's footnotes: passive, restart, crossed.
const rfc1661Table = `
      Initial Starting  Closed    Stopped       Closing  Stopping  Req-Sent   Ack-Rcvd   Ack-Sent     Opened
Up       2    irc,scr/6   -          -              -        -         -          -          -           -
Down     -        -       0        tls/1            0        1         1          1          1         tld/1
Open   tls/1      1     irc,scr/6   3r             5r       5r         6          7          8           9r
Close    0      tlf/0     2          2              4        4     irc,str/4  irc,str/4  irc,str/4  tld,irc,str/4
TO+      -        -       -          -            str/4    str/5    scr/6      scr/6      scr/8          -
TO-      -        -       -          -            tlf/2    tlf/3    tlf/3p     tlf/3p     tlf/3p         -
RCR+     -        -     sta/2   irc,scr,sca/8       4        5      sca/8     sca,tlu/9   sca/8     tld,scr,sca/8
RCR-     -        -     sta/2   irc,scr,scn/6       4        5      scn/6      scn/7      scn/6     tld,scr,scn/6
RCA      -        -     sta/2      sta/3            4        5      irc/7      scr/6x   irc,tlu/9     tld,scr/6x
RCN      -        -     sta/2      sta/3            4        5    irc,scr/6    scr/6x   irc,scr/8     tld,scr/6x
RTR      -        -     sta/2      sta/3          sta/4    sta/5    sta/6      sta/6      sta/6     tld,zrc,sta/5
RTA      -        -       2          3            tlf/2    tlf/3      6          6          8         tld,scr/6
RUC      -        -     scj/2      scj/3          scj/4    scj/5    scj/6      scj/7      scj/8        scj/9
RXJ+     -        -       2          3              4        5        6          6          8            9
RXJ-     -        -     tlf/2      tlf/3          tlf/2    tlf/3    tlf/3      tlf/3      tlf/3     tld,irc,str/5
RXR      -        -       2          3              4        5        6          7          8          ser/9
`

var rfc1661Actions = map[string]Actions{
	"tlu": ThisLayerUp, "tld": ThisLayerDown, "tls": ThisLayerStarted, "tlf": ThisLayerFinished,
	"irc": InitRestartCount, "zrc": ZeroRestartCount, "scr": SendConfigureRequest,
	"sca": SendConfigureAck, "scn": SendConfigureNak, "str": SendTerminateRequest,
	"sta": SendTerminateAck, "scj": SendCodeReject, "ser": SendEchoReply,
}

// cell is one cell of the RFC's table.
type cell struct {
	state      State
	event      StateEvent
	text       string
	transition Transition
}

func (c cell) name() string { return c.state.String() + "/" + c.event.String() }

// possible is false for the cells marked "-".
func (c cell) possible() bool { return c.text != "-" }

func rfc1661Cells(t *testing.T) (cells []cell) {
	lines := strings.Split(strings.TrimSpace(rfc1661Table), "\n")
	states := strings.Fields(lines[0])
	require.Len(t, states, 10)
	require.Len(t, lines[1:], int(eventCount))
	for e, line := range lines[1:] {
		fields := strings.Fields(line)
		require.Len(t, fields, 11, line)
		require.Equal(t, StateEvent(e).String(), fields[0])
		for s, text := range fields[1:] {
			require.Equal(t, State(s).String(), states[s])
			c := cell{State(s), StateEvent(e), text, Transition{Next: State(s)}}
			if c.possible() {
				actions, next, ok := strings.Cut(strings.TrimRight(text, "prx"), "/")
				if !ok {
					actions, next = "", actions
				}
				require.Len(t, next, 1, text)
				c.transition.Next = State(next[0] - '0')
				for _, name := range strings.Split(actions, ",") {
					if name != "" {
						require.Contains(t, rfc1661Actions, name)
						c.transition.Actions |= rfc1661Actions[name]
					}
				}
			}
			cells = append(cells, c)
		}
	}
	require.Len(t, cells, 160)
	return cells
}

func TestRFC1661Section4_1(t *testing.T) {
	timed := make(map[State]bool)
	for _, c := range rfc1661Cells(t) {
		require.Equal(t, c.transition, c.state.On(c.event), c.name())
		if c.event == EventTOPlus {
			timed[c.state] = c.possible()
		}
	}
	// The states in which the Restart timer runs are those that have TO events.
	for s := Initial; s <= Opened; s++ {
		require.Equal(t, timed[s], s.timed(), s)
	}
}
