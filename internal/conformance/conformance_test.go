package conformance

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// load reads the clauses and the tests of this repository.
func load(t *testing.T) (root string, docs []Document, tests Tests) {
	root, err := Root(".")
	require.NoError(t, err)
	docs, err = Load()
	require.NoError(t, err)
	tests, err = Index(root)
	require.NoError(t, err)
	return root, docs, tests
}

func TestClauses(t *testing.T) {
	_, docs, tests := load(t)
	for _, err := range Check(docs, tests) {
		t.Error(err)
	}
	for _, d := range docs {
		require.NotEmpty(t, d.Title, d.File)
		seen := make(map[string]bool)
		for _, s := range d.Sections {
			require.NotEmpty(t, s.Clauses, "%s §%s", d.File, s.Number)
			require.False(t, seen[s.heading()], "%s %s twice", d.File, s.heading())
			seen[s.heading()] = true
		}
	}
}

func TestPageIsUpToDate(t *testing.T) {
	root, docs, tests := load(t)
	if len(Check(docs, tests)) > 0 {
		t.Skip("the clauses are at fault")
	}
	page, err := os.ReadFile(filepath.Join(root, Page))
	require.NoError(t, err)
	if string(page) != string(Markdown(docs, tests)) {
		t.Errorf("%s is out of date: go generate ./internal/conformance", Page)
	}
}

func TestParse(t *testing.T) {
	d, err := parse("x.txt", strings.NewReader(`# RFC 1
A title
in two lines

## 1.2 First of | all

MUST A thing
is so.
	pptp.TestThing
	internal/engine.FuzzThing/some name/below
SHOULD NOT A thing is otherwise.
	- Since it
	is so.
MAY Both.
	gopptp.TestBoth
	- With a remark.
`))
	require.NoError(t, err)
	require.Equal(t, Document{
		File: "x.txt", Name: "RFC 1", Title: "A title in two lines",
		Sections: []Section{{"1.2", "First of | all", []Clause{
			{7, "MUST", "A thing is so.", []Test{{"pptp", "TestThing", ""}, {"internal/engine", "FuzzThing", "some name/below"}}, ""},
			{11, "SHOULD NOT", "A thing is otherwise.", nil, "Since it is so."},
			{14, "MAY", "Both.", []Test{{"gopptp", "TestBoth", ""}}, "With a remark."},
		}}},
	}, d)
	require.Equal(t, "internal/engine.FuzzThing/some name/below", d.Sections[0].Clauses[0].Tests[1].String())

	for name, text := range map[string]string{
		"no document":             "RFC 1\n",
		"no section":              "# RFC 1\n\nMUST Be.\n",
		"malformed section":       "# RFC 1\n\n##1 A\n",
		"no kind":                 "# RFC 1\n\n## 1 A\n\nIt is so.\n",
		"kind in small letters":   "# RFC 1\n\n## 1 A\n\nmust Be.\n",
		"proof without a clause":  "# RFC 1\n\n## 1 A\n\n\tpptp.TestX\n",
		"no test":                 "# RFC 1\n\n## 1 A\n\nMUST Be.\n\tpptp.Thing\n",
		"test behind a reason":    "# RFC 1\n\n## 1 A\n\nMUST Be.\n\t- No.\n\n\tpptp.TestX\n",
		"a second reason":         "# RFC 1\n\n## 1 A\n\nMUST Be.\n\t- No.\n\n\t- No.\n",
		"text behind the proof":   "# RFC 1\n\n## 1 A\n\nMUST Be.\n\tpptp.TestX\nor not.\n",
		"text behind a blank one": "# RFC 1\n\n## 1 A\n\nMUST Be.\n\nor not.\n",
	} {
		_, err := parse("x.txt", strings.NewReader(text))
		require.ErrorContains(t, err, "x.txt:", name)
	}
}

const source = `package x

var table = []struct{ name string }{{"in a table"}}

func TestOne(t *testing.T) {
	t.Run("in one", nil)
}

func TestTwo(t *testing.T) {
	t.Run("in two", nil)
}

func (r rig) TestMethod() {}

func helper() {}
`

func TestCheck(t *testing.T) {
	tests := make(Tests)
	require.NoError(t, tests.add("a/x_test.go", []byte(source)))
	require.NoError(t, tests.add("root_test.go", []byte("package y\n\nfunc FuzzRoot(f *testing.F) {}\n")))
	require.Error(t, tests.add("bad_test.go", []byte("package")))
	require.Len(t, tests, 3)

	check := func(c Clause) string {
		c.Line = 4
		var texts []string
		for _, err := range Check([]Document{{File: "x.txt", Sections: []Section{{Clauses: []Clause{c}}}}}, tests) {
			texts = append(texts, err.Error())
		}
		return strings.Join(texts, "; ")
	}
	for _, good := range []Test{
		{"a", "TestOne", ""}, {"a", "TestOne", "in one"}, {"a", "TestTwo", "in a table"},
		{"a", "TestOne", "in a table/in one"}, {"gopptp", "FuzzRoot", ""},
	} {
		require.Empty(t, check(Clause{Tests: []Test{good}}), good)
	}
	for _, bad := range []Test{
		{"a", "TestThree", ""}, {"a", "TestMethod", ""}, {"a", "helper", ""}, {"b", "TestOne", ""}, {"a", "FuzzRoot", ""},
	} {
		require.Equal(t, "x.txt:4: there is no test "+bad.String(), check(Clause{Tests: []Test{bad}, Reason: "r"}))
	}
	for _, bad := range []Test{{"a", "TestOne", "in two"}, {"a", "TestOne", "in one/elsewhere"}} {
		require.Contains(t, check(Clause{Tests: []Test{bad}}), "x.txt:4: a/x_test.go has no subtest ")
	}
	require.Equal(t, "x.txt:4: neither test nor reason", check(Clause{}))
	require.Empty(t, check(Clause{Reason: "left out"}))
	require.Empty(t, check(Clause{Reason: "see a.TestOne, and gopptp.FuzzRoot."}))
	require.Equal(t, "x.txt:4: there is no test a.TestThree", check(Clause{Reason: "see a.TestThree."}))
}

func TestMarkdown(t *testing.T) {
	tests := make(Tests)
	require.NoError(t, tests.add("a/x_test.go", []byte(source)))
	page := string(Markdown([]Document{{Name: "[RFC 1]", Title: "A title", Sections: []Section{{"1", "First", []Clause{
		{Kind: "MUST", Text: "a | b < c", Tests: []Test{{"a", "TestOne", ""}, {"a", "TestTwo", "in two"}}, Reason: "In part."},
		{Kind: "MAY", Text: "d", Reason: "No."},
	}}}}}, tests))
	for _, want := range []string{
		"| [\\[RFC 1\\]](#rfc-1-a-title) A title | 1 | 0 | 0 | 1 |\n| All | 1 | 0 | 0 | 1 |\n",
		"\n- [RFC 1] §1, MAY: d\n  No.\n",
		"\n## [RFC 1]: A title\n\n### §1 First\n",
		"| MUST | a \\| b &lt; c | [a.TestOne](a/x_test.go)<br>[a.TestTwo/in two](a/x_test.go)<br>In part. |\n",
		"| MAY | d | *left out:* No. |\n",
	} {
		require.Contains(t, page, want)
	}
}

func TestRoot(t *testing.T) {
	_, err := Root(t.TempDir())
	require.ErrorContains(t, err, "go.work")
}
