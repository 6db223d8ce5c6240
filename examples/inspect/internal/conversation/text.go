package conversation

import (
	"fmt"
	"io"
	"strings"
)

// maxFlowLines bounds the flows that are printed.
const maxFlowLines = 20

// WriteText prints the report for people to read. Without timeline, only what is
// summed up.
func (r *Report) WriteText(w io.Writer, timeline bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %.3f s, %s\n", count(r.Packets, "packet"), r.Seconds, count(len(r.Connections), "connection"))
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", n)
	}
	for _, c := range r.Connections {
		b.WriteByte('\n')
		c.write(&b, timeline)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c *Connection) write(b *strings.Builder, timeline bool) {
	if c.GREOnly {
		fmt.Fprintf(b, "connection %d: GRE between %s and %s, without a control connection\n", c.Number, c.Client.Address, c.Server.Address)
	} else {
		fmt.Fprintf(b, "connection %d: client %s, server %s\n", c.Number, c.Client.Address, c.Server.Address)
	}
	for _, p := range []struct {
		name string
		p    *Peer
	}{{"client", &c.Client}, {"server", &c.Server}} {
		if p.p.Host != "" || p.p.Vendor != "" {
			fmt.Fprintf(b, "  %s: host %q, vendor %q\n", p.name, p.p.Host, p.p.Vendor)
		}
	}
	for _, n := range c.Notes {
		fmt.Fprintf(b, "  note: %s\n", n)
	}
	if timeline && len(c.Timeline) > 0 {
		b.WriteByte('\n')
		width := 0
		for _, l := range c.Timeline {
			width = max(width, len(l.From))
		}
		for _, l := range c.Timeline {
			l.write(b, width, len(c.Calls) > 1)
		}
		if c.Unlisted > 0 {
			fmt.Fprintf(b, "  ... and %d more\n", c.Unlisted)
		}
	}
	for _, k := range c.Calls {
		b.WriteByte('\n')
		k.write(b)
	}
	if c.Verdict != nil {
		b.WriteByte('\n')
		c.Verdict.write(b, "  ")
	}
}

func (l *Line) write(b *strings.Builder, width int, named bool) {
	fmt.Fprintf(b, "  %9.3f  %-*s  ", l.At, width, l.From)
	if named && l.Call != 0 {
		fmt.Fprintf(b, "[%d] ", l.Call)
	}
	fmt.Fprintf(b, "%s %s", l.Protocol, l.Text)
	if l.Again {
		b.WriteString(" (again)")
	}
	if l.Early {
		b.WriteString(" (early)")
	}
	b.WriteByte('\n')
}

func (k *Call) write(b *strings.Builder) {
	id := func(id *uint16) string {
		if id == nil {
			return "none"
		}
		return fmt.Sprint(*id)
	}
	fmt.Fprintf(b, "  call %d: call ID of the client %s, of the server %s\n", k.Number, id(k.ClientCallID), id(k.ServerCallID))
	field := func(name, format string, args ...any) {
		fmt.Fprintf(b, "    %-8s ", name)
		fmt.Fprintf(b, format, args...)
		b.WriteByte('\n')
	}
	switch {
	case k.User != "":
		field("user", "%q, %s", k.User, k.AuthMethod)
	case k.AuthMethod != "":
		field("user", "none yet, %s", k.AuthMethod)
	}
	if len(k.Phases) > 0 {
		var words []string
		for _, p := range k.Phases {
			words = append(words, fmt.Sprintf("%s %.3f", p.Name, p.At))
		}
		field("phases", "%s", strings.Join(words, ", "))
	}
	for i := range k.Negotiations {
		k.Negotiations[i].write(b)
	}
	if k.EarlyPackets > 0 {
		field("early", "%s before the phase was reached", count(k.EarlyPackets, "packet"))
	}
	k.GRE.Client.write(field, "client")
	k.GRE.Server.write(field, "server")
	k.MPPE.Client.write(field, "client")
	k.MPPE.Server.write(field, "server")
	if k.Decryption != "" {
		field("content", "%s", k.Decryption)
	}
	for i, f := range k.Flows {
		if i == maxFlowLines {
			field("", "... and %d flows more", len(k.Flows)-i)
			break
		}
		name := ""
		if i == 0 {
			name = "flows"
		}
		field(name, "%s %s - %s: %s, %d octets", f.Protocol, f.A, f.B, count(f.Packets, "packet"), f.Octets)
	}
	for i, e := range k.Ends {
		name := ""
		if i == 0 {
			name = "end"
		}
		field(name, "%s", e)
	}
	k.Verdict.write(b, "    ")
}

