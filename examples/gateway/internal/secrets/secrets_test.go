package secrets

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

const hexHash = "0123456789abcdef0123456789ABCDEF"

func ntHash(t *testing.T) chap.NTHash {
	t.Helper()
	h, err := chap.ParseNTHash(hexHash)
	require.NoError(t, err)
	return h
}

func TestParse(t *testing.T) {
	text := `# client	server	secret	addresses

alice * "correct horse" *
bob	gopptp	'it''s'	10.8.0.20 # his office
carol other secret
CORP\\dave * nthash:` + hexHash + `
"eve adams" * pass\ word
* * everyone
"*" * literal
frank * \
   continued \
   10.8.0.21
grace * "#no comment" *
heidi "*" other-server
ivan * "" *
`
	entries, problems := Parse("secrets", text, "gopptp")
	require.Empty(t, problems)
	want := []Entry{
		{Line: 3, Client: "alice", Password: ppp.Secret("correct horse")},
		{Line: 4, Client: "bob", Specific: true, Password: ppp.Secret("its"), Address: netip.MustParseAddr("10.8.0.20")},
		{Line: 6, Client: `CORP\dave`, NTHash: ntHash(t)},
		{Line: 7, Client: "eve adams", Password: ppp.Secret("pass word")},
		{Line: 8, Client: "", Password: ppp.Secret("everyone")},
		{Line: 9, Client: "*", Password: ppp.Secret("literal")},
		{Line: 10, Client: "frank", Password: ppp.Secret("continued"), Address: netip.MustParseAddr("10.8.0.21")},
		{Line: 13, Client: "grace", Password: ppp.Secret("#no comment")},
		{Line: 15, Client: "ivan", Password: ppp.Secret("")},
	}
	for i := range want {
		want[i].Server = "*"
		if want[i].Specific {
			want[i].Server = "gopptp"
		}
		if want[i].Password != nil {
			want[i].NTHash = chap.NTPasswordHash(string(want[i].Password))
		}
	}
	assert.Equal(t, want, entries)
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		`a b`:            {"a", "b"},
		"a\tb\r\n":       {"a", "b"},
		`"a b" 'c d'`:    {"a b", "c d"},
		`a"b c"d`:        {"ab cd"},
		`"it's"`:         {"it's"},
		`'say "a"'`:      {`say "a"`},
		`"a\"b"`:         {`a"b`},
		`a\ b`:           {"a b"},
		`a\sb\tc`:        {"a b\tc"},
		`\101\1012\x41g`: {"AA2Ag"},
		`\xyz`:           {"xyz"},
		`a#b #c`:         {"a#b"},
		`\#a`:            {"#a"},
		"a\\\nb":         {"ab"},
		`""`:             {""},
		`a\`:             {"a"},
		`pässwörd`:       {"pässwörd"},
	} {
		l := lexer{rest: text, line: 1}
		words, _, err := l.next()
		require.NoError(t, err, "%q", text)
		var got []string
		for _, w := range words {
			got = append(got, w.text)
		}
		assert.Equal(t, want, got, "%q", text)
	}
}

func TestProblems(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"alice", `secrets:1: needs client, server and secret, but has 1 of these`},
		{"\n\nalice *", `secrets:3: needs client, server and secret, but has 2 of these`},
		{`alice * "hunter2`, `secrets:1: a quote is opened and not closed`},
		{"alice * \"hunter2\nbob * \"", `secrets:1: a quote is opened and not closed
secrets:2: a quote is opened and not closed`},
		{`CORP\alice * hunter2`, `secrets:1: "CORP\alice": the name "CORP\alice" has control characters; a backslash is written \\`},
		{`"" * hunter2`, `secrets:1: a user needs a name`},
		{strings.Repeat("a", 256) + ` * hunter2`, `secrets:1: ` + strings.Repeat("a", 256) + `: a user's name has at most 255 octets, not 256`},
		{`alice * nthash:hunter2`, `secrets:1: alice: nthash: is not followed by 32 hexadecimal digits`},
		{`alice * @/etc/hunter2`, `secrets:1: alice: a secret in a file of its own (@/path) is not supported`},
		{`alice * x hunter2`, `secrets:1: alice: the secret must be followed by nothing, by * or by one IPv4 address; a secret with spaces needs quotes`},
		{`alice * hunter2 10.0.0.1 10.0.0.2`, `secrets:1: alice: the secret must be followed by nothing, by * or by one IPv4 address; a secret with spaces needs quotes`},
		{`alice * hunter2 10.0.0.0/24`, `secrets:1: alice: the secret must be followed by nothing, by * or by one IPv4 address; a secret with spaces needs quotes`},
		{`alice * hunter2 ::1`, `secrets:1: alice: the secret must be followed by nothing, by * or by one IPv4 address; a secret with spaces needs quotes`},
		{`alice * hunter2 * -- mtu 1400`, `secrets:1: alice: options behind -- are not supported`},
	} {
		entries, problems := Parse("secrets", c.text, "gopptp")
		assert.Empty(t, entries, c.text)
		assert.Equal(t, c.want, problems.Error())
		assert.NotContains(t, problems.Error(), "hunter2")
	}
}

// quoted writes a word so that it is read as it is.
func quoted(word string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(word) {
		b.WriteString(`\x`)
		b.WriteString(strconv.FormatInt(int64(word[i])|0x100, 16)[1:])
	}
	b.WriteByte('"')
	return b.String()
}

// FuzzParse wants no panic, no secret in a problem and right line numbers; and
// what is quoted comes back.
func FuzzParse(f *testing.F) {
	f.Add("alice", "correct horse", "alice * \"correct horse\" *\n")
	f.Add(`CORP\bob`, "\\\"'#", "* * \\x41\\101\\\n # c\nfoo bar 'baz\nx")
	f.Fuzz(func(t *testing.T, name, secret, text string) {
		entries, problems := Parse("secrets", text, "gopptp")
		lines := strings.Count(text, "\n") + 1
		for _, e := range entries {
			if e.Line < 1 || e.Line > lines {
				t.Errorf("line %d of %d", e.Line, lines)
			}
		}
		for _, p := range problems {
			if p.Line < 1 || p.Line > lines || strings.Contains(p.String(), "\n") {
				t.Errorf("%q: %d lines", p, lines)
			}
		}
		if CheckName(name) != nil || strings.HasPrefix(secret, HashPrefix) || strings.HasPrefix(secret, "@/") {
			return
		}
		entries, problems = Parse("secrets", quoted(name)+" * "+quoted(secret)+"\n", "gopptp")
		if len(problems) != 0 || len(entries) != 1 || entries[0].Client != name || string(entries[0].Password) != secret || entries[0].NTHash != chap.NTPasswordHash(secret) {
			t.Errorf("%q %q: %v %v", name, secret, entries, problems)
		}
	})
}
