// Package diag is how the gateway tells an operator what is wrong with a file:
// one line a problem, all of them at once, each with the place to look at.
//
//	gateway.yaml:12: limits.half_open: "many" is not a whole number
package diag

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with one file.
type Problem struct {
	File    string
	Line    int    // from 1; zero when the whole file is meant
	Key     string // what the problem is about, such as limits.half_open; may be empty
	Text    string // never holds a secret
	Warning bool   // the gateway can start all the same
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is a list of them. The zero value is ready for use.
type Problems []Problem

// Add appends problems.
func (l *Problems) Add(p ...Problem) { *l = append(*l, p...) }

// Sort puts the problems in the order of the files' lines. The order of files is
// that of their first problem.
func (l Problems) Sort() {
	order := make(map[string]int)
	for _, p := range l {
		if _, known := order[p.File]; !known {
			order[p.File] = len(order)
		}
	}
	slices.SortStableFunc(l, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line))
	})
}

// Errors returns those that are no warnings.
func (l Problems) Errors() Problems { return l.only(false) }

// Warnings returns the others.
func (l Problems) Warnings() Problems { return l.only(true) }

func (l Problems) only(warning bool) (list Problems) {
	for _, p := range l {
		if p.Warning == warning {
			list = append(list, p)
		}
	}
	return list
}

// Error is one line a problem.
func (l Problems) Error() string {
	lines := make([]string, len(l))
	for i, p := range l {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
