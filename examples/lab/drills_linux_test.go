package lab

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp/examples/internal/radiustest"
)

// TestDrills has what is behind the gateway fail while two sessions are up, one of a RADIUS
// user and one of a user in PostgreSQL: whatever it is, they lose no packet, those who want
// to come in are answered in bounded time, and what is accounted for arrives, once.
func TestDrills(t *testing.T) {
	lab(t, environment{kind: namespaces, limit: 3 * time.Minute, ours: true}, func(t *testing.T) {
		d := newDrills(t)
		for _, drill := range []struct {
			name string
			run  func(*testing.T, *drills)
		}{
			{"RADIUS server dead", oneServerDead},
			{"all RADIUS servers killed", allServersKilled},
			{"RADIUS slow", serversSlow},
			{"RADIUS lying", serversLie},
			{"SQL hangs", databaseHangs},
			{"SQL killed", databaseKilled},
			{"disk full", diskFull},
		} {
			t.Run(drill.name, func(t *testing.T) {
				d.settle(t)
				before := d.listed(t)
				drill.run(t, d)
				for _, p := range d.pings {
					p.goesOn(t)
				}
				require.Len(t, before, len(d.standing))
				require.Equal(t, before, d.listed(t), "the sessions that are up")
			})
		}
		t.Run("in the end", func(t *testing.T) { d.end(t) })
	})
}

// Users and their passwords: alice is known to the gateway itself, see secrets.
const (
	radiusUser, radiusPassword = "rita", "lovely-meter-maid"
	sqlUser, sqlPassword       = "saul", "better-call-him"
	newUser, newPassword       = "sven", "never-seen-here"
	lateUser, latePassword     = "sara", "last-of-them-all"
)

// Bounds of the gateway's configuration.
const (
	radiusTimeout  = 2500 * time.Millisecond
	radiusPatience = 5 * time.Second
	sqlTimeout     = time.Second
	// grace is what a slow machine may add.
	grace = 15 * time.Second
)

// drills is a gateway with all that it can have behind it.
type drills struct {
	*gateway
	config   string
	servers  [2]*radiustest.Server
	access   [2]*radiustest.Relay // in front of them
	accounts *radiustest.Relay    // in front of the first one
	database *postgres
	disk     smallDisk
	clients  []host
	standing []*dialler
	pings    []pinger
	came     map[string]int  // sessions by user
	unheard  map[string]bool // sessions of which records may arrive again
	tries    int
}

func newDrills(t *testing.T) *drills {
	if _, err := exec.LookPath("freeradius"); err != nil {
		t.Skip("needs freeradius: scripts/apt.sh freeradius")
	}
	d := &drills{came: make(map[string]int), unheard: make(map[string]bool), disk: newSmallDisk(t)}
	var server host
	server, d.clients = networkHere(t, 3)
	d.database = startPostgres(t)
	for i := range d.servers {
		d.servers[i] = radiustest.Start(t, radiustest.Config{Users: []radiustest.User{{Name: radiusUser, Password: radiusPassword}}})
		d.access[i] = radiustest.NewRelay(t, d.servers[i].Auth)
	}
	d.accounts = radiustest.NewRelay(t, d.servers[0].Acct)
	d.gateway = startGateway(t, server, userspacePlane, mppe128,
		"policy: {max_sessions: 2, session_timeout: 1h}",
		"database: {url: '"+postgresURL+"', timeout: "+sqlTimeout.String()+"}",
		"radius:",
		"  servers:",
		fmt.Sprintf("    - {address: '%v', secret: %s, timeout: %v}", d.access[0].Addr, radiustest.Secret, radiusTimeout),
		fmt.Sprintf("    - {address: '%v', secret: %s, timeout: %v, priority: 1}", d.access[1].Addr, radiustest.Secret, radiusTimeout),
		"  patience: "+radiusPatience.String(),
		"  hold_down: 1s",
		"accounting:",
		"  servers:",
		// Once: else one who is slow is told again, and writes down what it is told.
		fmt.Sprintf("    - {address: '%v', secret: %s, timeout: %v, tries: 1}", d.accounts.Addr, radiustest.Secret, radiusTimeout),
		"  sql: true",
		"  directory: "+string(d.disk),
		"admin: {listen: 'unix:/run/gateway.sock'}",
		"log: {level: debug}",
	)
	d.config = filepath.Join(logDir(t), "gateway.yaml")
	for user, password := range map[string]string{sqlUser: sqlPassword, newUser: newPassword, lateUser: latePassword} {
		add := exec.Command(program("gateway"), "user", "add", user, "--password-stdin", "--config", d.config)
		add.Stdin = strings.NewReader(password + "\n")
		out, err := add.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	for i, c := range []diallerConfig{{user: radiusUser, password: radiusPassword}, {user: sqlUser, password: sqlPassword}} {
		c.name, c.plane, c.mppe = "standing-"+c.user, userspacePlane, mppe128
		s := startDial(t, d.clients[i], c)
		s.up(t, grace)
		d.came[c.user]++
		d.standing = append(d.standing, s)
		d.pings = append(d.pings, startPing(t, d.clients[i], "ping-"+c.user, s.dev, tunnelServer))
	}
	return d
}

// listed is what the gateway says of the sessions that are up: their IDs, users and
// addresses.
func (d *drills) listed(t *testing.T) (list []string) {
	t.Helper()
	out, err := run(program("gateway"), "sessions", "--json", "--config", d.config)
	require.NoError(t, err)
	var all struct {
		Sessions []struct{ ID, User, Address string }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &all), out)
	for _, s := range all.Sessions {
		list = append(list, s.ID+" "+s.User+" "+s.Address)
	}
	return list
}

