// Package importer turns the configuration of pptpd with pppd, or of accel-ppp, into one of
// the gateway, and says what it could not carry over, with the line and the reason.
//
// What those programs read is taken from their manual pages. What says nothing to the
// gateway and loses nothing, such as the name of a lock file, is left out without a word.
package importer

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/secrets"
	"github.com/gopptp/gopptp/examples/gateway/internal/users"
)

// Result is a configuration of the gateway.
type Result struct {
	// Text is the file, with the notes as comments. It holds passwords if the source does.
	Text []byte
	// Notes are what could not be carried over, and what is to be looked at.
	Notes diag.Problems
	// Problems are what the gateway finds wrong with Text, if anything.
	Problems diag.Problems
	Users    int
}

// entry is a value of the configuration, as YAML.
type entry struct {
	key, value string
	lines      []string // of a list, one entry each, in place of value
}

// section is what has one key at the top: a value, or keys of its own.
type section struct {
	key     string
	entries []entry
}

// importing is a configuration in the making.
type importing struct {
	source   string
	sections []section
	notes    diag.Problems
	count    int // of users
}

// note says that a line could not be carried over.
func (m *importing) note(file string, line int, format string, args ...any) {
	m.add(diag.Problem{File: file, Line: line, Text: fmt.Sprintf(format, args...)})
}

// maxNote is how many characters of a note there are.
const maxNote = 300

// add adds a note, as text that fits a terminal and a comment.
func (m *importing) add(p diag.Problem) {
	text := []rune(strings.Map(printable, p.Text))
	if len(text) > maxNote {
		text = append(text[:maxNote], []rune("...")...)
	}
	p.Text = string(text)
	m.notes.Add(p)
}

// set has a key, such as limits.sessions, have a value in YAML. The last one counts.
func (m *importing) set(key, value string) { m.put(key, entry{value: value}) }

// list is set with a list of many entries.
func (m *importing) list(key string, lines []string) { m.put(key, entry{lines: lines}) }

func (m *importing) put(key string, e entry) {
	top, rest, _ := strings.Cut(key, ".")
	e.key = rest
	i := slices.IndexFunc(m.sections, func(s section) bool { return s.key == top })
	if i < 0 {
		m.sections, i = append(m.sections, section{key: top}), len(m.sections)
	}
	s := &m.sections[i]
	if j := slices.IndexFunc(s.entries, func(o entry) bool { return o.key == rest }); j >= 0 {
		s.entries[j] = e
		return
	}
	s.entries = append(s.entries, e)
}

// has reports whether a key has a value.
func (m *importing) has(key string) bool {
	top, rest, _ := strings.Cut(key, ".")
	return slices.ContainsFunc(m.sections, func(s section) bool {
		return s.key == top && slices.ContainsFunc(s.entries, func(e entry) bool { return e.key == rest })
	})
}

// result writes the file, and has the gateway check it.
func (m *importing) result() *Result {
	var b strings.Builder
	fmt.Fprintf(&b, "# The configuration of a gateway, made of that of %s by gateway import.\n", m.source)
	b.WriteString("# What is not here has its default; gateway.example.yaml has every key.\n")
	m.notes.Sort()
	if len(m.notes) > 0 {
		b.WriteString("#\n# To be looked at:\n")
		for _, n := range m.notes {
			b.WriteString("#   " + strings.Map(printable, n.String()) + "\n")
		}
	}
	for _, s := range m.sections {
		if len(s.entries) == 1 && s.entries[0].key == "" {
			s.entries[0].key = s.key
			s.entries[0].write(&b, "")
			continue
		}
		b.WriteString(s.key + ":\n")
		for _, e := range s.entries {
			e.write(&b, "  ")
		}
	}
	r := &Result{Text: []byte(b.String()), Notes: m.notes, Users: m.count}
	cfg, problems := config.Parse("gateway.yaml", r.Text)
	if cfg != nil {
		_, more := users.Load(cfg)
		problems.Add(more...)
	}
	r.Problems = problems
	return r
}

func (e *entry) write(b *strings.Builder, indent string) {
	if e.lines == nil {
		fmt.Fprintf(b, "%s%s: %s\n", indent, e.key, e.value)
		return
	}
	fmt.Fprintf(b, "%s%s:\n", indent, e.key)
	for _, line := range e.lines {
		fmt.Fprintf(b, "%s  - %s\n", indent, line)
	}
}