func (n *Negotiation) write(b *strings.Builder) {
	name := n.Protocol
	for _, s := range []struct {
		name string
		t    *Terms
	}{{"client", &n.Client}, {"server", &n.Server}} {
		if s.t.Requests == 0 {
			continue
		}
		for _, x := range []struct {
			verb  string
			words []string
		}{{"asked for", s.t.Asked}, {"was told to ask for", s.t.Naked}, {"was denied", s.t.Rejected}, {"was granted", s.t.Agreed}} {
			if len(x.words) > 0 {
				fmt.Fprintf(b, "    %-8s %s %s %s\n", name, s.name, x.verb, strings.Join(x.words, ", "))
				name = ""
			}
		}
		if s.t.Repeats > 0 {
			fmt.Fprintf(b, "    %-8s %s repeated itself: %s\n", name, s.name, count(s.t.Repeats, "time"))
			name = ""
		}
		if !s.t.Acked {
			fmt.Fprintf(b, "    %-8s %s had no request acknowledged\n", name, s.name)
			name = ""
		}
	}
}

func (g *GRE) write(field func(string, string, ...any), side string) {
	if g.Packets+g.Acks == 0 {
		field("GRE", "from %s: nothing", side)
		return
	}
	s := fmt.Sprintf("from %s: %s, %d octets, %s", side, count(g.Packets, "packet"), g.Octets, count(g.Acks, "bare acknowledgement"))
	for _, x := range []struct {
		n    uint64
		what string
	}{
		{g.Lost, "lost"}, {g.Reordered, "reordered"}, {g.Duplicates, "duplicated"}, {g.OutOfRange, "out of range"}, {g.Resyncs, "taken as a new beginning"},
	} {
		if x.n > 0 {
			s += fmt.Sprintf(", %d %s", x.n, x.what)
		}
	}
	if g.EchoRequests+g.EchoReplies > 0 {
		s += fmt.Sprintf(", LCP echo: %d asked, %d answered", g.EchoRequests, g.EchoReplies)
	}
	field("GRE", "%s", s)
}

func (m *MPPE) write(field func(string, string, ...any), side string) {
	if m == nil {
		return
	}
	agreed := m.Agreed
	if agreed == "" {
		agreed = "not agreed on"
	}
	s := fmt.Sprintf("from %s: %s, %s", side, agreed, count(m.Packets, "packet"))
	if m.Gaps > 0 {
		s += fmt.Sprintf(", %s in the coherency count (%d missing, %d of them not by GRE)", count(m.Gaps, "gap"), m.Missing, m.Unexplained)
	}
	for _, x := range []struct {
		n    int
		what string
	}{
		{m.Clear, "in clear all the same"}, {m.ResetRequests, "asking for a reset"}, {m.Decrypted, "decrypted"},
		{m.Undecryptable, "not decrypted"}, {m.Senseless, "without sense"},
	} {
		if x.n > 0 {
			s += fmt.Sprintf(", %d %s", x.n, x.what)
		}
	}
	field("MPPE", "%s", s)
}

func (v *Verdict) write(b *strings.Builder, indent string) {
	mark := "good"
	switch {
	case v.Failed:
		mark = "failed"
	case v.Code == Incomplete:
		mark = "unknown"
	}
	fmt.Fprintf(b, "%sverdict: %s (%s)\n", indent, mark, v.Code)
	fmt.Fprintf(b, "%s  %s\n", indent, v.Text)
	for _, h := range v.Hints {
		fmt.Fprintf(b, "%s  %s\n", indent, h)
	}
}
