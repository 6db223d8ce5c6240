package cli

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/admin"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/sessions"
	"github.com/gopptp/gopptp/memory"
)

// newServer is one whose users all have the password "right".
func newServer(t *testing.T, plane gopptp.Dataplane, o gopptp.Observer) *gopptp.Server {
	t.Helper()
	pool, err := gopptp.NewPool([]gopptp.PoolRange{gopptp.RangeOf(netip.MustParsePrefix("10.8.0.0/24"))})
	require.NoError(t, err)
	server, err := gopptp.NewServer(gopptp.ServerConfig{
		Dataplane: plane, Pool: pool, LocalAddress: netip.MustParseAddr("10.8.0.1"), Observer: o,
		Authenticator: gopptp.NewLocalAuthenticator(func(context.Context, string) (*gopptp.LocalUser, error) {
			return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("right")}, nil
		}),
	})
	require.NoError(t, err)
	return server
}

// running is a gateway that runs, and the file to ask it by.
type running struct {
	t    *testing.T
	net  *memory.Network
	live *sessions.Registry
	file string
}

func startGateway(t *testing.T, change func(g *admin.Gateway)) *running {
	t.Helper()
	addr, file := socket(t)
	r := &running{t: t, net: memory.NewNetwork(), live: sessions.New(), file: file}
	events := new(admin.Events)
	r.live.Watch(events.SessionEvent)
	host := r.net.Host(netip.MustParseAddr("192.0.2.1"))
	server := newServer(t, host.Dataplane(), r.live)
	l, err := host.Listen(gopptp.DefaultPort)
	require.NoError(t, err)
	go server.Serve(context.Background(), l)
	g := admin.Gateway{Server: server, Dataplane: host.Dataplane(), Live: r.live, Events: events, Log: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&g)
	}
	private, err := admin.Listen(addr, "")
	require.NoError(t, err)
	s := admin.New(g)
	s.Serve(private)
	t.Cleanup(func() {
		s.Close()
		server.Close()
		r.net.Close()
	})
	return r
}

func (r *running) dial(from, user string) *gopptp.Session {
	r.t.Helper()
	host := r.net.Host(netip.MustParseAddr(from))
	s, err := gopptp.Dial(r.t.Context(), "192.0.2.1", gopptp.ClientConfig{
		Dataplane: host.Dataplane(), DialContext: host.DialContext, User: user, Password: "right",
	})
	require.NoError(r.t, err)
	require.Eventually(r.t, func() bool { return r.live.ByAddress(s.Local()) != nil }, time.Minute, time.Millisecond)
	return s
}

// good runs a command, which must succeed.
func (r *running) good(args ...string) string {
	r.t.Helper()
	code, stdout, stderr := gateway(append(args, "-c", r.file)...)
	require.Equal(r.t, ExitOK, code, stderr)
	require.Empty(r.t, stderr)
	return stdout
}

func TestSessionsCommand(t *testing.T) {
	r := startGateway(t, nil)
	assert.Equal(t, "sessions: 0\n", r.good("sessions"))
	bob := r.dial("192.0.2.3", "bob")
	r.dial("192.0.2.2", "al\x1bice")

	out := r.good("sessions")
	assert.Regexp(t, `^ID +USER +GROUP +SOURCE +ADDRESS +UPTIME +ENCRYPTION +RECEIVED +SENT +FROM +TO\n`, out)
	assert.Regexp(t, `(?m)^[0-9a-f]{16}  bob +-  +192\.0\.2\.3:\d+ +`+regexp.QuoteMeta(bob.Local().String())+` +\d+s +MPPE 128-bit stateless`, out)
	assert.Regexp(t, `(?m)^[0-9a-f]{16}  "al\\x1bice" `, out, "a terminal would act on it")
	assert.Contains(t, out, "\nsessions: 2\n")
	assert.Contains(t, r.good("sessions", "--limit", "1"), "\nsessions: 1 of 2\n")
	assert.NotContains(t, r.good("sessions", "--user", "bob"), "ice")
	assert.Contains(t, r.good("sessions", "--rates", "--sort", "-rate"), " 0bit/s")

	t.Setenv("COLUMNS", "80")
	for line := range strings.Lines(r.good("sessions")) {
		assert.LessOrEqual(t, len(line), 80+len("\n"), line)
	}

	var page admin.Page
	require.NoError(t, json.Unmarshal([]byte(r.good("sessions", "--json", "--sort=-user")), &page))
	require.Len(t, page.Sessions, 2)
	require.NoError(t, r.live.Get(page.Sessions[0].ID).SetRates(gopptp.Rates{ToPeer: gopptp.BitRate{BitsPerSecond: 5e6}}))
	out = r.good("show", string(page.Sessions[0].ID))
	assert.Regexp(t, `(?m)^user +bob$`, out)
	assert.Regexp(t, `(?m)^at most +from it any rate, to it 5\.00Mbit/s$`, out)
	assert.Regexp(t, `(?m)^  dropped_clear +0 `, out)
	var d admin.Detail
	require.NoError(t, json.Unmarshal([]byte(r.good("show", "--json", string(page.Sessions[0].ID))), &d))
	assert.Equal(t, 1456, d.MTU)
}

