package conversation

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// patience is how long nothing may come until that counts as an answer.
const patience = 2 * time.Second

// maxRounds is how many requests may be answered by a Nak or a Reject until it
// counts as a loop.
const maxRounds = 8

func fail(code Code, format string, args ...any) Verdict {
	return Verdict{Code: code, Failed: true, Text: fmt.Sprintf(format, args...)}
}

func incomplete(format string, args ...any) Verdict {
	return Verdict{Code: Incomplete, Text: fmt.Sprintf(format, args...)}
}

// verdict is that of a connection without a call.
func (c *connection) verdict() *Verdict {
	v := c.judge()
	if c.icmp != "" {
		v.Hints = append(v.Hints, c.icmp+".")
	}
	return &v
}

func (c *connection) judge() Verdict {
	closed := ""
	for _, s := range []Side{Client, Server} {
		switch {
		case c.stopped != "":
			closed = c.stopped
		case closed == "" && c.reset[s]:
			closed = c.the(s) + " reset the connection"
		case closed == "" && c.fin[s]:
			closed = c.the(s) + " closed the connection"
		}
	}
	switch {
	case !c.connected && c.reset[Server]:
		return fail(NoConnection, "The server refuses TCP connections to port 1723: nothing listens there, or a firewall says so.")
	case !c.connected && c.syns > 0:
		return fail(NoConnection, "The server does not answer on TCP port 1723 (%d attempts): it is down, or a firewall drops the packets.", c.syns)
	case c.streams[Client].broken || c.streams[Server].broken:
		return fail(NotPPTP, "There is something on the control connection that is not PPTP.")
	case c.refused != "":
		return fail(ControlRefused, "The server refuses the control connection: %s.", c.refused)
	case c.requested && !c.established && closed != "":
		return fail(ControlSilent, "The Start-Control-Connection-Request was not answered: %s.", closed)
	case c.requested && !c.established && c.a.last.Sub(c.a.start) > patience:
		return fail(ControlSilent, "The server accepts the TCP connection but does not answer the Start-Control-Connection-Request.")
	case c.requested && !c.established:
		return incomplete("The capture ends before the server has answered.")
	case !c.sawStart:
		return incomplete("The capture begins after the control connection did and has no call in it.")
	case !c.requested && closed != "":
		return fail(NoCall, "Nothing was said on the connection: %s.", closed)
	case closed != "":
		return fail(NoCall, "The control connection was started and no call asked for: %s.", closed)
	}
	return incomplete("The control connection is up, and no call has been asked for.")
}

// verdict is that of a call.
func (k *call) verdict() Verdict {
	v := k.judge()
	v.Hints = append(v.Hints, k.hints()...)
	return v
}

// until is when nothing more was to come.
func (k *call) until() time.Time {
	if len(k.endings) > 0 {
		return k.endings[0].at
	}
	return k.conn.a.last
}

// ended says how the call ended, empty if it did not.
func (k *call) ended() string {
	if len(k.endings) == 0 {
		return ""
	}
	e := k.endings[0]
	return k.conn.the(e.side) + " " + e.how
}

func (k *call) judge() Verdict {
	for _, stage := range []func() (Verdict, bool){
		k.judgeUp, k.judgeCall, k.judgeGRE, k.judgeLCP, k.judgeAuth, k.judgeCCP, k.judgeNetwork,
	} {
		if v, ok := stage(); ok {
			return v
		}
	}
	if how := k.ended(); how != "" {
		return fail(EndedUnfinished, "The session never came up: %s.", how)
	}
	if k.conn.orphan && k.dirs[Client].packets+k.dirs[Server].packets > 0 {
		return incomplete("The capture begins in the middle of the session: there is data, and nothing of its beginning.")
	}
	return incomplete("The capture ends before the session is up.")
}

func (k *call) judgeCall() (Verdict, bool) {
	c := k.conn
	switch {
	case c.orphan:
		return Verdict{}, false
	case k.refused != "":
		return fail(CallRefused, "%s refuses the call: %s.", upper(c.the(k.asker.other())), k.refused), true
	case k.replied.IsZero() && k.ended() != "":
		return fail(ControlSilent, "The call request was not answered: %s.", k.ended()), true
	case k.replied.IsZero() && k.until().Sub(k.asked) > patience:
		return fail(ControlSilent, "%s does not answer the call request.", upper(c.the(k.asker.other()))), true
	case k.replied.IsZero():
		return incomplete("The capture ends before the call request is answered."), true
	}
	return Verdict{}, false
}