// dial has a user call from the third host.
func (d *drills) dial(t *testing.T, user, password string) *dialler {
	t.Helper()
	d.tries++
	return startDial(t, d.clients[2], diallerConfig{
		name: fmt.Sprintf("%s-%d", user, d.tries), user: user, password: password, plane: userspacePlane, mppe: mppe128,
	})
}

// comesAndGoes has a user come in, within a time, send something, and go.
func (d *drills) comesAndGoes(t *testing.T, user, password string, within time.Duration) {
	t.Helper()
	require.NoError(t, d.tryToCome(t, user, password, within))
}

// tryToCome is comesAndGoes for one who may be refused, which is an error.
func (d *drills) tryToCome(t *testing.T, user, password string, within time.Duration) error {
	t.Helper()
	c := d.dial(t, user, password)
	if err := c.upErr(within + grace); err != nil {
		return err
	}
	d.came[user]++
	require.NoError(t, c.host.echo(c.dev, tunnelServer))
	c.terminate()
	require.Equal(t, dialOK, c.exitCode(t, grace), "our client's exit code")
	c.host.noTunnels(t, grace)
	return nil
}

// isRefused has a user who cannot be decided about.
func (d *drills) isRefused(t *testing.T, user, password string, within time.Duration) {
	t.Helper()
	failed := len(d.find(`msg="session failed"`))
	begin := time.Now()
	c := d.dial(t, user, password)
	require.NotEqual(t, dialOK, c.exitCode(t, within+grace), "our client's exit code")
	t.Logf("%s was refused after %v", user, time.Since(begin).Round(time.Millisecond))
	eventually(t, grace, "the gateway says so", func() bool { return len(d.find(`msg="session failed"`)) > failed })
	require.Contains(t, d.find(`msg="session failed"`)[failed].text, "cause=authentication-backend")
}

var sessionOf = regexp.MustCompile(` session=(\w+) `)

// settle waits until the server has been told of the end of all sessions that are over.
func (d *drills) settle(t *testing.T) {
	t.Helper()
	eventually(t, grace, "the server has all Stops", func() bool {
		told := make(map[string]bool)
		for _, r := range d.servers[0].Records() {
			told[r.Get("Acct-Session-Id")] = told[r.Get("Acct-Session-Id")] || r.Get("Acct-Status-Type") == "Stop"
		}
		for _, l := range d.find(`msg="session down"`) {
			if !told[sessionOf.FindStringSubmatch(l.text)[1]] {
				return false
			}
		}
		return true
	})
}

// isUnheard is for what happens while the server's acknowledgements are lost, late or none.
// What is not acknowledged it is told again, even if it has written it down.
func (d *drills) isUnheard(what func()) {
	before := len(d.find(`msg="session up" `))
	what()
	for _, l := range d.find(`msg="session up" `)[before:] {
		d.unheard[sessionOf.FindStringSubmatch(l.text)[1]] = true
	}
}