func TestDisconnectCommand(t *testing.T) {
	r := startGateway(t, nil)
	alice, bob, carol := r.dial("192.0.2.2", "alice"), r.dial("192.0.2.3", "bob"), r.dial("192.0.2.4", "carol")
	assert.Equal(t, "disconnected: 1\n", r.good("disconnect", "--user", "alice"))
	<-alice.Done()
	assert.Equal(t, "disconnected: 1\n", r.good("disconnect", string(r.live.ByAddress(bob.Local()).ID())))
	<-bob.Done()
	assert.JSONEq(t, `{"disconnected": 1}`, r.good("disconnect", "--source", "192.0.2.4", "--json"))
	<-carol.Done()
	require.Eventually(t, func() bool { return r.live.Len() == 0 }, time.Minute, time.Millisecond)
	assert.Equal(t, "disconnected: 0\n", r.good("disconnect", "--all", "--yes"))
}

func TestDrainCommands(t *testing.T) {
	r := startGateway(t, nil)
	assert.Equal(t, "the gateway refuses newcomers; sessions: 0\n", r.good("drain"))
	assert.Contains(t, r.good("drain", "--json"), `"draining": true`)
	assert.Regexp(t, `^the gateway refuses newcomers, and ends at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d who is left; sessions: 0\n$`, r.good("drain", "--deadline", "90m"))
	assert.Equal(t, "the gateway lets users in; sessions: 0\n", r.good("undrain"))
}

func TestReloadCommand(t *testing.T) {
	var wrong error
	r := startGateway(t, func(g *admin.Gateway) {
		g.Reload = func(context.Context) ([]string, error) { return []string{"mtu: 0, now 1400"}, wrong }
	})
	assert.Equal(t, "mtu: 0, now 1400\nchanges: 1\n", r.good("reload"))
	wrong = diag.Problems{{File: "gw.yaml", Line: 2, Key: "mtu", Text: "is wrong"}, {File: "gw.yaml", Line: 3, Key: "dns", Text: "too"}}
	code, stdout, stderr := gateway("reload", "-c", r.file)
	assert.Equal(t, ExitFailure, code)
	assert.Empty(t, stdout)
	assert.Equal(t, "gw.yaml:2: mtu: is wrong\ngw.yaml:3: dns: too\ngateway: the configuration is wrong, and nothing has changed\n", stderr)
}

// fewBans are bans as any part of the gateway may keep them.
type fewBans struct {
	mu   sync.Mutex
	list []admin.Ban
}

func (f *fewBans) List() []admin.Ban {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]admin.Ban(nil), f.list...)
}

func (f *fewBans) Add(b admin.Ban) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.User == "root" {
		return errors.New("root cannot be banned")
	}
	f.list = append(f.list, b)
	return nil
}

func (f *fewBans) Remove(user string, source netip.Prefix) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, b := range f.list {
		if b.User == user && b.Source == source {
			f.list = append(f.list[:i], f.list[i+1:]...)
			return true
		}
	}
	return false
}

