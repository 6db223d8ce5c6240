package conformance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rootPackage is how clauses name the package at the root of the repository.
const rootPackage = "gopptp"

// Function is a test function.
type Function struct {
	File     string          // path in the repository
	literals map[string]bool // strings in its body and in the variables of its file
}

// Tests is an index of test functions: package and name to where it is. Several
// files may have a function of one name, for different systems.
type Tests map[string][]Function

// Root returns the root of the repository that dir is in.
func Root(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.work above")
		}
		dir = up
	}
}

// Index reads the test files of all modules below root.
func Index(root string) (Tests, error) {
	tests := make(Tests)
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir():
			if base := e.Name(); name != root && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata") {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		file, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		return tests.add(filepath.ToSlash(file), src)
	})
	return tests, err
}

// add indexes one file.
func (t Tests) add(file string, src []byte) error {
	f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	pkg := path.Dir(file)
	if pkg == "." {
		pkg = rootPackage
	}
	shared := make(map[string]bool)
	for _, d := range f.Decls {
		if _, ok := d.(*ast.GenDecl); ok {
			collect(shared, d)
		}
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Recv != nil || !testLine.MatchString("\tx."+fn.Name.Name) {
			continue
		}
		own := make(map[string]bool)
		collect(own, fn)
		for s := range shared {
			own[s] = true
		}
		key := pkg + "." + fn.Name.Name
		t[key] = append(t[key], Function{File: file, literals: own})
	}
	return nil
}

// collect gathers the string literals of a piece of code.
func collect(into map[string]bool, n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				into[s] = true
			}
		}
		return true
	})
}

// Find returns where a test is. The parts of a subtest's name need only stand in
// its function or in a table of its file: whether they are run, a look at the
// test must show.
func (t Tests) Find(test Test) (file string, err error) {
	functions := t[test.Package+"."+test.Name]
	if len(functions) == 0 {
		return "", fmt.Errorf("there is no test %s.%s", test.Package, test.Name)
	}
	i := slices.IndexFunc(functions, func(f Function) bool {
		if test.Subtest == "" || f.literals[test.Subtest] {
			return true
		}
		return !slices.ContainsFunc(strings.Split(test.Subtest, "/"), func(part string) bool { return !f.literals[part] })
	})
	if i < 0 {
		return "", fmt.Errorf("%s has no subtest %q", functions[0].File, test.Subtest)
	}
	return functions[i].File, nil
}

// testInText finds the tests that a reason refers to.
var testInText = regexp.MustCompile(`([\w/]+)\.((?:Test|Fuzz|Example)\w+)`)

// Check returns an error for each clause that has neither a test nor a reason,
// and for each test that does not exist, be it one that a reason names.
func Check(docs []Document, tests Tests) (errs []error) {
	for _, d := range docs {
		for _, s := range d.Sections {
			for _, c := range s.Clauses {
				fault := func(err error) { errs = append(errs, fmt.Errorf("%s:%d: %w", d.File, c.Line, err)) }
				if c.LeftOut() && c.Reason == "" {
					fault(fmt.Errorf("neither test nor reason"))
				}
				named := slices.Clone(c.Tests)
				for _, m := range testInText.FindAllStringSubmatch(c.Reason, -1) {
					named = append(named, Test{Package: m[1], Name: m[2]})
				}
				for _, t := range named {
					if _, err := tests.Find(t); err != nil {
						fault(err)
					}
				}
			}
		}
	}
	return errs
}