// judgeGRE is for a data channel that is blocked.
func (k *call) judgeGRE() (Verdict, bool) {
	c := k.conn
	if !k.lcp.opened.IsZero() {
		return Verdict{}, false
	}
	enough := k.until().Sub(k.established) > patience
	packets := func(s Side) int { return k.dirs[s].packets + k.dirs[s].acks }
	switch {
	case packets(Client)+packets(Server) == 0:
		if !enough {
			return Verdict{}, false
		}
		return fail(GRENone, "The control connection and the call are up, but there is no GRE at all. "+
			"Either the capture leaves out IP protocol 47, or both sides' GRE is dropped before this point, or neither sends any."), true
	case !enough:
		return Verdict{}, false
	}
	for _, s := range []Side{Client, Server} {
		o := s.other()
		if packets(s) > 0 && packets(o) == 0 {
			return fail(GREBlocked, "GRE is blocked in one direction: %d packets of %s came past, none of %s. "+
				"A firewall or NAT drops IP protocol 47 from %s, or what %s sends does not get there.",
				packets(s), c.the(s), c.the(o), c.the(o), c.the(s)), true
		}
	}
	deaf := func(s Side) bool {
		mine, theirs := &k.lcp.side[s], &k.lcp.side[s.other()]
		return mine.requests >= 3 && theirs.requests >= 2 && theirs.acks+theirs.naks+theirs.rejects == 0
	}
	for _, s := range []Side{Client, Server} {
		o := s.other()
		switch {
		case deaf(s) && deaf(o):
			return fail(GREBlocked, "GRE is blocked in both directions: each side sends, neither ever answers the other."), true
		case deaf(s):
			return fail(GREBlocked, "GRE is blocked from %s to %s: %s sends and repeats itself, but never answers anything that %s says. "+
				"What %s sends is dropped between this point and %s.", c.the(o), c.the(s), c.the(s), c.the(o), c.the(o), c.the(s)), true
		}
	}
	return Verdict{}, false
}

func (k *call) judgeLCP() (Verdict, bool) {
	c, n := k.conn, &k.lcp
	if !n.opened.IsZero() || !n.begun() {
		return Verdict{}, false
	}
	if k.looped {
		return fail(LCPLoopback, "A side hears itself: both sides' LCP requests bear the same magic number. Something reflects the packets."), true
	}
	isAuth := func(words []string) string {
		i := slices.IndexFunc(words, func(w string) bool { return strings.HasPrefix(w, "authentication ") })
		if i < 0 {
			return ""
		}
		return strings.TrimPrefix(words[i], "authentication ")
	}
	for _, s := range []Side{Client, Server} {
		t := &n.side[s]
		wants, refused, offers := isAuth(t.asked), isAuth(t.rejected), isAuth(t.naked)
		if wants == "" || refused == "" && offers == "" || t.acked {
			continue
		}
		if refused != "" {
			return fail(AuthRefused, "%s demands %s, and %s refuses to authenticate itself.",
				upper(c.the(s)), list(t.asked, "authentication "), c.the(s.other())), true
		}
		return fail(AuthRefused, "There is no common way to authenticate: %s demands %s, %s wants %s.",
			c.the(s), list(t.asked, "authentication "), c.the(s.other()), list(t.naked, "authentication ")), true
	}
	if n.rounds >= maxRounds {
		s := Client
		if count := func(s Side) int { return n.side[s].naks + n.side[s].rejects }; count(Server) > count(Client) {
			s = Server
		}
		t := &n.side[s]
		return fail(LCPLoop, "LCP does not come to an end: %s asked %d times, and %s said no %d times. It asked for %s; the answer was %s.",
			c.the(s), t.requests, c.the(s.other()), t.naks+t.rejects, orNothing(t.asked), orNothing(slices.Concat(t.naked, t.rejected))), true
	}
	if how := k.ended(); how != "" {
		return fail(LCPFailed, "LCP was not finished: %s.", how), true
	}
	if k.until().Sub(k.established) > patience {
		for _, s := range []Side{Client, Server} {
			if t := &n.side[s]; t.requests > 1 && t.acks+t.naks+t.rejects == 0 {
				return fail(LCPFailed, "%s does not answer the LCP requests of %s.", upper(c.the(s.other())), c.the(s)), true
			}
		}
	}
	return Verdict{}, false
}

func (k *call) judgeAuth() (Verdict, bool) {
	c, u := k.conn, &k.auth
	if !u.demanded && !u.failed || u.succeeded {
		return Verdict{}, false
	}
	peer, judge := c.the(u.peer), c.the(u.peer.other())
	how := k.ended()
	switch {
	case u.failed:
		return k.authFailed(), true
	case u.responses > 0 && (how != "" || k.silentSince() > patience):
		return fail(AuthUnfinished, "%s gives no verdict on the response of %s for user %q. "+
			"Its user database or RADIUS server may not answer.%s", upper(judge), peer, u.name, because(how)), true
	case u.challenges > 0 && (how != "" || k.silentSince() > patience):
		return fail(AuthUnfinished, "%s does not answer the challenge.%s", upper(peer), because(how)), true
	case how != "" || k.silentSince() > patience:
		return fail(AuthUnfinished, "LCP agreed on %s, and then nobody began it.%s", u.method, because(how)), true
	}
	return Verdict{}, false
}

