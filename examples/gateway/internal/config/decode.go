package config

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/gopptp/gopptp/examples/gateway/internal/diag"
)

// source knows where in a file each key is, by paths such as limits.half_open or
// users[1].name.
type source struct {
	file  string
	lines map[string]int
	wrong map[string]bool // has been reported, so its value means nothing
}

func newSource(file string) source {
	return source{file: file, lines: make(map[string]int), wrong: make(map[string]bool)}
}

// line returns where a key is, or where the one is that it would be in.
func (s *source) line(path string) int {
	for path != "" {
		if line := s.lines[path]; line > 0 {
			return line
		}
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return 1
}

// decoder fills a struct from a syntax tree. It goes on after a problem, so that
// all of them are found: the YAML library's own decoder stops at the first, and
// says it in terms of Go.
type decoder struct {
	source
	problems diag.Problems
}

// decode reads YAML text into v, a pointer to a struct that holds the defaults.
// Keys are those of the tag "yaml". Lists replace their default. It reports
// whether the text is one YAML document at all.
func (d *decoder) decode(text []byte, v any) bool {
	tokens := lexer.Tokenize(string(text))
	if t := tooDeep(tokens); t != nil {
		d.bad(t.Position.Line, "", "not a configuration: keys within keys more than %d deep", maxDepth)
		return false
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return false
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0: // nothing but defaults
	case 1:
		d.value(bodies[0], reflect.ValueOf(v).Elem(), "", lineOf(bodies[0]))
	default:
		d.bad(lineOf(bodies[1]), "", "a second YAML document begins here; there can be only one")
		return false
	}
	return true
}

// maxDepth is far more than a configuration has. The parser takes stack for each level, and
// memory for the square of their number: what is no configuration at all must not be the end
// of a gateway that only was to read it anew.
const maxDepth = 256

// tooDeep returns the token where a text goes too deep; nil if it does not.
func tooDeep(tokens token.Tokens) *token.Token {
	flow, before := 0, 0 // brackets that are open, and anchors and the like in a row
	for _, t := range tokens {
		before++
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			// Outside of brackets, each level is further to the right.
			if flow <= 0 && t.Position.Column > maxDepth {
				return t
			}
		case token.AnchorType, token.TagType:
		default:
			before = 0
		}
		if flow > maxDepth || before > 4*maxDepth {
			return t
		}
	}
	return nil
}

func (d *decoder) bad(line int, path, format string, args ...any) {
	d.wrong[path] = true
	d.problems.Add(diag.Problem{File: d.file, Line: line, Key: path, Text: fmt.Sprintf(format, args...)})
}

func (d *decoder) syntax(err error) {
	var at yaml.Error
	if !errors.As(err, &at) || at.GetToken() == nil {
		d.bad(1, "", "not YAML: %v", err)
		return
	}
	d.bad(at.GetToken().Position.Line, "", "not YAML: %s", at.GetMessage())
}

// value reads one node. line is that of its key.
func (d *decoder) value(node ast.Node, v reflect.Value, path string, line int) {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode:
		d.bad(line, path, "anchors, aliases and tags of YAML are not supported")
		return
	}
	parse, isScalar := scalars[v.Type()]
	switch {
	case isScalar && !(isMapping(node) && hasKeys(v.Type())):
		d.scalar(node, v, parse, path, line)
	case v.Kind() == reflect.Pointer: // is set only if it is there
		p := reflect.New(v.Type().Elem())
		before := len(d.problems)
		d.value(node, p.Elem(), path, line)
		if len(d.problems) == before {
			v.Set(p)
		}
	case v.Kind() == reflect.Slice:
		d.list(node, v, path, line)
	case v.Kind() == reflect.Struct:
		d.mapping(node, v, path, line)
	default:
		panic("config: no way to read a " + v.Type().String()) // a mistake in Config
	}
}

