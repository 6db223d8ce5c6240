package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gopptp/gopptp/chap"
	"github.com/gopptp/gopptp/examples/gateway/internal/secrets"
	"github.com/gopptp/gopptp/examples/gateway/internal/userdb"
	"github.com/gopptp/gopptp/ppp"
)

// maxPassword is how many UTF-16 units MS-CHAP can carry (RFC 2759 §8.9).
const maxPassword = 256

// passwordFlag adds --password-stdin.
func passwordFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("password-stdin", false, "read the password from standard input, one line; nthash: and 32 hexadecimal digits is an NT hash")
}

// readPassword gives a user the password that is on standard input, or that whoever is at
// the terminal types. It is never an argument, as everybody on the host can see those.
func readPassword(t *userTask, stdin bool, u *userdb.User) error {
	text, err := "", error(nil)
	if stdin {
		text, err = lineOf(t.cmd.InOrStdin())
	} else {
		text, err = typed(t)
	}
	if err != nil {
		return err
	}
	if digits, isHash := strings.CutPrefix(text, secrets.HashPrefix); isHash {
		h, err := chap.ParseNTHash(digits)
		if err != nil {
			return usagef("%s is not followed by 32 hexadecimal digits", secrets.HashPrefix)
		}
		if t.clear {
			fmt.Fprintf(t.cmd.ErrOrStderr(), "warning: %q has an NT hash in place of a password, and cannot come in by chap-md5\n", u.Name)
		}
		u.SetPassword(h, nil)
		return nil
	}
	switch {
	case text == "":
		return usagef("the password is empty")
	case !utf8.ValidString(text):
		return usagef("the password is not UTF-8")
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }):
		return usagef("the password has control characters in it")
	case len(utf16.Encode([]rune(text))) > maxPassword:
		return usagef("the password has more than %d characters", maxPassword)
	}
	u.SetPassword(chap.NTPasswordHash(text), t.Kept(ppp.Secret(text)))
	return nil
}

// lineOf reads the only line of a file.
func lineOf(r io.Reader) (string, error) {
	in := bufio.NewReader(io.LimitReader(r, 4*maxPassword+2))
	line, err := in.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("standard input: %w", err)
	}
	if _, err := in.ReadByte(); err == nil {
		return "", usagef("there is more than one line on standard input, or a very long one")
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// typed asks for a password twice.
func typed(t *userTask) (string, error) {
	in, ok := t.cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usagef("there is no terminal to ask for the password at: use --password-stdin")
	}
	ctx, stop := untilInterrupted(t.cmd)
	defer stop()
	var words [2]string
	for i, prompt := range []string{"Password: ", "Once more: "} {
		fmt.Fprint(t.cmd.ErrOrStderr(), prompt)
		word, err := unseen(ctx, int(in.Fd()))
		fmt.Fprintln(t.cmd.ErrOrStderr())
		if err != nil {
			return "", fmt.Errorf("the terminal: %w", err)
		}
		words[i] = word
	}
	if words[0] != words[1] {
		return "", usagef("the two are not the same")
	}
	return words[0], nil
}

// unseen reads a line that is not seen while it is typed. Whoever interrupts that has the
// terminal as it was.
func unseen(ctx context.Context, terminal int) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	typed := make(chan error, 1)
	var word []byte
	go func() {
		var err error
		word, err = term.ReadPassword(terminal)
		typed <- err
	}()
	select {
	case err = <-typed:
		return string(word), err
	case <-ctx.Done():
		_ = term.Restore(terminal, before) // there is nothing else to be done
		return "", errors.New("interrupted")
	}
}
