package userdb

import (
	"database/sql"
	"database/sql/driver"
	"math"
	"time"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/grant"
	"github.com/gopptp/gopptp/ppp"
)

// Settings is what a user or a group is granted. What is not set is as the user's group
// has it. What that has not either, is zero or is none, is as the gateway's policy has it.
type Settings struct {
	Pool           Text
	Routes         Networks
	RateFromPeer   BitRate
	RateToPeer     BitRate
	Quota          Octets
	SessionTimeout Seconds
	IdleTimeout    Seconds
	MaxSessions    Count
	Sources        Networks
	Hours          Hours
}

// Setting is one of them.
type Setting struct {
	Column string
	Help   string
	Value  Value // within the Settings
}

// All returns the settings one by one.
func (s *Settings) All() []Setting {
	return []Setting{
		{"pool", "name of the pool that addresses are from", &s.Pool},
		{"routes", "networks behind the client, or none", &s.Routes},
		{"rate_from_peer", "limit of what the client sends, in bits per second", &s.RateFromPeer},
		{"rate_to_peer", "limit of what the client gets, in bits per second", &s.RateToPeer},
		{"quota", "what a session may carry, both ways together", &s.Quota},
		{"session_timeout", "how long a session may last", &s.SessionTimeout},
		{"idle_timeout", "how long a session may carry nothing", &s.IdleTimeout},
		{"max_sessions", "sessions at a time", &s.MaxSessions},
		{"sources", "networks that clients may come from", &s.Sources},
		{"hours", "times of the week at which the user may be in, like \"Mon-Fri 08:00-18:00; Sat\"", &s.Hours},
	}
}

// User is a row of the table users.
type User struct {
	Name              string
	NTHash            chap.NTHash // zero: nobody gets in
	Password          ppp.Secret  // in clear, for CHAP-MD5 only; or nil
	Disabled          bool
	ExpiresAt         Time
	PasswordExpiresAt Time
	Group             Text
	Address           Address
	Settings
	Note                 Text
	CreatedAt, UpdatedAt Time
}

// Own returns what of a user is no Settings and can be changed by an operator as text.
func (u *User) Own() []Setting {
	return []Setting{
		{"group_name", "the group, which must exist", &u.Group},
		{"address", "the fixed address in the tunnel", &u.Address},
		{"expires_at", "when the user expires", &u.ExpiresAt},
		{"password_expires_at", "when the password expires, so that it must be changed", &u.PasswordExpiresAt},
		{"note", "for the operator", &u.Note},
	}
}

// Group is a row of the table user_groups.
type Group struct {
	Name string
	Settings
	Note                 Text
	CreatedAt, UpdatedAt Time
}

// field is a column and where its value is.
type field struct {
	column string
	value  interface {
		sql.Scanner
		driver.Valuer
	}
}

// name is a text that is never NULL.
type name string

func (n *name) Scan(v any) error {
	return scanText(v, func(text string) error { *n = name(text); return nil })
}

func (n *name) Value() (driver.Value, error) { return string(*n), nil }

func fieldsOf(settings []Setting) (list []field) {
	for _, s := range settings {
		list = append(list, field{s.Column, s.Value})
	}
	return list
}

func (u *User) fields() []field {
	list := []field{
		{"name", (*name)(&u.Name)},
		{"nt_hash", (*hash)(&u.NTHash)},
		{"password", (*secret)(&u.Password)},
		{"disabled", (*flag)(&u.Disabled)},
		{"created_at", &u.CreatedAt},
		{"updated_at", &u.UpdatedAt},
	}
	list = append(list, fieldsOf(u.Own())...)
	return append(list, fieldsOf(u.Settings.All())...)
}

func (g *Group) fields() []field {
	list := []field{
		{"name", (*name)(&g.Name)},
		{"created_at", &g.CreatedAt},
		{"updated_at", &g.UpdatedAt},
		{"note", &g.Note},
	}
	return append(list, fieldsOf(g.Settings.All())...)
}

// LocalUser is the user as the library checks and admits it, with its group's settings
// merged in. Who is disabled or has expired is known, so that no one else is asked about
// the name, and is told so by the right password only.
func (u *User) LocalUser(now time.Time) *gopptp.LocalUser {
	l := &gopptp.LocalUser{NTHash: u.NTHash, Secret: u.Password, Result: gopptp.AuthResult{User: u.Name}}
	if l.Refusal = u.refusal(now); l.Refusal != nil {
		return l
	}
	l.Address = u.Address.Addr
	l.Expired = u.PasswordExpiresAt.Past(now)
	l.Result.Routes = u.Routes
	l.Result.IdleTimeout = u.IdleTimeout.Duration()
	l.Result.SessionTimeout = u.SessionTimeout.Duration()
	l.Result.Rates.FromPeer.BitsPerSecond = uint64(u.RateFromPeer.Or(0))
	l.Result.Rates.ToPeer.BitsPerSecond = uint64(u.RateToPeer.Or(0))
	if u.ExpiresAt.Valid { // a session does not outlive its user
		left := u.ExpiresAt.Time().Sub(now)
		if l.Result.SessionTimeout == 0 || left < l.Result.SessionTimeout {
			l.Result.SessionTimeout = left
		}
	}
	g := &grant.Grant{
		Backend:     "sql",
		Group:       u.Group.V,
		Pool:        u.Pool.V,
		Quota:       uint64(u.Quota.Or(0)),
		MaxSessions: int(min(u.MaxSessions.Or(0), math.MaxInt32)),
	}
	if len(u.Sources) > 0 {
		g.Sources = u.Sources
	}
	g.Hours = u.Hours.Windows()
	l.Result.Attributes = g
	return l
}

// refusal is why the user cannot come in even by the right password, or nil.
func (u *User) refusal(now time.Time) *gopptp.AuthError {
	switch {
	case u.Disabled:
		return &gopptp.AuthError{Code: int(chap.AccountDisabled), Message: "Account disabled"}
	case u.ExpiresAt.Past(now):
		return &gopptp.AuthError{Code: int(chap.AccountDisabled), Message: "Account expired"}
	}
	return nil
}
