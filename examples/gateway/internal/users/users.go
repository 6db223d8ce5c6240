// Package users gathers the gateway's users, from the configuration and from the
// secrets file, checks them against each other, and looks them up.
package users

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/examples/gateway/internal/secrets"
	"github.com/gopptp/gopptp/ppp"
)

// Store holds the users. It never changes, so anyone may read it.
type Store struct {
	byName map[string]*gopptp.LocalUser
	anyone *gopptp.LocalUser // for a name that is not known; may be nil
	fixed  []netip.Addr
	routes []netip.Prefix
	file   map[string]bool // the names that are in the secrets file; empty: anyone
}

// backend is what grants of these users are marked with.
const backend = "config"

// Load returns the users of cfg. They can be used if there are no problems but
// warnings.
func Load(cfg *config.Config) (*Store, diag.Problems) {
	b := builder{
		cfg:       cfg,
		store:     &Store{byName: make(map[string]*gopptp.LocalUser), file: make(map[string]bool)},
		addresses: make(map[netip.Addr]*account),
		routes:    make(map[netip.Prefix]*account),
	}
	for i := range cfg.Users {
		b.inline(i)
	}
	if cfg.SecretsFile != "" {
		b.file(cfg.SecretsFile)
	}
	effective := b.effective()
	b.secrets(effective)
	for _, a := range effective {
		b.check(a)
		b.add(a)
	}
	if len(b.accounts) == 0 && !cfg.Database.Enabled() && !cfg.RADIUS.Enabled() && len(b.problems.Errors()) == 0 {
		p := cfg.At("users", "there are none, here or in a secrets_file: nobody can come in")
		p.Warning = true
		b.problems.Add(p)
	}
	return b.store, b.problems
}

// Lookup finds a user by its very name: nil is no such user.
func (s *Store) Lookup(_ context.Context, name string) (*gopptp.LocalUser, error) {
	return s.byName[name], nil
}

// Anyone finds whom a name has come in as that nobody knows: nil if strangers cannot.
func (s *Store) Anyone(context.Context, string) (*gopptp.LocalUser, error) { return s.anyone, nil }

// Len is the number of users.
func (s *Store) Len() int {
	n := len(s.byName)
	if s.anyone != nil {
		n++
	}
	return n
}

// Fixed returns the addresses that belong to users, which the pools must not
// give to others.
func (s *Store) Fixed() []netip.Addr { return s.fixed }

// Routes returns the networks behind users.
func (s *Store) Routes() []netip.Prefix { return s.routes }

// account is a user and where it comes from.
type account struct {
	name     string // empty: anyone
	inConfig bool   // rather than in the secrets file
	specific bool   // of two in the secrets file, that which counts
	user     gopptp.LocalUser

	at func(key, text string) diag.Problem // key is one of the configuration's
}

