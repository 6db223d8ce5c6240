// Package tokens is the file of those who may administer the gateway over the network: a
// line a token, with its name, its role and the hash of it.
//
//	alice  operate  sha256:0123...
//
// A token is 256 random bits, so that a plain hash hides it; a password that somebody has
// thought up is none. Lines that are empty or begin with # mean nothing.
package tokens

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// The roles that a token can have.
const (
	Read    = "read"    // look at everything
	Operate = "operate" // change something, too
)

const (
	// prefix shows what a token is, to people and to programs that look for leaked ones.
	prefix = "gopptp_"
	size   = 32 // octets of a token
	scheme = "sha256:"
	// maxFile bounds what is read.
	maxFile = 1 << 20
)

// Digest is what a token is known by.
type Digest [sha256.Size]byte

// Entry is one line.
type Entry struct {
	Name, Role string
	Digest     Digest
}

// List is what a file has.
type List []Entry

// New makes a token and the line for it.
func New(name, role string) (token, line string, err error) {
	if err := checkName(name); err != nil {
		return "", "", err
	}
	if err := checkRole(role); err != nil {
		return "", "", err
	}
	b := make([]byte, size)
	rand.Read(b)
	token = prefix + base64.RawURLEncoding.EncodeToString(b)
	d := DigestOf(token)
	return token, fmt.Sprintf("%s %s %s%x\n", name, role, scheme, d[:]), nil
}

// DigestOf hashes a token.
func DigestOf(token string) Digest { return sha256.Sum256([]byte(token)) }

// Find returns the entry of a digest; nil if there is none. It takes the same time wherever
// the entry is.
func (l List) Find(d Digest) (found *Entry) {
	for i := range l {
		if subtle.ConstantTimeCompare(l[i].Digest[:], d[:]) == 1 {
			found = &l[i]
		}
	}
	return found
}

// Load reads a file, and says all that is wrong with it.
func Load(file string) (List, diag.Problems) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, diag.Problems{config.Unreadable(file, err)}
	}
	if info.Size() > maxFile {
		return nil, diag.Problems{{File: file, Text: fmt.Sprintf("has more than %d octets", maxFile)}}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, diag.Problems{config.Unreadable(file, err)}
	}
	return parse(file, text)
}

func parse(file string, text []byte) (list List, problems diag.Problems) {
	names := make(map[string]int)
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		entry, err := parseLine(line)
		if err == nil && names[entry.Name] > 0 {
			err = fmt.Errorf("%q has a token already, in line %d", entry.Name, names[entry.Name])
		}
		if err != nil {
			problems.Add(diag.Problem{File: file, Line: n, Text: err.Error()})
			continue
		}
		names[entry.Name] = n
		list = append(list, entry)
	}
	return list, problems
}

// parseLine says what is wrong without repeating what may be a secret.
func parseLine(line string) (e Entry, err error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return e, fmt.Errorf("needs name, role and hash, but has %d of these", len(fields))
	}
	e.Name, e.Role = fields[0], fields[1]
	if err := checkName(e.Name); err != nil {
		return e, err
	}
	if err := checkRole(e.Role); err != nil {
		return e, err
	}
	text, ok := strings.CutPrefix(fields[2], scheme)
	b, err := hex.DecodeString(text)
	if !ok || err != nil || len(b) != len(e.Digest) {
		return e, errors.New("the hash is not sha256: and 64 hexadecimal digits; gateway token makes a token and the line for it")
	}
	copy(e.Digest[:], b)
	return e, nil
}

func checkName(name string) error {
	if name == "" || len(name) > 63 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }) {
		return fmt.Errorf("%.63q is no name: 1 to 63 printable ASCII characters without # and spaces", name)
	}
	return nil
}

func checkRole(role string) error {
	if role != Read && role != Operate {
		return fmt.Errorf("%.63q is not a role: read or operate", role)
	}
	return nil
}

// Make makes an empty file, if it is not there. If root does, those can read it who can read
// config: the gateway itself is not root.
func Make(file, config string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(share(f, config), f.Close())
}

// Add makes a token and appends its line to a file, which is made if it is not there.
func Add(file, name, role string) (token string, err error) {
	token, line, err := New(name, role)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return "", err
	}
	defer f.Close()
	list, problems := Load(file)
	if len(problems) > 0 {
		return "", problems
	}
	for _, e := range list {
		if e.Name == name {
			return "", fmt.Errorf("%q has a token already in %s; remove its line to take it back", name, file)
		}
	}
	if last := make([]byte, 1); unfinished(f, last) {
		line = "\n" + line
	}
	if _, err := f.WriteString(line); err != nil {
		return "", err
	}
	return token, f.Close()
}

// unfinished reports whether the last line of a file has no end.
func unfinished(f *os.File, last []byte) bool {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	_, err = f.ReadAt(last, info.Size()-1)
	return err == nil && last[0] != '\n'
}
