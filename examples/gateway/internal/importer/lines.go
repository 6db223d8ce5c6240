package importer

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/gopptp/gopptp/examples/gateway/internal/config"
)

// line is one of a file, without its comment.
type line struct {
	number int
	text   string
}

// readText reads a file of text.
func readText(file string) (string, error) {
	text, err := config.ReadFile(file)
	switch {
	case err != nil:
		return "", err
	case bytes.IndexByte(text, 0) >= 0:
		return "", &fs.PathError{Op: "read", Path: file, Err: errors.New("it is no text")}
	}
	return string(text), nil
}

// lines returns the lines of a file that say something. A comment begins with # at the
// start of a line or behind a blank.
func (m *importing) lines(file string) ([]line, error) {
	text, err := readText(file)
	if err != nil {
		return nil, err
	}
	var list []line
	number := 0
	for one := range strings.Lines(text) {
		number++
		if i := strings.IndexByte(one, '#'); i == 0 || i > 0 && (one[i-1] == ' ' || one[i-1] == '\t') {
			one = one[:i]
		}
		switch one = strings.TrimSpace(one); {
		case one == "":
		case !utf8.ValidString(one):
			m.note(file, number, "not carried over: the line is not UTF-8")
		default:
			list = append(list, line{number, one})
		}
	}
	return list, nil
}

// words splits a line into words as pppd does: at blanks, but for those in quotes or
// behind a backslash.
func words(text string) (list []string) {
	var word strings.Builder
	var quote byte
	in := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
			in = true
		case quote != 0:
			if c == quote {
				quote = 0
			} else {
				word.WriteByte(c)
			}
		case c == '"' || c == '\'':
			quote, in = c, true
		case c == ' ' || c == '\t':
			if in {
				list = append(list, word.String())
			}
			word.Reset()
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		list = append(list, word.String())
	}
	return list
}