// silentSince is the time from LCP's opening to the end.
func (k *call) silentSince() time.Duration {
	if k.lcp.opened.IsZero() {
		return 0
	}
	return k.until().Sub(k.lcp.opened)
}

// authFailed is for a side that was told no.
func (k *call) authFailed() Verdict {
	c, u := k.conn, &k.auth
	judge := c.the(u.peer.other())
	v := Verdict{Code: AuthFailed, Failed: true}
	v.Text = fmt.Sprintf("%s refuses user %q", upper(judge), u.name)
	f := u.failure
	switch {
	case f == nil || f.Code == 0:
		if u.message != "" {
			v.Text += fmt.Sprintf(", saying %q", u.message)
		}
		v.Text += ". The user name or the password is wrong, or the user may not dial in."
	case f.Code == chap.AuthenticationFailure:
		v.Text += fmt.Sprintf(" (E=%d): the password or the user name is wrong.", f.Code)
	default:
		v.Text += fmt.Sprintf(" (E=%d): %v.", f.Code, f.Code)
	}
	switch {
	case u.checked && u.matches:
		v.Hints = append(v.Hints, "The response was made with the given password, so the server has another one, or does not know the user by this name.")
	case u.checked:
		v.Hints = append(v.Hints, "The response was not made with the given password: the client has another one, or forms the user name differently.")
	}
	return v
}

func (k *call) judgeCCP() (Verdict, bool) {
	c, n := k.conn, &k.ccp
	if k.auth.pending() || !n.begun() && !k.rejected(Client, ppp.ProtocolCCP) && !k.rejected(Server, ppp.ProtocolCCP) {
		return Verdict{}, false
	}
	if k.ended() == "" && k.silentSince() < patience {
		return Verdict{}, false
	}
	for _, s := range []Side{Client, Server} {
		o := s.other()
		t := &n.side[s] // what s asked for, and o answered
		wanted := slices.ContainsFunc(t.asked, isMPPE)
		switch {
		case k.rejected(o, ppp.ProtocolCCP) && t.requests > 0:
			return fail(MPPERefused, "%s asks for encryption, and %s does not know CCP (it sent a Protocol-Reject). "+
				"MPPE is refused, and there is no session without it.%s", upper(c.the(s)), c.the(o), because(k.ended())), true
		case !n.opened.IsZero():
		case wanted && slices.ContainsFunc(t.rejected, isMPPE):
			return fail(MPPERefused, "%s asks for %s, and %s rejects it: MPPE is refused.%s",
				upper(c.the(s)), list(t.asked, ""), c.the(o), because(k.ended())), true
		case slices.ContainsFunc(t.naked, isMPPE) && !t.acked && k.ended() != "":
			return fail(MPPERefused, "There is no agreement on encryption: %s asks for %s, %s wants %s.%s",
				c.the(s), orNothing(t.asked), c.the(o), list(t.naked, ""), because(k.ended())), true
		case n.terminated[s]:
			return fail(MPPERefused, "%s ended CCP, so that there is no agreement on encryption.%s", upper(c.the(s)), because(k.ended())), true
		}
	}
	if n.opened.IsZero() && k.ended() != "" && !k.ipcp.begun() {
		return fail(MPPERefused, "CCP did not come to an end.%s", because(k.ended())), true
	}
	return Verdict{}, false
}

func isMPPE(word string) bool { return strings.HasPrefix(word, "MPPE") }