func oneServerDead(t *testing.T, d *drills) {
	d.access[0].Dead.Store(true)
	d.comesAndGoes(t, radiusUser, radiusPassword, radiusPatience)
	d.access[0].Dead.Store(false)
	d.comesAndGoes(t, radiusUser, radiusPassword, radiusPatience)
}

func allServersKilled(t *testing.T, d *drills) {
	for _, s := range d.servers {
		s.Stop()
	}
	d.isUnheard(func() {
		d.isRefused(t, radiusUser, radiusPassword, radiusPatience)
		d.comesAndGoes(t, user, password, 0)
		d.comesAndGoes(t, sqlUser, sqlPassword, 0)
	})
	for _, s := range d.servers {
		s.Restart()
	}
	d.comesAndGoes(t, radiusUser, radiusPassword, radiusPatience)
}

func serversSlow(t *testing.T, d *drills) {
	relays := append(d.access[:], d.accounts)
	for _, r := range relays {
		r.Delay.Store(int64(2 * time.Second))
	}
	d.isUnheard(func() {
		d.comesAndGoes(t, radiusUser, radiusPassword, radiusPatience)
		d.comesAndGoes(t, user, password, 0)
	})
	for _, r := range relays {
		r.Delay.Store(0)
	}
}

func serversLie(t *testing.T, d *drills) {
	// They turn a Reject into an Accept, for which they cannot make the authenticator.
	lie := func(answer []byte) { answer[0], answer[4] = 2, answer[4]^1 }
	for _, r := range d.access {
		r.Mangle.Store(&lie)
	}
	d.isRefused(t, radiusUser, "a guess", radiusPatience)
	require.NotEmpty(t, d.find(`level=WARN msg="RADIUS server: answers are ignored"`))

	// Nor is a record delivered that they acknowledge so.
	known := len(d.servers[0].Records())
	d.accounts.Mangle.Store(&lie)
	d.isUnheard(func() {
		d.comesAndGoes(t, user, password, 0)
		d.servers[0].Await(known + 3) // its Start and its Stop, and one of them again
	})
	for _, r := range append(d.access[:], d.accounts) {
		r.Mangle.Store(nil)
	}
	d.comesAndGoes(t, radiusUser, radiusPassword, radiusPatience)
}

func databaseHangs(t *testing.T, d *drills) {
	resume := d.database.hang(t)
	d.withoutDatabase(t, newUser, newPassword)
	resume()
	d.databaseIsBack(t, newUser, newPassword)
}

func databaseKilled(t *testing.T, d *drills) {
	d.database.kill(t)
	d.withoutDatabase(t, lateUser, latePassword)
	d.database.restart()
	d.databaseIsBack(t, lateUser, latePassword)
}

// withoutDatabase has users come while the database does not answer, one of whom is not
// remembered.
func (d *drills) withoutDatabase(t *testing.T, unknown, itsPassword string) {
	t.Helper()
	down := func() int { return len(d.find(`level=ERROR msg="the user database is down`)) }
	before := down()
	d.comesAndGoes(t, user, password, 0) // is asked for in the file first
	d.comesAndGoes(t, sqlUser, sqlPassword, 0)
	for range 4 { // after three, the database is not asked any more
		d.isRefused(t, unknown, itsPassword, sqlTimeout)
	}
	require.Equal(t, before+1, down())
}

func (d *drills) databaseIsBack(t *testing.T, unknown, itsPassword string) {
	t.Helper()
	answers := func() int { return len(d.find(`msg="the user database answers again"`)) }
	before := answers()
	eventually(t, grace, "who is not remembered comes in", func() bool { return d.tryToCome(t, unknown, itsPassword, sqlTimeout) == nil })
	require.Equal(t, before+1, answers())
}

