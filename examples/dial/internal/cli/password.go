package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/ppp"
)

// passwordVariable is the environment variable that may hold the password.
const passwordVariable = "GOPPTP_PASSWORD"

// secretFlags say where the password comes from. There is no flag for the
// password itself: every user of a machine can read the command lines on it.
type secretFlags struct {
	passwordFile string
	ntHashFile   string
}

// secret is a password, or only the hash of it, which is all that MS-CHAPv2 needs.
type secret struct {
	hash     chap.NTHash
	password ppp.Secret // nil: not known
}

func secretOf(password string) *secret {
	return &secret{hash: chap.NTPasswordHash(password), password: ppp.Secret(password)}
}

// read returns the secret.
func (f secretFlags) read(stdin io.Reader) (*secret, error) {
	switch {
	case f.passwordFile != "" && f.ntHashFile != "":
		return nil, errors.New("--password-file and --nt-hash-file exclude each other")
	case f.passwordFile != "":
		text, err := readSecret(f.passwordFile, stdin)
		if err != nil {
			return nil, fmt.Errorf("--password-file: %w", err)
		}
		return secretOf(text), nil
	case f.ntHashFile != "":
		text, err := readSecret(f.ntHashFile, stdin)
		if err == nil {
			var hash chap.NTHash
			if hash, err = chap.ParseNTHash(strings.TrimSpace(text)); err == nil {
				return &secret{hash: hash}, nil
			}
			err = errors.New("its first line is not 32 hexadecimal digits")
		}
		return nil, fmt.Errorf("--nt-hash-file: %w", err)
	}
	password, ok := os.LookupEnv(passwordVariable)
	if !ok {
		return nil, fmt.Errorf("a password is missing: --password-file, --nt-hash-file or %s", passwordVariable)
	}
	os.Unsetenv(passwordVariable)
	return secretOf(password), nil
}

// readSecret returns the first line of a file, or of stdin for "-".
func readSecret(name string, stdin io.Reader) (string, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			var path *fs.PathError
			if errors.As(err, &path) {
				err = fmt.Errorf("%s: %w", name, path.Err)
			}
			return "", err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 4096))
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r"), nil
}