func TestBanCommands(t *testing.T) {
	r := startGateway(t, func(g *admin.Gateway) { g.Bans = new(fewBans) })
	assert.Equal(t, "bans: 0\n", r.good("bans"))
	assert.Regexp(t, `^banned until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n$`, r.good("ban", "--source", "192.0.2.0/24", "--for", "47h30m", "--reason", "tries passwords"))
	r.good("ban", "--user", "mallory", "--for", "30m", "--json")
	out := r.good("bans")
	assert.Regexp(t, `^USER +SOURCE +LEFT +UNTIL +REASON\nmallory +-  +(1h00m|\d+m\d\ds) +.*\n- +192\.0\.2\.0/24 +(1d23h|2d00h) +.* tries passwords\nbans: 2\n$`, out)
	assert.Equal(t, "the ban is over\n", r.good("unban", "--user", "mallory"))
	assert.Contains(t, r.good("bans", "--json"), `"total": 1`)
}

func TestEventsCommand(t *testing.T) {
	r := startGateway(t, nil)
	out, w, err := os.Pipe()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		cmd := root()
		cmd.SetArgs([]string{"events", "-c", r.file, "--user", "alice"})
		cmd.SetOut(w)
		done <- cmd.ExecuteContext(ctx)
		w.Close()
	}()
	// It is heard some time after it has begun.
	text := make(chan string, 100)
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := out.Read(b)
			if err != nil {
				return
			}
			text <- string(b[:n])
		}
	}()
	var seen string
	for i := 2; seen == ""; i++ {
		r.dial("192.0.2."+string(rune('0'+i)), "alice")
		select {
		case seen = <-text:
		case <-time.After(100 * time.Millisecond):
		}
	}
	assert.Regexp(t, `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  up session=[0-9a-f]{16} user=alice source=192\.0\.2\.\d:\d+ address=10\.8\.0\.\d+\n`, seen)
	cancel()
	assert.NoError(t, <-done)
}

// Every way in which a command cannot be done is one line, and an exit code.
func TestAskFailures(t *testing.T) {
	r := startGateway(t, func(g *admin.Gateway) { g.Bans = new(fewBans) })
	alice := r.dial("192.0.2.2", "alice")
	for args, want := range map[string]struct {
		code int
		text string
	}{
		"show":                             {ExitUsage, "accepts 1 arg(s), received 0; see gateway --help"},
		"show 0123":                        {ExitNotFound, `no session has the ID "0123"`},
		"sessions --sort size":             {ExitUsage, `sort: "size" is none of address, id, source, up_at, user, rate, rate_from, rate_to, with - before it for the other way round; see gateway --help`},
		"sessions --source home":           {ExitUsage, `source: "home" is neither an address nor a network, like 192.0.2.0/24; see gateway --help`},
		"sessions --limit -1":              {ExitUsage, "--limit -1 is negative; see gateway --help"},
		"sessions x":                       {ExitUsage, `unknown command "x" for "gateway sessions"; see gateway --help`},
		"disconnect":                       {ExitUsage, "give one of id, user, source and all, not 0 of them; see gateway --help"},
		"disconnect --all":                 {ExitUsage, "--all ends all sessions: confirm it with --yes; see gateway --help"},
		"disconnect --source 192.0.2.0/24": {ExitUsage, "--source 192.0.2.0/24 ends the sessions of a whole network: confirm it with --yes; see gateway --help"},
		"disconnect --user bob":            {ExitNotFound, `there is no session of the user "bob"`},
		"disconnect 1 2":                   {ExitUsage, "accepts at most 1 arg(s), received 2; see gateway --help"},
		"reload":                           {ExitFailure, "this gateway cannot take its configuration anew while it runs"},
		"ban":                              {ExitUsage, "give a user, a source, or both; see gateway --help"},
		"ban --user root":                  {ExitFailure, "root cannot be banned"},
		"ban --user a --for 0s":            {ExitUsage, `duration: "0s" is not a duration from 1s to 87600h0m0s; see gateway --help`},
		"ban --user a --for 1":             {ExitUsage, `invalid argument "1" for "--for" flag: time: missing unit in duration "1"; see gateway --help`},
		"unban --user a":                   {ExitNotFound, "there is no such ban"},
		"bans --limit 0":                   {ExitUsage, `limit: "0" is not a number from 1 to 10000; see gateway --help`},
		"drain --deadline soon":            {ExitUsage, `invalid argument "soon" for "--deadline" flag: time: invalid duration "soon"; see gateway --help`},
		"drain --deadline -5m":             {ExitUsage, "--deadline: -5m0s is not a time to come; see gateway --help"},
		"drain --deadline 1000h":           {ExitUsage, "deadline: \"1000h0m0s\" is not a duration from 1s to 720h0m0s; see gateway --help"},
		"drain now":                        {ExitUsage, `unknown command "now" for "gateway drain"; see gateway --help`},
	} {
		code, stdout, stderr := gateway(append(strings.Fields(args), "-c", r.file)...)
		assert.Equal(t, want.code, code, args)
		assert.Empty(t, stdout, args)
		assert.Equal(t, "gateway: "+want.text+"\n", stderr, args)
	}
	assert.Equal(t, gopptp.StateUp, alice.State())
}