func diskFull(t *testing.T, d *drills) {
	// What is to be delivered piles up, until it needs room that there is not.
	d.accounts.Dead.Store(true)
	d.disk.fill(t)
	d.isUnheard(func() {
		fails := func() bool {
			return len(d.find(`level=ERROR msg="accounting: the disk fails; .*no space left on device`)) > 0
		}
		for n := 0; !fails(); n++ {
			require.Less(t, n, 100, "sessions that found room")
			d.comesAndGoes(t, user, password, 0)
		}
		d.comesAndGoes(t, user, password, 0)
		d.disk.free(t)
		d.await(t, `msg="accounting: the disk works again`, grace)
	})
	d.accounts.Dead.Store(false)
	d.comesAndGoes(t, user, password, 0)
}

// end ends all, and looks at what has been told of it.
func (d *drills) end(t *testing.T) {
	var sent []int
	for i, p := range d.pings {
		sent = append(sent, p.end(t))
		d.standing[i].terminate()
		require.Equal(t, dialOK, d.standing[i].exitCode(t, grace), "our client's exit code")
	}
	total := 0
	for _, n := range d.came {
		total += n
	}
	require.Len(t, d.find(`msg="session up" `), total)
	d.stop()
	require.Equal(t, 0, d.exitCode(t, grace), "the gateway's exit code")

	// What is told again is as it was, and of those only of whom it may be.
	var records []radiustest.Record
	eventually(t, grace, "the server has the last record", func() bool {
		records = d.servers[0].Records()
		return records[len(records)-1].Get("Acct-Status-Type") == "Accounting-Off"
	})
	starts, stops := make(map[string]radiustest.Record), make(map[string]radiustest.Record)
	last := make(map[string]radiustest.Record) // of a user
	stopped := make(map[string]int)
	for _, r := range records {
		session, user := r.Get("Acct-Session-Id"), r.Get("User-Name")
		of := map[string]map[string]radiustest.Record{"Start": starts, "Stop": stops}[r.Get("Acct-Status-Type")]
		if of == nil {
			continue
		}
		if first, again := of[session]; again {
			require.True(t, d.unheard[session], "%s of %s again", r.Get("Acct-Status-Type"), session)
			for _, same := range []string{"User-Name", "Acct-Session-Time", "Acct-Input-Octets", "Acct-Terminate-Cause"} {
				require.Equal(t, first[same], r[same], same)
			}
			continue
		}
		of[session] = r
		if r.Get("Acct-Status-Type") == "Stop" {
			require.Contains(t, starts, session)
			require.Equal(t, "User-Request", r.Get("Acct-Terminate-Cause"))
			stopped[user]++
			last[user] = r
		}
	}
	require.Equal(t, d.came, stopped)
	require.Len(t, starts, total)
	for i, user := range []string{radiusUser, sqlUser} {
		figure := func(name string) int {
			n, err := strconv.Atoi(last[user].Get(name))
			require.NoError(t, err)
			return n
		}
		require.Equal(t, sent[i], figure("Acct-Input-Packets"), user)
		require.Equal(t, 84*sent[i], figure("Acct-Input-Octets"), user)
		require.Equal(t, sent[i], figure("Acct-Output-Packets"), user)
	}
	d.inDatabase(t)
	d.keepsSecrets(t)
}

// inDatabase requires a row a session in the database's own accounting.
func (d *drills) inDatabase(t *testing.T) {
	t.Helper()
	db := openPostgres(t)
	defer db.Close()
	rows, err := db.Query("SELECT user_name, COUNT(*) FROM accounting WHERE cause = 'User-Request' AND ended_at IS NOT NULL GROUP BY user_name")
	require.NoError(t, err)
	defer rows.Close()
	found := make(map[string]int)
	for rows.Next() {
		var user string
		var n int
		require.NoError(t, rows.Scan(&user, &n))
		found[user] = n
	}
	require.NoError(t, rows.Err())
	require.Equal(t, d.came, found)
}

// keepsSecrets looks for secrets in all that the gateway has said.
func (d *drills) keepsSecrets(t *testing.T) {
	t.Helper()
	lines, _, _ := d.snapshot()
	require.NotEmpty(t, lines)
	for _, l := range lines {
		for _, secret := range []string{password, radiusPassword, sqlPassword, newPassword, latePassword, radiustest.Secret, postgresPassword} {
			require.NotContains(t, l.text, secret)
		}
		require.NotRegexp(t, `^panic:|DATA RACE`, l.text)
	}
}