// printable keeps a comment on its line.
func printable(r rune) rune {
	if !unicode.IsPrint(r) {
		return '?'
	}
	return r
}

// quoted is a text in YAML.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "\\U%08x", r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// flow is a list in one line.
func flow[T any](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = fmt.Sprint(v)
	}
	return "[" + strings.Join(texts, ", ") + "]"
}

// secrets takes in the users of a chap-secrets file that are for the server, or all users
// if server is empty.
func (m *importing) secrets(file, server string) {
	text, err := readText(file)
	if err != nil {
		p := config.Unreadable(file, err)
		m.note(file, 0, "users are not carried over: %s", p.Text)
		return
	}
	entries, problems := secrets.ParseAll(file, text)
	for _, p := range problems {
		p.Text = "not carried over: " + p.Text
		m.add(p)
	}
	// Of two entries for a client, that which names the server counts.
	chosen := make(map[string]secrets.Entry)
	var order []string
	for _, e := range entries {
		last, twice := chosen[e.Client]
		switch {
		case e.Client == "":
			m.note(file, e.Line, "not carried over: the client * lets everybody in who knows the secret; a secrets_file can have that")
			continue
		case e.Specific && server != "" && e.Server != server:
			m.note(file, e.Line, "not carried over: %s is for the server %q", quoted(e.Client), e.Server)
			continue
		case !utf8.ValidString(e.Client) || !utf8.Valid(e.Password):
			m.note(file, e.Line, "not carried over: the user's name or secret is not UTF-8")
			continue
		case twice && (last.Specific || !e.Specific):
			m.note(file, e.Line, "not carried over: %s has a secret already, in line %d", quoted(e.Client), last.Line)
			continue
		case twice:
			m.note(file, last.Line, "not carried over: %s has a secret for this very server, in line %d", quoted(e.Client), e.Line)
		default:
			order = append(order, e.Client)
		}
		chosen[e.Client] = e
	}
	lines := make([]string, len(order))
	for i, name := range order {
		lines[i] = userLine(chosen[name])
	}
	if m.count = len(lines); m.count > 0 {
		m.list("users", lines)
	}
}

func userLine(e secrets.Entry) string {
	line := "{name: " + quoted(e.Client)
	if e.Password != nil {
		line += ", password: " + quoted(string(e.Password))
	} else {
		line += fmt.Sprintf(", nt_hash: %q", fmt.Sprintf("%x", e.NTHash[:]))
	}
	if e.Address.IsValid() {
		line += ", address: " + e.Address.String()
	}
	return line + "}"
}

// reader reads values of a line, and notes those that are none.
type reader struct {
	m    *importing
	file string
	line int
	key  string
}

func (r reader) note(format string, args ...any) { r.m.note(r.file, r.line, format, args...) }

func (r reader) number(text string) (int, bool) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		r.note("not carried over: %s: %q is not a number", r.key, text)
		return 0, false
	}
	return n, true
}

func (r reader) address(text string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		r.note("not carried over: %s: %q is not an IPv4 address", r.key, text)
		return a, false
	}
	return a, true
}

// setNumber carries a number over to a key, if it is in the range that this has.
func (r reader) setNumber(key, text string, least, most int) {
	n, ok := r.number(text)
	switch {
	case !ok:
	case n < least || n > most:
		r.note("not carried over: %s %d: %s is from %d to %d", r.key, n, key, least, most)
	default:
		r.m.set(key, strconv.Itoa(n))
	}
}

// setSeconds is setNumber for a time in seconds; zero is left out.
func (r reader) setSeconds(key, text string, least, most time.Duration) {
	n, ok := r.number(text)
	d := time.Duration(n) * time.Second
	switch {
	case !ok || n == 0:
	case int64(n) > 1<<31 || d < least || d > most:
		r.note("not carried over: %s %d: %s is from %v to %v", r.key, n, key, least, most)
	default:
		r.m.set(key, d.String())
	}
}

// addServer adds to a list of name servers, which clients can be told two of.
func (r reader) addServer(list *[]netip.Addr, text string) {
	a, ok := r.address(text)
	switch {
	case !ok || slices.Contains(*list, a):
	case len(*list) == 2:
		r.note("not carried over: %s %v: clients can be told two", r.key, a)
	default:
		*list = append(*list, a)
	}
}