func (d *decoder) scalar(node ast.Node, v reflect.Value, parse func(string) (any, error), path string, line int) {
	var text string
	switch n := node.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		text = n.GetToken().Value // as it stands in the file: 0123 may be a password
	case *ast.NullNode:
		d.bad(line, path, "has no value")
		return
	default:
		d.bad(line, path, "must be a single value, not a %s", kind(node))
		return
	}
	value, err := parse(text)
	if err != nil {
		d.bad(line, path, "%v", err)
		return
	}
	v.Set(reflect.ValueOf(value))
}

// defaulter is an entry of a list that has defaults.
type defaulter interface{ defaults() }

func (d *decoder) list(node ast.Node, v reflect.Value, path string, line int) {
	list := reflect.MakeSlice(v.Type(), 0, 0)
	switch n := node.(type) {
	case *ast.NullNode: // as when all entries are commented out
	case *ast.SequenceNode:
		for i, entry := range n.Values {
			entryPath, entryLine := path+"["+strconv.Itoa(i)+"]", lineOf(entry)
			d.lines[entryPath] = entryLine
			item := reflect.New(v.Type().Elem())
			if i, ok := item.Interface().(defaulter); ok {
				i.defaults()
			}
			d.value(entry, item.Elem(), entryPath, entryLine)
			list = reflect.Append(list, item.Elem())
		}
	default:
		d.bad(line, path, "must be a list, like [a, b], not a %s", kind(node))
		return
	}
	v.Set(list)
}

func (d *decoder) mapping(node ast.Node, v reflect.Value, path string, line int) {
	var pairs []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.NullNode:
		return
	case *ast.MappingNode:
		pairs = n.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{n}
	default:
		d.bad(line, path, "must be keys with values, not a %s", kind(node))
		return
	}
	fields, names := fieldsOf(v.Type())
	for _, pair := range pairs {
		name, keyLine := keyOf(pair.Key), lineOf(pair.Key)
		keyPath := strings.TrimPrefix(path+"."+name, ".")
		field, known := fields[name]
		if !known {
			d.bad(keyLine, keyPath, "unknown key%s", suggestion(name, names))
			continue
		}
		if before := d.lines[keyPath]; before > 0 {
			d.bad(keyLine, keyPath, "is given twice, first in line %d", before)
			continue
		}
		d.lines[keyPath] = keyLine
		d.value(pair.Value, v.FieldByIndex(field), keyPath, keyLine)
	}
}

// fieldsOf returns the fields of a struct by their keys, and the keys in order. Those of
// an embedded struct are its own.
func fieldsOf(t reflect.Type) (fields map[string][]int, names []string) {
	fields = make(map[string][]int)
	for _, f := range reflect.VisibleFields(t) {
		if name, ok := f.Tag.Lookup("yaml"); ok {
			fields[name] = f.Index
			names = append(names, name)
		}
	}
	return fields, names
}

// hasKeys reports whether a type may be written with keys, beside as a single value.
func hasKeys(t reflect.Type) bool {
	if t.Kind() != reflect.Struct {
		return false
	}
	_, names := fieldsOf(t)
	return len(names) > 0
}

func isMapping(node ast.Node) bool {
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return true
	}
	return false
}

func keyOf(key ast.MapKeyNode) string {
	if s, ok := key.(*ast.StringNode); ok {
		return s.Value
	}
	return key.GetToken().Value
}

// lineOf returns where a node begins. A mapping's own token is its first colon.
func lineOf(node ast.Node) int {
	switch n := node.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return lineOf(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return lineOf(n.Key)
	}
	return node.GetToken().Position.Line
}

func kind(node ast.Node) string {
	if isMapping(node) {
		return "set of keys"
	}
	if _, is := node.(*ast.SequenceNode); is {
		return "list"
	}
	return "single value"
}

// suggestion offers the known key that is nearest to a mistyped one.
func suggestion(name string, names []string) string {
	best, distance := "", min(3, 1+len(name)/2)
	for _, candidate := range names {
		if n := editDistance(name, candidate); n < distance {
			best, distance = candidate, n
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// editDistance counts the octets to be put in, left out or changed between a
// and b, by Levenshtein's recurrence over one row.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
