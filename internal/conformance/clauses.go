package conformance

import (
	"bufio"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
)

// Document is what one file of clauses/ says about one RFC or specification.
type Document struct {
	File     string // below clauses/
	Name     string // such as "RFC 2637"
	Title    string
	Sections []Section
}

// Section is a section of a Document.
type Section struct {
	Number, Title string // the number is "-" where it has none
	Clauses       []Clause
}

// Clause is one requirement.
type Clause struct {
	Line   int    // in its file
	Kind   string // MUST, SHOULD, MAY or a negation of them
	Text   string
	Tests  []Test
	Reason string // why it is left out, or a remark if there are Tests
}

// LeftOut reports whether no test proves the clause.
func (c *Clause) LeftOut() bool { return len(c.Tests) == 0 }

// Test names a test.
type Test struct {
	Package string // path in the repository; gopptp is the root
	Name    string // of the function
	Subtest string // empty for the whole
}

// String is how a clause names it.
func (t Test) String() string {
	s := t.Package + "." + t.Name
	if t.Subtest != "" {
		s += "/" + t.Subtest
	}
	return s
}

//go:embed clauses/*.txt
var files embed.FS

// order is that of the page: from the tunnel up.
var order = []string{
	"rfc2637", "ms-ptpt", "rfc1661", "rfc1994", "rfc2759", "rfc1962", "rfc3078", "rfc3079", "rfc1332", "rfc1877", "rfc5072",
}

// Load reads all documents.
func Load() ([]Document, error) {
	entries, err := fs.ReadDir(files, "clauses")
	if err != nil {
		return nil, err
	}
	if len(entries) != len(order) {
		return nil, fmt.Errorf("%d files of clauses, but the order has %d", len(entries), len(order))
	}
	var docs []Document
	for _, name := range order {
		f, err := files.Open("clauses/" + name + ".txt")
		if err != nil {
			return nil, err
		}
		d, err := parse(name+".txt", f)
		if err != nil {
			return nil, err
		}
		docs = append(docs, d)
	}
	return docs, nil
}

var (
	sectionLine = regexp.MustCompile(`^## (\S+) (.+)$`)
	clauseLine  = regexp.MustCompile(`^((?:MUST|SHOULD)(?: NOT)?|MAY) (\S.*)$`)
	testLine    = regexp.MustCompile(`^\t([\w/]+)\.((?:Test|Fuzz|Example)\w*)(?:/(.+))?$`)
)

// parse reads the clauses of one document. What it does not understand is an
// error, so that nothing is lost by a slip of the pen.
func parse(file string, r io.Reader) (Document, error) {
	d := Document{File: file}
	var section *Section
	var clause *Clause
	var text *string // what an unmarked line goes on with
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		line := s.Text()
		bad := func(what string) (Document, error) {
			return Document{}, fmt.Errorf("%s:%d: %s: %q", file, n, what, line)
		}
		switch {
		case strings.TrimSpace(line) == "":
			text, clause = nil, nil
		case n == 1:
			if d.Name = strings.TrimPrefix(line, "# "); d.Name == line {
				return bad("no name of a document")
			}
			text = &d.Title
		case strings.HasPrefix(line, "#"):
			m := sectionLine.FindStringSubmatch(line)
			if m == nil {
				return bad("no section")
			}
			d.Sections = append(d.Sections, Section{Number: m[1], Title: m[2]})
			section, clause, text = &d.Sections[len(d.Sections)-1], nil, nil
		case clauseLine.MatchString(line):
			if section == nil {
				return bad("clause outside a section")
			}
			m := clauseLine.FindStringSubmatch(line)
			section.Clauses = append(section.Clauses, Clause{Line: n, Kind: m[1], Text: m[2]})
			clause = &section.Clauses[len(section.Clauses)-1]
			text = &clause.Text
		case strings.HasPrefix(line, "\t- ") && clause != nil && clause.Reason == "":
			clause.Reason = line[len("\t- "):]
			text = &clause.Reason
		case testLine.MatchString(line) && clause != nil && clause.Reason == "":
			m := testLine.FindStringSubmatch(line)
			clause.Tests = append(clause.Tests, Test{m[1], m[2], m[3]})
			text = nil
		case text != nil && strings.HasPrefix(line, "\t") == (clause != nil && text == &clause.Reason):
			*text = strings.TrimSpace(*text + " " + strings.TrimSpace(line))
		default:
			return bad("not understood")
		}
	}
	return d, s.Err()
}
