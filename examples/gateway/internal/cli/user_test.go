package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/database/databasetest"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
	"github.com/gopptp/gopptp/ppp"
)

func TestMain(m *testing.M) { os.Exit(databasetest.Main(m)) }

// operator works on the users of a database.
type operator struct {
	t      *testing.T
	config string
}

// run runs a command line, with words between single quotes kept together.
func (o operator) run(stdin, line string) (code int, stdout, stderr string) {
	var args []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	var out, err strings.Builder
	code = execute(append(args, "-c", o.config), strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

// good is a command that succeeds, and returns what it says.
func (o operator) good(stdin, line string) string {
	o.t.Helper()
	code, stdout, stderr := o.run(stdin, line)
	require.Equal(o.t, ExitOK, code, "%s: %s", line, stderr)
	assert.Empty(o.t, stderr, line)
	return stdout
}

// bad is one that does not, and says so in one line.
func (o operator) bad(want int, stdin, line, says string) {
	o.t.Helper()
	code, stdout, stderr := o.run(stdin, line)
	assert.Equal(o.t, want, code, line)
	assert.Empty(o.t, stdout, line)
	assert.Equal(o.t, 1, strings.Count(stderr, "\n"), stderr)
	assert.Contains(o.t, stderr, says, line)
}

// operators runs a test on databases of every kind.
func operators(t *testing.T, more string, test func(o operator, s *userdb.Store)) {
	databasetest.Each(t, func(t *testing.T, cfg *config.Database) {
		url := cfg.URL.String()
		if cfg.URL.File == "" {
			url = string(cfg.URL.Postgres)
		}
		// The rest of the file is in the middle of a change.
		file := write(t, filepath.Join(t.TempDir(), "gw.yaml"), more+"mtu: 1\npools: [10.8.0.0/24, {name: vip, ranges: [10.9.0.0/24]}]\ndatabase: {url: '"+url+"', timeout: 20s}\n")
		test(operator{t, file}, userdb.New(databasetest.Open(t, cfg), true))
	})
}

func TestUser(t *testing.T) {
	operators(t, "", func(o operator, s *userdb.Store) {
		t := o.t
		assert.Empty(t, o.good("", "user list"))
		assert.Equal(t, "group \"staff\" added\n", o.good("", "group add staff --pool vip --rate-to-peer 10M --quota 20GiB"))
		assert.Equal(t, "user \"alice\" added\n", o.good("correct horse\n",
			`user add alice --password-stdin --group staff --address 10.8.0.20 --routes 192.168.7.0/24 --quota 1GiB --note 'the first one'`))
		assert.Equal(t, "user \"bob\" added\n", o.good("nthash:0123456789abcdef0123456789abcdef", "user add bob --password-stdin --disabled --expires-at 2020-01-01"))

		alice, err := s.Get(t.Context(), "alice")
		require.NoError(t, err)
		assert.Equal(t, chap.NTPasswordHash("correct horse"), alice.NTHash)
		assert.Nil(t, alice.Password)
		bob, err := s.Get(t.Context(), "bob")
		require.NoError(t, err)
		assert.Equal(t, "0123456789abcdef0123456789abcdef", hexOf(bob.NTHash))

		assert.Regexp(t, `(?s)^NAME +STATE +GROUP.*\nalice +enabled +staff +10\.8\.0\.20 .*the first one\nbob +disabled +-`, o.good("", "user list"))
		assert.NotContains(t, o.good("", "user list --group staff"), "bob")
		assert.NotContains(t, o.good("", "user list --disabled"), "alice")
		assert.NotContains(t, o.good("", "user list --match OB"), "alice")

		shown := o.good("", "user show alice")
		assert.Regexp(t, `(?m)^quota +1GiB$`, shown)
		assert.Regexp(t, `(?m)^pool +vip  \(of the group\)$`, shown)
		for _, command := range []string{"user show alice", "user show alice --json", "user list --json"} {
			assert.NotContains(t, o.good("", command), hexOf(alice.NTHash), command)
		}
		var object struct {
			Name, State, Group, Address string
			Routes                      []string
			Quota                       int64
			Effective                   map[string]any
		}
		require.NoError(t, json.Unmarshal([]byte(o.good("", "user show alice --json")), &object))
		assert.Equal(t, "alice", object.Name)
		assert.Equal(t, "enabled", object.State)
		assert.Equal(t, "staff", object.Group)
		assert.Equal(t, []string{"192.168.7.0/24"}, object.Routes)
		assert.EqualValues(t, 1<<30, object.Quota)
		assert.Equal(t, "vip", object.Effective["pool"])
		assert.EqualValues(t, 10_000_000, object.Effective["rate_to_peer"])

		o.good("", `user set alice --quota '' --max-sessions 3 --routes none --hours 'Mon-Fri 08:00-18:00; Sat'`)
		alice, err = s.Get(t.Context(), "alice")
		require.NoError(t, err)
		assert.False(t, alice.Quota.Valid)
		assert.EqualValues(t, 3, alice.MaxSessions.V)
		assert.NotNil(t, alice.Routes)
		assert.Empty(t, alice.Routes)
		assert.Equal(t, "the first one", alice.Note.V, "is not touched")

		assert.Equal(t, "user \"alice\" has a new password\n", o.good("a\r\n", "user passwd alice --password-stdin --must-change"))
		alice, err = s.Get(t.Context(), "alice")
		require.NoError(t, err)
		assert.Equal(t, chap.NTPasswordHash("a"), alice.NTHash)
		assert.Contains(t, o.good("", "user show alice"), "must change password")

		code, stdout, stderr := o.run("", "user set bob --pool vpi")
		assert.Equal(t, ExitOK, code)
		assert.Equal(t, "user \"bob\" changed\n", stdout)
		assert.Equal(t, "warning: the configuration has no pool \"vpi\": nobody gets an address from it\n", stderr)

		assert.Equal(t, "user \"alice\" disabled\nuser \"bob\" disabled\n", o.good("", "user disable alice bob"))
		assert.Equal(t, "user \"bob\" enabled\n", o.good("", "user enable bob"))
		assert.Contains(t, o.good("", "user show bob"), "expired")

		assert.Regexp(t, `(?m)^staff +1 +vip`, o.good("", "group list"))
		assert.Regexp(t, `(?m)^users +1$`, o.good("", "group show staff"))
		var groups []map[string]any
		require.NoError(t, json.Unmarshal([]byte(o.good("", "group list --json")), &groups))
		assert.EqualValues(t, 1, groups[0]["users"])
		require.NoError(t, json.Unmarshal([]byte("["+o.good("", "group show staff --json")+"]"), &groups))
		o.good("", "group set staff --pool '' --note x")
		assert.NotContains(t, o.good("", "group show staff"), "vip")

		// What is wrong changes nothing.
		for line, says := range map[string]string{
			"user add":                             "a name is missing",
			"user add a b":                         `"b" is one name too many`,
			"user add carol":                       "there is no terminal to ask for the password at: use --password-stdin",
			"user add carol --password x":          "unknown flag: --password",
			"user add carol --quota 5GB":           `invalid argument "5GB" for "--quota" flag: "5GB" is not an amount of data, like 500MiB or 20GiB`,
			"user add carol --address 10.8.0.0/24": "is not the IPv4 address of a host",
			"user add '' --password-stdin":         `"" cannot be the name of a user`,
			"user add carol --password-stdin":      "the password is empty",
			"user set alice":                       "what to set is missing",
			"user set alice --hours noon":          `"noon" is not a time of the week`,
			"user set alice --expires-at someday":  `"someday" is not a time, like 2027-01-31`,
			"user delete":                          "a name is missing",
			"group set staff":                      "what to set is missing",
		} {
			o.bad(ExitUsage, "", line, says)
		}
		o.bad(ExitUsage, "one\ntwo\n", "user passwd alice --password-stdin", "there is more than one line on standard input")
		o.bad(ExitUsage, strings.Repeat("a", 5000), "user passwd alice --password-stdin", "the password has more than 256 characters")
		o.bad(ExitUsage, "\xff", "user passwd alice --password-stdin", "the password is not UTF-8")
		o.bad(ExitUsage, "a\tb", "user passwd alice --password-stdin", "control characters")
		o.bad(ExitUsage, "nthash:12", "user passwd alice --password-stdin", "nthash: is not followed by 32 hexadecimal digits")
		o.bad(ExitFailure, "x", "user add alice --password-stdin", `user "alice" is there already`)
		o.bad(ExitFailure, "x", "user add carol --password-stdin --address 10.8.0.20", `address 10.8.0.20 belongs to someone already: user "alice"`)
		o.bad(ExitNotFound, "x", "user add carol --password-stdin --group nobody", `group "nobody": there is none of this name`)
		o.bad(ExitFailure, "", "group delete staff", `group "staff" has users in it: 1`)
		o.bad(ExitFailure, "", "group add staff", `group "staff" is there already`)
		for _, line := range []string{"user show carol", "user delete carol", "user disable carol", "user passwd carol", "user set carol --note x"} {
			o.bad(ExitNotFound, "", line, `user "carol": there is none of this name`)
		}
		o.bad(ExitNotFound, "", "group show nobody", `group "nobody": there is none of this name`)
		again, err := s.Get(t.Context(), "alice")
		require.NoError(t, err)
		assert.Equal(t, alice.NTHash, again.NTHash)

		assert.Equal(t, "user \"alice\" deleted\n", o.good("", "user delete alice"))
		assert.Equal(t, "group \"staff\" deleted\n", o.good("", "group delete staff"))
	})
}

func hexOf(h chap.NTHash) string {
	const digits = "0123456789abcdef"
	var b strings.Builder
	for _, c := range h {
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

// Passwords are kept in clear where chap-md5 needs them, and nowhere else.
func TestUserClear(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.db")
	o := operator{t, write(t, filepath.Join(t.TempDir(), "gw.yaml"), "auth_methods: [ms-chapv2, chap-md5]\ndatabase: {url: 'sqlite:"+file+"'}\n")}
	o.good("a\n", "user add alice --password-stdin")
	code, _, stderr := o.run("nthash:0123456789abcdef0123456789abcdef\n", "user add bob --password-stdin")
	assert.Equal(t, ExitOK, code)
	assert.Contains(t, stderr, `warning: "bob" has an NT hash in place of a password, and cannot come in by chap-md5`)

	cfg := config.Default().Database
	cfg.URL.File = file
	alice, err := userdb.New(databasetest.Open(t, &cfg), true).Get(t.Context(), "alice")
	require.NoError(t, err)
	assert.Equal(t, ppp.Secret("a"), alice.Password)
}

func TestUserList(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gateway.db")
	o := operator{t, write(t, filepath.Join(t.TempDir(), "gw.yaml"), "database: {url: 'sqlite:"+file+"'}\n")}
	o.good("a", "user add alice --password-stdin --note '"+strings.Repeat("long ", 30)+"' --rate-to-peer 100M --expires-at 2040-01-01")
	t.Setenv("COLUMNS", "80")
	for line := range strings.Lines(o.good("", "user list")) {
		assert.LessOrEqual(t, len(line), 80+len("\n"), "does not fit a terminal: %s", line)
	}
}

func TestUserFails(t *testing.T) {
	for line, says := range map[string]string{
		"user":              "what to do with the user is missing",
		"user rename alice": `unknown command "rename" for "gateway user"`,
		"group":             "what to do with the group is missing",
	} {
		code, _, stderr := gateway(strings.Fields(line)...)
		assert.Equal(t, ExitUsage, code)
		assert.Contains(t, stderr, says)
	}
	dir := t.TempDir()
	for text, want := range map[string]string{
		"mtu: 1400\n":                        ":1: database.url: is empty: there is no database of users",
		"database: {url: 'mysql://a:b@c'}\n": ":1: database.url: is neither the file of an SQLite database",
		"database: {uri: 7}\n":               ":1: database.uri: unknown key",
	} {
		o := operator{t, write(t, filepath.Join(dir, "gw.yaml"), text)}
		o.bad(ExitUsage, "", "user list", want)
	}
	o := operator{t, write(t, filepath.Join(dir, "gw.yaml"), "database: {url: 'sqlite:"+dir+"/no/such.db'}\n")}
	o.bad(ExitFailure, "", "user list", "no such file or directory")
	o = operator{t, write(t, filepath.Join(dir, "gw.yaml"), "database: {url: 'postgres://gw:secret@/users?host="+dir+"', timeout: 1s}\n")}
	o.bad(ExitFailure, "", "user list", "database postgres://gw@/users: failed to connect")
}
