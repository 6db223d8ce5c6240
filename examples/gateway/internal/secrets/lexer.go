package secrets

import (
	"errors"
	"strings"
)

// word is one word of a line. A quoted word is never a keyword or comment.
type word struct {
	text   string
	quoted bool
}

var errQuote = errors.New("a quote is opened and not closed")

// lexer cuts a file into lines of words, as pppd does: words are separated by
// white space, quotes keep it, a backslash takes the next character as it is or
// writes one that is hard to type, and # begins a comment where a word could.
type lexer struct {
	rest string
	line int // of the next octet, from 1
}

// next returns the words of the next line that has any, and its number. At the
// end it returns none. An error concerns that line, and the next call goes on
// behind it.
func (l *lexer) next() (words []word, line int, err error) {
	for l.rest != "" {
		line = l.line
		words, err = l.words()
		if err != nil {
			l.skipLine()
			return nil, line, err
		}
		if len(words) > 0 {
			return words, line, nil
		}
	}
	return nil, l.line, nil
}

// words reads to the end of a line.
func (l *lexer) words() (words []word, err error) {
	for l.rest != "" {
		switch c := l.rest[0]; {
		case c == '\n':
			l.take(1)
			return words, nil
		case c == '#':
			l.skipLine()
			return words, nil
		case isSpace(c):
			l.take(1)
		case strings.HasPrefix(l.rest, "\\\n"): // the line goes on
			l.take(2)
		default:
			w, err := l.word()
			if err != nil {
				return nil, err
			}
			words = append(words, w)
		}
	}
	return words, nil
}

func (l *lexer) word() (w word, err error) {
	var b strings.Builder
	var quote byte // which one is open
	for l.rest != "" {
		c := l.rest[0]
		switch {
		case c == '\\':
			l.escape(&b)
		case c == quote && quote != 0:
			quote = 0
			l.take(1)
		case quote != 0 && c == '\n':
			return word{}, errQuote
		case quote == 0 && (c == '"' || c == '\''):
			quote, w.quoted = c, true
			l.take(1)
		case quote == 0 && (c == '\n' || isSpace(c)):
			w.text = b.String()
			return w, nil
		default:
			b.WriteByte(c)
			l.take(1)
		}
	}
	if quote != 0 {
		return word{}, errQuote
	}
	w.text = b.String()
	return w, nil
}

var escapes = map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 's': ' ', 't': '\t'}

// escape reads a backslash and what belongs to it.
func (l *lexer) escape(b *strings.Builder) {
	l.take(1)
	if l.rest == "" {
		return
	}
	c := l.rest[0]
	digits, base := 0, 0
	switch {
	case c == '\n': // the word goes on in the next line
		l.take(1)
		return
	case digit(c, 8) >= 0:
		digits, base = 3, 8
	case c == 'x' && len(l.rest) > 1 && digit(l.rest[1], 16) >= 0:
		l.take(1)
		digits, base = 2, 16
	default:
		if e, ok := escapes[c]; ok {
			c = e
		}
		b.WriteByte(c)
		l.take(1)
		return
	}
	value := 0
	for ; digits > 0 && l.rest != "" && digit(l.rest[0], base) >= 0; digits-- {
		value = value*base + digit(l.rest[0], base)
		l.take(1)
	}
	b.WriteByte(byte(value))
}

// digit returns the value of a digit, or -1.
func digit(c byte, base int) int {
	return strings.IndexByte("0123456789abcdef"[:base], c|0x20*(c>>6&1))
}

func (l *lexer) take(n int) {
	l.line += strings.Count(l.rest[:n], "\n")
	l.rest = l.rest[n:]
}

func (l *lexer) skipLine() {
	n := strings.IndexByte(l.rest, '\n')
	if n < 0 {
		n = len(l.rest) - 1
	}
	l.take(n + 1)
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v' }