// place says where an account is, for a problem elsewhere.
func (a *account) place() string {
	p := a.at("", "")
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

type builder struct {
	cfg      *config.Config
	store    *Store
	problems diag.Problems
	accounts []*account

	addresses map[netip.Addr]*account
	routes    map[netip.Prefix]*account
}

// inline takes in a user of the configuration.
func (b *builder) inline(i int) {
	u := &b.cfg.Users[i]
	path := fmt.Sprintf("users[%d]", i)
	a := &account{name: u.Name, inConfig: true}
	a.at = func(key, text string) diag.Problem {
		return b.cfg.At(strings.TrimSuffix(path+"."+key, "."), text)
	}
	a.user.Address = u.Address
	a.user.Result = gopptp.AuthResult{
		User: u.Name, Routes: u.Routes,
		SessionTimeout: u.SessionTimeout, IdleTimeout: u.IdleTimeout, Rates: u.Rates(),
		Attributes: &grant.Grant{
			Backend: backend, Group: u.Group, Pool: u.Pool,
			Quota: uint64(u.Quota), MaxSessions: u.MaxSessions, Sources: u.Sources, Hours: u.Hours,
		},
	}
	wrong := func(key string) bool { return b.cfg.Wrong(path + "." + key) }
	if err := secrets.CheckName(u.Name); err != nil {
		if wrong("name") {
			return
		}
		b.problems.Add(a.at("name", err.Error()))
		return
	}
	switch {
	case u.Password != nil && u.NTHash != nil:
		b.problems.Add(a.at("nt_hash", "a user has a password or an nt_hash, not both"))
	case u.Password != nil:
		a.user.NTHash, a.user.Secret = chap.NTPasswordHash(string(*u.Password)), ppp.Secret(*u.Password)
	case u.NTHash != nil:
		a.user.NTHash = *u.NTHash
	case !wrong("password") && !wrong("nt_hash") && !b.cfg.Wrong(path):
		b.problems.Add(a.at("", fmt.Sprintf("%q needs a password or an nt_hash", u.Name)))
	}
	b.accounts = append(b.accounts, a)
}

// file takes in the users of the secrets file.
func (b *builder) file(file string) {
	text, err := config.ReadFile(file)
	if err != nil {
		p := config.Unreadable(file, err)
		b.problems.Add(b.cfg.At("secrets_file", p.File+" "+p.Text))
		return
	}
	b.problems.Add(config.WorldReadable(file)...)
	entries, problems := secrets.Parse(file, string(text), b.cfg.Name)
	b.problems.Add(problems...)
	for _, e := range entries {
		a := &account{name: e.Client, specific: e.Specific}
		a.user.NTHash, a.user.Secret, a.user.Address = e.NTHash, e.Password, e.Address
		a.user.Result.User, a.user.Result.Attributes = e.Client, &grant.Grant{Backend: backend}
		a.at = func(_, text string) diag.Problem {
			return diag.Problem{File: file, Line: e.Line, Text: text}
		}
		b.accounts = append(b.accounts, a)
	}
}

// secrets keeps passwords in clear where CHAP-MD5 needs them, and nowhere else.
func (b *builder) secrets(accounts []*account) {
	path := b.cfg.MethodPath(ppp.AuthCHAPMD5)
	without := 0
	for _, a := range accounts {
		switch {
		case path == "":
			a.user.Secret.Wipe()
			a.user.Secret = nil
		case a.user.Secret == nil && a.user.NTHash != (chap.NTHash{}):
			without++
		}
	}
	if without > 0 {
		p := b.cfg.At(path, fmt.Sprintf("who has an NT hash in place of a password cannot come in by chap-md5: %d of %d users", without, len(accounts)))
		p.Warning = true
		b.problems.Add(p)
	}
}

// check looks at the addresses of one account.
func (b *builder) check(a *account) {
	bad := func(key, format string, args ...any) {
		b.problems.Add(a.at(key, fmt.Sprintf(format, args...)))
	}
	if addr := a.user.Address; addr.IsValid() {
		switch other := b.addresses[addr]; {
		case a.name == "":
			bad("address", "%v cannot be fixed to everybody", addr)
		case addr == b.cfg.LocalAddress:
			bad("address", "%v of %q is the gateway's own (local_address)", addr, a.name)
		case !addr.IsGlobalUnicast():
			bad("address", "%v of %q cannot be the address of a host", addr, a.name)
		case other != nil && other.name != a.name:
			bad("address", "%v of %q is that of %q already, %s", addr, a.name, other.name, other.place())
		case !b.cfg.PoolContains(addr):
			p := a.at("address", fmt.Sprintf("%v of %q is not in a pool; it is routed into the tunnels by itself", addr, a.name))
			p.Warning = true
			b.problems.Add(p)
		}
		b.addresses[addr] = a
	}
	for i, route := range a.user.Result.Routes {
		key := fmt.Sprintf("routes[%d]", i)
		switch other := b.routes[route]; {
		case !route.IsValid(): // reported already
			continue
		case route.Bits() == 0:
			bad(key, "%v would send all of the gateway's packets to %q", route, a.name)
		case route.Contains(b.cfg.LocalAddress):
			bad(key, "%v of %q holds the gateway's own address, %v", route, a.name, b.cfg.LocalAddress)
		case b.overlapsPool(route):
			bad(key, "%v of %q overlaps a pool", route, a.name)
		case other != nil:
			bad(key, "%v of %q is behind %q already, %s", route, a.name, other.name, other.place())
		}
		b.routes[route] = a
	}
}

func (b *builder) overlapsPool(route netip.Prefix) bool {
	for _, p := range b.cfg.Pools {
		for _, r := range p.Ranges {
			if r.Range.First.IsValid() && slices.ContainsFunc(r.Prefixes(), route.Overlaps) {
				return true
			}
		}
	}
	return false
}

// effective returns the accounts that count, one a name.
func (b *builder) effective() []*account {
	byName := make(map[string]*account)
	for _, a := range b.accounts {
		switch other := byName[a.name]; {
		case other == nil, a.specific && !other.specific && !other.inConfig:
			byName[a.name] = a
		case other.specific && !a.specific: // as pppd has it
		default:
			b.problems.Add(a.at("name", fmt.Sprintf("%s is a user already, %s", nameOf(a), other.place())))
		}
	}
	var list []*account
	for _, a := range b.accounts {
		if byName[a.name] == a {
			list = append(list, a)
		}
	}
	return list
}

func (b *builder) add(a *account) {
	if !a.inConfig {
		b.store.file[a.name] = true
	}
	if a.name == "" {
		b.store.anyone = &a.user
		p := a.at("", "everybody can come in who knows this secret")
		p.Warning = true
		b.problems.Add(p)
	} else {
		b.store.byName[a.name] = &a.user
	}
	if a.user.Address.IsValid() {
		b.store.fixed = append(b.store.fixed, a.user.Address)
	}
	b.store.routes = append(b.store.routes, a.user.Result.Routes...)
}

func nameOf(a *account) string {
	if a.name == "" {
		return "*"
	}
	return fmt.Sprintf("%q", a.name)
}
