// Package secrets reads users from a file of the format of pppd's chap-secrets,
// so that an operator who comes from pptpd can keep the file:
//
//	# client    server  secret                                    address
//	alice       *       "correct horse"                           *
//	CORP\\bob   gopptp  nthash:0123456789abcdef0123456789abcdef   10.8.0.20
//
// The client * lets everybody in who knows the secret. Of two lines for a client,
// that which names the server counts before that with *.
//
// An NT hash in place of a password is an addition. What pppd has beyond that is
// not done, and refused rather than misunderstood: secrets in files of their own
// (@/path), several or excluded addresses, and options behind "--".
package secrets

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
	"github.com/gopptp/gopptp/ppp"
)

// Entry is one user.
type Entry struct {
	Line     int
	Client   string // empty: everybody
	Server   string // as it is there; means nothing without Specific
	Specific bool   // names the server, rather than *
	NTHash   chap.NTHash
	Password ppp.Secret // nil: only the hash is known
	Address  netip.Addr // fixed; invalid: from the pools
}

// HashPrefix marks an NT hash in place of a password.
const HashPrefix = "nthash:"

// Parse reads the text of a file and returns the entries that apply to the
// server of the given name. Of the problems, none holds a secret.
func Parse(file, text, server string) (entries []Entry, problems diag.Problems) {
	all, problems := ParseAll(file, text)
	for _, e := range all {
		if !e.Specific || e.Server == server {
			entries = append(entries, e)
		}
	}
	return entries, problems
}

// ParseAll is Parse for all servers.
func ParseAll(file, text string) (entries []Entry, problems diag.Problems) {
	l := lexer{rest: text, line: 1}
	for {
		words, line, err := l.next()
		if err == nil && len(words) == 0 {
			return entries, problems
		}
		e, key := Entry{Line: line}, ""
		if err == nil {
			// Before there are three words, no one knows which is the secret.
			if len(words) >= 3 {
				key = words[0].text
			}
			err = e.parse(words)
		}
		if err != nil {
			problems.Add(diag.Problem{File: file, Line: line, Key: printable(key), Text: err.Error()})
			continue
		}
		entries = append(entries, e)
	}
}

func (e *Entry) parse(words []word) (err error) {
	if len(words) < 3 {
		return fmt.Errorf("needs client, server and secret, but has %d of these", len(words))
	}
	if client := words[0]; client.text != "*" || client.quoted {
		e.Client = client.text
		if err := CheckName(e.Client); err != nil {
			return err
		}
	}
	e.Server = words[1].text
	e.Specific = e.Server != "*" || words[1].quoted
	if e.NTHash, e.Password, err = secret(words[2]); err != nil {
		return err
	}
	e.Address, err = address(words[3:])
	return err
}

// CheckName says what is wrong with the name of a user, if anything.
func CheckName(name string) error {
	switch {
	case name == "":
		return errors.New("a user needs a name")
	case len(name) > 255:
		return fmt.Errorf("a user's name has at most 255 octets, not %d", len(name))
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf(`the name %q has control characters; a backslash is written \\`, name)
	}
	return nil
}

// secret reads a password, or the hash of one.
func secret(w word) (hash chap.NTHash, password ppp.Secret, err error) {
	if digits, ok := strings.CutPrefix(w.text, HashPrefix); ok {
		if hash, err = chap.ParseNTHash(digits); err != nil {
			err = errors.New(HashPrefix + " is not followed by 32 hexadecimal digits")
		}
		return hash, nil, err
	}
	if strings.HasPrefix(w.text, "@/") {
		return hash, nil, errors.New("a secret in a file of its own (@/path) is not supported")
	}
	return chap.NTPasswordHash(w.text), ppp.Secret(w.text), nil
}

// address reads what follows the secret.
func address(words []word) (netip.Addr, error) {
	if len(words) == 0 || len(words) == 1 && words[0].text == "*" {
		return netip.Addr{}, nil
	}
	for _, w := range words {
		if w.text == "--" {
			return netip.Addr{}, errors.New("options behind -- are not supported")
		}
	}
	// More words are more likely a secret without its quotes than addresses, so
	// they are not repeated.
	addr, err := netip.ParseAddr(words[0].text)
	if len(words) > 1 || err != nil || !addr.Is4() {
		return netip.Addr{}, errors.New("the secret must be followed by nothing, by * or by one IPv4 address; a secret with spaces needs quotes")
	}
	return addr, nil
}

// printable keeps a problem on one line.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '"' }) {
		return fmt.Sprintf("%q", name)
	}
	return name
}
