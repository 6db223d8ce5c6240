package conformance

import (
	"bytes"
	"fmt"
	"strings"
)

// Page is the generated file, at the root of the repository.
const Page = "CONFORMANCE.md"

const intro = `<!-- Generated from internal/conformance/clauses by go generate ./internal/conformance. Do not edit. -->

# Conformance

What the documents behind PPTP require, and the test that proves it. The
requirements are in our words; the documents have the last one. Many of them
are from before RFC 2119 and word their requirements plainly: what an
implementation cannot leave out without failing a peer counts as MUST here.

Requirements for what a tunnel over IP has no use for, such as modems, telephone
numbers and asynchronous framing, are not listed.

A test that is named here and does not exist fails the build, as does a clause
with neither a test nor a reason.
`

// tally counts the clauses of a document.
type tally struct{ must, should, may, leftOut int }

func (t *tally) add(c *Clause) {
	switch {
	case c.LeftOut():
		t.leftOut++
	case strings.HasPrefix(c.Kind, "MUST"):
		t.must++
	case strings.HasPrefix(c.Kind, "SHOULD"):
		t.should++
	default:
		t.may++
	}
}

func (t tally) row() string {
	return fmt.Sprintf("%d | %d | %d | %d", t.must, t.should, t.may, t.leftOut)
}

// Markdown returns the page. The documents must have passed Check.
func Markdown(docs []Document, tests Tests) []byte {
	var b bytes.Buffer
	b.WriteString(intro)

	b.WriteString("\n| Document | MUST proved | SHOULD proved | MAY proved | Left out |\n| --- | ---: | ---: | ---: | ---: |\n")
	var all tally
	for _, d := range docs {
		var t tally
		for _, s := range d.Sections {
			for i := range s.Clauses {
				t.add(&s.Clauses[i])
				all.add(&s.Clauses[i])
			}
		}
		fmt.Fprintf(&b, "| [%s](#%s) %s | %s |\n", cell(d.Name), anchor(heading(d)), cell(d.Title), t.row())
	}
	fmt.Fprintf(&b, "| All | %s |\n", all.row())

	b.WriteString("\n## What is left out\n")
	for _, d := range docs {
		for _, s := range d.Sections {
			for _, c := range s.Clauses {
				if c.LeftOut() {
					fmt.Fprintf(&b, "\n- %s %s, %s: %s\n  %s\n", d.Name, s.number(), c.Kind, c.Text, c.Reason)
				}
			}
		}
	}

	for _, d := range docs {
		fmt.Fprintf(&b, "\n## %s\n", heading(d))
		for _, s := range d.Sections {
			fmt.Fprintf(&b, "\n### %s\n\n| | Requirement | Proof |\n| --- | --- | --- |\n", s.heading())
			for _, c := range s.Clauses {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", c.Kind, cell(c.Text), proof(&c, tests))
			}
		}
	}
	return b.Bytes()
}

func heading(d Document) string { return d.Name + ": " + d.Title }

func (s Section) number() string {
	if s.Number == "-" {
		return s.Title
	}
	return "§" + s.Number
}

func (s Section) heading() string {
	if s.Number == "-" {
		return s.Title
	}
	return "§" + s.Number + " " + s.Title
}

// proof is the last cell of a clause's row.
func proof(c *Clause, tests Tests) string {
	var parts []string
	for _, t := range c.Tests {
		file, _ := tests.Find(t) // Check has seen it
		parts = append(parts, fmt.Sprintf("[%s](%s)", cell(t.String()), file))
	}
	if c.LeftOut() {
		parts = append(parts, "*left out:* "+cell(c.Reason))
	} else if c.Reason != "" {
		parts = append(parts, cell(c.Reason))
	}
	return strings.Join(parts, "<br>")
}

// cell makes text safe within a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "[", `\[`, "]", `\]`).Replace(s)
}

// anchor is the fragment by which a heading is linked to.
func anchor(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z':
			return r
		}
		return -1
	}, strings.ToLower(s))
}
