package login

import (
	"context"
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/gopptp/gopptp"
	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/mppe"
	"github.com/gopptp/gopptp/ppp"
)

// guard writes down what it is told.
type guard struct {
	banned string
	notes  []string
}

var errBanned = &gopptp.AuthError{Code: 691, Message: "banned"}

func (g *guard) Check(user string, source netip.Addr) error {
	if user == g.banned {
		return errBanned
	}
	return nil
}

func (g *guard) Failed(user string, source netip.Addr) {
	g.notes = append(g.notes, "failed "+user+" "+source.String())
}

func (g *guard) Succeeded(user string, source netip.Addr) {
	g.notes = append(g.notes, "succeeded "+user+" "+source.String())
}

func store(users map[string]string) Lookup {
	return func(_ context.Context, name string) (*gopptp.LocalUser, error) {
		password, ok := users[name]
		if !ok {
			return nil, nil
		}
		return &gopptp.LocalUser{NTHash: chap.NTPasswordHash(password), Result: gopptp.AuthResult{Attributes: "local " + name}}, nil
	}
}

func pap(name, password string) *gopptp.AuthRequest {
	return &gopptp.AuthRequest{
		AuthRequest: ppp.AuthRequest{Method: ppp.AuthPAP, Name: name, Password: ppp.Secret(password)},
		Remote:      netip.MustParseAddrPort("192.0.2.9:40000"),
	}
}

var remote = gopptp.AuthenticatorFunc(func(_ context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
	if string(req.Password) == "remote" {
		return &gopptp.AuthResult{Attributes: "remote", Keys: new(mppe.Keys)}, nil
	}
	return nil, gopptp.ErrBadCredentials
})

var errDown = errors.New("database is down")

func TestDecide(t *testing.T) {
	down := func(context.Context, string) (*gopptp.LocalUser, error) { return nil, errDown }
	local := []Lookup{store(map[string]string{"alice": "one", "bob": "two"}), store(map[string]string{"alice": "other", "carol": "three"})}
	disabled := func(context.Context, string) (*gopptp.LocalUser, error) {
		return &gopptp.LocalUser{NTHash: chap.NTPasswordHash("one"), Refusal: &gopptp.AuthError{Code: 647}}, nil
	}
	admit := func(_ context.Context, req *gopptp.AuthRequest, _ *gopptp.AuthResult) error {
		if req.Name == "bob" {
			return &gopptp.AuthError{Code: 649}
		}
		return nil
	}
	for _, tc := range []struct {
		name           string
		cfg            Config
		user, password string
		granted        any
		outcome        Outcome
		remote         bool
		note           string
	}{
		{"local", Config{Local: local}, "alice", "one", "local alice", Accepted, false, "succeeded alice"},
		{"the first store that knows a user decides", Config{Local: local}, "alice", "other", nil, Refused, false, "failed alice"},
		{"the second store", Config{Local: local}, "carol", "three", "local carol", Accepted, false, "succeeded carol"},
		{"without its domain", Config{Local: local}, `CORP\carol`, "three", "local carol", Accepted, false, `succeeded CORP\carol`},
		{"unknown", Config{Local: local}, "dave", "four", nil, Refused, false, "failed dave"},
		{"unknown here", Config{Local: local, Remote: remote}, "dave", "remote", "remote", Accepted, true, "succeeded dave"},
		{"known here", Config{Local: local, Remote: remote}, "alice", "remote", nil, Refused, false, "failed alice"},
		{"wrong there", Config{Remote: remote}, "dave", "four", nil, Refused, true, "failed dave"},
		{"policy", Config{Local: local, Admit: admit}, "bob", "two", nil, NotAdmitted, false, "succeeded bob"},
		{"policy of the remote", Config{Remote: remote, Admit: admit}, "bob", "remote", nil, NotAdmitted, true, "succeeded bob"},
		{"disabled, and no guess", Config{Local: []Lookup{disabled}}, "erin", "one", nil, Refused, false, ""},
		{"disabled, and a guess", Config{Local: []Lookup{disabled}}, "erin", "two", nil, Refused, false, "failed erin"},
		{"nobody knows", Config{Local: []Lookup{down, local[0]}, Remote: remote}, "alice", "one", nil, Undecided, false, ""},
		{"banned", Config{Local: local}, "mallory", "one", nil, Banned, false, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := &guard{banned: "mallory"}
			var attempts []Attempt
			tc.cfg.Guard = g
			tc.cfg.Observe = func(a Attempt) { attempts = append(attempts, a) }
			result, err := New(tc.cfg).Authenticate(t.Context(), pap(tc.user, tc.password))
			require.Len(t, attempts, 1)
			assert.Equal(t, tc.outcome, attempts[0].Outcome, attempts[0].Outcome)
			assert.Equal(t, tc.remote, attempts[0].Remote)
			if tc.granted == nil {
				assert.Error(t, err)
				assert.Equal(t, err, attempts[0].Err)
			} else {
				require.NoError(t, err)
				assert.Equal(t, tc.granted, result.Attributes)
			}
			var notes []string
			if tc.note != "" {
				notes = []string{tc.note + " 192.0.2.9"}
			}
			assert.Equal(t, notes, g.notes)
		})
	}
}

// Who is in and proves itself anew is not asked for by policy, and not kept out by a ban.
func TestReauthentication(t *testing.T) {
	g := &guard{banned: "alice"}
	gate := New(Config{
		Local: []Lookup{store(map[string]string{"alice": "one"})}, Guard: g,
		Admit: func(context.Context, *gopptp.AuthRequest, *gopptp.AuthResult) error {
			return &gopptp.AuthError{Code: 649}
		},
	})
	req := pap("alice", "one")
	req.Reauthentication = true
	_, err := gate.Authenticate(t.Context(), req)
	assert.NoError(t, err)
}

// An attempt that goes on does so where it began, even if a local store has come to know
// the user meanwhile.
func TestSteps(t *testing.T) {
	known := make(map[string]string)
	rounds := 0
	gate := New(Config{
		Local: []Lookup{store(known)},
		Remote: gopptp.AuthenticatorFunc(func(_ context.Context, req *gopptp.AuthRequest) (*gopptp.AuthResult, error) {
			switch rounds++; rounds {
			case 1:
				assert.Nil(t, req.State)
				return &gopptp.AuthResult{Continue: true, State: "first"}, nil
			case 2:
				assert.Equal(t, "first", req.State)
				return nil, &gopptp.AuthError{Code: 691, Retry: true, State: "second"}
			}
			assert.Equal(t, "second", req.State)
			return &gopptp.AuthResult{}, nil
		}),
	})
	req := pap("dave", "four")
	result, err := gate.Authenticate(t.Context(), req)
	require.NoError(t, err)
	require.True(t, result.Continue)
	known["dave"] = "four"
	req.State = result.State
	_, err = gate.Authenticate(t.Context(), req)
	var refusal *gopptp.AuthError
	require.ErrorAs(t, err, &refusal)
	req.State = refusal.State
	_, err = gate.Authenticate(t.Context(), req)
	require.NoError(t, err)
	assert.Equal(t, 3, rounds)
}
