package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/loadgen/internal/load"
)

// passwordVariable is the environment variable that may hold the password.
const passwordVariable = "GOPPTP_PASSWORD"

// userFlags say whom the clients say they are. There is no flag for the password
// itself: every user of a machine can read the command lines on it.
type userFlags struct {
	user, usersFile, passwordFile string
}

// users returns who client i is. clear is whether passwords are needed as they are,
// rather than their hashes.
func (f userFlags) users(stdin io.Reader, clear bool) (func(i int) load.User, error) {
	secret := func(name, password string) load.User {
		if clear {
			return load.User{Name: name, Password: password}
		}
		hash := chap.NTPasswordHash(password)
		return load.User{Name: name, NTHash: &hash}
	}
	if f.usersFile != "" {
		if f.passwordFile != "" {
			return nil, errors.New("--users-file and --password-file exclude each other")
		}
		list, err := readUsers(f.usersFile, stdin, secret)
		if err != nil {
			return nil, fmt.Errorf("--users-file: %w", err)
		}
		return func(i int) load.User { return list[i%len(list)] }, nil
	}
	if f.user == "" || strings.Contains(strings.Replace(f.user, "%d", "", 1), "%") || len(f.user) > 240 {
		return nil, fmt.Errorf("--user: %q is not a name in which %%d may stand for the client's number", f.user)
	}
	password, err := f.password(stdin)
	if err != nil {
		return nil, err
	}
	shared := secret("", password)
	return func(i int) load.User {
		u := shared
		u.Name = strings.Replace(f.user, "%d", fmt.Sprint(i+1), 1)
		return u
	}, nil
}

func (f userFlags) password(stdin io.Reader) (string, error) {
	if f.passwordFile == "" {
		password, ok := os.LookupEnv(passwordVariable)
		if !ok {
			return "", fmt.Errorf("a password is missing: --password-file, --users-file or %s", passwordVariable)
		}
		os.Unsetenv(passwordVariable)
		return password, nil
	}
	in, err := open(f.passwordFile, stdin)
	if err != nil {
		return "", fmt.Errorf("--password-file: %w", err)
	}
	defer in.Close()
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("--password-file: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// readUsers reads a name and a password from each line.
func readUsers(name string, stdin io.Reader, secret func(name, password string) load.User) (list []load.User, err error) {
	in, err := open(name, stdin)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		at := strings.IndexAny(text, " \t")
		if at < 0 || at > 255 {
			return nil, fmt.Errorf("line %d is not a name and a password", n)
		}
		list = append(list, secret(text[:at], strings.TrimSpace(text[at:])))
	}
	switch {
	case lines.Err() != nil:
		return nil, lines.Err()
	case len(list) == 0:
		return nil, errors.New("has no users")
	}
	return list, nil
}

func open(name string, stdin io.Reader) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(stdin), nil
	}
	f, err := os.Open(name)
	var path *fs.PathError
	if errors.As(err, &path) {
		err = fmt.Errorf("%s: %w", name, path.Err)
	}
	return f, err
}