// Of all of them, the first line of what is wrong is the same where no gateway runs.
func TestNotRunning(t *testing.T) {
	_, file := socket(t)
	for _, args := range []string{"sessions", "show x", "disconnect x", "drain", "undrain", "reload", "bans", "ban --user x", "unban --user x", "events", "stats"} {
		code, stdout, stderr := gateway(append(strings.Fields(args), "-c", file)...)
		assert.Equal(t, ExitNotRunning, code, args)
		assert.Empty(t, stdout, args)
		assert.Regexp(t, `^gateway: the gateway does not answer at unix:\S+: it is not running, or has another configuration\n$`, stderr, args)
	}
}

func TestTable(t *testing.T) {
	columns := []column{{"A", 0}, {"B", 2}, {"C", 1}}
	rows := [][]string{{"aaa", "bbbb", "cc"}, {"a", "b", "ccccc"}}
	for width, want := range map[int][]int{0: {0, 1, 2}, 100: {0, 1, 2}, 16: {0, 1, 2}, 15: {0, 2}, 10: {0, 2}, 9: {0}, 1: {0}} {
		assert.Equal(t, want, fitting(columns, rows, width), width)
	}
	for _, c := range []struct{ got, want string }{
		{octets(0), "0B"}, {octets(1023), "1023B"}, {octets(1024), "1.00KiB"}, {octets(20 << 20), "20.0MiB"}, {octets(1 << 60), "1024PiB"},
		{bitRate(999), "999bit/s"}, {bitRate(12_340_000), "12.3Mbit/s"}, {bitRate(123_400_000_000), "123Gbit/s"},
		{span(0.4), "0s"}, {span(61), "1m01s"}, {span(3600), "1h00m"}, {span(90000), "1d01h"},
		{or(""), "-"}, {or("a b"), "a b"}, {plain("é"), "é"}, {plain("\n"), `"\n"`}, {plain("\xff"), `"\xff"`},
	} {
		assert.Equal(t, c.want, c.got)
	}
}

func TestTraceCommand(t *testing.T) {
	r := startGateway(t, nil)
	alice := r.dial("192.0.2.2", "alice")
	id := string(r.live.ByAddress(alice.Local()).ID())
	t.Chdir(t.TempDir())
	assert.Equal(t, id+".pcapng\n", r.good("trace", id, "--for", "1s"))
	text, err := os.ReadFile(id + ".pcapng")
	require.NoError(t, err)
	assert.Equal(t, "\x0a\x0d\x0d\x0a", string(text[:4]), "a section header of pcapng")
	assert.Equal(t, string(text[:4]), r.good("trace", id, "--for", "1s", "-o", "-")[:4])

	code, _, stderr := gateway("trace", id, "-c", r.file)
	assert.Equal(t, ExitFailure, code)
	assert.Equal(t, "gateway: open "+id+".pcapng: file exists\n", stderr)
	code, _, stderr = gateway("trace", id, "--for", "2h", "-o", "x", "-c", r.file)
	assert.Equal(t, ExitUsage, code)
	assert.Contains(t, stderr, "is not a duration from 1s to 1h0m0s")
	assert.NoFileExists(t, "x")
	code, _, stderr = gateway("trace", "0123", "-o", "x", "-c", r.file)
	assert.Equal(t, ExitNotFound, code)
	assert.Contains(t, stderr, "no session has the ID")
	assert.NoFileExists(t, "x")
}