func (k *call) judgeNetwork() (Verdict, bool) {
	c, n := k.conn, &k.ipcp
	if k.auth.pending() || k.ended() == "" && k.silentSince() < patience {
		return Verdict{}, false
	}
	for _, s := range []Side{Client, Server} {
		if k.rejected(s, ppp.ProtocolIPCP) {
			return fail(NetworkFailed, "%s does not know IPCP (it sent a Protocol-Reject).%s", upper(c.the(s)), because(k.ended())), true
		}
	}
	for _, s := range []Side{Client, Server} {
		o := s.other()
		t := &n.side[s]
		given := slices.ContainsFunc(t.naked, func(w string) bool { return strings.HasPrefix(w, "address ") && w != "address 0.0.0.0" })
		rejected := slices.ContainsFunc(t.rejected, func(w string) bool { return strings.HasPrefix(w, "address ") })
		if slices.Contains(t.asked, "address 0.0.0.0") && !given && (rejected || t.naks > 0 || k.ended() != "") {
			return fail(NoAddress, "%s asks for an address, and %s gives none: its pool is empty, or it has none for this user.%s",
				upper(c.the(s)), c.the(o), because(k.ended())), true
		}
		if rejected {
			return fail(NoAddress, "%s rejects the address of %s.%s", upper(c.the(o)), c.the(s), because(k.ended())), true
		}
	}
	if !n.begun() {
		return Verdict{}, false
	}
	for _, s := range []Side{Client, Server} {
		if n.terminated[s] {
			return fail(NetworkFailed, "%s ended IPCP before it was up.%s", upper(c.the(s)), because(k.ended())), true
		}
	}
	if k.auth.unproven {
		return Verdict{}, false
	}
	return fail(NetworkFailed, "IPCP did not come to an end.%s", because(k.ended())), true
}

// judgeUp is for a session that was up.
func (k *call) judgeUp() (Verdict, bool) {
	c := k.conn
	if k.auth.unproven && !k.wasUp && k.auth.succeeded {
		return fail(ServerUnproven, "The server accepts user %q without the proof that it knows the password, so it may be an impostor.%s",
			k.auth.name, because(k.ended())), true
	}
	if !k.wasUp {
		return Verdict{}, false
	}
	came := fmt.Sprintf("The session came up after %.1f s", k.networkAt.Sub(k.began()).Seconds())
	for _, s := range []Side{Client, Server} {
		o := s.other()
		if d := &k.dirs[o]; d.echo.unanswered >= 3 {
			return fail(PeerSilent, "%s, and then %s fell silent: its last packet is of %.1f s, and %d LCP echo requests of %s had no answer.%s",
				came, c.the(s), seconds(c.a.start, k.dirs[s].last), d.echo.unanswered, c.the(o), because(k.ended())), true
		}
	}
	if len(k.endings) == 0 {
		return Verdict{Code: Up, Text: came + ", and it is up at the end of the capture."}, true
	}
	for _, e := range k.endings {
		if e.kind == fault {
			return fail(Lost, "%s and was lost: %s %s.", came, c.the(e.side), e.how), true
		}
	}
	e := k.endings[0]
	return Verdict{Code: Cleared, Text: fmt.Sprintf("%s and was ended in order: %s %s.", came, c.the(e.side), e.how)}, true
}

// began is when setting up the call began.
func (k *call) began() time.Time {
	if k.asked.IsZero() {
		return k.established
	}
	return k.asked
}

// hints say what else is amiss.
func (k *call) hints() (hints []string) {
	c := k.conn
	hint := func(format string, args ...any) { hints = append(hints, fmt.Sprintf(format, args...)) }
	if c.icmp != "" {
		hint("%s.", c.icmp)
		if c.icmpGRE {
			hint("A host that does not run the server's GRE, or a firewall, rejects the data channel.")
		}
	}
	for _, s := range []Side{Client, Server} {
		d := &k.dirs[s]
		n := d.receiver.Counters()
		if lost := n.Lost - min(n.Lost, n.Late); lost > 0 && n.Packets > 0 {
			hint("%.1f %% of what %s sent was lost before it came here.", 100*float64(lost)/float64(n.Packets+lost), c.the(s))
		}
		if d.mppe.count.Unexplained > 0 {
			hint("The MPPE coherency count of %s jumps where no packet of GRE is missing: it skips numbers, or keeps its count across a new CCP.", c.the(s))
		}
		if d.mppe.count.Clear > 0 {
			hint("%s sent %d packets in clear although MPPE was agreed on.", upper(c.the(s)), d.mppe.count.Clear)
		}
		if d.mppe.count.Senseless > 0 {
			hint("%d packets of %s decrypt to nonsense: the keys of the two ends differ.", d.mppe.count.Senseless, c.the(s))
		}
		if t := &k.lcp.side[s]; t.repeats > 0 && t.acked && k.wasUp {
			hint("LCP: %s had to repeat itself %s.", c.the(s), count(t.repeats, "time"))
		}
	}
	return hints
}

// because appends how it ended, as a sentence of its own.
func because(how string) string {
	if how == "" {
		return ""
	}
	return " Then " + how + "."
}

// list joins what begins with a prefix, without it.
func list(words []string, prefix string) string {
	var l []string
	for _, w := range words {
		if rest, ok := strings.CutPrefix(w, prefix); ok {
			l = append(l, rest)
		}
	}
	return strings.Join(l, " or ")
}

func orNothing(words []string) string {
	if len(words) == 0 {
		return "nothing"
	}
	return strings.Join(words, ", ")
}

// upper begins a sentence.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
